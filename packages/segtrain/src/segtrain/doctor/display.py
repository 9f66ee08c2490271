"""The doctor's report on a terminal: coloured and wrapped there, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from segtrain import terminal
from segtrain.doctor.findings import SEVERITIES, Finding

if TYPE_CHECKING:
    from rich.console import RenderableType

    from segtrain.doctor.report import Report

STYLES = {"fatal": "bold red", "warning": "bold yellow", "note": "bold cyan"}
PLURALS = {"fatal": "fatal", "warning": "warnings", "note": "notes"}


def print_report(report: "Report") -> None:
    """Findings, the worst first, then what is healthy and what was not looked at."""
    for finding in report.findings:
        print_finding(finding)
    print_list("healthy", "green", report.healthy)
    print_list("not examined", "dim", report.unexamined)
    terminal.print_line(summary(report), "bold")


def summary(report: "Report") -> str:
    """The end in one line."""
    counts = [f"{report.count(s)} {words(s, report.count(s))}" for s in SEVERITIES]
    looked = f"{len(report.healthy)} healthy, {len(report.unexamined)} not examined"
    return f"{', '.join(counts)}; {looked}"


def words(severity: str, count: int) -> str:
    """A severity in the number of its count."""
    return severity if count == 1 else PLURALS[severity]


def print_finding(finding: Finding) -> None:
    """One finding: the verdict, then evidence, cause and remedy where there are any."""
    parts = {"evidence": finding.evidence, "cause": finding.cause, "remedy": finding.remedy}
    head = f"{finding.severity}: {finding.rule}: "
    if not sys.stdout.isatty():
        terminal.print_line(f"{head}{finding.verdict}")
        for name, text in parts.items():
            if text:
                terminal.print_line(f"  {name + ':':<10}{text}")
        return
    from rich.text import Text

    verdict = Text.assemble((head, STYLES[finding.severity]), (finding.verdict, "bold"))
    print_rows([(verdict, None)])
    print_rows([(Text(f"  {name}", "dim"), Text(text)) for name, text in parts.items() if text], 10)
    terminal.print_line("")


def print_list(title: str, style: str, entries: dict[str, str]) -> None:
    """What was found, a line each, under a title."""
    if not entries:
        return
    if not sys.stdout.isatty():
        for name, text in entries.items():
            terminal.print_line(f"{title}: {name}: {text}")
        return
    from rich.text import Text

    terminal.print_line(title, f"bold {style}")
    wide = max(map(len, entries)) + 2
    print_rows([(Text(f"  {name}", style), Text(t)) for name, t in entries.items()], wide)
    terminal.print_line("")


def print_rows(rows: "list[tuple[RenderableType, RenderableType | None]]", first: int = 0) -> None:
    """Rows of one or two columns, each wrapped within itself; `first`: width of the first."""
    from rich.console import Console
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    grid.add_column(min_width=first, no_wrap=bool(first))
    for left, right in rows:
        grid.add_row(left, *([] if right is None else [right]))
    Console(highlight=False).print(grid)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A live line on stderr that says what is being looked at; nothing off a terminal."""
    with terminal.progress_bar() as bar:
        task = bar.add_task("examining", total=None, unit="steps", note="")

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield show
