"""Polygons around the regions of a binary mask, as COCO's annotations have them."""

import numpy as np
from numpy.typing import NDArray

from segdata.toy.shapes import Points

_STEPS = {(1, 0): 0, (0, 1): 1, (-1, 0): 2, (0, -1): 3}  # direction by (dx, dy): turning right


def trace(mask: NDArray[np.bool_], tolerance: float) -> list[Points]:
    """Outer contours of the 4-connected regions of `mask`, largest first.

    Follows the cracks between pixels, takes the middle of each crack (so that a slanting edge
    has no stairs) and leaves out points that lie within `tolerance` of the line between their
    neighbours (Ramer 1972, Douglas and Peucker 1973). Holes are filled, as COCO's polygons do.

    Args:
        mask: bool (H, W).
        tolerance: in pixels of the mask.

    Returns:
        Polygons float64 (N, 2), N ≥ 3, of x in 0..W and y in 0..H.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return []
    top, left = int(rows[0]), int(columns[0])
    within = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    loops = [
        loop + np.array([left, top]) for loop in _loops(within) if area(loop) > 0
    ]  # not a hole
    polygons = [_simplified(_middles(loop, mask.shape), tolerance) for loop in loops]
    return sorted((p for p in polygons if len(p) >= 3), key=area, reverse=True)


def area(polygon: Points) -> float:
    """Signed area by the shoelace formula, square pixels; positive when clockwise on screen."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _cracks(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Steps between set and unset pixels by starting corner, set pixels on the right hand."""
    padded = np.pad(mask, 1).astype(np.int8)
    down = padded[1:, 1:-1] - padded[:-1, 1:-1]  # (H + 1, W): 1 where a region begins below
    right = padded[1:-1, 1:] - padded[1:-1, :-1]  # (H, W + 1)
    starts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for field, sign, offset, step in (
        (down, 1, (0, 0), (1, 0)),
        (down, -1, (1, 0), (-1, 0)),
        (right, -1, (0, 0), (0, 1)),
        (right, 1, (0, 1), (0, -1)),
    ):
        ys, xs = np.nonzero(field == sign)
        for x, y in zip((xs + offset[0]).tolist(), (ys + offset[1]).tolist(), strict=True):
            starts.setdefault((x, y), []).append(step)
    return starts


def _loops(mask: NDArray[np.bool_]) -> list[Points]:
    """Closed walks along the cracks, each a list of corners."""
    starts = _cracks(mask)
    loops = []
    while starts:
        corner = first = next(iter(starts))
        step = starts[first][0]
        walk = []
        while True:
            ways = starts[corner]
            if len(ways) > 1:  # two regions touch at this corner: turn right, into one's own
                ways.sort(key=lambda way: (_STEPS[way] - _STEPS[step] - 1) % 4)
            step = ways.pop(0)
            if not ways:
                del starts[corner]
            walk.append(corner)
            corner = corner[0] + step[0], corner[1] + step[1]
            if corner == first:
                break
        loops.append(np.array(walk, float))
    return loops


def _middles(loop: Points, shape: tuple[int, ...]) -> Points:
    """The middles of the cracks, and the corners that lie on the frame of the image."""
    following = np.roll(loop, -1, 0)
    middles = (loop + following) / 2
    frame = np.isin(loop[:, 0], (0, shape[1])) | np.isin(loop[:, 1], (0, shape[0]))
    both = np.stack([loop, middles], 1).reshape(-1, 2)
    return both[np.stack([frame, np.ones_like(frame)], 1).ravel()]


def _simplified(points: Points, tolerance: float) -> Points:
    """Leave out points within `tolerance` of the chord that replaces them."""
    far = int(((points - points[0]) ** 2).sum(1).argmax())
    closed = np.concatenate([points, points[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, far]] = True
    spans = [(0, far), (far, len(points))]
    while spans:
        i, j = spans.pop()
        if j - i < 2:
            continue
        (x0, y0), (dx, dy) = closed[i], closed[j] - closed[i]
        inner = closed[i + 1 : j]
        off = np.abs((inner[:, 0] - x0) * dy - (inner[:, 1] - y0) * dx)
        worst = int(off.argmax())
        if off[worst] > tolerance * np.hypot(dx, dy):
            middle = i + 1 + worst
            keep[middle] = True
            spans += [(i, middle), (middle, j)]
    return points[keep[:-1]]
