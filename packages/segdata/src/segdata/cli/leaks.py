"""`segdata check-leaks`."""

from pathlib import Path
from typing import Annotated

import typer

from segdata.cli.app import app
from segdata.cli.options import RESULT, SPLIT, JsonFile, Workers
from segdata.cli.results import write_json
from segdata.stores import place


@app.command(
    epilog="[bold]segdata check-leaks shards/[/]   all data sets of a directory, train against val"
    "\n\n[bold]segdata check-leaks voc/ coco/ --out pairs/[/]   of several, with pictures\n\n"
    "[bold]segdata check-leaks shards/ --train trainaug --val seg11valid[/]   two named subsets"
)
def check_leaks(
    shards: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=place,
            metavar="SHARDS",
            help="Shards directories, or their URLs.",
            show_default="shards",
        ),
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(
            help="Split or subset that is learnt from; may be given several times.",
            show_default="train, and the train part of every hold-out",
            rich_help_panel=SPLIT,
        ),
    ] = None,
    val: Annotated[
        list[str] | None,
        typer.Option(
            help="Split or subset that is judged by; may be given several times.",
            show_default="val, and the val part of every hold-out",
            rich_help_panel=SPLIT,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for pictures of the pairs, side by side.",
            show_default="no pictures",
            rich_help_panel=RESULT,
        ),
    ] = None,
    json_file: JsonFile = None,
    workers: Workers = 0,
) -> None:
    """Find photos that stand both in train and in val, by their ids and by how they look.

    Copies are found that were resized, encoded again, turned grey, brightened,
    mirrored, framed or cropped a little. Exit code 1 if there is one, else 0;
    duplicates within val are a warning, within train a note.
    """
    from segdata import terminal

    with terminal.told_errors("nothing was changed"):
        from segdata.engine import default_workers
        from segdata.leaks import check_leaks as check

        folders = shards or [Path("shards")]
        with terminal.progress_bar() as progress:
            done = check(folders, train or [], val or [], workers or default_workers(), progress)
        pictures: list[Path] = []
        if out:
            from segdata.leak_pictures import draw_pairs

            pictures = draw_pairs(done.report.findings, done.photos, out)
        if not write_json(json_file, done.report.to_json()):
            for line in done.report.lines():
                terminal.print_line(line)
            for path in pictures[-1:]:
                terminal.print_line(f"pictures: {path}")
            terminal.print_verdict(done.report.summary, ok=done.report.ok)
        raise typer.Exit(0 if done.report.ok else 1)
