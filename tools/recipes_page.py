"""Write the tables of docs/recipes.md from the recipes themselves."""

import argparse
import sys
from pathlib import Path

import torch

from segtrain.models import build
from segtrain.models.counts import count_macs
from segtrain.recipe_tables import Table, find, overview, settings
from segtrain.recipes import RECIPES, Recipe

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
CLASSES = 21
NATIVE = (375, 500)  # height and width of most VOC images
BEGIN, END = "<!-- recipes: begin -->", "<!-- recipes: end -->"


def markdown(table: Table) -> str:
    """A table as Markdown."""
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table.title}:\n\n{lines}\n" if table.title else f"{lines}\n"


def cost(name: str) -> list[str]:
    """What a recipe's run costs on VOC: images, products a forward pass, operations in all."""
    config = find(name)
    with torch.device("meta"):
        model = build(config, CLASSES)
    height, width = NATIVE if config.fit == "native" else (config.crop, config.crop)
    macs, images = count_macs(model, height, width), config.steps * config.batch
    work = 6 * macs * images  # forward and twice that backward, two operations each
    return [name, f"{width}x{height}", f"{images:,}", f"{macs / 1e9:.0f}", f"{work / 1e15:.0f}"]


def costs() -> Table:
    """What the recipes cost at full width."""
    columns = ["recipe", "pixels", "images", "GMAC an image, forward", "PFLOP in all"]
    return Table("", columns, [cost(name) for name in RECIPES])


def entry(recipe: Recipe) -> str:
    """What the page says of one recipe: all but the options that every run has."""
    tables = "\n".join(markdown(table) for table in settings(recipe.name)[:-1])
    return f"### {recipe.name}\n\n{recipe.about}\n\n{tables}"


def with_recipes(page: str) -> str:
    """The page with today's recipes between its two marks.

    Raises:
        ValueError: If it has no such marks.
    """
    head, _, rest = page.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    untitled = Table("", overview().columns, overview().rows)
    entries = "\n".join([markdown(untitled), markdown(costs()), *map(entry, RECIPES.values())])
    return f"{head}{BEGIN}\n\n{entries}\n{END}{tail}"


def main() -> None:
    """Write the page, or with `--check` only say whether it is fresh."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 where it is not fresh")
    given = parser.parse_args()
    page = PAGE.read_text("utf-8")
    fresh = with_recipes(page)
    if given.check:
        sys.exit(fresh != page)
    PAGE.write_text(fresh, "utf-8")


if __name__ == "__main__":
    main()
