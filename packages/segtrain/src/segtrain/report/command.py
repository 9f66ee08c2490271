"""The command `segtrain report`; imports torch and Bokeh only when it runs."""

from pathlib import Path
from typing import Annotated

import typer

EPILOG = (
    "[bold]segtrain report runs/fcn8s[/]   to runs/fcn8s/report.html\n\n"
    "[bold]segtrain report runs/a runs/b -o comparison.html[/]   curves over one another\n\n"
    "[bold]segtrain run --watch holiday.jpg --watch dog.jpg[/]   photos for the page to show"
)
NAME = "report.html"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="A run's folder; several are compared."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The page to write. By default report.html in the folder of a single run; needed "
            "for several.",
        ),
    ] = None,
    pictures: Annotated[
        int,
        typer.Option(
            min=0,
            help="Steps at most of which each strip of pictures shows one; a sheet takes about "
            "60 kB of the page, a photo of yours about 5 kB a step. 0 shows none.",
        ),
    ] = 12,
) -> None:
    """Write one self-contained page that shows a run, or several beside each other.

    It may be under way, stopped, failed or finished; nothing in its folder is changed but the
    page. Of a staged run the stages are shown.
    """
    from segtrain import terminal
    from segtrain.errors import UsageError
    from segtrain.evaluate import STDOUT, check_writable
    from segtrain.files import write_beside
    from segtrain.report.page import report_page

    if out is None and len(runs) > 1:
        raise UsageError("a page of several runs belongs to none of their folders: name it with -o")
    if out == STDOUT:
        raise UsageError("-o -: a page of some megabytes is written to a file; name one")
    if out is not None:
        check_writable(out)
    text = report_page(runs, pictures)
    path = out or runs[0] / NAME
    write_beside(path, lambda part: part.write_bytes(text.encode()))
    terminal.print_line(str(path))
