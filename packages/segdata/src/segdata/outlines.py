"""Outlines: whether a `segmentation` of COCO can be drawn, before anything draws it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = frozenset((int, float, bool))  # `True` is 1
SLACK = 1.0  # pixels that a point may lie outside the image: annotators' rounding, not a defect


def outline_problem(segmentation: Any, height: int, width: int) -> tuple[str, str] | None:  # noqa: ANN401 - JSON
    """What is wrong with an outline, as (expected, found); None if it can be drawn.

    Polygons of two points must be refused: pycocotools takes four numbers for a box.
    """
    if isinstance(segmentation, dict):
        return _rle_problem(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        return "a list of polygons, or run lengths", repr(segmentation)[:80]
    for polygon in segmentation:
        if not isinstance(polygon, list) or not NUMBERS.issuperset(map(type, polygon)):
            return "polygons as lists of numbers", repr(polygon)[:80]
        if len(polygon) % 2 or len(polygon) < 6:
            return "polygons of at least 3 points (x, y)", f"one of {len(polygon)} numbers"
        xs, ys = polygon[0::2], polygon[1::2]
        if not (_within(xs, width) and _within(ys, height)):
            x, y = next((x, y) for x, y in zip(xs, ys, strict=True)
                        if not (_within([x], width) and _within([y], height)))  # fmt: skip
            return f"points inside the image of {width}x{height}", f"x={x} y={y}"
    return None


def _within(values: list[float], side: int) -> bool:
    """Whether all lie within an image's side, or nearly."""
    return min(values) >= -SLACK and max(values) <= side + SLACK


def _rle_problem(rle: dict[str, Any], height: int, width: int) -> tuple[str, str] | None:
    if rle.get("size") != [height, width]:
        return f"run lengths of size [{height}, {width}]", f"size {rle.get('size')}"
    counts = rle.get("counts")
    if isinstance(counts, str):
        counts = unpacked_counts(counts)
    if not isinstance(counts, list) or not all(isinstance(c, int) and c >= 0 for c in counts):
        return "run lengths as a list of counts", repr(counts)[:80]
    if sum(counts) != height * width:
        return f"run lengths that fill {height * width:,} pixels", f"{sum(counts):,}"
    return None


def unpacked_counts(packed: str) -> list[int] | None:
    """The run lengths in COCO's packed string form; None if it is not well-formed.

    Five bits a character from 48 on, the lowest first; the sixth says that more follow, the highest
    value bit is the sign; from the third run on it is the difference to the run before the last
    (COCO API, `maskApi.c`, `rleFrString`).
    """
    counts: list[int] = []
    value = shift = 0
    for code in (ord(character) - 48 for character in packed):
        if not 0 <= code < 64 or shift > 60:
            return None
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) and 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return None if shift else counts


def run_lengths(packed: bytes | str) -> NDArray[np.int64]:
    """The run lengths in COCO's packed form, which must be well-formed; the first is background.

    The same as `unpacked_counts`, all numbers at once. pycocotools' own decoder sets pixel after
    pixel: it takes five times as long as unpacking and repeating.
    """
    data = packed.encode() if isinstance(packed, str) else packed
    if not data:  # of an image without pixels
        return np.zeros(0, np.int64)
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(codes < 32)
    begins = np.concatenate(([0], ends[:-1] + 1))
    digits = ends - begins + 1
    places = np.arange(len(codes)) - begins.repeat(digits)
    runs: NDArray[np.int64] = np.add.reduceat((codes & 31) << 5 * places, begins)
    runs -= (codes[ends] >> 4) << 5 * digits  # the sign
    for run in (runs[1::2], runs[2::2]):
        run.cumsum(out=run)
    return runs
