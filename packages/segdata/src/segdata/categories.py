"""COCO's categories: whether an annotation file numbers them as COCO does.

Class ids are looked up by COCO's own category ids. An export that counts its categories from 1 to
80, or has some of its own, gives the same ids other names: its masks would be wrong without a word.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from segdata.classes import COCO_CATEGORIES
from segdata.errors import SourceError

SHOWN = 5  # in a message


class Category(msgspec.Struct, gc=False):
    """A record of an annotation file's `categories`."""

    id: int
    name: str


def refuse_other(
    categories: Sequence[Category], chosen: Collection[int], used: Collection[int], where: str
) -> None:
    """Refuse an annotation file whose category ids mean other classes than COCO's, or nothing.

    Args:
        categories: of the file.
        chosen: COCO's category ids of the chosen classes; others may be anything.
        used: those of them that annotations have.
        where: the file.

    Raises:
        SourceError: with the ids that differ.
    """
    wrong = list(_differences(categories, chosen, used))
    if not wrong:
        return
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    raise SourceError(
        "an annotation file's categories are not COCO's",
        where=where,
        expected=", ".join(expected for expected, _ in wrong[:SHOWN]) + more,
        found=", ".join(found for _, found in wrong[:SHOWN]) + more,
        advice="restore the official file, or give categories and category_id of your own COCO's "
        "ids and names",
    )


def _differences(
    categories: Sequence[Category], chosen: Collection[int], used: Collection[int]
) -> Iterator[tuple[str, str]]:
    """(expected, found) of every category that is not COCO's, as text."""
    ids = {COCO_CATEGORIES[i]: i for i in chosen}
    listed = {category.id for category in categories}
    for i in sorted(set(used) - listed):
        yield f"{i} {COCO_CATEGORIES[i]}", f"{i} not listed"
    for category in categories:
        found = f"{category.id} {category.name}"
        if category.id in chosen and category.name != COCO_CATEGORIES[category.id]:
            yield f"{category.id} {COCO_CATEGORIES[category.id]}", found
        elif ids.get(category.name, category.id) != category.id:
            yield f"{ids[category.name]} {category.name}", found
