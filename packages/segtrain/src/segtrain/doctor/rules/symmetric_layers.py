"""Layers whose units are all copies of one."""

import torch

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Healthy, Opinion, Rule
from segtrain.doctor.layers import Layer, layers, listed
from segtrain.doctor.motion import motion

TOLERANCE = 1e-5  # relative: equal sums in another order differ by less


def examine(exam: Examination) -> Opinion:
    """Find layers that move, but as copies, after the steps of `motion`."""
    made = exam.once(motion)
    dead = {layer.name for layer in made.dead()}
    found = layers(made.learner.predictor.model)
    alive = [layer for layer in found if layer.name not in dead and len(layer.weight) > 1]
    copies = [layer for layer in alive if is_copied(layer)]
    if not copies:
        return Healthy(f"the units of all {len(alive)} layers that move differ from each other")
    one = len(copies) == 1
    return [
        RULE.finding(
            "warning",
            f"{listed(copies)} {'is one unit' if one else 'are one unit each'}, many times over.",
            evidence=f"after {made.gradients.steps} steps all rows of the weights are equal",
            cause="all units started alike, so each gets the same gradient and they stay alike",
            layers=[layer.name for layer in copies],
        )
    ]


def is_copied(layer: Layer) -> bool:
    """Whether all rows of the weights are equal, and not just zero still."""
    rows = layer.weight.detach().float().flatten(1)  # (outputs, inputs)
    size = rows.abs().max()
    return bool(size > 0) and bool(torch.all((rows - rows[:1]).abs() <= TOLERANCE * size))


RULE = Rule(
    name="symmetric-layers",
    title="Symmetric layers",
    severity="warning",
    reason="Units that start alike and see the same get the same gradient, and stay alike: a "
    "layer of 4,096 units is then one unit (rank one). So a bias, or an activation with f(0) "
    "other than 0, wakes a zero layer, but as copies ([the table](initialisation.md), "
    "`1 of 32`). Dropout between such layers breaks the symmetry.",
    evidence="After the steps of dead-layers, all rows of a moving layer's weights agree to 1e-5 "
    "of the largest weight.",
    remedy="Start hidden layers at random: --conv-init he.",
    examine=examine,
)
