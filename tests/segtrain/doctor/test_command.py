"""Tests of `segtrain doctor` as a user types it, and of how its report reads."""

import json
from pathlib import Path

import pytest

from segtrain.cli import main
from segtrain.doctor import display
from segtrain.doctor.findings import Finding
from segtrain.doctor.report import Report
from segtrain.doctor.rulebook import rulebook

OPTIONS = "--trunk vgg11 --width 0.06 --crop 32 --batch 4 --device cpu --val-every 0 --threads 1"


@pytest.fixture
def two_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only two rules look: what the others find is tested elsewhere."""
    chosen = tuple(rule for rule in rulebook() if rule.name in ("dead-layers", "batch-norm"))
    monkeypatch.setattr("segtrain.doctor.report.rulebook", lambda: chosen)


def ended(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit code of the program with these words."""
    monkeypatch.setattr("sys.argv", ["segtrain", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.mark.usefixtures("two_rules")
def test_a_dead_net_is_told_and_ends_with_1(
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Findings off a terminal are plain lines; the JSON file has them, too."""
    result = tmp_path / "r.json"
    code = ended(
        monkeypatch, "doctor", "--shards", small, *OPTIONS.split(), "--conv-init", "zero",
        "--json", result,
    )  # fmt: skip
    out, err = capsys.readouterr()
    assert code == 1
    assert err == ""
    lines = out.splitlines()
    assert lines[0].startswith("fatal: dead-layers: Only the skips from pool4 and pool3")
    assert lines[1].startswith("  evidence: the gradient of conv5_1 to conv5_2, fc6, fc7 and")
    assert "\x1b" not in out
    plain = json.loads(result.read_text())
    assert plain["fatal"] is True
    assert plain["findings"][0]["rule"] == "dead-layers"
    assert "head.fc6" in plain["findings"][0]["measured"]["zero"]
    assert list(tmp_path.iterdir()) == [result]


@pytest.mark.usefixtures("two_rules")
def test_a_healthy_net_ends_with_0(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--json -` the report is all that is printed."""
    words = ["--shards", small, *OPTIONS.split(), "--norm", "group", "--json", "-"]
    assert ended(monkeypatch, "doctor", *words) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["fatal"] is False
    assert "Dead layers" in plain["healthy"]


REPORT = Report(
    (
        Finding(
            "dead-layers", "fatal", "Nothing moves, and " + "so on " * 12, "measured", "zero", "he"
        ),
        Finding("batch-norm", "note", "Small batches.", "5 images", "", "more"),
    ),
    {"Symmetric layers": "all differ"},
    {"Checkpoint": "there is none"},
)


def test_a_report_on_a_terminal_is_wrapped_and_coloured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line is longer than the terminal is wide, and the severity has its colour."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    display.print_report(REPORT)
    out = capsys.readouterr().out
    assert "\x1b[1;31mfatal: dead-layers: " in out
    plain = strip(out).splitlines()
    assert max(map(len, plain)) <= 60
    assert plain[-1] == "1 fatal, 0 warnings, 1 note; 1 healthy, 1 not examined"


def strip(text: str) -> str:
    """A text without its colours."""
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_report_off_a_terminal_is_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """A part that is empty has no line."""
    display.print_report(REPORT)
    lines = capsys.readouterr().out.splitlines()
    assert lines[4:] == [
        "note: batch-norm: Small batches.",
        "  evidence: 5 images",
        "  remedy:   more",
        "healthy: Symmetric layers: all differ",
        "not examined: Checkpoint: there is none",
        "1 fatal, 0 warnings, 1 note; 1 healthy, 1 not examined",
    ]


def test_progress_is_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is drawn where stderr is no terminal."""
    with display.progress() as show:
        show("reading batches", 1, 8)
    assert capsys.readouterr() == ("", "")
