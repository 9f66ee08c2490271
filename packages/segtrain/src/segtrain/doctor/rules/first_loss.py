"""The loss that a net starts with, against ln C."""

import math

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.standing import says_nothing, standing

TOLERANCE = 1e-3  # nats; rounding is below 1e-5
LOUD = 10  # times ln C: random scores start at 1 to 4 times


def examine(exam: Examination) -> Opinion:
    """Compare the loss before any step with that of a net that says nothing."""
    if exam.patient.trained:
        return Unexamined("the net has been trained already")
    loss, classes = exam.once(standing).loss, len(exam.patient.predictor.classes)
    uniform = math.log(classes)
    if says_nothing(exam):
        if abs(loss - uniform) <= TOLERANCE:
            return Healthy(f"{loss:.4f} nats, ln {classes}: score layers start at zero")
        return [wrong_scores(loss, classes)]
    if loss > LOUD * uniform or not math.isfinite(loss):
        return [loud(exam, loss, classes)]
    return Healthy(f"{loss:.3f} nats; a net that puts out zeros has ln {classes} = {uniform:.3f}")


def wrong_scores(loss: float, classes: int) -> Finding:
    """Zero score layers that do not give equal scores to all classes, or to others."""
    seen = math.exp(loss)
    return RULE.finding(
        "fatal",
        f"The net starts at a loss of {loss:.4f}; with zero score layers it must be ln {classes} = "
        f"{math.log(classes):.4f}.",
        evidence=f"e^{loss:.4f} = {seen:.2f} classes that are held equally likely; the data have "
        f"{classes}",
        cause="the net has another number of scores than there are classes, or something behind "
        "the score layers is not the same for all classes",
        loss=loss,
        uniform=math.log(classes),
    )


def loud(exam: Examination, loss: float, classes: int) -> Finding:
    """Scores so large that the net is sure of what it cannot know."""
    weights = exam.patient.config.weights != "none" or exam.patient.origin is not None
    cause = "score layers start at random on inputs that are far larger than 1"
    if weights:
        cause += ", or the loaded weights belong to another preprocessing or class list"
    return RULE.finding(
        "warning",
        f"The net starts at a loss of {loss:.1f}, {loss / math.log(classes):.0f} times that of a "
        "net that knows nothing: it is sure, and wrong.",
        evidence=f"ln {classes} = {math.log(classes):.3f}; random scores of a sound scale start at "
        "1 to 4 times that",
        cause=cause,
        remedy="--score-init zero --skip-init zero; a --norm; with loaded weights, their own "
        "--preprocessing",
        loss=loss,
        uniform=math.log(classes),
    )


RULE = Rule(
    name="first-loss",
    title="First loss",
    severity="fatal",
    reason="Scores that are all equal give each of C classes the probability 1/C, and a loss of "
    "ln C: 3.0445 for 21 classes. Score layers at zero start exactly there. Another value means "
    "another number of scores, or something behind them. Random scores start higher; far higher "
    "only where their scale is wrong, and the first steps are then spent on making them small.",
    evidence="Mean loss per valid pixel over the batches of the examination before any step, with "
    "the statistics of the batch and without dropout and class weights. With zero score layers it "
    "must be ln C to 0.001; otherwise a warning from 10 ln C on.",
    remedy="Give the net as many scores as there are classes.",
    examine=examine,
)
