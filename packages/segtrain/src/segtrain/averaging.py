"""A running average of the weights (EMA): steadier than the net of the last step.

Polyak and Juditsky's averaging in its exponential form. The decay rises with the steps, as
`min(decay, (1 + step) / (10 + step))` (TensorFlow's rule), so that a short run is not judged on
its random start: after 90 steps the average spans about the last ten.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from segtrain.models.net import Net

State = Mapping[str, Tensor]


def decay_at(step: int, decay: float) -> float:
    """The decay of the update after step `step` (1 is the first).

    Args:
        step: Steps taken.
        decay: The decay in the long run, 0..1 (1 excluded).
    """
    return min(decay, (1 + step) / (10 + step))


class WeightAverage:
    """The running average of a net's weights.

    Batch norm's running mean and variance are averaged, too, for they belong to the weights that
    they were measured under; counters are copied.

    Args:
        model: The net that learns; the average starts as a copy of it as it is now.
        decay: The decay in the long run, 0..1 (1 excluded).

    Attributes:
        model: The average, on the net's device, in evaluation mode and without gradients.
        steps: Steps taken in so far.
    """

    def __init__(self, model: Net, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)

    def restore(self, state: State, steps: int) -> None:
        """Go on from an average that was saved after so many steps."""
        self.model.load_state_dict(dict(state))
        self.steps = steps

    @torch.no_grad()
    def update(self, model: Net) -> None:
        """Take in the weights after one more step."""
        self.steps += 1
        share = 1 - decay_at(self.steps, self.decay)
        theirs = model.state_dict()
        for name, ours in self.model.state_dict().items():
            if ours.is_floating_point():
                ours.lerp_(theirs[name], share)
            else:
                ours.copy_(theirs[name])
