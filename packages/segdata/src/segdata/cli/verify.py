"""`segdata verify-masks`."""

from pathlib import Path
from typing import Annotated

import typer

from segdata.cli.app import app
from segdata.cli.options import PLACE, ShardsDirectory, Workers
from segdata.stores import place


@app.command(
    epilog="[bold]segdata verify-masks[/]   shards/, against data/ if it is there\n\n"
    "[bold]segdata verify-masks other/ --data toy/ --json report.json[/]\n\n"
    "[bold]segdata verify-masks --folder leaves=leaves/images,leaves/masks[/]"
)
def verify_masks(
    shards: ShardsDirectory = Path("shards"),
    data: Annotated[
        Path | None,
        typer.Option(
            parser=place,
            metavar=PLACE,
            help="Where the archives lie; every mask is then made again by a second "
            "implementation and compared bit by bit. Default: data/, if it is there.",
        ),
    ] = None,
    sbd: Annotated[
        Path | None,
        typer.Option(
            help="SBD's archive or folder, where shards were built with it and it does not lie in "
            "--data.",
            show_default="benchmark.tgz in --data",
        ),
    ] = None,
    folder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=IMAGES,MASKS",
            help="Where a data set of build-folder came from, to compare it too; once for each.",
            show_default=False,
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file too.")
    ] = None,
    workers: Workers = 0,
) -> None:
    """Check every sample of the shards, and every mask against its source; exit code 0 or 1."""
    from segdata import terminal

    with terminal.told_errors("nothing was changed"):
        from segdata.engine import default_workers
        from segdata.shards import explained, write_file
        from segdata.verify import verify

        default = Path("data")
        source = data or (default if default.is_dir() else None)
        folders = _folders(folder or [])
        with terminal.progress_bar() as progress:
            report = verify(
                shards,
                data=source,
                sbd=sbd,
                folders=folders,
                workers=workers or default_workers(),
                progress=progress,
            )
        if json_file:
            with explained(json_file.parent):
                write_file(json_file, report.to_json())
        for line in report.lines():
            terminal.print_line(line)
        terminal.print_line(report.summary, "bold green" if report.ok else "bold red")
        raise typer.Exit(0 if report.ok else 1)


def _folders(given: list[str]) -> dict[str, list[tuple[Path, Path]]]:
    """Images and masks by data set, as `--folder` names them."""
    from segdata.errors import UsageError

    found: dict[str, list[tuple[Path, Path]]] = {}
    for text in given:
        name, equals, paths = text.partition("=")
        images, comma, masks = paths.partition(",")
        if not (name and equals and images and comma and masks) or "," in masks:
            raise UsageError("--folder cannot be read", expected="NAME=IMAGES,MASKS", found=text)
        found.setdefault(name, []).append((Path(images), Path(masks)))
    return found
