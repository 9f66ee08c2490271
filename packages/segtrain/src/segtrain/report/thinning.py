"""Curves of many points, made of few, without losing a peak."""

import math
from collections.abc import Sequence

MOST = 2000  # points of a curve: about two for each pixel of a wide page


def thinned(values: Sequence[float], most: int = MOST) -> list[int]:
    """Which points of a curve to draw: the first and last, and of each stretch lowest and highest.

    Args:
        values: The curve; values that are no finite number are gaps, and one of each stretch
            stays a gap.
        most: Points to keep at most, at least 8.

    Returns:
        Positions in `values`, rising.
    """
    count = len(values)
    if count <= most:
        return list(range(count))
    stretches = max(1, (most - 2) // 3)
    found = {0, count - 1}
    for k in range(stretches):
        stretch = range(count * k // stretches, count * (k + 1) // stretches)
        finite = [i for i in stretch if math.isfinite(values[i])]
        if finite:
            found |= {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)}
        if len(finite) < len(stretch):
            found.add(next(i for i in stretch if not math.isfinite(values[i])))
    return sorted(found)
