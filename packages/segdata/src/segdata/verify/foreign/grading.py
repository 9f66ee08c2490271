"""Index masks whose edges are graded or noisy: interpolated, or once a JPEG."""

from collections.abc import Iterator
from statistics import median

from segdata.verify.foreign.catalogue import ERROR, defect
from segdata.verify.foreign.measuring import Facts
from segdata.verify.foreign.report import MaskFinding, finding
from segdata.verify.foreign.survey import Survey, listed, soiled

BLOCKY = 0.75  # see `block_share`: below it in the middle of a set, the set was JPEG
CLEARLY = (0.6, 0.9)  # a mask by itself: below the first JPEG, above the second not
BICUBIC = 0.1  # share of graded edges that overshoot, from which on the kernel has lobes

INTERPOLATED = defect(
    "interpolated-ids",
    ERROR,
    shows="ids between those of two neighbouring areas, one or two pixels wide along their edges,"
    " which cover no area anywhere",
    cause="the mask was resized (or rotated, or warped) with bilinear, bicubic, area or Lanczos"
    " interpolation, which averages ids",
    remedy="resize again from the original mask by nearest neighbour with centred pixels",
)
JPEG_NOISE = defect(
    "jpeg-noise",
    ERROR,
    shows="many small ids around edges, in blocks of 8x8 pixels on the file's own grid",
    cause="the mask was a JPEG once; saving it as PNG keeps the noise",
    remedy="make the masks again from the original annotation and store them as PNG only",
)


def judge(survey: Survey) -> Iterator[MaskFinding]:
    """Name the masks whose edges invent ids, and by what."""
    dirty = [facts for facts in survey.index_masks if soiled(facts)]
    if not dirty:
        return
    middle = median(facts.blocks for facts in dirty)
    for facts in dirty:
        blocky = middle < BLOCKY
        if len(dirty) > 1 and not CLEARLY[0] <= facts.blocks <= CLEARLY[1]:
            blocky = facts.blocks < CLEARLY[0]
        yield _jpeg(facts) if blocky else _interpolated(facts)


def _interpolated(facts: Facts) -> MaskFinding:
    edges = facts.edges
    ids = edges.graded_ids or edges.noisy_ids
    lobes = edges.overshot > BICUBIC * max(edges.graded, 1)
    kernel = "bicubic or Lanczos: some overshoot" if lobes else "bilinear or area"
    found = (
        f"{'-'.join(map(str, ids))} on {facts.soiled:,} of {edges.sharp + facts.soiled:,} edges"
        f" ({kernel})"
    )
    expected = f"{ids[0]} next to {ids[-1]}"
    at = edges.graded_at or edges.noisy_at
    return finding(INTERPOLATED, facts.name, expected=expected, found=found, place=at)


def _jpeg(facts: Facts) -> MaskFinding:
    edges = facts.edges
    ids = edges.noisy_ids or edges.graded_ids
    rare = sorted(v for v, about in facts.ids.items() if not about.area)
    found = (
        f"{listed(ids, 6)} in a row, {len(rare)} ids without an area; mixed 8x8 blocks on the"
        f" file's grid are {100 * facts.blocks:.0f} % of those on other grids"
    )
    at = edges.noisy_at or edges.graded_at
    return finding(JPEG_NOISE, facts.name, expected="areas of one id", found=found, place=at)
