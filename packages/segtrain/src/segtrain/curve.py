"""A curve in a few lines of text, with levels marked in it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

BRAILLE = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, then by row from the top
LINE = "╌"


@dataclass(frozen=True)
class Cell:
    """One character of a curve.

    Attributes:
        text: The character.
        kind: `curve`, `level` or `empty`.
    """

    text: str
    kind: str


@dataclass(frozen=True)
class Row:
    """One line of a curve.

    Attributes:
        label: At its left: the top or bottom of the scale, or nothing.
        cells: The curve itself.
        level: At its right: the name and value of the level in it, or nothing.
    """

    label: str
    cells: tuple[Cell, ...]
    level: str


def resampled(values: Sequence[float], columns: int) -> list[float]:
    """Exactly `columns` values: means of neighbours, or points on the lines between them."""
    count = len(values)
    if count > columns:
        ends = [count * i // columns for i in range(columns + 1)]
        return [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    found = []
    for x in range(columns):
        at = x * (count - 1) / max(1, columns - 1)
        first = min(int(at), max(0, count - 2))
        part = at - first
        found.append(values[first] * (1 - part) + values[min(first + 1, count - 1)] * part)
    return found


def scale(values: Sequence[float], levels: Mapping[str, float]) -> tuple[float, float]:
    """The ends of the axis: room for all values, and for levels that do not squeeze them."""
    low, high = min(values), max(values)
    for level in sorted(levels.values()):
        reach = max(high, level) - min(low, level)
        if reach <= 4 * max(high - low, 0.1 * abs(level)):
            low, high = min(low, level), max(high, level)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def draw(
    values: Sequence[float],
    levels: Mapping[str, float],
    columns: int,
    rows: int,
    *,
    ascii_only: bool = False,
) -> list[Row]:
    """Draw a curve of two by four dots a character.

    Args:
        values: At least one, all finite; the first is at the left.
        levels: Values by name, marked as lines where they lie on the axis.
        columns: Characters from left to right, 1 or more.
        rows: Lines, 2 or more.
        ascii_only: Whether to keep to ASCII, one point a character.
    """
    low, high = scale(values, levels)
    across, down = (1, 1) if ascii_only else (2, 4)
    points = resampled(values, columns * across)
    heights = [place(v, low, high, rows * down) for v in points]
    canvas = [[0] * columns for _ in range(rows)]
    for x, y, previous in zip(range(len(points)), heights, [heights[0], *heights], strict=False):
        for dot in between(previous, y):
            canvas[dot // down][x // across] |= 1 if ascii_only else DOTS[x % 2][dot % 4]
    names = {place(v, low, high, rows): f"{n} {v:.2f}" for n, v in levels.items()
             if low <= v <= high}  # fmt: skip
    labels = {0: axis(high), rows - 1: axis(low)}
    return [
        Row(labels.get(y, ""), tuple(cells(line, y in names, ascii_only)), names.get(y, ""))
        for y, line in enumerate(canvas)
    ]


def cells(line: Sequence[int], level: bool, ascii_only: bool) -> list[Cell]:
    """The characters of one line."""
    found = []
    for dots in line:
        if dots:
            found.append(Cell("*" if ascii_only else chr(BRAILLE + dots), "curve"))
        elif level:
            found.append(Cell("-" if ascii_only else LINE, "level"))
        else:
            found.append(Cell(" ", "empty"))
    return found


def place(value: float, low: float, high: float, places: int) -> int:
    """Which of so many places from the top a value has."""
    share = (high - value) / (high - low)
    return min(places - 1, max(0, math.floor(share * places)))


def between(start: int, end: int) -> range:
    """The places from one to the next that join them, the second included, the first not."""
    if start == end:
        return range(end, end + 1)
    return range(start + 1, end + 1) if end > start else range(end, start)


def axis(value: float) -> str:
    """An end of the axis in at most six characters."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0e}"
