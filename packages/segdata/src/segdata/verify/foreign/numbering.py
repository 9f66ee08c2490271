"""Which ids a set holds, and what that says: off by one, scaled, luminances, instances."""

from collections.abc import Callable, Iterator
from functools import reduce
from math import gcd

from segdata.verify.foreign.catalogue import ERROR, WARNING, defect
from segdata.verify.foreign.measuring import Facts
from segdata.verify.foreign.palettes import IGNORE, luminance
from segdata.verify.foreign.report import MaskFinding, finding
from segdata.verify.foreign.survey import Survey, listed, soiled

SOME = 3  # masks from which on an id missing in all of them says something
ENOUGH = 10  # masks for what only a larger set shows
THIN = 12  # pixels across: borders of void, in any data set that draws them

BINARY = defect(
    "binary-mask",
    ERROR,
    shows="only 0 and 255 in the whole set",
    cause="masks drawn for viewing, or a threshold saved as an image",
    remedy="write class ids instead of 255, which training ignores",
)
EMPTY = defect(
    "all-background",
    ERROR,
    shows="no pixel of any class in the whole set",
    cause="ids lost by a wrong class table or a wrong cast (0…1 floats to integers), or the wrong"
    " folder",
    remedy="look at one original annotation and at the step that turned it into ids",
)
SINGLE = defect(
    "single-class",
    WARNING,
    shows="one class only in a set of several classes",
    cause="a class table that maps everything to one id, or a selection",
    remedy="compare the class table with the annotations",
)
LUMINANCE = defect(
    "palette-as-luminance",
    ERROR,
    shows="the luminances of the palette's colours (VOC: 38, 75, 113, 15, 52, 147, 220…)",
    cause="palette or colour masks read by convert('L'), imread(…, GRAYSCALE) or an image loader"
    " that does so; classes of equal luminance are merged for good",
    remedy="read the palette's indices from the original files (Pillow: np.array(image) in mode P)",
)
SCALED = defect(
    "scaled-ids",
    ERROR,
    shows="ids that are multiples of one number, beyond C",
    cause="ids stretched over 0…255 so that people can see them",
    remedy="divide by the factor and save again",
)
OFF_BY_ONE = defect(
    "ids-off-by-one",
    ERROR,
    shows="no background 0 in any mask, ids beginning at 1; or a constant offset to the reference",
    cause="another numbering: classes counted from 1 with the background among them (MATLAB), or"
    " ids shifted twice",
    remedy="subtract the offset (255 excepted), or state the class table with background first",
)
REDUCED = defect(
    "background-as-ignore",
    ERROR,
    shows="255 on most pixels and on the frame of most masks, in the place of background",
    cause="ids reduced by one in 8 bits (`reduce_zero_label`): 0 became 255, and class 1 became 0",
    remedy="add one to every id, modulo 256, unless the training expects it so",
)
IGNORE_ELSEWHERE = defect(
    "ignore-as-other-value",
    ERROR,
    shows="thin borders of one id above the classes, and no 255",
    cause="void stored as the next free id (21) or as another number",
    remedy="write 255 for this id, or tell the training that this is the ignore index",
)
INSTANCE = defect(
    "instance-ids",
    ERROR,
    shows="ids 1…n in every mask, each an area or two, n different from mask to mask; or above 255",
    cause="masks of objects (SegmentationObject, instance or panoptic ids) instead of classes",
    remedy="take the class masks (SegmentationClass, semantic ids)",
)
BEYOND = defect(
    "ids-beyond-classes",
    ERROR,
    shows="ids above C that are not 255",
    cause="another class table, ids that were not mapped to it, or a wrong --classes",
    remedy="map these ids to a class or to 255 before training",
)


def judge(survey: Survey) -> Iterator[MaskFinding]:
    """The first reading that explains the ids of the set."""
    wide = [facts for facts in survey.facts if facts.beyond is not None]
    if wide:
        place, value = wide[0].beyond or ((0, 0), 0)
        yield finding(
            INSTANCE,
            wide[0].name,
            expected="ids 0 to 255",
            found=f"id {value}",
            place=place,
            masks=len(wide),
        )
    yield from _judge_empty(survey)
    if not survey.present or sum(map(soiled, survey.index_masks)) > len(survey.index_masks) / 4:
        return
    readings: tuple[Callable[[Survey], MaskFinding | None], ...] = (
        _binary,
        _luminance,
        _scaled,
        _instances,
        _reduced,
        _off_by_one,
        _ignore_elsewhere,
        _beyond,
    )
    for reading in readings:
        found = reading(survey)
        if found is not None:
            yield found
            return


def _at(survey: Survey, value: int) -> tuple[str, tuple[int, int], int]:
    """The first mask with an id, the place of it, and the number of masks that have it."""
    masks = survey.present[value]
    return masks[0].name, masks[0].ids[value].at, len(masks)


def _judge_empty(survey: Survey) -> Iterator[MaskFinding]:
    masks = [f for f in survey.labelled if not f.is_jpeg]
    classes = {v for facts in masks for v in facts.ids} - {0, IGNORE}
    background = any(0 in facts.ids for facts in masks)
    if masks and not classes and background and not _binary(survey):
        yield finding(
            EMPTY,
            masks[0].name,
            expected="ids of classes in some masks",
            found="only 0",
            masks=len(masks),
        )
    count = survey.classes.count
    if len(masks) >= ENOUGH and len(classes) == 1 and count is not None and count > 1:
        only = classes.pop()
        example = next(f for f in masks if only in f.ids)
        yield finding(
            SINGLE,
            example.name,
            expected=f"several of {count} classes",
            found=f"only id {only} besides background",
            place=example.ids[only].at,
            masks=len(masks),
        )


def _binary(survey: Survey) -> MaskFinding | None:
    # void and nothing else, in thin borders, would be a set of empty masks
    thick = [f for f in survey.present.get(IGNORE, ()) if f.ids[IGNORE].thickness > THIN]
    if set(survey.present) != {0, IGNORE} or not thick:
        return None
    where, at, masks = thick[0].name, thick[0].ids[IGNORE].at, len(survey.present[IGNORE])
    expected = "ids of classes"
    return finding(BINARY, where, expected=expected, found="255", place=at, masks=masks)


def _luminance(survey: Survey) -> MaskFinding | None:
    colors = survey.classes.colors
    table = {luminance(color) + d: i for d in (-1, 1, 0) for i, color in colors.items()}
    limit = survey.classes.count or max(i for i in colors if i != IGNORE)
    beyond = [v for v in survey.present if limit < v < IGNORE]
    if len(beyond) < 2 or not all(v in table for v in survey.present if v != IGNORE):
        return None
    where, at, _ = _at(survey, beyond[0])
    found = f"{beyond[0]}, the luminance of id {table[beyond[0]]} (ids {listed(survey.present)})"
    expected = f"id {table[beyond[0]]}"
    masks = len(survey.index_masks)
    return finding(LUMINANCE, where, expected=expected, found=found, place=at, masks=masks)


def _scaled(survey: Survey) -> MaskFinding | None:
    values = [v for v in survey.present if 0 < v < IGNORE]
    count = survey.classes.count
    if len(values) < 3 or (count is not None and not survey.beyond):
        return None
    step: float = reduce(gcd, values)
    if count is not None:
        exact = step > 1 and max(values) <= step * count
        stretched = {round(i * IGNORE / count) for i in range(count + 1)}
        stretched |= {i * IGNORE // count for i in range(count + 1)}
        if not exact and set(values) <= stretched:
            step, exact = IGNORE / count, True
    else:
        exact = step >= 3 and (len(values) >= 4 or max(values) > 100)
    if not exact:
        return None
    where, at, masks = _at(survey, values[0])
    expected = f"id {round(values[0] / step)}"
    found = f"{values[0]}, as if times {step:g} (ids {listed(survey.present)})"
    return finding(SCALED, where, expected=expected, found=found, place=at, masks=masks)


def _instances(survey: Survey) -> MaskFinding | None:
    sets = [(f, [v for v in f.ids if 0 < v < IGNORE]) for f in survey.index_masks]
    sets = [(facts, ids) for facts, ids in sets if ids]
    if not sets or any(soil.soiled for soil, _ in sets):
        return None
    counted = [(f, ids) for f, ids in sets if ids == list(range(1, len(ids) + 1))]
    several = [(f, ids) for f, ids in counted if len(ids) > 1]
    sizes = {len(ids) for _, ids in counted}
    if len(counted) < 0.95 * len(sets) or len(several) < SOME or len(sizes) < 3 or max(sizes) < 4:
        return None
    areas = sum(f.components for f, _ in several)
    ids = sum(len(i) for _, i in several)
    if areas > 2 * ids:
        return None
    facts, most = max(several, key=lambda pair: len(pair[1]))
    certain = survey.classes.count is not None and max(sizes) > survey.classes.count
    return finding(
        INSTANCE,
        facts.name,
        expected="ids of classes",
        found=f"ids 1 to {len(most)}; {ids} ids in {areas} areas over {len(several)} masks",
        place=facts.ids[most[-1]].at,
        masks=len(counted),
        severity=ERROR if certain or survey.classes.count is None else WARNING,
    )


def _reduced(survey: Survey) -> MaskFinding | None:
    masks = survey.index_masks
    framed = [f for f in masks if f.frame == IGNORE and _share(f, IGNORE) > 0.3]
    zeros = len(survey.present.get(0, ()))
    if len(masks) < SOME or len(framed) < 0.7 * len(masks) or zeros > 0.95 * len(masks):
        return None
    where, at = framed[0].name, framed[0].ids[IGNORE].at
    found = f"255 on {100 * _share(framed[0], IGNORE):.0f} % of the mask and on its frame"
    expected = "background 0"
    masks_alike = len(framed)
    return finding(REDUCED, where, expected=expected, found=found, place=at, masks=masks_alike)


def _share(facts: Facts, value: int) -> float:
    return facts.ids[value].pixels / (facts.size[0] * facts.size[1]) if value in facts.ids else 0.0


def _off_by_one(survey: Survey) -> MaskFinding | None:
    masks, count = survey.index_masks, survey.classes.count
    if 0 in survey.present or min(survey.present) != 1:
        return None
    above = count is not None and count + 1 in survey.present
    framed = sum(f.frame == 1 for f in masks)
    if not above and (len(masks) < SOME or framed < 0.5 * len(masks)):
        return None
    where, at, alike = _at(survey, 1)
    top = max(v for v in survey.present if v != IGNORE)
    found = f"no 0 in any mask, ids from 1 to {top}"
    return finding(OFF_BY_ONE, where, expected="background 0", found=found, place=at, masks=alike)


def _ignore_elsewhere(survey: Survey) -> MaskFinding | None:
    if IGNORE in survey.present:
        return None
    masks, count = survey.index_masks, survey.classes.count
    candidates = survey.beyond if count is not None else [max(survey.present)]
    if len(candidates) != 1 or candidates[0] == 0:
        return None
    value = candidates[0]
    having = survey.present[value]
    thin = sum(f.ids[value].thickness <= THIN for f in having)
    needed = 0.3 if count is not None else 0.9
    if len(masks) < SOME or len(having) < needed * len(masks) or thin < 0.8 * len(having):
        return None
    if count is None and (len(masks) < ENOUGH or len(survey.present) < 4):
        return None
    where, at, alike = _at(survey, value)
    found = f"{value} in borders {having[0].ids[value].thickness} pixels wide"
    return finding(
        IGNORE_ELSEWHERE, where, expected="255 for void", found=found, place=at, masks=alike
    )


def _beyond(survey: Survey) -> MaskFinding | None:
    if not survey.beyond:
        return None
    where, at, masks = _at(survey, survey.beyond[0])
    some = "ids of the classes" if survey.classes.gaps else f"0 to {survey.classes.count}"
    expected = f"{some} or 255"
    found = listed(survey.beyond)
    return finding(BEYOND, where, expected=expected, found=found, place=at, masks=masks)
