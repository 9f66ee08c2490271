"""Tests of segtrain.summary."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from segtrain.config import TrainConfig
from segtrain.runs import RunFolder
from segtrain.summary import Outcome, print_outcome

VAL: dict[str, Any] = {
    "images": 100, "official_images": 1449, "mean_iou": 0.38, "all_background_iou": 0.0349,
    "mean_iou_interval": {"low": 0.35, "high": 0.41},
}  # fmt: skip


def outcome(folder: Path, **changes: object) -> Outcome:
    """A run that was stopped in its middle."""
    best = {"dataset": "voc2012", "mean_iou": 0.4, "images": 100, "step": 900}
    values: dict[str, Any] = {
        "folder": RunFolder(folder),
        "config": TrainConfig(steps=2000, batch=8),
        "step": 1200,
        "seconds": 600.0,
        "best": best,
        "lines": [{"step": 1000, "val": {"voc2012": VAL}}, {"step": 1020}],
    }
    return Outcome(**(values | changes))


def test_a_stopped_run_shows_its_newest_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With images, interval and floor; then the best one, what it took, and what is next."""
    (tmp_path / "last.pt").touch()
    print_outcome(outcome(tmp_path))
    assert capsys.readouterr().out == (
        "data set\timages\tmean IoU %\tinterval\tall background %\n"
        "voc2012\t100 of 1,449\t38.0\t35.0 to 41.0\t3.5\n"
        "best validation: voc2012 mean IoU 40.0 % on 100 images, step 900, kept as best.pt\n"
        "1,200 of 2,000 steps of 8 images in 10 min: 16.0 images/s with validations and saving\n"
        f"run: {tmp_path}\n"
        f"judge it: segtrain eval {tmp_path}\n"
        f"use it: segtrain predict {tmp_path} PHOTO...\n"
    )


def test_a_finished_run_shows_all_images(tmp_path: Path) -> None:
    """The last line's result on all images is what counts, and is called that."""
    whole = VAL | {"images": 1449, "mean_iou_interval": None}
    last = {"step": 2000, "val": {"voc2012": VAL}, "final": {"voc2012": whole}}
    found = outcome(tmp_path, step=2000, lines=[last])
    assert found.finished
    assert found.judged()[0] == "On all validation images"
    assert found.table() == [["voc2012", "1,449", "38.0", "-", "3.5"]]
    assert not outcome(tmp_path).finished


def test_generated_data_stand_for_no_split(tmp_path: Path) -> None:
    """Where there is no published split, only the number of images is told."""
    line = {"step": 10, "val": {"toy": VAL | {"official_images": 0}}}
    assert outcome(tmp_path, lines=[line]).table()[0][1] == "100"


def test_a_run_without_checkpoint_promises_nothing(tmp_path: Path) -> None:
    """No validation, no time and no file: only where the run lies."""
    found = outcome(tmp_path, step=0, seconds=0.0, best=None, lines=[])
    assert found.table() == []
    assert found.words() == [f"run: {tmp_path}"]


def test_the_next_commands_can_be_typed_as_they_stand(tmp_path: Path) -> None:
    """Paths with blanks are quoted, shards elsewhere are named."""
    run = tmp_path / "my run"
    run.mkdir()
    (run / "best.pt").touch()
    config = TrainConfig(shards=("/data/a b", "https://x/y"))
    judge, use = outcome(run, config=config).next_steps()
    assert shlex.split(judge.removeprefix("judge it: ")) == [
        "segtrain", "eval", str(run), "--shards", "/data/a b", "--shards", "https://x/y"
    ]  # fmt: skip
    assert shlex.split(use.removeprefix("use it: "))[1:] == [
        "predict",
        str(run),
        "PHOTO...",
    ]
