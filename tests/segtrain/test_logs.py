"""Tests of segtrain.logs."""

import csv
import errno
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from segtrain import log_files, logs
from segtrain.log_files import read_lines
from segtrain.logs import RunLog, open_log


def opened(folder: Path, step: int = 0, **more: object) -> tuple[RunLog, list[str]]:
    """A log with everything that can be asked for, and what it tells."""
    told: list[str] = []
    options: dict[str, Any] = {
        "csv": True,
        "tensorboard": False,
        "due": False,
        "datasets": ["voc2012"],
    } | more
    return open_log(folder, step=step, tell=told.append, **options), told


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of log.csv."""
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("due", "kept"), [(False, [2, 4, 6]), (True, [2, 4])])
def test_all_files_are_rewound_together(tmp_path: Path, due: bool, kept: list[int]) -> None:
    """A resumed run's log.jsonl and log.csv end at its checkpoint, and go on from there."""
    log, _ = opened(tmp_path)
    for step in (2, 4, 6, 8):
        log.write({"step": step, "loss": step / 3})
    for name in ("log.jsonl", "log.csv"):
        with (tmp_path / name).open("a") as file:
            file.write('{"step": 1')
    log, _ = opened(tmp_path, 6, due=due)
    assert [line["step"] for line in read_lines(log.json.path)] == kept
    assert [int(row["step"]) for row in rows(tmp_path)] == kept
    log.write({"step": 10, "loss": 0.5})
    assert [line["step"] for line in read_lines(log.json.path)] == [*kept, 10]
    assert [float(row["loss"]) for row in rows(tmp_path)] == [*(s / 3 for s in kept), 0.5]


def test_a_table_may_be_asked_for_late(tmp_path: Path) -> None:
    """Given to a resumed run only, log.csv begins with the lines that there were."""
    log, _ = opened(tmp_path, csv=False)
    log.write({"step": 2, "loss": 1.0})
    assert not (tmp_path / "log.csv").exists()
    opened(tmp_path, 2)
    assert [row["step"] for row in rows(tmp_path)] == ["2"]


def test_event_files_may_be_asked_for_late(tmp_path: Path) -> None:
    """Begun in a resumed run they have its history; resumed again, each line stands once."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log, _ = opened(tmp_path)
    for step in (2, 4):
        log.write({"step": step, "loss": 0.5})
    for begin, more in ((4, (6, 8)), (6, (8, 10))):
        log, _ = opened(tmp_path, begin, tensorboard=True)
        for step in more:
            log.write({"step": step, "loss": 0.25})
    found = EventAccumulator(str(tmp_path / "tensorboard" / "net"))
    found.Reload()
    assert [event.step for event in found.Scalars("loss")] == [2, 4, 6, 8, 10]


def test_training_goes_on_when_the_log_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is told once, its end too, and no line is lost; pictures are not worth a stop."""
    log, told = opened(tmp_path, tensorboard=True)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    picture = Image.new("RGB", (3, 2))
    with monkeypatch.context() as patch:
        patch.setattr(log_files, "write_whole", full)
        patch.setattr(Image.Image, "save", full)
        for step in (2, 4):
            log.write({"step": step, "loss": 0.5})
        log.picture(4, "voc2012", picture, tmp_path / "pictures" / "4.png")
        assert "log.jsonl: 2 lines could not be written" in log.unwritten()
    assert len(told) == 4
    for name, text in zip(("log.jsonl", "log.csv", "tensorboard", "pictures"), told, strict=True):
        assert text == (
            f"{tmp_path / name}: cannot be written (No space left on device); training goes on"
        )
    log.write({"step": 6, "loss": 0.5})
    log.picture(6, "voc2012", picture, tmp_path / "pictures" / "6.png")
    assert told[4:] == [f"{tmp_path / n}: is written again" for n in
                        ("log.jsonl", "log.csv", "tensorboard", "pictures")]  # fmt: skip
    assert [json.loads(t)["step"] for t in log.json.path.read_text().splitlines()] == [2, 4, 6]
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4", "6"]
    assert [p.name for p in (tmp_path / "pictures").iterdir()] == ["6.png"]
    assert log.unwritten() == ""


def test_lines_are_on_the_disk_before_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sync` flushes both files to the disk, also before their first line."""
    synced: list[str] = []
    monkeypatch.setattr(log_files.GrowingFile, "sync", lambda self: synced.append(self.path.name))
    log, _ = opened(tmp_path)
    log.sync()
    assert synced == ["log.jsonl", "log.csv"]


def test_a_reason_is_the_systems_own() -> None:
    """What is told of an error is what the system said, however it was wrapped."""
    assert logs.reason(OSError(errno.EACCES, "Permission denied", "x")) == "Permission denied"
    assert logs.reason(OSError("odd")) == "odd"
