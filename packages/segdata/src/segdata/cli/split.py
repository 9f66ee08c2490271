"""`segdata split`."""

from pathlib import Path
from typing import Annotated

import typer

from segdata.cli.app import app
from segdata.cli.options import RESULT, SPLIT, ShardsDirectory, Workers

GROUPS = "Groups"


@app.command(
    epilog="[bold]segdata split shards/ --name dev[/]   a tenth of train: dev-train and dev-val\n\n"
    "[bold]segdata split shards/ --name dev --share 0.2 --seed 1 --replace[/]   another one\n\n"
    r"[bold]segdata split shards/ --name films --group '^(.+)_\d+$'[/]   frames of a film together"
    "\n\n[bold]segtrain eval runs/fcn8s --shards shards/ --split dev-val[/]   judge by it"
)
def split(
    name: Annotated[
        str,
        typer.Option(
            help="The two parts become the subsets NAME-train and NAME-val.", rich_help_panel=SPLIT
        ),
    ],
    shards: ShardsDirectory = Path("shards"),
    share: Annotated[
        float,
        typer.Option(
            help="Share of the samples in NAME-val, between 0 and 1.", rich_help_panel=SPLIT
        ),
    ] = 0.1,
    seed: Annotated[
        int, typer.Option(help="Another seed, another choice.", rich_help_panel=SPLIT)
    ] = 0,
    of: Annotated[
        str, typer.Option(help="The split or subset to divide.", rich_help_panel=SPLIT)
    ] = "train",
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="Data set to divide; may be given several times.",
            show_default="all that have the split",
            rich_help_panel=SPLIT,
        ),
    ] = None,
    group: Annotated[
        str,
        typer.Option(
            metavar="REGEX",
            help="Samples stay together whose source ids agree in the first group of this "
            "regular expression, or in what it matches where it has no group.",
            rich_help_panel=GROUPS,
        ),
    ] = "",
    near_duplicates: Annotated[
        bool,
        typer.Option(
            help="Keep copies of one photo together, which are found by looks as by "
            "`segdata check-leaks`. Samples of one id always stay together.",
            rich_help_panel=GROUPS,
        ),
    ] = True,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Make a hold-out of this name anew.", rich_help_panel=RESULT
        ),
    ] = False,
    remove: Annotated[
        bool,
        typer.Option(
            "--remove", help="Take the hold-out of this name out again.", rich_help_panel=RESULT
        ),
    ] = False,
    workers: Workers = 0,
) -> None:
    """Divide a split into one part to train on and one to judge by, as two named subsets.

    The shards stay as they are: a subset is a list of keys among the `views` of a
    manifest. Equal options give equal subsets, and what belongs together is never
    separated.
    """
    from segdata import terminal

    with terminal.told_errors("nothing was changed"):
        from segdata import subsets
        from segdata.engine import default_workers

        if remove:
            count = subsets.remove(shards, name)
            terminal.print_line(f"{name}: removed from {count} data set{'s' * (count > 1)}")
            return
        plan = subsets.HoldOut(
            name, share, seed, of, tuple(sorted(set(dataset or []))), group, near_duplicates
        )
        with terminal.progress_bar() as progress:
            done = subsets.divide(
                shards, plan, workers or default_workers(), progress, overwrite=replace
            )
        for note in done.notes():
            terminal.print_note(note)
        for table in done.tables():
            terminal.print_table(*table)
