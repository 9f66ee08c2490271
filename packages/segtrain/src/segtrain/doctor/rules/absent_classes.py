"""Classes that no pixel has, in training or in validation."""

import numpy as np
from numpy.typing import NDArray

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.layers import joined
from segtrain.sampleset import SampleSet, counted_pixels

SHOWN = 6
UNCOUNTED = "no manifest has counted pixels (`segtrain index --no-pixels`)"


def examine(exam: Examination) -> Opinion:
    """Compare the classes with what the masks hold."""
    data = exam.patient.data
    names = [info.name for info in data.train.classes]
    trained = present(data.pixels, len(names))
    if trained is None:
        return Unexamined(UNCOUNTED)
    judged = np.zeros(len(names), bool)
    known = bool(data.val_sets)
    for val in data.val_sets:
        there = present(counts(val.samples), len(names))
        known = known and there is not None
        judged |= there if there is not None else False
    nowhere, untrained, unjudged = ~trained & ~judged, ~trained & judged, trained & ~judged
    findings = []
    if nowhere.any():
        findings.append(absent(names, nowhere, val=known))
    if untrained.any():
        findings.append(not_trained(names, untrained))
    if known and unjudged.any():
        findings.append(not_judged(names, unjudged))
    where = "training and validation" if known else "training"
    return findings or Healthy(f"all {len(names)} classes have pixels in {where}")


def counts(samples: SampleSet) -> NDArray[np.int64] | None:
    """Pixels by class of a set, from its manifest or the records beside its masks, if at hand."""
    if samples.pixels is not None or samples.remote:
        return samples.pixels
    return counted_pixels(samples)


def present(
    pixels: NDArray[np.int64] | NDArray[np.float64] | None, classes: int
) -> NDArray[np.bool_] | None:
    """Which classes have a pixel; None where nobody has counted."""
    if pixels is None or not pixels.any():
        return None
    return np.asarray(pixels[:classes] > 0)


def listed(names: list[str], which: NDArray[np.bool_]) -> str:
    """Classes for people, the first few of many, each with its id."""
    found = [f"{name} ({number})" for number, name in enumerate(names) if which[number]]
    if len(found) > SHOWN:
        return f"{', '.join(found[:SHOWN])} and {len(found) - SHOWN} more"
    return joined(found)


def absent(names: list[str], which: NDArray[np.bool_], *, val: bool) -> Finding:
    """Classes of the list that are nowhere."""
    where = "in training or validation" if val else "in training"
    return RULE.finding(
        "warning",
        f"{listed(names, which)}: no pixel {where}.",
        evidence=f"{int(which.sum())} of {len(names)} classes of the list have no pixel",
        cause="the class list is longer than what the masks hold, or their ids mean other classes",
        remedy="check that names and ids belong together; a class that is meant to be absent only "
        "costs a score",
        classes=[names[i] for i in np.flatnonzero(which)],
    )


def not_trained(names: list[str], which: NDArray[np.bool_]) -> Finding:
    """Classes that are judged and never trained."""
    return RULE.finding(
        "warning",
        f"{listed(names, which)}: in validation, but no pixel to train on. IoU 0 is certain there, "
        "and counts in the mean.",
        evidence=f"{int(which.sum())} of {len(names)} classes have no pixel in the training masks",
        classes=[names[i] for i in np.flatnonzero(which)],
    )


def not_judged(names: list[str], which: NDArray[np.bool_]) -> Finding:
    """Classes that are trained and never judged."""
    return RULE.finding(
        "note",
        f"{listed(names, which)}: trained, but no pixel in validation, so no IoU counts for it.",
        evidence=f"{int(which.sum())} of {len(names)} classes have no pixel in the validation "
        "masks; a mean IoU over the others is not comparable with one over all",
        remedy="validate on a larger part of the data (--val-split)",
        classes=[names[i] for i in np.flatnonzero(which)],
    )


RULE = Rule(
    name="absent-classes",
    title="Classes without pixels",
    severity="warning",
    reason="A class that no training mask holds cannot be learnt, and one that no validation mask "
    "holds cannot be judged: mean IoU leaves out what is absent, so that it rises or falls with "
    "the choice of images. A list with classes that are nowhere is often not the one that the "
    "masks were drawn by.",
    evidence="Pixels by class, counted when the shards were built (of named subsets, from the "
    "records beside the masks) and weighted by --mix: exact, not a sample. Absent from training "
    "is a warning, from validation alone a note.",
    remedy="Build the shards with the classes that are there (`--classes`), or add images that "
    "hold the others.",
    examine=examine,
)
