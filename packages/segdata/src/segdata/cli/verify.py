"""`segdata verify-masks`."""

from pathlib import Path
from typing import Annotated

import typer

from segdata.cli.app import app
from segdata.cli.options import Workers


@app.command(
    epilog="[bold]segdata verify-masks[/]   shards/, against data/ if it is there\n\n"
    "[bold]segdata verify-masks other/ --data toy/ --json report.json[/]"
)
def verify_masks(
    shards: Annotated[Path, typer.Argument(help="The shards directory.")] = Path("shards"),
    data: Annotated[
        Path | None,
        typer.Option(
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
        with terminal.progress_bar() as progress:
            report = verify(
                shards,
                data=source,
                sbd=sbd,
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
