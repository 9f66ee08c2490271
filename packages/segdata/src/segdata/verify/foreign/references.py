"""Masks against references: by which rule they were made, and what became of each id."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from segdata.verify.foreign import geometry
from segdata.verify.foreign.catalogue import ERROR, WARNING, Defect, defect
from segdata.verify.foreign.geometry import Explanation
from segdata.verify.foreign.measuring import Facts
from segdata.verify.foreign.numbering import IGNORE_ELSEWHERE, LUMINANCE, OFF_BY_ONE, SCALED
from segdata.verify.foreign.palettes import IGNORE, Classes, luminance
from segdata.verify.foreign.report import MaskFinding, finding
from segdata.verify.foreign.survey import Survey, listed, soiled

LIKE = 0.98  # share of pixels explained, from which on a mask shows its reference
KEPT = 0.9  # share of an id's pixels that must have become one other id

MISPLACED = defect(
    "nearest-off-centre",
    ERROR,
    shows="the reference resized by a nearest rule that does not take pixel centres",
    cause="OpenCV INTER_NEAREST or torch `nearest` (floor), or a corner-aligned zoom: labels lie up"
    " to half a source pixel or more beside the image",
    remedy="resize by centred nearest: torch `nearest-exact`, OpenCV INTER_NEAREST_EXACT, Pillow"
    " NEAREST, or segdata's integer rule",
)
SHIFTED = defect(
    "mask-shifted",
    ERROR,
    shows="the reference moved by some pixels",
    cause="padding or cropping of only one of image and mask, 1-based coordinates, or a roll",
    remedy="undo the shift for the whole set, or make the masks again",
)
TURNED = defect(
    "mask-turned",
    ERROR,
    shows="the reference mirrored, rotated or transposed",
    cause="augmentation of only one of image and mask, column-major arrays (MATLAB, RLE), or EXIF",
    remedy="turn the masks back; check the step that did it on one sample by eye",
)
DIFFERS = defect(
    "reference-differs",
    ERROR,
    shows="pixels that no rule, shift or renumbering explains",
    cause="other annotations, edited masks, or masks under each other's names",
    remedy="look at the picture; take the mask from its source again",
)
NO_REFERENCE = defect(
    "reference-missing",
    WARNING,
    shows="a mask without a reference of its name",
    cause="another selection of images",
    remedy="name the folder that holds the originals of these masks",
)
VOID_LOST = defect(
    "ignore-lost",
    ERROR,
    shows="0 where the reference has 255",
    cause="255 cut off by a mask `ids <= C`, or mapped as an unknown id",
    remedy="keep 255: as background it teaches that objects' borders are none",
)
RENUMBERED = defect(
    "ids-renumbered",
    ERROR,
    shows="ids of the reference that became other ids",
    cause="another class table: sorted by name, or of another data set, or a selection of classes",
    remedy="compare the class tables; a selection is fine when --reference has the same one",
)


def judge(survey: Survey) -> Iterator[MaskFinding]:
    """Judge geometry mask by mask, and ids over the whole set."""
    pairs = survey.pairs
    for name in pairs.without_reference:
        yield finding(NO_REFERENCE, name, expected="a reference of that name", found="none")
    for facts in survey.facts:
        if facts.reference_broken:
            found = facts.reference_broken
            yield finding(NO_REFERENCE, facts.name, expected="a readable reference", found=found)
        if facts.explanation is not None:
            yield from _judge_geometry(facts, facts.explanation)
    yield from _judge_ids(survey)


def _judge_geometry(facts: Facts, how: Explanation) -> Iterator[MaskFinding]:
    if how.fit < LIKE or (how.fit < 1 and not soiled(facts) and not facts.is_jpeg):
        if not soiled(facts) and not facts.is_jpeg:
            yield finding(
                DIFFERS,
                facts.name,
                expected="the reference's pixels",
                found=f"others on {100 * (1 - how.fit):.2g} % of the mask",
                place=how.at,
            )
        if how.fit < LIKE:
            return
    if how.symmetry:
        yield finding(
            TURNED,
            facts.name,
            expected="the reference as it is",
            found=how.symmetry,
            place=how.moved_at,
        )
    if how.shift != (0.0, 0.0):
        dx, dy = how.shift
        yield finding(
            SHIFTED,
            facts.name,
            expected="no shift",
            found=f"{dx:+g} px to the right, {dy:+g} px down",
            place=how.moved_at,
        )
    elif how.rule in geometry.OFF_CENTRE:
        yield _off_centre(facts, how.rule)


def _off_centre(facts: Facts, rule: str) -> MaskFinding:
    sizes = facts.reference_size or facts.size
    offsets = [geometry.rule_offset(n, m, rule) for n, m in zip(sizes, facts.size, strict=True)]
    found = (
        f"{geometry.OFF_CENTRE[rule]}: samples {offsets[0]:+.2f} px across and {offsets[1]:+.2f} px"
        f" down from the centres, in pixels of the reference"
    )
    how = facts.explanation
    place = how.moved_at if how else None
    return finding(MISPLACED, facts.name, expected=geometry.CENTRE, found=found, place=place)


def _judge_ids(survey: Survey) -> Iterator[MaskFinding]:
    joint = np.zeros((256, 256), np.int64)
    masks = []
    for facts in survey.facts:
        how = facts.explanation
        if how is not None and how.fit >= LIKE and facts.colours is None:
            joint[how.ids[:, 0], how.ids[:, 1]] += how.ids[:, 2]
            masks.append(facts)
    became = {
        int(value): int(joint[value].argmax())
        for value in np.flatnonzero(joint.sum(1))
        if joint[value].max() >= KEPT * joint[value].sum()
    }
    changed = {a: b for a, b in became.items() if a != b}
    if not changed:
        return
    a, b = next(((a, b) for a, b in changed.items() if a not in (0, IGNORE)), min(changed.items()))
    example = next((f for f in masks if b in f.ids), masks[0])
    kind, text = _reading(became, changed, survey.classes)
    yield finding(
        kind,
        example.name,
        expected=f"id {a} as in the reference",
        found=f"id {b}; {text}",
        place=example.ids[b].at if b in example.ids else None,
        masks=len(masks),
    )


def _reading(
    became: Mapping[int, int], changed: Mapping[int, int], classes: Classes
) -> tuple[Defect, str]:
    ids = {a: b for a, b in became.items() if a != IGNORE}
    if set(changed) == {IGNORE}:
        new = changed[IGNORE]
        return (VOID_LOST if new == 0 else IGNORE_ELSEWHERE), f"255 became {new} everywhere"
    offsets = Counter((b - a) % 256 for a, b in ids.items())
    if len(offsets) == 1 and 0 not in offsets:
        offset = next(iter(offsets))
        return OFF_BY_ONE, f"every id changed by {offset if offset < 128 else offset - 256:+d}"
    colors = classes.colors
    if all(a in colors and abs(b - luminance(colors[a])) <= 1 for a, b in ids.items()):
        return LUMINANCE, "every id became the luminance of its colour"
    factors = {b / a for a, b in ids.items() if a}
    if ids.get(0, 0) == 0 and max(factors) - min(factors) < 1 / max(ids) and min(factors) > 1:
        return SCALED, f"every id times {min(factors):g}"
    return RENUMBERED, listed(f"{a} became {b}" for a, b in changed.items())
