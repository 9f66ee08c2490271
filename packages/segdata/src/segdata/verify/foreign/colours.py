"""Colour masks: which palette, in which channel order, and what lies off it.

A colour mask holds the colours of its palette and no others. Colours on the line between those of
two neighbouring areas come from anti-aliasing or from a resize; others from a lossy codec, or from
another palette.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdata.verify.foreign.edges import Place, thickness
from segdata.verify.foreign.palettes import Color
from segdata.verify.foreign.runs import gaps_of, runs_of

TOLERANCE = 6.0  # levels from the line between two colours: rounding, and gamma of a drawing tool
NEAR = 12  # levels per channel from a palette colour that a codec's noise reaches in flat areas


@dataclass
class Colours:
    """What a colour mask holds, in pixels.

    Attributes:
        matched: pixels of a palette colour.
        reversed: pixels of a palette colour when red and blue are exchanged.
        total: all.
        blended: off the palette, on the line between the colours on both sides.
        noisy: off the palette and near one of its colours, not on such a line.
        distinct: number of colours.
        solid: colours that cover areas.
        blended_at: the first blended pixel (x, y); the others alike.
        noisy_at: the first noisy one.
        unknown_at: the first pixel whose colour is not near any of the palette, in an area.
        unknown: up to five colours of such areas, and in how many pixels each.
    """

    matched: int
    reversed: int
    total: int
    blended: int = 0
    noisy: int = 0
    distinct: int = 0
    solid: int = 0
    blended_at: Place | None = None
    noisy_at: Place | None = None
    unknown_at: Place | None = None
    unknown: tuple[tuple[Color, int], ...] = ()
    reversed_at: Place | None = None


def packed(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Colours as one number each, int64 (H, W)."""
    wide = pixels.astype(np.int64)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def code(color: Color) -> int:
    """One colour as a number."""
    return color[0] << 16 | color[1] << 8 | color[2]


def unpacked(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers as colours, float64 (..., 3)."""
    return np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], -1).astype(np.float64)


def to_ids(pixels: NDArray[np.uint8], colors: Mapping[int, Color]) -> NDArray[np.int64]:
    """The id of the nearest palette colour of each pixel, int64 (H, W)."""
    codes, inverse = np.unique(packed(pixels), return_inverse=True)
    ids = np.array(list(colors), dtype=np.int64)
    table = np.array([colors[i] for i in colors], dtype=np.float64)
    distance = ((unpacked(codes)[:, None] - table[None]) ** 2).sum(-1)
    nearest: NDArray[np.int64] = ids[distance.argmin(1)][inverse.reshape(pixels.shape[:2])]
    return nearest


def measure_colours(pixels: NDArray[np.uint8], colors: Mapping[int, Color]) -> Colours:
    """Hold a uint8 (H, W, 3) mask against a palette."""
    codes = packed(pixels)
    table = np.array([code(c) for c in colors.values()], dtype=np.int64)
    known = np.isin(codes, table)
    backwards = np.isin(packed(pixels[..., ::-1]), table)
    solid = thickness(codes) >= 5
    result = Colours(
        matched=int(known.sum()),
        reversed=int(backwards.sum()),
        total=codes.size,
        distinct=np.unique(codes).size,
        solid=np.unique(codes[solid]).size,
    )
    result.reversed_at = first(~known & backwards)
    for transposed in (False, True):
        lines = np.ascontiguousarray(codes.T) if transposed else codes
        _measure_lines(lines, table, transposed, result)
    _name_unknown(codes, known, solid, table, result)
    return result


def first(chosen: NDArray[np.bool_]) -> Place | None:
    """(x, y) of the first true pixel, row by row."""
    index = int(chosen.argmax())
    if not chosen.ravel()[index]:
        return None
    y, x = divmod(index, chosen.shape[1])
    return x, y


def _measure_lines(
    lines: NDArray[np.int64], table: NDArray[np.int64], transposed: bool, result: Colours
) -> None:
    runs = runs_of(lines)
    gaps = gaps_of(runs)
    count = gaps.right - gaps.left - 1
    owner = np.repeat(np.arange(count.size), count)
    offset = np.arange(owner.size) - (np.cumsum(count) - count)[owner]
    index = gaps.left[owner] + 1 + offset
    foreign = ~np.isin(runs.values[index], table)
    index, owner = index[foreign], owner[foreign]
    if not index.size:
        return
    a = unpacked(runs.values[gaps.left[owner]])
    b = unpacked(runs.values[gaps.right[owner]])
    on_line = _on_line(unpacked(runs.values[index]), a, b)
    result.blended += int(on_line.sum())
    result.noisy += int((~on_line).sum())
    for chosen, name in ((on_line, "blended_at"), (~on_line, "noisy_at")):
        if getattr(result, name) is None and chosen.any():
            y, x = divmod(int(runs.starts[index[chosen][0]]), runs.width)
            setattr(result, name, (y, x) if transposed else (x, y))


def _on_line(
    x: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> NDArray[np.bool_]:
    along = b - a
    length = (along**2).sum(-1)
    share = ((x - a) * along).sum(-1) / np.maximum(length, 1)
    distance = np.sqrt(((x - a - share[:, None] * along) ** 2).sum(-1))
    on: NDArray[np.bool_] = (length > 0) & (share > 0.01) & (share < 0.99) & (distance <= TOLERANCE)
    return on


def _name_unknown(
    codes: NDArray[np.int64],
    known: NDArray[np.bool_],
    solid: NDArray[np.bool_],
    table: NDArray[np.int64],
    result: Colours,
) -> None:
    """Areas of colours that are not even near a palette colour."""
    areas = solid & ~known
    values, counts = np.unique(codes[areas], return_counts=True)
    if not values.size:
        return
    apart = np.abs(unpacked(values)[:, None] - unpacked(table)[None]).max(-1).min(1)
    far = apart > NEAR
    result.noisy += int(counts[~far].sum())
    order = np.argsort(-counts[far], kind="stable")[:5]
    result.unknown = tuple(
        ((int(v) >> 16 & 255, int(v) >> 8 & 255, int(v) & 255), int(n))
        for v, n in zip(values[far][order], counts[far][order], strict=True)
    )
    result.unknown_at = first(areas & np.isin(codes, values[far]))
