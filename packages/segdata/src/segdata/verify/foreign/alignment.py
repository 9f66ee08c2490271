"""Mask edges against image edges, over a whole set: where do the images change most?

For every edge of a mask the image's change across the same place is taken, and across the places up
to some pixels beside it. Over many images the mean change peaks where masks and images agree. The
border of 255 that some masks draw around objects counts as one edge in its middle.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdata.verify.foreign.runs import runs_of

REACH = 6  # pixels beside an edge
IGNORE = 255
WIDEST_BORDER = 16  # pixels of 255 between two ids that are one edge
FEWEST = 40  # edges of an image that say something
FLIPS = ("as it is", "mirrored left to right", "mirrored top to bottom", "rotated by 180 degrees")


@dataclass(frozen=True)
class Profile:
    """What an image says of its mask's place.

    Attributes:
        across: float64 (2·REACH + 1,): mean change along x at edges between columns, for masks
            that lie -REACH…REACH pixels to the left of where they belong; mean 1.
        down: the same along y.
        flips: float64 (4,): mean change at the edges of the mask as it is, and mirrored.
    """

    across: NDArray[np.float64]
    down: NDArray[np.float64]
    flips: NDArray[np.float64]


def profile(mask: NDArray[np.int64], image: NDArray[np.float32]) -> Profile | None:
    """Measure one image, float32 (H, W); None where the mask has too few edges."""
    across = _along_rows(mask, image)
    down = _along_rows(np.ascontiguousarray(mask.T), np.ascontiguousarray(image.T))
    if across is None or down is None:
        return None
    flips = np.array([across[1][i] + down[1][j] for i, j in ((0, 0), (1, 2), (2, 1), (3, 3))])
    return Profile(across[0], down[0], flips)


def _along_rows(
    mask: NDArray[np.int64], image: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    y, x = _edges(mask)
    height, width = mask.shape
    inner = (x >= REACH + 1) & (x <= width - REACH - 1)
    y, x = y[inner], x[inner]
    if y.size < FEWEST:
        return None
    change = np.abs(np.diff(image, axis=1))  # change[:, i] lies between columns i and i + 1
    shifts = np.arange(-REACH, REACH + 1)
    values = change[y[:, None], x[:, None] - 1 + shifts].mean(0).astype(np.float64)
    if not values.mean():
        return None
    mirrored, upside = width - x, height - 1 - y
    flips = np.array(
        [
            change[y, x - 1].mean(),
            change[y, mirrored - 1].mean(),
            change[upside, x - 1].mean(),
            change[upside, mirrored - 1].mean(),
        ],
        dtype=np.float64,
    )
    return values / values.mean(), flips / values.mean()


def _edges(mask: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(row, column) of edges that lie between a column and the one before it.

    An edge in the middle of a column counts once on each side of it.
    """
    runs = runs_of(mask)
    column = runs.starts % runs.width
    border = (runs.values == IGNORE) & (runs.lengths <= WIDEST_BORDER)
    begins = column > 0
    plain = begins & ~border
    plain[1:] &= ~border[:-1]
    whole = np.flatnonzero(plain)
    inside = border & begins & (column + runs.lengths < runs.width)
    middle = np.flatnonzero(inside)
    middle = middle[(middle > 0) & (middle < runs.values.size - 1)]
    low = column[middle] + runs.lengths[middle] // 2
    high = column[middle] + (runs.lengths[middle] + 1) // 2
    rows = np.concatenate([runs.rows[whole], runs.rows[middle], runs.rows[middle]])
    return rows, np.concatenate([column[whole], low, high])


@dataclass(frozen=True)
class Drift:
    """Where edges of the images lie, seen from the masks' edges, over a set.

    Attributes:
        dx: pixels that masks lie to the right of their images.
        dy: and below them.
        error: standard error of each, from resampling the images.
        images: number of images.
    """

    dx: float
    dy: float
    error: tuple[float, float]
    images: int


def drift(profiles: list[Profile]) -> Drift:
    """The mean offset of a set, with its standard error by the bootstrap."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(profiles), (200, len(profiles)))
    offsets, errors = [], []
    for stack in (np.stack([p.across for p in profiles]), np.stack([p.down for p in profiles])):
        offsets.append(-_peak(stack.mean(0)))
        errors.append(float(np.std([_peak(stack[rows].mean(0)) for rows in chosen])))
    return Drift(offsets[0], offsets[1], (errors[0], errors[1]), len(profiles))


def _peak(values: NDArray[np.float64]) -> float:
    """Place of the maximum in pixels from the middle, between samples by a parabola."""
    at = int(values.argmax())
    if at in (0, values.size - 1):
        return float(at - REACH)
    left, top, right = values[at - 1 : at + 2]
    return float(at - REACH + 0.5 * (left - right) / (left - 2 * top + right))
