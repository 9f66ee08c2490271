"""Write the tables of docs/recipes.md and a page per recipe, from the recipes themselves."""

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


def page_of(recipe: Recipe) -> str:
    """The page of one recipe: what it is, costs and sets, and why."""
    _, pixels, images, macs, work = cost(recipe.name)
    tables = "\n".join(markdown(table) for table in settings(recipe.name)[:-1])
    return (
        f"# Recipe {recipe.name}\n\n```\nsegtrain run --recipe {recipe.name}\n```\n\n"
        f"{recipe.about}\n\n"
        f"At full width and VOC's {CLASSES} classes: {images} images of {pixels} pixels, {macs} "
        f"GMAC an image forward, {work} PFLOP in all.\n\n## Every value and where it is from\n\n"
        f"{tables}\nAll other options are as in every run: `segtrain recipes {recipe.name}`. What "
        "the parts mean, and what was measured: [recipes](../recipes.md).\n"
    )


def with_tables(page: str) -> str:
    """The page of all recipes with today's tables between its two marks.

    Raises:
        ValueError: If it has no such marks.
    """
    head, _, rest = page.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    found = overview()
    rows = [[f"[{name}](recipes/{name}.md)", *row] for name, *row in found.rows]
    tables = "\n".join([markdown(Table("", found.columns, rows)), markdown(costs())])
    return f"{head}{BEGIN}\n\n{tables}\n{END}{tail}"


def pages() -> dict[Path, str]:
    """All pages as they should be."""
    own = {PAGE.with_suffix("") / f"{name}.md": page_of(r) for name, r in RECIPES.items()}
    return {PAGE: with_tables(PAGE.read_text("utf-8"))} | own


def main() -> None:
    """Write the pages, or with `--check` only say whether they are fresh."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 where one is not fresh")
    given = parser.parse_args()
    for path, fresh in pages().items():
        if not given.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(fresh, "utf-8")
        elif not path.is_file() or path.read_text("utf-8") != fresh:
            sys.exit(f"{path} is not fresh")


if __name__ == "__main__":
    main()
