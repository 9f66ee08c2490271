"""Do masks lie on their images? Borders of masks against the images' own edges, along one axis.

A border between two classes should lie where the image changes. Along each row (and, of the
transposed pair, each column) every border has a place; the image's steps around it, over all
borders of many images, make a profile that is highest at 0 where masks and images fit, at d where
masks lie d pixels before their images, and flat where they have nothing to do with each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segtrain.manifests import IGNORE_INDEX

REACH = 10  # pixels to each side of a border that are looked at
SHIFTS = 5  # pixels within which the highest place is sought
GAP = 12  # void pixels between two classes that still count as their border: VOC's has 5
FEWEST = 40  # borders that an image must have along an axis
MOST = 1500  # borders of one image that are looked at
IMAGES = 12  # with enough borders, at least
FAR = 1.0  # pixels: real masks lie within half a pixel of the edges
FAINT = 0.2  # height below which masks do not follow images; of real masks it is 0.6 to 0.85

Mask = NDArray[np.uint8]
Floats = NDArray[np.float64]


def borders(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the class changes along rows.

    A border that is drawn as void lies in the middle of it, so that places are told in half
    pixels: 2x is the middle of pixel x, 2x + 1 the edge between it and the next.

    Args:
        mask: uint8 `(H, W)`, 255 = ignore.

    Returns:
        Rows and places of N borders, int64 `(N,)` each.
    """
    width = mask.shape[1]
    valid = np.flatnonzero(mask != IGNORE_INDEX)
    labels = mask.ravel()[valid]
    changes = np.flatnonzero(labels[1:] != labels[:-1])
    left, right = valid[changes], valid[changes + 1]
    row = left // width
    near = (right - left <= GAP + 1) & (row == right // width)
    row = row[near]
    return row, (left + right)[near] - 2 * width * row


def profile(grey: NDArray[np.uint8], mask: Mask) -> Floats | None:
    """The image's steps around the borders of its mask, along rows.

    Args:
        grey: uint8 `(H, W)`, brightness.
        mask: uint8 `(H, W)`.

    Returns:
        float64 `(2 * REACH + 1,)`, from REACH pixels before the borders to REACH behind them, over
        their mean: 1 everywhere says that the borders are nothing to the image. None where there
        are too few.
    """
    row, place = borders(mask)
    inside = (place >= 2 * REACH + 2) & (place <= 2 * (grey.shape[1] - REACH - 2))
    row, place = row[inside], place[inside]
    if len(row) < FEWEST:
        return None
    if len(row) > MOST:
        few = np.arange(MOST) * len(row) // MOST
        row, place = row[few], place[few]
    steps = np.abs(np.diff(grey.astype(np.int16), axis=1))  # between pixels x and x + 1
    around = place[:, None] + 2 * np.arange(-REACH, REACH + 1)
    rows = row[:, None]  # at the middle of a pixel: the mean of the steps on its two sides
    found = (steps[rows, (around - 1) // 2] + steps[rows, around // 2]).mean(0, dtype=np.float64)
    mean = float(found.mean())
    return found / mean if mean > 0 else None


@dataclass(frozen=True)
class Fit:
    """How masks lie on their images along one axis.

    Attributes:
        images: Images with enough borders.
        shift: Pixels by which masks lie behind (right of, below) the edges of their images.
        shift_error: Its standard error.
        height: What the image's steps at the masks' borders are above those near them, over the
            mean; 0 where masks and images have nothing to do with each other.
        height_error: Its standard error.
    """

    images: int
    shift: float
    shift_error: float
    height: float
    height_error: float

    @property
    def follows(self) -> bool:
        """Whether masks may follow the images, at any shift within the reach."""
        return self.height + 3 * self.height_error > FAINT

    @property
    def clear(self) -> bool:
        """Whether masks follow the images beyond doubt."""
        return self.height - 3 * self.height_error > FAINT

    @property
    def shifted(self) -> bool:
        """Whether masks lie beside their images."""
        return abs(self.shift) > FAR + 2 * self.shift_error


def fit(profiles: Sequence[Floats]) -> Fit | None:
    """What the profiles of many images say together; None where there are too few.

    Standard errors are the jackknife's, over images.
    """
    count = len(profiles)
    if count < IMAGES:
        return None
    total = np.sum(profiles, axis=0)
    shift, height = peak(total / count)
    without = np.array([peak((total - p) / (count - 1)) for p in profiles])  # (n, 2)
    spread = np.sqrt((count - 1) * without.var(axis=0))
    return Fit(count, shift, float(spread[0]), height, float(spread[1]))


def peak(mean: Floats) -> tuple[float, float]:
    """How far masks lie behind the place where a profile is highest, and its height there.

    The ends are those beyond SHIFTS pixels; a straight line through them is what the profile
    would be without the border. A parabola through three values gives the place between pixels.
    """
    ends = REACH - SHIFTS
    middle = (ends - 1) / 2
    line = np.interp(
        np.arange(len(mean)),
        [middle, len(mean) - 1 - middle],
        [mean[:ends].mean(), mean[-ends:].mean()],
    )
    smooth = np.convolve(mean - line, [0.25, 0.5, 0.25], "same")
    top = ends + int(np.argmax(smooth[ends:-ends]))
    before, here, after = smooth[top - 1 : top + 2]
    bend = before - 2 * here + after
    between = float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
    return REACH - top - between, float(here)
