"""Masks whose ids were interpolated."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.survey import Look, Surveyed, survey

FEWEST = 20  # borders that a mask must have to be judged
BLENDED = 0.1  # share of them from which on a mask counts as interpolated
SHARE = 0.02  # of the masks of a part that are, from which on it is a finding
SHOWN = 3


def examine(exam: Examination) -> Opinion:
    """Find data sets with masks of which many borders are blends."""
    found = exam.once(survey)
    judged = {s.part.name: [x for x in s.looks if x.blends.borders >= FEWEST] for s in found}
    if not any(judged.values()):
        return Unexamined("no ids meet between which another lies")
    findings = [one for s in found if (one := finding(s, judged[s.part.name]))]
    if findings:
        return findings
    every = [look.blends for part in found for look in part.looks]
    share = sum(b.blended for b in every) / sum(b.borders for b in every)
    return Healthy(f"ids between their neighbours' lie along {100 * share:.2g} % of the borders")


def finding(surveyed: Surveyed, judged: list[Look]) -> Finding | None:
    """The finding on one part."""
    bad = [look for look in judged if look.blends.blended >= BLENDED * look.blends.borders]
    if len(bad) < max(1, SHARE * len(judged)):
        return None
    borders = sum(look.blends.borders for look in bad)
    blended = sum(look.blends.blended for look in bad)
    keys = [surveyed.part.samples.key(look.number) for look in bad[:SHOWN]]
    return RULE.finding(
        "warning",
        f"Masks of {surveyed.part.name} look interpolated: lines of wrong ids run along the "
        "borders of objects.",
        evidence=f"in {len(bad):,} of {len(judged):,} masks, such as {', '.join(keys)}: along "
        f"{100 * blended / borders:.0f} % of the borders at which ids meet lies a line of 1 or 2 "
        "pixels whose id is between theirs; in sound masks it is below 1 %",
        cause="they were resized or warped by another than the nearest rule; or a class is drawn "
        "as a contour, whose id happens to lie between",
        masks=len(bad),
        judged=len(judged),
        share=blended / borders,
        keys=keys,
    )


RULE = Rule(
    name="interpolated-masks",
    title="Interpolated masks",
    severity="warning",
    reason="Between the ids 3 and 9 lies no 6: ids are names. A mask that was resized by a "
    "bilinear rule has along each border a line of valid ids that are wrong, and thin objects "
    "may lose theirs. Nothing complains: the net learns boats around people.",
    evidence="Along rows and columns, borders at which ids meet between which others lie; those "
    "with a line of 1 or 2 pixels between, of an id between the two. A mask with 20 such borders "
    "or more counts as interpolated from 10 % on; a finding from 2 % of the masks on. What "
    "touches void is left out.",
    remedy="Make the masks anew with the nearest rule (`segdata build-...` does), from sources "
    "that were never resized.",
    examine=examine,
)
