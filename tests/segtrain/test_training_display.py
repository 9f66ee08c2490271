"""Tests of segtrain.training_display."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from segtrain.pace import Plan
from segtrain.terminal import percent
from segtrain.training_display import TrainDisplay, describe_line, training_display
from segtrain.training_view import View

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


def test_off_a_terminal_there_are_lines_only(capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal nothing is live: lines go to stdout, each once."""
    with training_display(View("FCN-8s", Plan(1000))) as display:
        display.line("important")
        display.line("less so", important=False)
        display.report(LINE)
        display.validating("voc2012", 3, 10)
        display.note("the disk is full")
        display.close()
    captured = capsys.readouterr()
    assert captured.out == f"important\nless so\n{describe_line(LINE, 1000)}\n"
    assert captured.err == "note: the disk is full\n"


@pytest.mark.parametrize(
    ("live", "kind", "shown"),
    [(True, "xterm", True), (False, "xterm", False), (True, "dumb", False)],
)
def test_a_terminal_has_a_live_view_unless_that_is_not_wanted(
    live: bool, kind: str, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--no-live and a terminal that cannot move its cursor get lines."""
    screen = io.StringIO()
    environment = {"TERM": kind}
    console = Console(file=screen, force_terminal=True, width=90, height=24, _environ=environment)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    with training_display(View("FCN-8s  runs/a", Plan(1000)), live=live) as display:
        assert (display.live is not None) is shown
        display.report(LINE)
        display.validating("voc2012", 3, 10)
        if display.live:
            display.live.refresh()
        display.close()
        assert display.live is None
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert ("validating voc2012, 3 of 10" in plain) is shown
    assert ("FCN-8s  runs/a" in plain) is shown


def test_above_a_live_view_only_what_matters_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both streams are one terminal, validations stand above the view, other lines do not."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, height=24)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    val = {"voc2012": {"mean_iou": 0.5, "all_background_iou": 0.034}}
    with training_display(View("FCN-8s", Plan(1000))) as display:
        display.line("announced")
        display.line("in passing", important=False)
        display.report(LINE)
        display.report(LINE | {"step": 60, "val": val})
        display.note("odd")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "announced" in plain
    assert "in passing" not in plain
    assert "step   40/1000" not in plain
    assert "step 60  voc2012 val IoU 50.0 (floor 3.4)\n" in plain
    assert "note: odd\n" in plain


def test_validation_images_are_timed_without_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pace of a validation is that from its first image to its last."""
    clock = iter([10.0, 11.0, 14.0, 100.0])
    monkeypatch.setattr("segtrain.training_display.time.perf_counter", lambda: next(clock))
    display = TrainDisplay(View("", Plan(10, val_every=1, first=3, whole=3)))
    for done in (1, 2, 3):
        display.validating("voc2012", done, 3)
    assert display.view.pace.image == 2.0
    assert display.view.part == (3, 3)
