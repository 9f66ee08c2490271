"""The learning rate of each step: a pure function of the step and the configuration."""

import math

from segtrain.config import TrainConfig, known


def decay(progress: float, config: TrainConfig) -> float:
    """What the schedule leaves of the peak rate.

    Args:
        progress: Steps taken by steps in all, 0..1.
        config: The configuration; `schedule` and `power` count.

    Returns:
        1 at progress 0; at progress 1 it is 0 for `poly` (unless its power is 0) and `cosine`, 1
        for `constant`.
    """
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "cosine":  # Loshchilov and Hutter, arXiv:1608.03983, without restarts
        return 0.5 * (1 + math.cos(math.pi * progress))
    left: float = (1 - progress) ** config.power  # DeepLab, arXiv:1606.00915, section 4.1
    return left


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step `step` (0 is the first): a linear warm-up under the schedule's decay.

    `lr * min(1, (step + 1) / warmup) * decay(step / steps)`
    """
    rise = min(1.0, (step + 1) / max(1, known(config.warmup)))
    return known(config.lr) * rise * decay(step / config.steps, config)
