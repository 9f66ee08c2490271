"""Regions of COCO annotations as pixels: a second implementation of COCO's rasteriser.

The rules are those of the COCO API (`rleFrPoly`, `rleFrString` in `maskApi.c`), on which every
published number on COCO rests. This module states them in integers and whole arrays and shares no
code with the rasteriser that the builder calls, so that the two can be held against each other.
"""

import json
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
UPSAMPLING = 5  # the rasteriser walks the outline on a grid five times as fine as the pixels
MAX_COORDINATE = 1e6  # far beyond any image; keeps the walk within memory


class Window(NamedTuple):
    """The rectangle of an image that holds a region.

    Attributes:
        pixels: bool (h, w); outside of it there are none.
        top: its first row in the image.
        left: its first column.
    """

    pixels: NDArray[np.bool_]
    top: int
    left: int


def polygon_windows(polygons: Sequence[Points], height: int, width: int) -> list[Window]:
    """Pixels inside each of some closed polygons, by the even-odd rule, column by column.

    Args:
        polygons: corners in pixels from the image's top left corner, float64 (n, 2) each, as
            `corners` gives them. All are walked at once.
        height: rows of the image.
        width: columns of the image.
    """
    if not polygons:
        return []
    lengths = np.array([len(points) for points in polygons])
    fine = np.trunc(UPSAMPLING * np.concatenate(polygons) + 0.5).astype(np.int64)
    ends = np.cumsum(lengths)
    following = np.arange(1, len(fine) + 1)
    following[ends - 1] = ends - lengths  # each is closed
    outline, edge = _outline(fine, fine[following])
    polygon = np.repeat(np.arange(len(polygons)), lengths)[edge]
    column, row, of = _toggles(outline, polygon, height, width)
    bounds = np.searchsorted(of, np.arange(len(polygons) + 1)).tolist()
    return [_filled(column[a:b], row[a:b]) for a, b in pairwise(bounds)]


def _filled(column: NDArray[np.int64], row: NDArray[np.int64]) -> Window:
    """The pixels of one polygon from its crossings of the columns' middles."""
    if not column.size:
        return Window(np.zeros((0, 0), dtype=bool), 0, 0)
    left, top = int(column.min()), int(row.min())
    columns, rows = int(column.max()) + 1 - left, int(row.max()) + 1 - top
    # Each crossing flips inside and outside for all pixels below it. A closed outline crosses a
    # column an even number of times, so all is outside again from the last crossing on.
    flips = np.zeros(rows * columns, dtype=np.uint8)
    np.add.at(flips, (row - top) * columns + (column - left), 1)
    count = flips.reshape(rows, columns)[:-1]
    np.add.accumulate(count, axis=0, out=count)  # beyond 255 it starts again: still odd or even
    return Window((count & 1).view(bool), top, left)


def corners(xy: Sequence[float]) -> Points:
    """A polygon's corners, float64 (n, 2).

    Args:
        xy: x0, y0, x1, y1, … in pixels.

    Raises:
        ValueError: fewer than three points, an odd number of coordinates, or one that is no finite
            number of a size that an image could have.
    """
    points = np.asarray(xy, dtype=np.float64)
    if points.ndim != 1 or points.size % 2 or points.size < 6:
        raise ValueError(
            f"a polygon needs at least 3 points as x, y pairs, not {points.size} numbers"
        )
    if not np.all(np.abs(points) <= MAX_COORDINATE):
        raise ValueError("a polygon's coordinate is not a finite number of an image's size")
    return points.reshape(-1, 2)


def _outline(
    start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Every fine-grid point on some edges, in order of the walk.

    Args:
        start: (n, 2), where each edge begins.
        end: (n, 2), where it ends.

    Returns:
        Int64 (m, 2), and the edge of each point, (m,).
    """
    extent = np.abs(end - start)
    long_axis = (extent[:, 1] > extent[:, 0]).astype(np.intp)  # 0 x, 1 y
    edges = np.arange(len(start))
    steps = extent[edges, long_axis]
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
    across = np.trunc(low[edges, 1 - long_axis][edge] + slope[edge] * along + 0.5).astype(np.int64)
    along += low[edges, long_axis][edge]
    upright = long_axis[edge] == 1
    points = np.empty((edge.size, 2), dtype=np.int64)
    points[:, 0] = np.where(upright, across, along)
    points[:, 1] = np.where(upright, along, across)
    return points, edge


def _toggles(
    outline: NDArray[np.int64], polygon: NDArray[np.intp], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp]]:
    """Where the outlines cross the middle of a pixel column.

    Args:
        outline: (m, 2), as walked.
        polygon: (m,), which one each point is of.
        height: rows of the image.
        width: columns of the image.

    Returns:
        Columns, rows and polygons, (k,) each. The row is that of the first pixel with its middle
        below the crossing, `height` when none has.
    """
    before, after = outline[:-1], outline[1:]
    across = (before[:, 0] != after[:, 0]) & (polygon[:-1] == polygon[1:])
    fine = np.minimum(before[across], after[across])  # (k, 2)
    # A column's middle lies between the fine-grid steps 5c + 2 and 5c + 3.
    column, rest = np.divmod(fine[:, 0] - UPSAMPLING // 2, UPSAMPLING)
    kept = (rest == 0) & (column >= 0) & (column < width)
    row = np.clip((fine[kept, 1] + UPSAMPLING // 2) // UPSAMPLING, 0, height)
    return column[kept], row, polygon[1:][across][kept]


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


def region_windows(
    segmentations: Sequence[bytes], height: int, width: int, outside: float = np.inf
) -> list[Window]:
    """Pixels of each annotation of an image, its parts united.

    Args:
        segmentations: the field of that name of each as JSON: a list of polygons, or a run-length
            code `{"size", "counts"}`, its counts a list or COCO's compressed string.
        height: rows of the image.
        width: columns of the image.
        outside: pixels that a polygon's points may lie beyond the image's edges.

    Raises:
        ValueError: one is neither, not of this image's size, or has a point too far outside.
    """
    shapes = [_shape(segmentation, height, width, outside) for segmentation in segmentations]
    polygons = [points for shape in shapes if isinstance(shape, list) for points in shape]
    drawn = iter(polygon_windows(polygons, height, width))
    return [
        _united(list(islice(drawn, len(shape)))) if isinstance(shape, list) else shape
        for shape in shapes
    ]


def _shape(segmentation: bytes, height: int, width: int, outside: float) -> list[Points] | Window:
    """The polygons of an annotation, or the pixels of its run-length code."""
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
        return Window(runs_mask(counts, height, width), 0, 0)
    if not isinstance(region, list) or not region:
        raise ValueError("a segmentation that is neither polygons nor a run-length code")
    polygons = [corners(polygon) for polygon in region]
    for points in polygons:
        _check_within(points, height, width, outside)
    return polygons


def _united(parts: Sequence[Window]) -> Window:
    drawn = [part for part in parts if part.pixels.size]
    if len(drawn) < 2:
        return drawn[0] if drawn else parts[0]
    top, left = min(part.top for part in drawn), min(part.left for part in drawn)
    bottom, right = (
        max(start + length for start, length in ends)
        for ends in (
            [(part.top, part.pixels.shape[0]) for part in drawn],
            [(part.left, part.pixels.shape[1]) for part in drawn],
        )
    )
    whole = np.zeros((bottom - top, right - left), dtype=bool)
    for pixels, first_row, first_column in drawn:
        y, x = first_row - top, first_column - left
        whole[y : y + pixels.shape[0], x : x + pixels.shape[1]] |= pixels
    return Window(whole, top, left)


def _check_within(points: Points, height: int, width: int, outside: float) -> None:
    if np.any(points < -outside) or np.any(points > np.array([width, height]) + outside):
        raise ValueError(f"a polygon's point lies outside the image of {width}x{height}")
