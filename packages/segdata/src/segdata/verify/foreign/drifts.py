"""Masks against images without a reference: a shift or a mirroring of the whole set."""

from collections.abc import Iterator

import numpy as np

from segdata.verify.foreign import alignment
from segdata.verify.foreign.catalogue import WARNING, defect
from segdata.verify.foreign.report import MaskFinding, finding
from segdata.verify.foreign.survey import Survey

FEWEST = 20  # images that a statement about a set needs
LEAST = 0.75  # pixels: VOC's own masks lie 0.4 px above their images' edges
ERRORS = 3.0  # standard errors that a shift must exceed that by
CLEARER = 1.3  # change at mirrored edges over that at the edges as they are

DRIFT = defect(
    "shifted-from-images",
    WARNING,
    shows="mask edges that lie beside the images' edges, on average over the set",
    cause="one of image and mask was padded, cropped or resized by another rule",
    remedy="give the original masks as --reference to see the exact rule, and make the masks again",
)
MIRRORED = defect(
    "mirrored-from-images",
    WARNING,
    shows="images whose edges fit the mirrored masks better than the masks, over the set",
    cause="one of image and mask was flipped or rotated",
    remedy="look at some overlays; turn the masks back",
)


def judge(survey: Survey) -> Iterator[MaskFinding]:
    """Judge the set's place on its images; nothing where it is too small or too unclear."""
    measured = [f for f in survey.facts if f.profile is not None and not f.is_jpeg]
    profiles = [f.profile for f in measured if f.profile is not None]
    if len(profiles) < FEWEST:
        return
    flips = np.mean([p.flips for p in profiles], axis=0)
    best = int(flips.argmax())
    if flips[best] > CLEARER * flips[0]:
        found = f"{flips[best] / flips[0]:.2f} times as much change under edges {_flip(best)}"
        yield finding(
            MIRRORED,
            measured[0].name,
            expected="most change of the images under the masks' edges",
            found=found,
            masks=len(measured),
        )
        return
    drift = alignment.drift(profiles)
    offsets = zip((drift.dx, drift.dy), drift.error, strict=True)
    if any(abs(value) - ERRORS * error > LEAST for value, error in offsets):
        found = (
            f"masks {drift.dx:+.1f} ± {drift.error[0]:.1f} px to the right and"
            f" {drift.dy:+.1f} ± {drift.error[1]:.1f} px down of their images' edges"
        )
        expected = "less than a pixel"
        masks = len(measured)
        yield finding(DRIFT, measured[0].name, expected=expected, found=found, masks=masks)


def _flip(index: int) -> str:
    return alignment.FLIPS[index]
