"""How a mask was made from its reference: by which nearest rule, turned, mirrored or shifted.

Each candidate says which pixel of the reference every pixel of the mask shows. Its fit is the share
of pixels that the candidate explains when every id of the reference may have become one other id:
so the geometry is found whatever was done to the ids, and the ids are judged after it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdata.verify.foreign.edges import Place

Ids = NDArray[np.int64]
CENTRE, EXACT, PILLOW = "integer centre rule", "nearest-exact", "Pillow NEAREST"
FLOOR, CORNERS = "floor", "corners"
OFF_CENTRE = {
    FLOOR: "floor-nearest (OpenCV INTER_NEAREST, torch nearest)",
    CORNERS: "corner-aligned nearest (scipy.ndimage.zoom, align_corners)",
}
AS_IT_IS = "same size"
WELL = 0.9995  # share of pixels that counts as explained
REACH = 8  # pixels of shift that are tried
_WHOLE = range(-REACH, REACH + 1)
SAMPLED = 10_000  # pixels of a mask that all shifts are tried on
GAIN = 0.5  # share of the unexplained pixels that another geometry must explain to be believed

SYMMETRIES: dict[str, Callable[[Ids], Ids]] = {
    "mirrored left to right": lambda a: a[:, ::-1],
    "mirrored top to bottom": lambda a: a[::-1],
    "rotated by 180 degrees": lambda a: a[::-1, ::-1],
    "transposed": lambda a: a.T,
    "rotated by 90 degrees clockwise": partial(np.rot90, k=-1),
    "rotated by 90 degrees counterclockwise": partial(np.rot90, k=1),
    "transposed along the other diagonal": lambda a: a[::-1, ::-1].T,
}


@dataclass(frozen=True)
class Explanation:
    """The geometry that explains a mask best.

    Attributes:
        rule: name of the nearest rule.
        symmetry: one of `SYMMETRIES`, or empty.
        shift: (dx, dy), how far the mask's content lies from where it belongs, in pixels of the
            mask, to the right and down.
        fit: share of pixels explained.
        ids: int64 (N, 3): id of the reference, id of the mask, pixels.
        at: the first pixel that the geometry does not explain, None where there is none.
        moved_at: the first pixel that differs from the integer centre rule without any shift or
            symmetry, None where there is none.
    """

    rule: str
    symmetry: str
    shift: tuple[float, float]
    fit: float
    ids: NDArray[np.int64]
    at: Place | None
    moved_at: Place | None


def axis_rules(source: int, size: int) -> dict[str, NDArray[np.int64]]:
    """For every rule, which of `source` pixels each of `size` pixels shows; the best rule first."""
    index = np.arange(size, dtype=np.int64)
    if source == size:
        return {AS_IT_IS: index}
    scale = np.float32(source / size)
    exact = np.floor((index.astype(np.float32) + np.float32(0.5)) * scale).astype(np.int64)
    ramp = Image.fromarray(np.arange(source, dtype=np.int32)[:, None])
    pillow = np.asarray(ramp.resize((1, size), Image.Resampling.NEAREST))[:, 0].astype(np.int64)
    return {
        CENTRE: (2 * index + 1) * source // (2 * size),
        EXACT: np.minimum(exact, source - 1),
        PILLOW: pillow,
        FLOOR: index * source // size,
        CORNERS: np.rint(index * ((source - 1) / max(size - 1, 1))).astype(np.int64),
    }


def rule_offset(source: int, size: int, rule: str) -> float:
    """How far a rule's samples lie from the centres, on average, in pixels of the reference."""
    index = axis_rules(source, size).get(rule)
    if index is None:
        return 0.0
    centres = (np.arange(size) + 0.5) * source / size
    return float((index + 0.5 - centres).mean())


def explain(mask: Ids, reference: Ids) -> Explanation:
    """Find the geometry by which an int64 (h, w) mask shows an int64 (H, W) reference."""
    best, rule = _best_rule(mask, reference)
    symmetry, shift, source = "", (0.0, 0.0), reference
    if best.fit < WELL:
        for name, turned in _turned(mask, reference):
            other, other_rule = _best_rule(mask, turned)
            if other.fit - best.fit > GAIN * (1 - best.fit):
                best, rule, symmetry, source = other, other_rule, name, turned
    if best.fit < WELL and min(mask.shape) > 4 * REACH:
        moved, moved_by = _best_shift(mask, source)
        if moved.fit - _shifted(mask, source, (0.0, 0.0)).fit > GAIN * (1 - best.fit):
            best, shift, rule = moved, moved_by, CENTRE if rule != AS_IT_IS else rule
    plain = centred(reference, mask.shape)
    changed = plain != mask
    return Explanation(rule, symmetry, shift, best.fit, best.ids, best.at, _first(changed))


def centred(reference: Ids, shape: tuple[int, ...]) -> Ids:
    """The reference at another size by the integer centre rule."""
    return _sampled(reference, shape, CENTRE)


@dataclass(frozen=True)
class _Fit:
    fit: float
    ids: NDArray[np.int64]
    at: Place | None


def _fit(shown: Ids, mask: Ids, offset: tuple[int, int] = (0, 0)) -> _Fit:
    joint = np.bincount((shown * 256 + mask).ravel(), minlength=65536).reshape(256, 256)
    explained = int(joint.max(axis=1).sum())
    at = None
    if explained < mask.size:
        at = _first(joint.argmax(axis=1)[shown] != mask)
    if at is not None:
        at = (at[0] + offset[0], at[1] + offset[1])
    a, b = np.nonzero(joint)
    return _Fit(explained / mask.size, np.stack([a, b, joint[a, b]], 1).astype(np.int64), at)


def _first(chosen: NDArray[np.bool_]) -> Place | None:
    index = int(chosen.argmax())
    y, x = divmod(index, chosen.shape[1])
    return (x, y) if chosen[y, x] else None


def _sampled(reference: Ids, shape: tuple[int, ...], rule: str) -> Ids:
    rows, columns = (axis_rules(n, m) for n, m in zip(reference.shape, shape, strict=True))
    row = rows.get(rule, next(iter(rows.values())))
    column = columns.get(rule, next(iter(columns.values())))
    return reference[np.ix_(row, column)]


def _best_rule(mask: Ids, reference: Ids) -> tuple[_Fit, str]:
    if mask.shape == reference.shape:
        return _fit(reference, mask), AS_IT_IS
    fits = []
    for rule in (CENTRE, EXACT, PILLOW, FLOOR, CORNERS):
        fit = _fit(_sampled(reference, mask.shape, rule), mask)
        if fit.fit == 1:
            return fit, rule
        fits.append((fit, rule))
    return max(fits, key=lambda pair: pair[0].fit)


def _turned(mask: Ids, reference: Ids) -> Iterator[tuple[str, Ids]]:
    for name, turn in SYMMETRIES.items():
        turned = np.ascontiguousarray(turn(reference))
        scales = [n / m for n, m in zip(turned.shape, mask.shape, strict=True)]
        if max(scales) <= 1.02 * min(scales) + 2 / min(mask.shape):
            yield name, turned


def _shifted(mask: Ids, source: Ids, shift: tuple[float, float], step: int = 1) -> _Fit:
    """The fit when the mask's content lies `shift` away, judged where no candidate runs out.

    Only every `step`-th row and column is looked at.
    """
    inner = [np.arange(REACH, m - REACH, step) for m in mask.shape]
    picks = [
        np.floor((index + 0.5 - d) * n / m + 1e-9).astype(np.int64).clip(0, n - 1)
        for index, n, m, d in zip(inner, source.shape, mask.shape, reversed(shift), strict=True)
    ]
    fit = _fit(source[np.ix_(*picks)], mask[np.ix_(*inner)])
    at = None if fit.at is None else (REACH + step * fit.at[0], REACH + step * fit.at[1])
    return _Fit(fit.fit, fit.ids, at)


def _best_shift(mask: Ids, source: Ids) -> tuple[_Fit, tuple[float, float]]:
    """Every shift by whole pixels on a sample of the pixels; then halves and quarters around."""
    step = max(1, round((mask.size / SAMPLED) ** 0.5))
    whole = [(float(x), float(y)) for y in _WHOLE for x in _WHOLE]
    at = max(whole, key=lambda d: (_shifted(mask, source, d, step).fit, -abs(d[0]) - abs(d[1])))
    if mask.shape != source.shape:
        for part in (0.5, 0.25):
            around = [(at[0] + x * part, at[1] + y * part) for y in (0, -1, 1) for x in (0, -1, 1)]
            at = max(around, key=lambda d: _shifted(mask, source, d, step).fit)
    return _shifted(mask, source, at), at
