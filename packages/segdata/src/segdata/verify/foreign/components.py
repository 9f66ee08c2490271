"""Connected areas of a mask."""

import numpy as np
from numpy.typing import NDArray

from segdata.verify.foreign.runs import runs_of

IGNORE = 255
MOST_RUNS = 20_000  # of a mask; beyond them areas are not counted


def count_components(mask: NDArray[np.int64]) -> int:
    """The number of 4-connected areas of one id each, those of 0 and 255 left out.

    Returns 0 for masks of so many runs that counting would take long.
    """
    runs = runs_of(mask)
    if runs.values.size > MOST_RUNS:
        return 0
    index = np.repeat(np.arange(runs.values.size), runs.lengths).reshape(mask.shape)
    same = mask[1:] == mask[:-1]
    links = np.unique(np.stack([index[:-1][same], index[1:][same]], 1), axis=0)
    parent = list(range(runs.values.size))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for upper, lower in links.tolist():
        parent[root(lower)] = root(upper)
    tops = {root(i) for i, v in enumerate(runs.values.tolist()) if v not in (0, IGNORE)}
    return len(tops)
