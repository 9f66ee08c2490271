"""At which steps of a run a line is due, a validation, or a checkpoint that is kept."""

from segtrain.config import TrainConfig


def is_due(config: TrainConfig, step: int) -> bool:
    """Whether a log line belongs to a step."""
    return step == config.steps or step % config.log_every == 0 or validates(config, step)


def validates(config: TrainConfig, step: int) -> bool:
    """Whether a validation belongs to a step."""
    every = config.val_every
    return bool(every) and (step == config.steps or step % every == 0)


def is_kept(config: TrainConfig, step: int) -> bool:
    """Whether the checkpoint of a step is kept beside last.pt."""
    every = config.keep_every
    return bool(every) and step % every == 0
