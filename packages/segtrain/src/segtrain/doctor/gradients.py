"""Gradients of every parameter: who ever had one, and by when all must have had."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from segtrain.doctor.layers import layers

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
    """The largest absolute gradient of each trained parameter; 0 where there is none."""
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    return dict(zip(names, largest(model).tolist(), strict=True))


@torch.no_grad()
def largest(model: nn.Module) -> Tensor:
    """The same as one tensor on the device, float32 `(P,)`, in the order of the parameters.

    The maximum and not a sum of squares, which would round a small gradient to zero.
    """
    found = []
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.grad is None:
            found.append(torch.zeros((), device=parameter.device))
        elif parameter.requires_grad:
            found.append(torch.linalg.vector_norm(parameter.grad, math.inf).float())
    return torch.stack(found)


def wake_steps(model: nn.Module) -> int:
    """The step by which every layer that can wake has its first gradient.

    A zero layer whose input is not zero has a gradient at the first step and passes one on from
    the second. So a layer above which lie k zero layers wakes at step k + 1 at the latest; the
    zero layers of the whole net are at least as many as those of any path.
    """
    return 1 + sum(layer.zero for layer in layers(model))
