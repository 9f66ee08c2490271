"""Training images in the validation set."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.twins import Twins, twins

SHOWN = 3


def examine(exam: Examination) -> Opinion:
    """Find images that a run trains on and validates on."""
    if not exam.patient.data.val_sets:
        return Unexamined("the run does not validate")
    if exam.patient.data.streams is not None:
        return Unexamined("a stream's keys are not known beforehand")
    found = exam.once(twins)
    findings = [finding(one) for one in found if one.by_id or one.by_bytes]
    if findings:
        return findings
    part = "" if all(one.compared for one in found) else "; files were compared in part"
    return Healthy(f"none of {', '.join(one.name for one in found)} is trained on{part}")


def finding(found: Twins) -> Finding:
    """The finding on one validation set."""
    pairs = found.by_id + found.by_bytes
    one = len(pairs) == 1
    parts = []
    if found.by_id:
        parts.append(f"{len(found.by_id):,} by their ids, such as {named(found.by_id)}")
    if found.by_bytes:
        parts.append(
            f"{len(found.by_bytes):,} with equal image files, such as {named(found.by_bytes)}"
        )
    return RULE.finding(
        "fatal",
        f"{len(pairs):,} image{'s' * (not one)} of {found.name} {'is' if one else 'are'} trained "
        "on: what the run will report there is no result.",
        evidence="; ".join(parts),
        part=found.name,
        by_id=found.by_id[:100],
        by_bytes=found.by_bytes[:100],
        images=len(pairs),
    )


def named(pairs: list[tuple[str, str]]) -> str:
    """The first pairs for people: `TRAIN = VAL`."""
    return ", ".join(f"{a} = {b}" for a, b in pairs[:SHOWN])


RULE = Rule(
    name="shared-images",
    title="Training images in val",
    severity="fatal",
    reason="A net knows the images that it was trained on. COCO's 2014 and 2017 are the same "
    "photos divided anew: 35,504 of val2014 are in train2017. SBD's train holds images of VOC's "
    "val, and VOC 2007 lies in VOC 2012 under the same ids.",
    evidence="Ids of VOC and COCO, whatever the year; in shards that others made, where the last "
    "part of a key is such an id and the pictures correlate to 0.9, for the first 16 such pairs. "
    "Then image files of equal bytes, of all samples in shards on this machine. One photo that "
    "was resized or encoded anew under another name is not found here: `segdata check-leaks` "
    "finds those.",
    remedy="Leave one of the two data sets out, or take a split that shares none: seg11valid, or a "
    "hold-out by `segdata split`.",
    examine=examine,
)
