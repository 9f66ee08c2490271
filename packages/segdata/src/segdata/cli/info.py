"""`segdata info`."""

from pathlib import Path

from segdata.cli.app import app
from segdata.cli.options import JsonFile, ShardsDirectory
from segdata.cli.results import write_json


@app.command(
    epilog="[bold]segdata info shards/[/]   tables\n\n"
    "[bold]segdata info shards/ --json -[/]   the same for a trainer, on stdout"
)
def info(
    shards: ShardsDirectory = Path("shards"),
    json_file: JsonFile = None,
) -> None:
    """Tell what shards hold: splits, options, classes, class weights, and floors of the metrics."""
    from segdata import terminal

    with terminal.told_errors("nothing was changed"):
        from segdata.info import info_tables, shards_info
        from segdata.shards import to_json

        with terminal.progress_bar() as progress:
            found = shards_info(shards, progress)
        if write_json(json_file, to_json(found)):
            return
        for warning in found["warnings"]:
            terminal.print_note(warning)
        for table in info_tables(found):
            terminal.print_table(*table)
