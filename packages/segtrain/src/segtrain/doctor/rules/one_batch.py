"""A net that cannot even learn a few images by heart."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.motion import motion
from segtrain.doctor.overfitting import ENOUGH, overfitting


def examine(exam: Examination) -> Opinion:
    """Let a copy learn a few images by heart."""
    found = exam.once(overfitting)
    if found is None:
        return Unexamined("the labels of the first batches are almost all of one class")
    best, steps = min(found.losses), len(found.losses)
    words = f"loss {best:.3f} after {steps} steps of Adam; a constant reaches {found.entropy:.3f}"
    if found.learnt:
        return Healthy(words)
    return [
        RULE.finding(
            "warning",
            "This net cannot learn a handful of images by heart, so it will not learn thousands.",
            evidence=words,
            cause="layers are dead, see dead-layers" if exam.once(motion).dead() else "",
            entropy=found.entropy,
            loss=best,
            steps=steps,
        )
    ]


RULE = Rule(
    name="one-batch",
    title="Learning a few images by heart",
    severity="warning",
    reason="A net of a million weights can store four images. If it cannot, the fault lies in the "
    "net, the loss or the targets, not in too little data or time: it is the first test of any "
    "new set-up.",
    evidence="The four images with the richest labels, no dropout, no augmentation anew, Adam at "
    f"1e-3. A finding: in 150 steps the loss stays above {ENOUGH:g} of the entropy of these "
    "labels, which a constant prediction reaches. Healthy nets take 10 to 40 steps.",
    remedy="Look at pictures of images and masks (`segdata show`), at the findings on layers, and "
    "at the input's range.",
    examine=examine,
)
