"""Groups: samples that are not to be separated."""

import re
from collections.abc import Iterator, Sequence

from segdata.catalog import Photo
from segdata.errors import UsageError


def groups_of(
    photos: Sequence[Photo], linked: Sequence[tuple[str, str]], expression: str
) -> dict[str, str]:
    """The group of each key, named by the least key in it.

    Args:
        photos: the samples.
        linked: pairs of keys that belong together.
        expression: regular expression on source ids; ids of equal first group belong together, or
            of equal match where it has no group. Empty: none.

    Raises:
        UsageError: the expression matches no id.
    """
    parent = {photo.key: photo.key for photo in photos}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for first, second in [*linked, *_matching(photos, expression)]:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return {key: root(key) for key in parent}


def _matching(photos: Sequence[Photo], group: str) -> Iterator[tuple[str, str]]:
    """Pairs of keys whose source ids agree in what the expression matches."""
    firsts: dict[str, str] = {}
    for photo in photos if group else ():
        match = re.search(group, photo.source_id)
        if match:
            value = match[1] if match.re.groups and match[1] is not None else match[0]
            yield firsts.setdefault(value, photo.key), photo.key
    if group and not firsts:
        raise UsageError(
            "--group matches no source id",
            expected=f"some match of {group!r}",
            found=f"ids such as {photos[0].source_id}" if photos else "no samples",
        )
