"""Tests of segtrain.runs."""

import json
from pathlib import Path

import pytest
from PIL import Image

from segtrain.config import TrainConfig
from segtrain.errors import RunError
from segtrain.runs import RunFolder


def test_the_configuration_comes_back_from_its_file(tmp_path: Path) -> None:
    """config.json holds the configuration and the facts given with it."""
    folder = RunFolder(tmp_path / "deep" / "run")
    config = TrainConfig(lr=0.25, out=folder.path)
    folder.create(config, {"commit": "abc"})
    assert folder.config() == config
    assert json.loads(folder.config_file.read_text())["commit"] == "abc"


@pytest.mark.parametrize("name", ["config.json", "log.jsonl", "last.pt", "best.pt"])
def test_a_folder_with_a_run_is_refused(tmp_path: Path, name: str) -> None:
    """Whatever part of a run lies there, the error names --resume and another --out."""
    RunFolder(tmp_path).refuse_existing()
    (tmp_path / "notes.txt").touch()
    RunFolder(tmp_path).refuse_existing()
    (tmp_path / name).touch()
    with pytest.raises(RunError, match=rf"holds a run already \({name}\).*--resume.*another --out"):
        RunFolder(tmp_path).refuse_existing()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A file where the folder should be is refused before anything starts."""
    (tmp_path / "x").touch()
    with pytest.raises(RunError, match="is a file"):
        RunFolder(tmp_path / "x").refuse_existing()


def test_resuming_nothing_says_what_is_missing(tmp_path: Path) -> None:
    """A folder without a run, or with a damaged configuration, cannot be resumed."""
    with pytest.raises(RunError, match=r"no run to resume \(no config\.json\)"):
        RunFolder(tmp_path).config()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        RunFolder(tmp_path).config()


def test_a_rewound_log_ends_at_the_checkpoint(tmp_path: Path) -> None:
    """Lines past the step and half a line are dropped, with `due` that of the step itself too."""
    folder = RunFolder(tmp_path)
    folder.rewind_log(5, due=False)
    assert not folder.log_file.exists()
    for due, kept in ((False, [2, 4, 6]), (True, [2, 4])):
        folder.log_file.unlink(missing_ok=True)
        for step in (2, 4, 6, 8):
            folder.log({"step": step})
        with folder.log_file.open("a") as file:
            file.write('{"step": 1')
        folder.rewind_log(6, due=due)
        lines = folder.log_file.read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == kept
        folder.log({"step": 10})
        assert json.loads(folder.log_file.read_text().splitlines()[-1]) == {"step": 10}


def test_pictures_lie_in_their_folder(tmp_path: Path) -> None:
    """A picture is written as PNG under pictures/."""
    path = RunFolder(tmp_path).save_picture("000010-voc2012", Image.new("RGB", (4, 3)))
    assert path == tmp_path / "pictures" / "000010-voc2012.png"
    with Image.open(path) as picture:
        assert picture.size == (4, 3)
