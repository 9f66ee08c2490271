"""`segdata toy`."""

from pathlib import Path
from typing import Annotated

import typer

from segdata.cli.app import app


@app.command(
    epilog="[bold]segdata toy --out toy/[/]   then: segdata build-voc --data toy/ "
    "(with --sbd toy/ for SBD's images, too), segdata build-coco --data toy/"
)
def toy(
    out: Annotated[Path, typer.Option(help="Folder for the archives.")] = Path("toy"),
    images: Annotated[
        int, typer.Option(min=96, help="Images of VOC and COCO in all; SBD adds a tenth.")
    ] = 600,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pictures.")] = 0,
) -> None:
    """Generate a small data set in VOC's, SBD's and COCO's layouts, to try everything with."""
    from segdata import terminal

    with terminal.told_errors("nothing of the toy was kept"):
        from segdata.toy import make_toy, share_out

        with terminal.progress_bar() as progress:
            summary = make_toy(out, **share_out(images), seed=seed, progress=progress)
        rows = [[name, terminal.human_bytes(size)] for name, size in summary.files.items()]
        terminal.print_table(f"Generated data in {out}", ["file", "size"], rows)
