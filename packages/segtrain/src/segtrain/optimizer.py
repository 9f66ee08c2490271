"""The loss, the optimiser and its learning rate (Long et al., section 4.3; Caffe's recipe)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtrain.config import TrainConfig, known
from segtrain.manifests import IGNORE_INDEX

NORMS = (nn.BatchNorm2d, nn.GroupNorm)


def valid_pixels(target: Tensor) -> Tensor:
    """How many pixels of a target are not void: int64 scalar; it needs no net."""
    return (target != IGNORE_INDEX).sum()


def pixel_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the cross entropy over valid pixels, and their number.

    Sum and number stay apart so that the loss of a global batch is one sum over one number, however
    the batch was divided: a mean of means is wrong where the share of void differs.

    Args:
        logits: `(N, C, H, W)`.
        target: uint8 `(N, H, W)`, 255 = ignore.

    Returns:
        float32 scalar in nats (0 where no pixel is valid), int64 scalar.
    """
    rows = logits.permute(0, 2, 3, 1).flatten(0, 2).float()  # (N * H * W, C); a view of NHWC
    ids = target.flatten().long()  # (N * H * W)
    loss = F.cross_entropy(rows, ids, ignore_index=IGNORE_INDEX, reduction="sum")
    return loss, valid_pixels(target)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trained parameters by how they learn; frozen ones are in no group.

    Weights of convolutions decay; biases learn at twice the rate and do not decay, as in the
    authors' recipe; the parameters of norms do not decay either.
    """
    weights, biases, norms = [], [], []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if isinstance(module, NORMS):
                norms.append(parameter)
            elif name == "bias":
                biases.append(parameter)
            else:
                weights.append(parameter)
    groups = [
        {"params": weights, "rate": 1.0, "weight_decay": weight_decay},
        {"params": biases, "rate": 2.0, "weight_decay": 0.0},
        {"params": norms, "rate": 1.0, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.SGD:
    """SGD with momentum over `parameter_groups`; its rate is set before each step."""
    groups = parameter_groups(model, config.weight_decay)
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum)


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step `step` (0 is the first): a linear warm-up under a polynomial decay.

    `lr * min(1, (step + 1) / warmup) * (1 - step / steps) ** power`
    """
    rise = min(1.0, (step + 1) / max(1, known(config.warmup)))
    decay: float = (1 - step / config.steps) ** config.power
    return known(config.lr) * rise * decay


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group the rate times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]
