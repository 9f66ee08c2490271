"""Trained nets that score no better than background everywhere."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.standing import standing

GAIN = 0.005  # of mean IoU above the floor, at least
LONG = 1000  # steps after which that is a warning


def examine(exam: Examination) -> Opinion:
    """Compare a trained net's mean IoU with that of all background on the same images."""
    saved = exam.patient.checkpoint
    if saved is None:
        return Unexamined("a new net")
    stand = exam.once(standing)
    found, floor = stand.scores.mean_iou, stand.floor.mean_iou
    against = f"mean IoU {100 * found:.1f} %, all background {100 * floor:.1f} %"
    if found > floor + GAIN:
        return Healthy(f"{against}, on the same {stand.scores.present} classes")
    return [
        RULE.finding(
            "warning" if saved.step >= LONG else "note",
            f"After {saved.step:,} steps the net scores no better than background everywhere.",
            evidence=f"{against} on the same training images; pixel accuracy "
            f"{100 * stand.scores.pixel_accuracy:.1f} and "
            f"{100 * stand.floor.pixel_accuracy:.1f} %",
            mean_iou=found,
            floor=floor,
        )
    ]


RULE = Rule(
    name="background-floor",
    title="Mean IoU against all background",
    severity="warning",
    reason="Mean IoU has a floor that is not 0: background everywhere gets background's share "
    "divided by the number of classes, 3.49 % on VOC, and pixel accuracy then is 73 %. Only what "
    "lies above has been learnt from images.",
    evidence="Mean IoU of a trained net on training batches in evaluation mode, and of all "
    "background on the same pixels. Less than 0.5 points above it is a warning after 1,000 steps, "
    "before that a note.",
    remedy="Train longer or at a higher --lr; if the loss is low nonetheless, look at batch-norm: "
    "evaluation uses running statistics.",
    examine=examine,
)
