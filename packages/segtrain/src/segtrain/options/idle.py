"""Options that do nothing unless another one is set, so that giving them alone is refused."""

from collections.abc import Callable
from typing import Any, NamedTuple

from segtrain.errors import UsageError
from segtrain.options.fields import flag


class Idle(NamedTuple):
    """An option that is idle under a condition.

    Attributes:
        name: Its field.
        holds: Whether a configuration leaves it nothing to do.
        reason: Why, and what to do.
    """

    name: str
    holds: Callable[[Any], bool]
    reason: str


IDLE = (
    Idle(
        "buffer",
        lambda config: config.reader != "webdataset",
        "it is for --reader webdataset; with an index all samples of a block are shuffled",
    ),
    Idle(
        "crop",
        lambda config: config.fit == "native",
        "--fit native takes whole images at their own size",
    ),
    Idle(
        "power", lambda config: config.schedule != "poly", "it is the exponent of --schedule poly"
    ),
    Idle(
        "decay",
        lambda config: config.schedule != "exponential",
        "it is the factor of --schedule exponential",
    ),
    Idle(
        "decay_steps",
        lambda config: config.schedule != "exponential",
        "it is for --schedule exponential",
    ),
    Idle(
        "keep",
        lambda config: config.keep_every == 0,
        "--keep-every 0 keeps no steps",
    ),
    Idle(
        "skip_init",
        lambda config: config.variant == "32s",
        "it starts the skips' score layers, and --variant 32s has none",
    ),
)


def check_idle(config: Any, defaults: dict[str, Any]) -> None:  # noqa: ANN401 - any configuration
    """Refuse options that were given another value than their default and would do nothing.

    Args:
        config: The configuration.
        defaults: The default of each field.

    Raises:
        UsageError: With the option and the reason.
    """
    for idle in IDLE:
        value = getattr(config, idle.name)
        if value != defaults[idle.name] and idle.holds(config):
            raise UsageError(f"{flag(idle.name)} {value} does nothing: {idle.reason}; leave it out")
