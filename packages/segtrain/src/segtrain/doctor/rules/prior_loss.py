"""Trained nets that know nothing but how frequent each class is."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.standing import standing
from segtrain.validation import floors

GAIN = 0.02  # nats below the entropy that a net should be, at least
LONG = 1000  # steps after which that is a warning


def examine(exam: Examination) -> Opinion:
    """Compare a trained net's loss with that of the best constant prediction."""
    saved = exam.patient.checkpoint
    if saved is None:
        return Unexamined("a new net; ask again with --checkpoint when it has been trained")
    stand = exam.once(standing)
    prior = floors(len(exam.patient.predictor.classes), exam.patient.data.pixels).get("prior")
    shards = f"; over all training masks the entropy is {prior:.3f}" if prior is not None else ""
    if stand.loss < stand.prior - GAIN:
        return Healthy(
            f"loss {stand.loss:.3f}, the classes' shares alone give {stand.prior:.3f}{shards}"
        )
    return [
        RULE.finding(
            "warning" if saved.step >= LONG else "note",
            f"After {saved.step:,} steps the net is no better than a constant: it knows how "
            "frequent each class is, at most.",
            evidence=f"loss {stand.loss:.3f}; always predicting the shares that the classes have "
            f"in the same batches gives {stand.prior:.3f}{shards}",
            cause="only the last biases have learnt, the rate is far too low or too high, or "
            "masks have nothing to do with images (see shifted-masks)",
            loss=stand.loss,
            prior=stand.prior,
            prior_of_shards=prior,
        )
    ]


RULE = Rule(
    name="prior-loss",
    title="Loss against the classes' shares",
    severity="warning",
    reason="The first thing that a net learns is the bias of its last layer: to predict each class "
    "as often as it is there. The loss falls from ln C to the entropy of the classes' shares "
    "(3.04 to about 1.3 on VOC), which looks like learning and needs no image. A net whose loss "
    "stays there has learnt nothing else.",
    evidence="Mean loss per valid pixel of a trained net on training batches, in evaluation mode, "
    "against the entropy of the labels in the same batches (and, for comparison, of all training "
    "masks). Less than 0.02 nats below it is a warning after 1,000 steps, before that a note.",
    remedy="Run `segtrain doctor` on the options without --checkpoint: dead layers, the learning "
    "rate and one batch that cannot be learnt show there.",
    examine=examine,
)
