"""Tests of segtrain.training_view."""

import io
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from segtrain.interruption import Interruption
from segtrain.pace import Pace, Plan
from segtrain.training_view import View


def line(step: int, **more: object) -> dict[str, Any]:
    """A line of the log."""
    return {
        "step": step, "loss": 0.5 + 2.5 * math.exp(-step / 3000), "train_iou": 0.451, "lr": 0.0123,
        "images_per_second": 20.0, "data_wait": 0.031, "void_batches": 0, **more,
    }  # fmt: skip


def val(iou: float, **more: object) -> dict[str, Any]:
    """A validation of one data set."""
    return {"mean_iou": iou, "all_background_iou": 0.0349, **more}


def some_view(sets: int = 2) -> View:
    """A run in its middle."""
    view = View(
        "FCN-8s  runs/fcn8s",
        Plan(20_000, batch=16, val_every=1000, first=200, whole=6449),
        {"uniform": math.log(21), "prior": 1.31},
        step=12_340,
        pace=Pace(image=0.1),
    )
    for step in range(20, 12_341, 20):
        more: dict[str, Any] = {}
        if step % 1000 == 0:
            iou = 0.4 if step == 11_000 else 0.3
            ends = {"low": 0.25, "high": 0.35}
            names = ["voc2012", "coco2017", *(f"set{i}" for i in range(2, sets))][:sets]
            more["val"] = {name: val(iou, mean_iou_interval=ends) for name in names}
        view.note(line(step, **more))
    return view


def shown(view: View, width: int, height: int, encoding: str = "utf-8") -> list[str]:
    """The lines that a terminal of this size shows."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, height=height, force_terminal=False)
    console.print(view)
    stream.flush()
    stream.seek(0)
    return stream.read().splitlines()


def test_all_of_a_run_is_in_view_at_80_by_24() -> None:
    """Progress, time left, what is done now, the curve with both floors, figures, validations."""
    view = some_view()
    view.doing, view.part = "validating voc2012", (37, 100)
    lines = shown(view, 80, 24)
    text = "\n".join(lines)
    assert len(lines) < 24
    for words in (
        "FCN-8s  runs/fcn8s", "12,340 of 20,000  61 %", "h", "left",
        "now validating voc2012, 37 of 100", "ln C 3.04", "prior 1.31", "loss 0.5",
        "train IoU 45.1 %", "lr 1.2e-02", "20.0 images/s", "data wait 3 %",
    ):  # fmt: skip
        assert words in text
    heads, voc, coco = lines[-4:-1]
    assert heads.split() == ["│", "validation", "step", "mean", "IoU", "%", "all", "background",
                             "best", "interval", "│"]  # fmt: skip
    assert voc.split() == ["│", "voc2012", "12,000", "30.0", "3.5", "40.0", "at", "11,000", "25.0",
                           "to", "35.0", "│"]  # fmt: skip
    assert coco.split()[1] == "coco2017"


@given(st.integers(12, 200), st.integers(4, 60), st.integers(1, 7))
def test_no_line_wraps_and_nothing_leaves_the_screen(width: int, height: int, sets: int) -> None:
    """On a terminal of any size every line is as wide as the frame, and all lines fit."""
    lines = shown(some_view(sets), width, height)
    assert {len(text) for text in lines} == {min(width, 110)}
    assert len(lines) < height


def test_a_run_that_has_just_begun_is_in_view() -> None:
    """Before the first line there are neither figures nor a time left."""
    view = View("FCN-8s", Plan(1000, val_every=100, first=3, whole=3))
    text = "\n".join(shown(view, 80, 24))
    assert "0 of 1,000  0 %  time left: not known yet" in text
    assert "now starting" in text
    view.note(line(20))
    text = "\n".join(shown(view, 80, 24))
    assert "left + validations" in text


def test_further_figures_are_shown_where_a_line_has_them() -> None:
    """Memory, MFU and the gradient's norm appear with their units; all-void batches, too."""
    view = View("", Plan(1000))
    view.note(line(20, grad_norm=3.412, mfu=0.412, peak_memory=31.25 * 2**30, void_batches=2))
    text = " ".join(shown(view, 120, 24))
    for words in ("gradient 3.41", "MFU 41.2 %", "memory 31.2 GiB", "all-void batches 2"):
        assert words in text


def test_a_signal_is_answered_at_once() -> None:
    """After Ctrl-C the view says that the run stops, and how to end it without saving."""
    view, stop = some_view(), Interruption()
    view.stop = stop
    assert "stopping" not in "\n".join(shown(view, 120, 24))
    stop.number = 2
    assert "stopping, to be saved first; Ctrl-C again ends at once" in "\n".join(
        shown(view, 120, 24)
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_unicode_has_its_view(encoding: str) -> None:
    """Where braille cannot be written the view keeps to ASCII."""
    text = "\n".join(shown(some_view(), 80, 24, encoding))
    assert text.isascii()
    assert "***" in text
    assert "ln C 3.04" in text
