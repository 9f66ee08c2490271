"""Runs of equal pixels along rows and columns: what edges and thin structures are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PLATEAU = 3  # pixels of one value in a row that count as an area of its own


@dataclass(frozen=True)
class Runs:
    """The runs of all rows, one after the other.

    Attributes:
        values: int64 (N,), of each run.
        starts: int64 (N,), index of its first pixel in the flattened mask.
        lengths: int64 (N,), pixels.
        width: of the mask.
    """

    values: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    width: int

    @property
    def rows(self) -> NDArray[np.int64]:
        """The row of each run."""
        return self.starts // self.width

    def per_pixel(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """The length of the run that each pixel lies in, int64 (H, W)."""
        return np.repeat(self.lengths, self.lengths).reshape(shape)


def runs_of(mask: NDArray[np.int64]) -> Runs:
    """The runs of an int64 (H, W) mask's rows."""
    begins = np.ones(mask.shape, np.bool_)
    begins[:, 1:] = mask[:, 1:] != mask[:, :-1]
    starts = np.flatnonzero(begins).astype(np.int64)
    lengths = np.diff(np.append(starts, mask.size))
    return Runs(mask.ravel()[starts], starts, lengths, mask.shape[1])


@dataclass(frozen=True)
class Gaps:
    """What lies between two neighbouring plateaus of a row: nothing, or some short runs.

    Attributes:
        left: int64 (G,), run index of the left plateau.
        right: int64 (G,), of the right one; `right - left - 1` short runs lie between.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]


def gaps_of(runs: Runs) -> Gaps:
    """The gaps between the plateaus of each row."""
    plateaus = np.flatnonzero(runs.lengths >= PLATEAU)
    left, right = plateaus[:-1], plateaus[1:]
    same_row = runs.rows[left] == runs.rows[right]
    return Gaps(left[same_row], right[same_row])
