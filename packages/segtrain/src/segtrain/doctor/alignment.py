"""How the masks of each data set lie on their images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segtrain.doctor.edges import Fit, Floats, Mask, fit, profile
from segtrain.doctor.examination import Examination
from segtrain.doctor.survey import Part, Surveyed, survey
from segtrain.errors import SampleError
from segtrain.samples import Decoded, load

PHOTOS = 64  # of each part
Pair = tuple[NDArray[np.uint8], Mask]  # brightness `(H, W)` and mask
AXES = {"x": "right", "y": "down"}
TURNS: dict[str, Callable[[Mask], Mask]] = {  # what goes wrong, and how to undo it
    "mirrored left to right": lambda mask: mask[:, ::-1],
    "upside down": lambda mask: mask[::-1],
    "turned by 180 degrees": lambda mask: mask[::-1, ::-1],
}


@dataclass(frozen=True)
class Alignment:
    """How the masks of one part lie.

    Attributes:
        part: The part.
        fits: By axis, `x` and `y`, as far as there are borders enough.
        turned: By what may have happened to the masks, their fit along both axes if it is undone;
            only where they do not follow their images as they are.
    """

    part: Part
    fits: dict[str, Fit]
    turned: dict[str, Fit]

    @property
    def follows(self) -> bool:
        """Whether masks follow their images at all."""
        return all(found.follows for found in self.fits.values())

    @property
    def shifted(self) -> dict[str, Fit]:
        """The axes along which masks lie beside their images."""
        return {axis: found for axis, found in self.fits.items() if found.shifted}


def alignment(exam: Examination) -> list[Alignment]:
    """Measure each part on its first masks that are sound."""
    return [measure(exam, surveyed) for surveyed in exam.once(survey)]


def measure(exam: Examination, surveyed: Surveyed) -> Alignment:
    """Measure one part."""
    part = surveyed.part
    sound = [look.number for look in surveyed.looks if look.sound]
    few = sound[:: max(1, len(sound) // PHOTOS)][:PHOTOS]
    pairs = []
    for done, number in enumerate(few):
        exam.progress(f"images of {part.name}", done, len(few))
        try:
            pairs.append(pair(load(part.samples, number)))
        except SampleError:
            continue  # a run will name it; masks were looked at by the survey
    fits = fits_of(pairs)
    found = Alignment(part, fits, {})
    if not fits or found.follows:
        return found
    return Alignment(part, fits, turned_fits(pairs))


def as_it_is(mask: Mask) -> Mask:
    """The mask."""
    return mask


def pair(sample: Decoded) -> Pair:
    """Brightness and mask of a sample."""
    return np.asarray(sample.image.convert("L")), sample.mask


def profiles(pairs: list[Pair], axis: str, undo: Callable[[Mask], Mask] = as_it_is) -> list[Floats]:
    """The profiles of images along one axis, those that have one."""
    found = []
    for grey, mask in pairs:
        along = (grey, undo(mask)) if axis == "x" else (grey.T, undo(mask).T)
        found.append(profile(*along))
    return [p for p in found if p is not None]


def fits_of(pairs: list[Pair]) -> dict[str, Fit]:
    """The fit along each axis that has borders enough."""
    found = {axis: fit(profiles(pairs, axis)) for axis in AXES}
    return {axis: one for axis, one in found.items() if one is not None}


def turned_fits(pairs: list[Pair]) -> dict[str, Fit]:
    """The fit along both axes after each of TURNS was undone."""
    found = {
        name: fit([p for axis in AXES for p in profiles(pairs, axis, undo)])
        for name, undo in TURNS.items()
    }
    return {name: one for name, one in found.items() if one is not None}
