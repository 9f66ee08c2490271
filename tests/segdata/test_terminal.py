"""What people see: errors as trees of one message, tables and progress on a terminal and off it."""

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdata import engine, errors, terminal

KINDS = [
    errors.SegdataError,
    errors.UsageError,
    errors.SourceError,
    errors.SampleError,
    errors.ShardsError,
    errors.OutputError,
]
texts = st.none() | st.text(max_size=9)


@given(st.sampled_from(KINDS), st.text(max_size=9), texts, texts, texts, texts)
def test_errors_travel_between_processes(
    kind: type[errors.SegdataError],
    what: str,
    where: str | None,
    expected: str | None,
    found: str | None,
    advice: str | None,
) -> None:
    """A pickled error is the same error, with all its parts."""
    error = kind(what, where=where, expected=expected, found=found, advice=advice)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert (str(copy), copy.details(), vars(copy)) == (str(error), error.details(), vars(error))


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_told_and_end_with_their_code(
    capsys: pytest.CaptureFixture[str], kind: type[errors.SegdataError]
) -> None:
    """Each kind ends with its exit code; markup and brackets in a message are plain text."""
    with pytest.raises(SystemExit) as end, terminal.told_errors("hint"):
        raise kind("it [red]broke[/]", where="a\\[b]", found=ValueError("v"), advice="mend it")
    assert end.value.code == (2 if kind is errors.UsageError else 1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "error: it [red]broke[/]",
        "  where:    a\\[b]",
        "  found:    v",
        "  next:     mend it",
    ]


def test_bugs_are_not_hidden() -> None:
    """An exception that is no user's error passes through: it is ours to see."""
    with pytest.raises(ZeroDivisionError), terminal.told_errors("hint"):
        raise ZeroDivisionError


ROWS = [["#800000 1 aeroplane", "3"], ["total", "4"]]


def test_tables_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal a table is a head and rows of tab-separated fields, its colours left out."""
    terminal.print_table("Title", ["class", "images"], ROWS)
    assert capsys.readouterr().out == "class\timages\n1 aeroplane\t3\ntotal\t4\n"


def test_cells_that_begin_with_a_hash_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Only a colour is left out: a path may begin with # as well."""
    terminal.print_table("Title", ["path"], [["#my data/x.tar"], ["#ff00001 x"]])
    assert capsys.readouterr().out == "path\n#my data/x.tar\n#ff00001 x\n"


@pytest.mark.parametrize("arguments", [["fetch", "--help"], ["fetch", "€"]])
def test_outputs_of_few_letters(arguments: list[str]) -> None:
    """Where the output's encoding lacks a letter, it is spelt out and nothing fails."""
    done = subprocess.run(
        [sys.executable, "-m", "segdata", *arguments],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == (0 if "--help" in arguments else 2)
    assert b"Traceback" not in done.stderr
    assert b"\\u2" in done.stdout + done.stderr


def test_tables_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a table has its title and a square in each class's colour."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal.print_table("Title", ["class", "images"], ROWS)
    shown = capsys.readouterr().out
    assert "Title" in shown
    assert "\x1b[38;2;128;0;0m■" in shown


@pytest.mark.parametrize("watched", [True, False])
def test_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, watched: bool
) -> None:
    """Progress is drawn on stderr, and only on a terminal: what is done, and how much."""
    if watched:
        monkeypatch.setenv("FORCE_COLOR", "1")
    with terminal.progress_bar() as progress:
        progress("building x", 0, 8)
        progress("building x", 8, 8)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("building x" in shown.err) == watched
    assert ("8/8" in shown.err) == watched
    assert shown.err == "" or watched


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_400, "999 kB"),
        (999_600, "1.0 MB"),
        (7_140_000, "7.1 MB"),
        (123_400_000, "123 MB"),
        (18e9, "18.0 GB"),
        (2.5e12, "2.5 TB"),
    ],
)
def test_human_bytes(count: float, text: str) -> None:
    """Sizes are told with three digits at most and a decimal unit."""
    assert terminal.human_bytes(count) == text


def doubled(task: int) -> int:
    """Some work of two items."""
    engine.tick()
    engine.tick()
    return 2 * task


def test_the_engine_runs_here() -> None:
    """With one worker results come in order and every item is counted."""
    seen: list[int] = []
    assert list(engine.run(doubled, range(3), 1, seen.append)) == [0, 2, 4]
    assert seen == [1, 2, 3, 4, 5, 6]


def test_the_engine_starts_no_more_processes_than_the_system_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More workers than Windows can wait for are cut to what it can."""
    monkeypatch.setattr(engine, "MOST_WORKERS", 2)
    assert set(engine.run(abs, [-1, 2, -3], 99, lambda done: None)) == {1, 2, 3}  # noqa: ARG005 - nobody watches
    pool = engine._LocalPool(99)
    assert pool.size() == 2
    pool.close()


def test_the_engine_is_lazy() -> None:
    """Tasks are taken as they are needed, so that a long list of them need not be in memory."""
    taken: Sequence[int] = []

    def tasks() -> "Sequence[int]":
        for n in range(100):
            taken.append(n)
            yield n

    results = engine.run(doubled, tasks(), 1, lambda _: None)
    assert next(results) == 0
    assert taken == [0]
