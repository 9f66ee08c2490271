"""Trained nets that predict one class everywhere."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.standing import standing

NEARLY_ALL = 0.999  # share of the pixels
MIXED = 0.98  # largest share of a class in labels that hold something else to predict
LONG = 1000  # steps after which that is a warning


def examine(exam: Examination) -> Opinion:
    """Find a class that is predicted everywhere."""
    saved = exam.patient.checkpoint
    if saved is None:
        return Unexamined("a new net, which may well predict one class")
    stand = exam.once(standing)
    top = int(stand.predicted.argmax())
    name = exam.patient.predictor.classes[top].name
    share, true = float(stand.predicted[top]), float(stand.labelled[top])
    if true > MIXED:
        return Unexamined(f"{100 * true:.1f} % of the labels are {name} anyway")
    if share < NEARLY_ALL:
        used = int((stand.predicted > 0).sum())
        return Healthy(f"{used} classes are predicted, {name} most: {100 * share:.0f} %")
    return [
        RULE.finding(
            "warning" if saved.step >= LONG else "note",
            f"After {saved.step:,} steps the net predicts {name} everywhere.",
            evidence=f"{100 * share:.2f} % of its predictions are {name}, {100 * true:.1f} % of "
            "the labels of the same pixels",
            cause=""
            if top == 0
            else "not even the most frequent class, so its scores have run "
            "away or its norms' running statistics are wrong",
            predicted=share,
            labelled=true,
        )
    ]


RULE = Rule(
    name="single-class",
    title="A single class",
    severity="warning",
    reason="Three quarters of VOC's pixels are background, so that predicting nothing else has 73 "
    "% pixel accuracy, and a mean IoU of 3.5 %. A young net does so for some hundred steps; one "
    "that still does has not learnt to tell classes apart.",
    evidence="Predictions of a trained net on training batches, in evaluation mode: one class has "
    "99.9 % of the pixels or more, but not of the labels. A warning after 1,000 steps, before "
    "that a note.",
    remedy="Train longer or at a higher --lr; --class-weights, if rare classes matter more; look "
    "at dead-layers and batch-norm.",
    examine=examine,
)
