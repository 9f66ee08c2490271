"""`segdata info`."""

from pathlib import Path
from typing import Annotated

import typer

from segdata.cli.app import app
from segdata.cli.options import ShardsDirectory


@app.command(
    epilog="[bold]segdata info shards/[/]   tables\n\n"
    "[bold]segdata info shards/ --json -[/]   the same for a trainer, on stdout"
)
def info(
    shards: ShardsDirectory = Path("shards"),
    json_file: Annotated[
        str | None,
        typer.Option(
            "--json", metavar="FILE", help="Write the facts to this file as JSON; - prints them."
        ),
    ] = None,
) -> None:
    """Tell what shards hold: splits, options, classes, class weights, and floors of the metrics."""
    from segdata import terminal

    with terminal.told_errors("nothing was changed"):
        from segdata.info import info_tables, shards_info
        from segdata.shards import explained, to_json, write_file

        with terminal.progress_bar() as progress:
            found = shards_info(shards, progress)
        if json_file == "-":
            terminal.print_line(to_json(found).decode().rstrip("\n"))
            return
        if json_file:
            with explained(Path(json_file), "the JSON file"):
                write_file(Path(json_file), to_json(found))
        for warning in found["warnings"]:
            terminal.print_note(warning)
        for table in info_tables(found):
            terminal.print_table(*table)
