"""What other learning rates would do: a few steps at each, from the same start."""

import math
from dataclasses import dataclass

from segtrain.config import known
from segtrain.doctor.examination import Examination
from segtrain.doctor.silencing import judge

FACTORS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
BEYOND = (1e5, 1e7, 1e9)  # only as long as the largest is the best
RISE = 6  # steps over which the rate rises, for no run begins at its peak


@dataclass(frozen=True)
class RangeTest:
    """Loss of the net on the examination's batches.

    Attributes:
        before: At the start, nats.
        after: By factor on the run's rate: after a few steps; infinite where it broke.
    """

    before: float
    after: dict[float, float]

    @property
    def best(self) -> float:
        """The factor with the lowest loss, the smallest of equals."""
        return min(self.after, key=lambda factor: (self.after[factor], factor))

    def gain(self, factor: float) -> float:
        """By how much the loss fell at a factor, nats; below 0 where it rose."""
        return self.before - self.after[factor]


def range_test(exam: Examination) -> RangeTest:
    """Train a copy for a few steps at each factor of the run's peak rate."""
    after: dict[float, float] = {}
    for number, factor in enumerate(FACTORS):
        exam.progress("trying learning rates", number, len(FACTORS))
        after[factor] = loss_after(exam, factor)
    for factor in BEYOND:
        if min(after, key=after.__getitem__) != max(after):
            break
        after[factor] = loss_after(exam, factor)
    return RangeTest(judge(exam, exam.patient.model).loss, after)


def loss_after(exam: Examination, factor: float) -> float:
    """The loss after a few steps at this factor of the rate; infinite where it broke."""
    learner = exam.learner()
    rate = factor * known(exam.patient.config.lr)
    for step in range(exam.plan.rate_steps):
        if not math.isfinite(float(learner.gradients(exam.batch(step)).loss)):
            return math.inf
        learner.update(rate * min(1.0, (step + 1) / RISE))
    loss = judge(exam, learner.predictor.model).loss
    return loss if math.isfinite(loss) else math.inf
