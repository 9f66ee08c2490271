"""What pictures of findings show: the masks, read once more."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from segdata.errors import SourceError
from segdata.verify.cutouts import View, cut_out
from segdata.verify.foreign import geometry
from segdata.verify.foreign.decoding import decode
from segdata.verify.foreign.pairs import Pair, Pairs
from segdata.verify.foreign.palettes import Classes
from segdata.verify.foreign.report import MaskFinding


def with_views(
    findings: Sequence[MaskFinding], pairs: Pairs, classes: Classes, most: int
) -> Iterator[MaskFinding]:
    """The findings, the first `most` of each defect with a view where they have a place."""
    by_name = {pair.name: pair for pair in pairs.pairs}
    numbers: Counter[str] = Counter()
    for found in findings:
        view = None
        if found.place is not None and numbers[found.defect] < most:
            view = _view(found.place, by_name[found.where], classes)
        numbers[found.defect] += view is not None
        yield replace(found, view=view)


def _view(place: tuple[int, int], pair: Pair, classes: Classes) -> View | None:
    try:
        pixels = decode(pair.mask.read()).pixels
        return cut_out(
            place,
            pixels,
            expected=_expected(pair, pixels),
            image=pair.image.read() if pair.image else None,
            names=classes.names,
            colors=classes.colors,
        )
    except (ValueError, SourceError):
        return None


def _expected(pair: Pair, pixels: NDArray[Any]) -> NDArray[Any] | None:
    """The reference at the mask's size by the integer centre rule, for masks of ids."""
    if pair.reference is None:
        return None
    reference = decode(pair.reference.read()).pixels
    if reference.ndim != 2 or pixels.ndim != 2:
        return None
    return geometry.centred(reference, pixels.shape)
