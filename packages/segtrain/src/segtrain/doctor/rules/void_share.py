"""Void: how much of the masks no loss sees."""

import numpy as np

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.survey import Surveyed, survey

MUCH = 0.3  # of all pixels
RATHER = 0.15
BACKGROUND = 0.01  # share of the labelled pixels below which background is missing
EMPTY = 0.05  # share of masks that are void altogether


def examine(exam: Examination) -> Opinion:
    """Look at the share of 255 in the masks of each part."""
    found = [part for part in exam.once(survey) if any(look.sound for look in part.looks)]
    if not found:
        return Unexamined("no mask could be read one by one")
    findings = [one for part in found for one in examine_part(part)]
    shares = ", ".join(f"{100 * share(part):.1f} % of {part.part.name}" for part in found)
    return findings or Healthy(f"void: {shares}")


def share(part: Surveyed) -> float:
    """Share of void in the pixels of a part."""
    total = np.sum([look.pixels for look in part.looks if look.sound], axis=0)
    return float(total[-1] / max(1, total.sum()))


def examine_part(part: Surveyed) -> list[Finding]:
    """The findings on one part."""
    sound = [look for look in part.looks if look.sound]
    total = np.sum([look.pixels for look in sound], axis=0)
    labelled = max(1, int(total[:-1].sum()))
    void, background = share(part), float(total[0] / labelled)
    empty = [look for look in sound if not look.pixels[:-1].any()]
    findings = []
    if len(empty) >= max(1, EMPTY * len(sound)):
        keys = [part.part.samples.key(look.number) for look in empty[:3]]
        findings.append(
            RULE.finding(
                "warning",
                f"Masks of {part.part.name} are void altogether: these images teach nothing.",
                evidence=f"{len(empty):,} of the {len(sound):,} looked at, such as "
                f"{', '.join(keys)}",
                masks=len(empty),
                looked_at=len(sound),
                keys=keys,
            )
        )
    if void >= RATHER:
        findings.append(much_void(part, void, background))
    return findings


def much_void(part: Surveyed, void: float, background: float) -> Finding:
    """The finding on a part with much void."""
    missing = background < BACKGROUND
    return RULE.finding(
        "warning" if void >= MUCH or missing else "note",
        f"{100 * void:.0f} % of the pixels of {part.part.name} are void: no loss and no metric "
        "sees them.",
        evidence=f"in {len(part.looks):,} masks; {100 * background:.1f} % of the labelled pixels "
        "are background. VOC has 5 % void, Cityscapes about 11",
        cause="what is not labelled was made 255, and not background: the net is never told what "
        "is no object, and will see objects everywhere"
        if missing
        else "",
        void=void,
        background=background,
    )


RULE = Rule(
    name="void-share",
    title="Void",
    severity="warning",
    reason="255 says that nobody knows, and takes the pixel out of loss and metric. It is meant "
    "for borders and doubtful objects. Where unlabelled ground is void and not background, a net "
    "never learns what is no object, and no figure shows it.",
    evidence="Pixels of up to 200 masks of each data set and split. A note from 15 % void on, a "
    "warning from 30 % on or where less than 1 % of the labelled pixels are background as well; "
    "and where 5 % of the masks hold nothing but void.",
    remedy="If 255 stands for background, build the shards with it mapped to 0 (`segdata "
    "build-folder`, or the class file of `segtrain index`).",
    examine=examine,
)
