"""Ids that interpolation invented: thin lines between two regions, whose id lies between theirs.

Ids are names, and between two names lies nothing. Whoever resizes, rotates or warps a mask with
anything but the nearest rule gets, along the border of ids 3 and 9, a line of 5 or 6: valid ids,
and wrong.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.manifests import IGNORE_INDEX

THIN = 2  # pixels: as wide as such a line is, at scales about 1


class Blends(NamedTuple):
    """Places along rows and columns of a mask.

    Attributes:
        borders: Where ids meet between which others lie, directly or with a thin line between.
        blended: Of these, those with a thin line whose id lies between.
    """

    borders: int
    blended: int


def blends(mask: NDArray[np.uint8]) -> Blends:
    """Count both in a mask, uint8 `(H, W)`; what touches void (255) does not count."""
    along = [along_rows(mask), along_rows(mask.T)]
    return Blends(sum(b.borders for b in along), sum(b.blended for b in along))


def along_rows(mask: NDArray[np.uint8]) -> Blends:
    """The same along rows alone."""
    width = mask.shape[1]
    flat = np.ascontiguousarray(mask).ravel().astype(np.int16)
    begins = np.ones(len(flat), bool)  # of a run of equal ids
    begins[1:] = flat[1:] != flat[:-1]
    begins[::width] = True
    starts = np.flatnonzero(begins)
    ids, rows = flat[starts], starts // width
    here = (rows[1:] == rows[:-1]) & (ids[1:] != IGNORE_INDEX) & (ids[:-1] != IGNORE_INDEX)
    apart = here & (np.abs(np.diff(ids)) > 1)
    before, middle, after = ids[:-2], ids[1:-1], ids[2:]
    between = (np.minimum(before, after) < middle) & (middle < np.maximum(before, after))
    thin = np.diff(starts)[1:] <= THIN
    blended = here[:-1] & here[1:] & thin & between
    direct = int(apart.sum())
    return Blends(direct + int(blended.sum()), int(blended.sum()))
