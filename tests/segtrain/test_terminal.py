"""Tests of segtrain.terminal."""

import io

import pytest
import torch
from rich.console import Console

from segtrain import terminal
from segtrain.evaluate import Counted, SetResult
from segtrain.manifests import ClassInfo
from segtrain.metrics import ImageCounts, margins

CLASSES = (ClassInfo("background", (0, 0, 0)), ClassInfo("disc", (200, 30, 30)))


def counted(matrix: list[list[int]], images: int) -> Counted:
    """The same small matrix on each image."""
    confmat = torch.tensor(matrix)
    keys = [f"k{i}" for i in range(images)]
    return Counted(images * confmat, ImageCounts.of(keys, [margins(confmat)] * images, 2))


def result(**changes: object) -> SetResult:
    """A result of one data set."""
    values = {
        "dataset": "voc2012",
        "split": "val",
        "official": 1449,
        "synthetic": False,
        "resized": False,
        "classes": CLASSES,
        "counted": counted([[6, 2], [1, 1]], 450),
    }
    return SetResult(**(values | changes))


def test_results_name_what_was_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal: how many images, four metrics beside the floor, a class per line, in tabs."""
    terminal.print_result(result())
    out = capsys.readouterr().out
    assert "voc2012 val: 450 of 1,449 images\n" in out
    assert "pixel accuracy %\t70.0\t80.0\n" in out
    assert "mean IoU %\t45.8\t40.0\n" in out
    assert "mean IoU 45.8 %, 95 % interval 45.8 to 45.8: how far 450 of 1,449 images can be" in out
    assert "nothing of training with another seed\n" in out
    assert "disc\t25.0\t50.0\t20.0\n" in out
    assert "2 of 2 classes present\n" in out
    assert "#" not in out


def test_results_warn_of_what_cannot_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """Resized targets, synthetic data and classes left out of the means are said."""
    found = counted([[6, 0], [0, 0]], 1449)
    terminal.print_result(result(resized=True, synthetic=True, counted=found))
    out = capsys.readouterr().out
    assert "1,449 images (resized targets, synthetic data)" in out
    assert (
        "1 of 2 classes present, 1 in neither truth nor prediction and left out of the means" in out
    )
    assert "disc\t-\t-\t0.0\n" in out


def test_few_images_have_no_interval_and_whole_splits_need_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """24 images are too few for an interval, which is said; of a whole split nothing is."""
    terminal.print_result(result(counted=counted([[6, 2], [1, 1]], 24)))
    assert "no interval of the mean IoU: 24 of 1,449 images are too few" in capsys.readouterr().out
    terminal.print_result(result(official=450))
    assert "interval" not in capsys.readouterr().out


def test_tables_are_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal class rows begin with a square of their colour."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system="truecolor")
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    terminal.print_table("classes", ["class", "IoU %"], [["#c81e1e disc", "25.0"]])
    assert "38;2;200;30;30m■" in screen.getvalue()
    assert "#c81e1e" not in screen.getvalue()
