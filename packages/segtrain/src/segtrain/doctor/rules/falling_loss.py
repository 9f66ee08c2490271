"""A loss that does not fall in the first steps."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.motion import Motion, motion
from segtrain.doctor.silencing import judge
from segtrain.validation import floors

RISEN = 1.05  # loss after over the larger of loss before and floor
STILL = 1e-7  # relative change of a loss that is the same, rounding aside


def examine(exam: Examination) -> Opinion:
    """Compare the loss on the same batches before and after the steps of `motion`."""
    patient = exam.patient
    made = exam.once(motion)
    if made.broke:
        return [broken(exam, made)]
    if patient.trained:
        return Unexamined("a trained net may well get worse before it gets better")
    before = judge(exam, patient.model).loss
    after = judge(exam, made.learner.predictor.model).loss
    words = f"loss {before:.3f} before and {after:.3f} after {made.gradients.steps} steps"
    if abs(after - before) <= STILL * before:
        return [finding("The loss does not move at all.", words, before, after)]
    if after > RISEN * max(before, constant_loss(exam)):
        return [finding("The loss rises instead of falling.", words, before, after)]
    return Healthy(words)


def constant_loss(exam: Examination) -> float:
    """The least loss of a constant prediction over all data, nats; 0 where nobody counted."""
    pixels = exam.patient.data.pixels
    if pixels is None:
        return 0.0
    return floors(len(exam.patient.predictor.classes), pixels).get("prior", 0.0)


def broken(exam: Examination, made: Motion) -> Finding:
    """The loss is no number any more."""
    rate = exam.patient.config.lr
    return RULE.finding(
        "warning",
        f"The loss is NaN or infinite at step {made.broke}.",
        evidence=f"losses before it: {', '.join(f'{x:.3g}' for x in made.losses[-4:]) or 'none'}",
        cause="" if made.broke == 1 else f"steps at --lr {rate:g} threw the weights out of range",
        remedy=""
        if made.broke != 1
        else "the net or its input holds NaN or infinities: look at the weights that were loaded",
        step=made.broke,
        losses=made.losses,
    )


def finding(verdict: str, words: str, before: float, after: float) -> Finding:
    """A loss that did not fall."""
    return RULE.finding("warning", verdict, evidence=words, before=before, after=after)


RULE = Rule(
    name="falling-loss",
    title="Falling loss",
    severity="warning",
    reason="From a random start almost any step along the gradient helps: within 40 steps the "
    "loss on these very batches is lower, unless the rate is so high that steps overshoot, so low "
    "that float32 rounds them away, or nothing moves.",
    evidence="Mean loss on the same batches, without dropout, before and after the steps of "
    "dead-layers (the rate rises to --lr within 10). A finding: NaN; no change at all; or a loss "
    "5 % above both its start and the entropy of the classes' shares.",
    remedy="A lower --lr or a longer --warmup; see learning-rate.",
    examine=examine,
)
