"""Layers of a trained net that are still what its seed drew."""

import torch
from torch import Tensor

from segtrain.checkpoint import Checkpoint
from segtrain.doctor.examination import Examination, undisturbed
from segtrain.doctor.findings import Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.layers import layers, listed
from segtrain.models import build

LONG = 100  # steps after which a layer must have moved
SAME = 1e-4  # of the largest weight: what rounding in many steps of decay adds up to


def examine(exam: Examination) -> Opinion:
    """Compare the net of a checkpoint with the start that its own seed gives."""
    saved = exam.patient.checkpoint or exam.patient.origin
    if saved is None:
        return Unexamined("there is no checkpoint")
    if saved.step < LONG:
        return Unexamined(f"the checkpoint is of step {saved.step}, too early to tell")
    config = saved.train_config.resolved()
    if config.init is not None or config.weights != "none":
        return Unexamined("the net of the checkpoint did not start from scratch")
    with undisturbed(torch.device("cpu")):
        torch.manual_seed(config.seed)
        start = build(config, len(saved.classes))
    found = layers(start)
    still = [layer for layer in found if is_same(layer.weight.detach(), saved, layer.name)]
    if not still:
        return Healthy(f"all {len(found)} layers have moved in {saved.step:,} steps")
    one = len(still) == 1
    return [
        RULE.finding(
            "warning",
            f"{listed(still)} {'has' if one else 'have'} learnt nothing in {saved.step:,} steps.",
            evidence=f"the weights are still those that --seed {config.seed} draws, up to a factor",
            cause="they never had a gradient: what moved them, if anything, was weight decay",
            layers=[layer.name for layer in still],
        )
    ]


def is_same(start: Tensor, saved: Checkpoint, name: str) -> bool:
    """Whether a checkpoint's weights are those of the start, up to a factor for their decay."""
    now = saved.model.get(f"{name}.weight")
    if now is None or now.shape != start.shape:
        return False
    now = now.float()
    if not bool(start.any()):
        return not bool(now.any())
    factor = float((now * start).sum() / start.square().sum())
    return bool(torch.all((now - factor * start).abs() <= SAME * now.abs().max())) and factor > 0


RULE = Rule(
    name="untrained-layers",
    title="Untrained layers",
    severity="warning",
    reason="A layer that never had a gradient is still what the seed drew, or that times a factor, "
    "for weight decay shrinks it: it is exact to say so, for the start can be drawn again.",
    evidence="Weights of a checkpoint (--checkpoint or --init) of 100 steps or more that started "
    "from scratch, against its net drawn anew from its own seed: equal up to one factor, to 1e-4 "
    "of the largest weight. Another version of torch draws other numbers; then nothing is found.",
    remedy="Do not go on from this net; see dead-layers for what stopped them.",
    examine=examine,
)
