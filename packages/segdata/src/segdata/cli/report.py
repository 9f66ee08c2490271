"""`segdata report`."""

from pathlib import Path
from typing import Annotated

import typer

from segdata.cli.app import app
from segdata.cli.options import ShardsDirectory
from segdata.cli.results import write_result


@app.command(
    epilog="[bold]segdata report shards/ -o report.html[/]\n\n"
    "[bold]segdata report shards/ --pictures 0[/]   numbers and charts alone, a small page"
)
def report(
    shards: ShardsDirectory = Path("shards"),
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The page to write.")
    ] = Path("report.html"),
    most: Annotated[
        int,
        typer.Option(
            "--pictures",
            min=0,
            help="Pictures of the classes, at most; each takes about 15 kB of the page.",
        ),
    ] = 160,
) -> None:
    """Write one self-contained page that shows what shards hold, with pictures of each class."""
    from segdata import terminal

    with terminal.told_errors("no page was written"):
        from segdata.report import report_page

        with terminal.progress_bar() as progress:
            page = report_page(shards, most, progress)
        write_result(out, page.encode(), "the page")
        terminal.print_line(str(out))
