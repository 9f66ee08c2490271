"""Outlines to draw with: closed polygons, float64 (N, 2), x to the right and y down.

Drawings use a square of 100 by 100 units; `scenes` scales, turns and places them.
"""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def poly(text: str) -> Points:
    """Straight-edged polygon from `"x,y x,y …"`."""
    return np.array([[float(n) for n in pair.split(",")] for pair in text.split()])


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Upright rectangle."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def disc(x: float, y: float, rx: float, ry: float | None = None) -> Points:
    """Ellipse around (x, y); a circle where `ry` is not given."""
    turn = np.arange(28) * (2 * np.pi / 28)
    return np.stack([x + rx * np.cos(turn), y + (ry or rx) * np.sin(turn)], 1)


def limb(x0: float, y0: float, x1: float, y1: float, width: float) -> Points:
    """Line with round ends: a leg, a tube, a neck."""
    along = np.arctan2(y1 - y0, x1 - x0)
    half = np.linspace(-np.pi / 2, np.pi / 2, 7)
    ends = [
        np.stack([x + np.cos(half + a) * width / 2, y + np.sin(half + a) * width / 2], 1)
        for x, y, a in ((x1, y1, along), (x0, y0, along + np.pi))
    ]
    return np.concatenate(ends)


def blob(text: str) -> Points:
    """Closed smooth curve through the points `"x,y x,y …"` (a Catmull-Rom spline)."""
    p1 = poly(text)
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    t = np.arange(6)[:, None, None] / 6
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )  # (6, N, 2)
    return np.asarray(curve.swapaxes(0, 1).reshape(-1, 2))


def star(x: float, y: float, outer: float, inner: float, tips: int) -> Points:
    """Star with `tips` tips around (x, y)."""
    turn = np.arange(2 * tips) * np.pi / tips - np.pi / 2
    radius = np.where(np.arange(2 * tips) % 2 == 0, outer, inner)
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], 1)
