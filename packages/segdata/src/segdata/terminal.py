"""What a person sees: progress, tables and errors, coloured on a terminal and plain elsewhere.

Progress and errors go to stderr, results to stdout. Where stdout is no terminal, tables are lines
of tab-separated fields and there is no progress.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from segdata.errors import SegdataError
from segdata.interruption import exit_code
from segdata.stores import StoreError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.text import Text

COLOR = re.compile("^(#[0-9a-f]{6}) ")  # how a cell says that a square of it goes before
SILENCE = 30.0  # seconds between two lines of progress where there is no terminal


@contextmanager
def told_errors(on_interrupt: str) -> Iterator[None]:
    """Tell a user's error in a few lines instead of a traceback, and end with its exit code.

    Args:
        on_interrupt: what Ctrl-C, or another signal to end, leaves behind and how to go on.
    """
    try:
        yield
    except SegdataError as error:
        print_error(error)
        raise SystemExit(error.exit_code) from None
    except StoreError as error:
        print_error(_unreachable(error))
        raise SystemExit(SegdataError.exit_code) from None
    except KeyboardInterrupt as error:
        with suppress(OSError):  # a closed terminal takes no words
            print(f"interrupted: {on_interrupt}", file=sys.stderr)
        raise SystemExit(exit_code(error)) from None


def _unreachable(error: StoreError) -> SegdataError:
    return SegdataError(
        "what a URL names cannot be reached",
        where=error.filename,
        found=error.strerror,
        advice="check the URL, the credentials and the network, then run the same command again",
    )


def print_error(error: SegdataError) -> None:
    """One red headline, then where, expected, found, and what to do next."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), (error.what, "bold")), soft_wrap=True)
    for label, text in error.details():
        style = "green" if label == "next" else "dim"
        console.print(Text.assemble("  ", (f"{label + ':':10}", style), text), soft_wrap=True)


def print_note(text: str) -> None:
    """A remark that is no error, on stderr."""
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(("note: ", "bold yellow"), text)
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)


def print_line(text: str, style: str = "") -> None:
    """One line of the result, on stdout."""
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(text, style=style), soft_wrap=True)


def print_verdict(text: str, *, ok: bool) -> None:
    """The line that a check ends with, on stdout."""
    print_line(text, "bold green" if ok else "bold red")


def print_fields(*fields: object) -> None:
    """One line of tab-separated fields, on a terminal too: addresses must not be wrapped."""
    print(*fields, sep="\t")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; columns of numbers are right-aligned, others and the first one left-aligned.

    Cells may begin with a colour, `#rrggbb `, which is drawn as a square on a terminal.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        for row in [columns, *rows]:
            print(*(_plain(cell) for cell in row), sep="\t")
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        numeric = number and all(_is_number(row[number]) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_coloured(cell) for cell in row))
    console.print(table)


def _is_number(cell: str) -> bool:
    """Whether it begins like one, as `12`, `7.1 MB` and `0.5 %` do; empty cells do not count."""
    return cell[:1].isdigit() or not cell


def _plain(cell: str) -> str:
    return COLOR.sub("", cell, count=1)


def _coloured(cell: str) -> "Text":
    from rich.text import Text

    match = COLOR.match(cell)
    return Text.assemble(("■ ", match[1]), cell[match.end() :]) if match else Text(cell)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A callback (what is being done, items done, of how many) that draws a bar on a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda what, done, total: None  # noqa: ARG005 - quiet where nobody watches
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, int] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total, rate="")
            task = progress.tasks[tasks[what]]
            rate = f"{task.speed:,.0f}/s" if task.speed else ""
            progress.update(task.id, completed=done, total=total, rate=rate)

        yield report


class ByteBars:
    """Progress in bytes of several files at once: bars on a terminal, now and then a line else."""

    def __init__(self, console: "Console", bars: "Progress | None") -> None:
        self._console = console
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._told = time.monotonic()

    def moved(self, name: str, done: int, total: int | None) -> None:
        """So many bytes of a file are done, of how many if that is known."""
        if self._bars is None:
            self._tell(name, done, total)
            return
        if name not in self._tasks:
            # what is there at the beginning counts for the bar and not for the rate
            self._tasks[name] = self._bars.add_task(name, total=total, completed=done)
        self._bars.update(self._tasks[name], completed=done, total=total)

    def _tell(self, name: str, done: int, total: int | None) -> None:
        if time.monotonic() - self._told < SILENCE:
            return
        self._told = time.monotonic()
        share = f" of {human_bytes(total)}, {done / total:.0%}" if total else ""
        print(f"{name}: {human_bytes(done)}{share}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """A remark, above the bars."""
        from rich.text import Text

        line = Text.assemble(("note: ", "bold yellow"), text)
        self._console.print(line, soft_wrap=True)


@contextmanager
def byte_bars() -> Iterator[ByteBars]:
    """Bars for downloads, with rate and remaining time; gone at the end."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield ByteBars(console, None)
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=10) as bars:
        yield ByteBars(console, bars)


def human_bytes(count: float) -> str:
    """A number of bytes with a decimal unit: 7.1 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:  # what would be rounded to 1000 is one of the next unit
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
