"""Tests of segtrain.training_display."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from segtrain.terminal import percent, progress_bar
from segtrain.training_display import TrainDisplay, describe_line, training_display

LINE: dict[str, Any] = {
    "step": 40,
    "loss": 1.25,
    "train_iou": 0.125,
    "lr": 0.01,
    "images_per_second": 12.34,
    "data_wait": 0.031,
    "void_batches": 0,
}


def test_a_log_line_reads_well() -> None:
    """A line has everything with its unit; validations come beside their floor."""
    assert describe_line(LINE, 1000) == (
        "step   40/1000  loss 1.2500  train IoU 12.5  lr 1.00e-02  12.3 images/s  data wait 3 %"
    )
    val = {"val": {"voc2012": {"mean_iou": 0.5, "all_background_iou": 0.034}}, "void_batches": 2}
    text = describe_line(LINE | val, 1000)
    assert text.endswith("voc2012 val IoU 50.0 (floor 3.4)  2 batches all void")
    assert percent(None) == "-"
    val["val"]["voc2012"]["mean_iou_interval"] = {"low": 0.461, "high": 0.54}
    assert "voc2012 val IoU 50.0 [46.1 54.0] (floor 3.4)" in describe_line(LINE | val, 1000)


def test_off_a_terminal_there_is_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """Bars are invisible where stderr is no terminal; lines go to stdout, each once."""
    with training_display(10) as display:
        display.line("important")
        display.line("less so", important=False)
        display.update(5, LINE)
        display.validating("voc2012", 3, 10)
    captured = capsys.readouterr()
    assert captured.out == "important\nless so\n"
    assert captured.err == ""


def test_a_live_bar_shows_training_and_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the bar shows loss, IoU, waiting and what is validated."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=140)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    with progress_bar() as progress:
        display = TrainDisplay(progress, 1000)
        display.update(40, LINE)
        display.validating("voc2012", 3, 10)
        progress.refresh()
        assert display.live
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    for words in ("training", "40/1000", "loss 1.250", "train IoU 12.5", "wait 3 %"):
        assert words in plain
    assert "validating voc2012" in plain
    assert "3/10" in plain
