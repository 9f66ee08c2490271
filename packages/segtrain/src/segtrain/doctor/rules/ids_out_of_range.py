"""Masks that a run cannot read: ids that no class has, and files that are no masks."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.survey import Look, Surveyed, survey

SHOWN = 5


def examine(exam: Examination) -> Opinion:
    """Find masks that hold what is no id, or cannot be read."""
    found = exam.once(survey)
    if not found:
        return Unexamined("a stream's masks cannot be read one by one")
    findings = [one for part in found for one in (strange(part), broken(part)) if one]
    if findings:
        return findings
    counts = [f"{len(p.looks):,} of {len(p.part.numbers):,} in {p.part.name}" for p in found]
    return Healthy(f"all ids of the masks looked at are classes or 255: {', '.join(counts)}")


def strange(surveyed: Surveyed) -> Finding | None:
    """The finding on masks of a part that hold values which are no id."""
    bad = [look for look in surveyed.looks if look.unknown]
    if not bad:
        return None
    classes = len(surveyed.part.samples.classes)
    values = sorted({value for look in bad for value in look.unknown})
    return RULE.finding(
        "fatal",
        f"Masks of {surveyed.part.name} hold {listed(values)}, which no class has; a run stops "
        "at the first of them.",
        evidence=f"{counted(bad, surveyed)}; there are {classes} classes, ids 0 to "
        f"{classes - 1} and 255",
        cause=cause(values, classes),
        samples=places(bad, surveyed),
        ids=values,
    )


def cause(values: list[int], classes: int) -> str:
    """What such values usually come from."""
    if len(values) > SHOWN:
        return (
            "so many different ones come from interpolation or a lossy format: masks were resized "
            "by another than the nearest rule, or saved as JPEG, or are greys of colours"
        )
    if values == [classes]:
        return "ids were counted from 1, or a class is missing from the list"
    return "the class list is not the one that the masks were drawn by"


def broken(surveyed: Surveyed) -> Finding | None:
    """The finding on masks of a part that cannot be read."""
    bad = [look for look in surveyed.looks if look.unreadable]
    if not bad:
        return None
    return RULE.finding(
        "fatal",
        f"Masks of {surveyed.part.name} cannot be read; a run stops at the first of them.",
        evidence=f"{counted(bad, surveyed)}: {bad[0].unreadable}",
        remedy="find out what is wrong with `segdata verify-masks`, and make the shards anew",
        samples=places(bad, surveyed),
    )


def counted(bad: list[Look], surveyed: Surveyed) -> str:
    """How many of those looked at, and the first by name."""
    return (
        f"{len(bad):,} of the {len(surveyed.looks):,} masks looked at, first in "
        f"{places(bad, surveyed)[0]}"
    )


def places(bad: list[Look], surveyed: Surveyed) -> list[str]:
    """Shard and key of the first of them."""
    samples = surveyed.part.samples
    found = [samples.place(look.number) for look in bad[:SHOWN]]
    return [f"{shard}: {key}" for key, shard in found]


def listed(values: list[int]) -> str:
    """Values for people, the first few of many."""
    words = ", ".join(map(str, values[:SHOWN]))
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return f"id{'s' * (len(values) > 1)} {words}{more}"


RULE = Rule(
    name="ids-out-of-range",
    title="Ids out of range",
    severity="fatal",
    reason="A pixel's target is the number of a class: 0 to C, or 255 where nobody knows. Another "
    "number has no score, so no loss; a run that reads one stops.",
    evidence="Masks as stored, up to 200 of each data set and split, from up to 8 shards; in "
    "shards that others made, values that their class file does not name. Masks that cannot be "
    "decoded are told here as well.",
    remedy="Correct the class list, or the masks: ids must never be interpolated, and PNG is the "
    "format that keeps them.",
    examine=examine,
)
