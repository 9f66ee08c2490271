"""The optimiser and its groups of weights (Long et al., CVPR 2015, section 4.3)."""

from typing import Any

import torch
from torch import nn

from segtrain.config import TrainConfig

# Lasagne, by which FC-DenseNet was trained, adds 1e-6 under the root; torch adds this behind it,
# which is the same for gradients that are far above or far below it
EPSILON = 1e-3
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm)


def parameter_groups(
    model: nn.Module, weight_decay: float, bias_rate: float = 2.0
) -> list[dict[str, Any]]:
    """Trained parameters by how they learn; frozen ones are in no group.

    Weights of convolutions decay; biases learn at `bias_rate` times the rate, twice as fast in the
    authors' recipe, and do not decay; the parameters of norms do not decay either.
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
        {"params": biases, "rate": bias_rate, "weight_decay": 0.0},
        {"params": norms, "rate": 1.0, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser over `parameter_groups`; its rate is set before each step.

    `adamw` decays the weights apart from the gradient (Loshchilov and Hutter, arXiv:1711.05101);
    `sgd` and `rmsprop` add the decay to the gradient. `rmsprop` averages squares by 0.9.
    """
    groups = parameter_groups(model, config.weight_decay, config.bias_rate)
    devices = {p.device.type for group in groups for p in group["params"]}
    # one kernel for all weights, without a copy of them for the decay; elsewhere torch decides
    fused = True if devices <= {"cuda", "cpu"} else None
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=(config.momentum, 0.999), fused=fused)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=0.0, alpha=0.9, eps=EPSILON, momentum=config.momentum)
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, fused=fused)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Go on with the state that another optimiser of the same weights had, on whatever device.

    How a step is computed (`fused`, `foreach`) stays as it suits this device.

    Raises:
        ValueError: If what it holds for a weight has another shape; torch would not see it.
        LookupError: If parts of it are missing.
    """
    ways = [{k: g[k] for k in ("fused", "foreach") if k in g} for g in optimizer.param_groups]
    groups = [theirs | ours for theirs, ours in zip(state["param_groups"], ways, strict=True)]
    optimizer.load_state_dict(state | {"param_groups": groups})
    for weight, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != weight.shape:
                raise ValueError(
                    f"{name} of the optimiser is {tuple(value.shape)} for a weight of "
                    f"{tuple(weight.shape)}"
                )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group the rate times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]
