"""The learning rate of each step: a pure function of the step and the configuration."""

import math
from dataclasses import replace

from segtrain.config import TrainConfig, known
from segtrain.errors import UsageError


def with_decay_steps(config: TrainConfig, images: int) -> TrainConfig:
    """The configuration with the steps of an epoch where its schedule falls by epochs.

    Args:
        config: The configuration, its batch found.
        images: Training images, all data sets together; 0 where they are not counted.

    Raises:
        UsageError: If they are not counted, and no number was given.
    """
    if config.schedule != "exponential" or config.decay_steps is not None:
        return config
    if not images:
        raise UsageError(
            "--schedule exponential falls after each pass over the images, and a stream does not "
            "count them; add --decay-steps, their number divided by --batch"
        )
    return replace(config, decay_steps=math.ceil(images / config.batch))


def decay(step: int, config: TrainConfig) -> float:
    """What the schedule leaves of the peak rate after so many steps.

    Args:
        step: Steps taken, 0 to `steps`.
        config: The configuration, with `decay_steps` where the schedule is `exponential`.

    Returns:
        1 after no step; after all it is 0 for `poly` (unless its power is 0) and `cosine`.
    """
    progress = step / config.steps
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "cosine":  # Loshchilov and Hutter, arXiv:1608.03983, without restarts
        return 0.5 * (1 + math.cos(math.pi * progress))
    if config.schedule == "exponential":  # Jégou et al., arXiv:1611.09326: by epochs, in stairs
        falls: int = step // known(config.decay_steps)
        return float(config.decay**falls)
    left: float = (1 - progress) ** config.power  # DeepLab, arXiv:1606.00915, section 4.1
    return left


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step `step` (0 is the first): a linear warm-up under the schedule's decay.

    `lr * min(1, (step + 1) / warmup) * decay(step)`
    """
    rise = min(1.0, (step + 1) / max(1, known(config.warmup)))
    return known(config.lr) * rise * decay(step, config)
