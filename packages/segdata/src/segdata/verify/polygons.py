"""Regions of COCO annotations as pixels: a second implementation of COCO's rasteriser.

The rules are those of the COCO API (`rleFrPoly`, `rleFrString` in `maskApi.c`), on which every
published number on COCO rests. This module states them in integers and whole arrays and shares no
code with the rasteriser that the builder calls, so that the two can be held against each other.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UPSAMPLING = 5  # the rasteriser walks the outline on a grid five times as fine as the pixels
MAX_COORDINATE = 1e6  # far beyond any image; keeps the walk within memory


def polygon_mask(xy: Sequence[float], height: int, width: int) -> NDArray[np.bool_]:
    """Pixels inside one closed polygon, by the even-odd rule, column by column.

    Args:
        xy: x0, y0, x1, y1, … in pixels, from the image's top left corner.
        height: rows of the image.
        width: columns of the image.

    Returns:
        Bool (height, width).

    Raises:
        ValueError: fewer than three points, an odd number of coordinates, or one that is no finite
            number of a size that an image could have.
    """
    column, row = _toggles(_outline(_vertices(xy)), height, width)
    mask = np.zeros((height, width), dtype=bool)  # (H, W)
    if not column.size:
        return mask
    first, last = int(column.min()), int(column.max())
    # Each crossing flips inside and outside for all pixels after it, in column-major order. A
    # closed outline crosses a column an even number of times, so columns left out see no flip.
    places = (column - first) * height + row
    flips = np.bincount(places, minlength=(last - first + 1) * height + 1)[:-1]
    inside = (np.cumsum(flips) & 1).astype(bool)
    mask[:, first : last + 1] = inside.reshape(-1, height).T
    return mask


def _vertices(xy: Sequence[float]) -> NDArray[np.int64]:
    """The polygon's corners on the fine grid, closed: int64 (n + 1, 2)."""
    points = np.asarray(xy, dtype=np.float64)
    if points.ndim != 1 or points.size % 2 or points.size < 6:
        raise ValueError(
            f"a polygon needs at least 3 points as x, y pairs, not {points.size} numbers"
        )
    if not np.all(np.abs(points) <= MAX_COORDINATE):
        raise ValueError("a polygon's coordinate is not a finite number of an image's size")
    corners = np.trunc(UPSAMPLING * points + 0.5).astype(np.int64).reshape(-1, 2)  # (n, 2)
    return np.concatenate([corners, corners[:1]])


def _outline(corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every fine-grid point on the outline, in order of the walk: int64 (m, 2)."""
    start, end = corners[:-1], corners[1:]  # (n, 2) each
    long_axis = (np.abs(end - start)[:, 1] > np.abs(end - start)[:, 0]).astype(np.intp)  # 0 x, 1 y
    edges = np.arange(len(start))
    steps = np.abs(end - start)[edges, long_axis]
    backwards = start[edges, long_axis] > end[edges, long_axis]
    low = np.where(backwards[:, None], end, start)
    high = np.where(backwards[:, None], start, end)
    with np.errstate(invalid="ignore"):  # an edge of no length has no slope, and needs none
        slope = (high - low)[edges, 1 - long_axis] / steps
    slope[steps == 0] = 0.0

    edge = np.repeat(edges, steps + 1)  # (m,)
    walked = np.arange(edge.size) - np.repeat(np.cumsum(steps + 1) - (steps + 1), steps + 1)
    # An edge is always sampled from its lower end, so that both directions give the same points.
    along = np.where(backwards[edge], steps[edge] - walked, walked)
    across = np.trunc(low[edge, 1 - long_axis[edge]] + slope[edge] * along + 0.5).astype(np.int64)
    points = np.empty((edge.size, 2), dtype=np.int64)
    rows = np.arange(edge.size)
    points[rows, long_axis[edge]] = low[edge, long_axis[edge]] + along
    points[rows, 1 - long_axis[edge]] = across
    return points


def _toggles(
    outline: NDArray[np.int64], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the outline crosses the middle of a pixel column: columns and rows, int64 (k,) each.

    The row is that of the first pixel with its middle below the crossing, `height` when none has.
    """
    before, after = outline[:-1], outline[1:]
    fine = np.minimum(before, after)[before[:, 0] != after[:, 0]]  # (k, 2)
    # A column's middle lies between the fine-grid steps 5c + 2 and 5c + 3.
    column, rest = np.divmod(fine[:, 0] - UPSAMPLING // 2, UPSAMPLING)
    kept = (rest == 0) & (column >= 0) & (column < width)
    row = np.clip((fine[kept, 1] + UPSAMPLING // 2) // UPSAMPLING, 0, height)
    return column[kept], row


def runs_mask(counts: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """Pixels of a run-length code: runs of outside and inside by turns, in column-major order.

    Args:
        counts: lengths of the runs, the first one outside; they sum to height * width.
        height: rows of the image.
        width: columns of the image.

    Returns:
        Bool (height, width).

    Raises:
        ValueError: a run is negative or no whole number, or the sum is another.
    """
    if any(isinstance(run, bool) or not isinstance(run, int) or run < 0 for run in counts):
        raise ValueError("a run-length code holds something other than whole numbers from 0")
    if sum(counts) != height * width:
        raise ValueError(
            f"a run-length code covers {sum(counts)} pixels of an image of {height * width}"
        )
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, np.asarray(counts, dtype=np.int64)).reshape(width, height).T


def decode_runs(text: str) -> list[int]:
    """Run lengths from COCO's compressed string.

    Each number is written in groups of five bits, lowest first, one ASCII character a group (code
    48 + group, bit 5 set where more follow), the sign in the last group's top bit; from the fourth
    on it is the difference from the number two before it.

    Raises:
        ValueError: a character outside the code, or a number cut short.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"a run-length string holds {character!r}, which is not in its code")
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("a run-length string ends within a number")
    return counts


def region_mask(
    segmentation: bytes, height: int, width: int, outside: float = np.inf
) -> NDArray[np.bool_]:
    """Pixels of one annotation's `segmentation`, its parts united.

    Args:
        segmentation: the field as JSON: a list of polygons, or a run-length code `{"size",
            "counts"}`, its counts a list or COCO's compressed string.
        height: rows of the image.
        width: columns of the image.
        outside: pixels that a polygon's points may lie beyond the image's edges.

    Returns:
        Bool (height, width).

    Raises:
        ValueError: it is neither, not of this image's size, or has a point too far outside.
    """
    region: Any = json.loads(segmentation)
    if isinstance(region, dict):
        if region.get("size") != [height, width]:
            raise ValueError(
                f"a run-length code of size {region.get('size')} in an image of {[height, width]}"
            )
        counts = region.get("counts")
        if isinstance(counts, str):
            counts = decode_runs(counts)
        if not isinstance(counts, list):
            raise ValueError("a run-length code without counts")  # noqa: TRY004 - bad data
        return runs_mask(counts, height, width)
    if not isinstance(region, list) or not region:
        raise ValueError("a segmentation that is neither polygons nor a run-length code")
    mask = np.zeros((height, width), dtype=bool)
    for polygon in region:
        _check_within(polygon, height, width, outside)
        mask |= polygon_mask(polygon, height, width)
    return mask


def _check_within(polygon: Sequence[float], height: int, width: int, outside: float) -> None:
    for coordinates, limit in ((polygon[0::2], width), (polygon[1::2], height)):
        if coordinates and not (
            -outside <= min(coordinates) <= max(coordinates) <= limit + outside
        ):
            raise ValueError(f"a polygon's point lies outside the image of {width}x{height}")
