"""What moves: a copy of the net over the first optimiser steps."""

import math
from dataclasses import dataclass

from segtrain.config import known
from segtrain.doctor.examination import Examination
from segtrain.doctor.gradients import MARGIN, Gradients, peaks, wake_steps
from segtrain.doctor.layers import Layer, layers
from segtrain.learning import Learner

RISE = 10  # steps over which the rate rises to its peak: none that trains is woken by a jump


@dataclass
class Motion:
    """A copy of the net, trained for some steps.

    Attributes:
        gradients: Which parameters ever had one.
        history: The largest absolute gradient of each parameter, step by step.
        losses: Loss of each step, nats.
        needed: The step by which every layer that can wake has done so.
        learner: The copy, as it is after the last step.
        broke: The step whose loss was NaN or infinite and which moved nothing; None where none was.
    """

    gradients: Gradients
    history: dict[str, list[float]]
    losses: list[float]
    needed: int
    learner: Learner
    broke: int | None = None

    def dead(self) -> list[Layer]:
        """Layers whose weights are trained and never had a gradient, in the net's order."""
        model = self.learner.predictor.model
        names = {f"{layer.name}.weight": layer for layer in layers(model)}
        return [layer for name, layer in names.items() if name in self.gradients.silent]


def motion(exam: Examination) -> Motion:
    """Train a copy for some steps as the run would, its rate soon at its peak."""
    learner = exam.learner()
    model = learner.predictor.model
    needed = wake_steps(model)
    steps = max(exam.plan.steps, needed + MARGIN)
    gradients = Gradients.of(model)
    made = Motion(gradients, {name: [] for name in gradients.names}, [], needed, learner)
    for step in range(steps):
        exam.progress("watching gradients", step, steps)
        loss = float(learner.gradients(exam.batch(step)).loss)
        found = peaks(model)
        gradients.see(found)
        for name, peak in found.items():
            made.history[name].append(peak)
        if not math.isfinite(loss):
            made.broke = step + 1
            break
        made.losses.append(loss)
        learner.update(known(exam.patient.config.lr) * min(1.0, (step + 1) / RISE))
    return made
