"""What moves: gradients of every parameter over the first optimiser steps."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from segtrain.config import known
from segtrain.doctor.examination import Examination
from segtrain.doctor.layers import Layer, layers
from segtrain.learning import Learner

RISE = 10  # steps over which the rate rises to its peak: none that trains is woken by a jump
MARGIN = 3  # steps beyond the last in which a layer may wake


@dataclass
class Gradients:
    """Which parameters ever had a gradient.

    The gradient is looked at as it comes from the loss, before the optimiser adds weight decay or
    momentum: what these move alone has not learnt.

    Attributes:
        names: The trained parameters of the net.
        steps: Steps seen.
        first: By parameter, the first step (1 is the first) whose gradient was not exactly zero
            everywhere; 0 before there was one.
    """

    names: list[str]
    steps: int = 0
    first: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module) -> "Gradients":
        """Of the parameters of a net that are not frozen."""
        names = [name for name, p in model.named_parameters() if p.requires_grad]
        return cls(names, 0, dict.fromkeys(names, 0))

    def see(self, peaks: dict[str, float]) -> None:
        """Note the largest absolute gradient of each parameter at one more step."""
        self.steps += 1
        for name, peak in peaks.items():
            if peak != 0 and not self.first[name]:  # NaN is a gradient, too, though a sick one
                self.first[name] = self.steps

    @property
    def silent(self) -> set[str]:
        """Parameters that never had a gradient."""
        return {name for name in self.names if not self.first[name]}


def peaks(model: nn.Module) -> dict[str, float]:
    """The largest absolute gradient of each trained parameter; 0 where there is none.

    The maximum and not a sum of squares, which would round a small gradient to zero.
    """
    found = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    grads = {name: grad for name, grad in found.items() if grad is not None and grad.numel()}
    values: list[float] = []
    if grads:  # read together: each single read would wait for the GPU
        largest: list[Tensor] = [torch.linalg.vector_norm(g, math.inf) for g in grads.values()]
        values = torch.stack(largest).tolist()
    return dict.fromkeys(found, 0.0) | dict(zip(grads, values, strict=True))


def wake_steps(model: nn.Module) -> int:
    """The step by which every layer that can wake has its first gradient.

    A zero layer whose input is not zero has a gradient at the first step and passes one on from
    the second. So a layer above which lie k zero layers wakes at step k + 1 at the latest; the
    zero layers of the whole net are at least as many as those of any path.
    """
    return 1 + sum(layer.zero for layer in layers(model))


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
