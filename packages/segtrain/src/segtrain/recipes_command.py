"""The command `segtrain recipes`."""

from typing import Annotated

import typer

from segtrain import terminal

EPILOG = (
    "[bold]segtrain recipes heavy[/]   every value with its source\n\n"
    "[bold]segtrain recipes runs/a runs/b[/]   in which options two runs differ\n\n"
    "[bold]segtrain recipes scratch --toml > mine.toml[/]   then `run --config mine.toml`"
)


def recipes(
    first: Annotated[
        str | None,
        typer.Argument(metavar="[A]", help="A recipe, a run's folder or a TOML file."),
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="[B]", help="Another, to see how they differ.")
    ] = None,
    toml: Annotated[bool, typer.Option("--toml", help="Print A as a TOML file.")] = False,
) -> None:
    """List the recipes of `run`, show one with its reasons, or how two configurations differ."""
    from segtrain import recipe_tables
    from segtrain.recipes import RECIPES

    if toml and (first is None or second is not None):
        raise typer.BadParameter("prints one configuration; name one", param_hint="--toml")
    if toml and first is not None:
        print(recipe_tables.as_toml(first), end="")
        return
    if first is None:
        tables = [recipe_tables.overview(), recipe_tables.summaries()]
    elif second is None:
        if first in RECIPES:
            terminal.print_paragraph(RECIPES[first].about)
        tables = recipe_tables.settings(first)
    else:
        tables = [recipe_tables.comparison(first, second)]
    for table in tables:
        terminal.print_table(table.title, table.columns, table.rows, text=True)
    if second is not None and not tables[0].rows:
        terminal.print_line(f"{first} and {second} do not differ")
