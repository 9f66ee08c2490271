"""What a user does wrong ends with what, where and what next, and leaves nothing half-written."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from segtrain import files
from segtrain.checkpoint import load_checkpoint
from segtrain.errors import CheckpointError, RunError
from segtrain.files import check_folder, make_folder, write_together


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("config", {}, "no variant"),
        ("config", {"variant": "4s"}, "--variant cannot be '4s'"),
        ("config", {"variant": "8s", "width": "wide"}, "--width cannot be 'wide'"),
        ("config", {"variant": "8s", "steps": 0}, "--steps must be at least 1"),
        ("preprocessing", {}, "its preprocessing is not complete"),
        ("preprocessing", None, "its preprocessing is not complete"),
        ("step", "x", "its classes or its weights"),
    ],
)
def test_a_spoilt_checkpoint_names_its_file(
    trained: Path, tmp_path: Path, name: str, value: object, words: str
) -> None:
    """Options and preprocessing of which no net can be made are an error with the path."""
    plain: dict[str, Any] = torch.load(trained / "best.pt", weights_only=True)
    torch.save(plain | {name: value}, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "odd.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'odd.pt'}: ")
    assert words in str(caught.value)
    assert "another checkpoint of the run" in str(caught.value)


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    """A file where a folder shall be, or above it, is told with the option, and nothing is made."""
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file: is a file; name a folder with --pictures"):
        check_folder(tmp_path / "file", "--pictures")
    with pytest.raises(RunError, match=r"for .*file is a file; name a folder with --out"):
        make_folder(tmp_path / "file" / "a" / "b", "--out")
    check_folder(tmp_path / "new" / "er", "--out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_read_only_folder_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this user may not write, no work is begun."""
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(RunError, match=r"this user may not write into .*; name another folder"):
        check_folder(tmp_path / "new", "--out")


def test_files_that_belong_together_are_written_all_or_none(tmp_path: Path) -> None:
    """When the second cannot be written, the first is as it was."""
    image = Image.new("L", (2, 2))

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    first = {tmp_path / "p.png": lambda part: image.save(part, "PNG")}
    with pytest.raises(RunError, match=r"p.overlay.jpg: could not .*is the disk full"):
        write_together(first | {tmp_path / "p.overlay.jpg": full})
    assert not list(tmp_path.iterdir())
    write_together(first)
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]
