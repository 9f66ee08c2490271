"""`segdata show`."""

from pathlib import Path
from typing import Annotated

import typer

from segdata.cli.app import app
from segdata.cli.options import ShardsDirectory


@app.command(
    epilog="[bold]segdata show shards/ --out preview/[/]   some of each split\n\n"
    "[bold]segdata show shards/ coco2017_000000000139 --out preview/[/]   one sample"
)
def show(
    shards: ShardsDirectory = Path("shards"),
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEYS",
            help="Samples to show, behind the directory.",
            show_default="some of each split",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("preview"),
    count: Annotated[
        int, typer.Option(min=1, help="Samples of each data set and split, if no key is named.")
    ] = 8,
) -> None:
    """Draw masks in colour over their images: one picture a sample, and a contact sheet."""
    from segdata import terminal

    with terminal.told_errors("the pictures written so far are whole"):
        from segdata import overlays

        for path in overlays.show(shards, keys or [], out, count):
            terminal.print_line(str(path))
