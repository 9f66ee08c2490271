"""How steps are computed on the hardware at hand: a panel of options."""

from dataclasses import dataclass, field

from segtrain.options.fields import about


@dataclass(frozen=True)
class RunningOptions:
    """How steps are computed on the hardware at hand; each field's `help` says what it does."""

    accumulate: int = field(
        default=1,
        metadata=about(
            "Running",
            "Cut each batch into so many parts, computed one after the other: less memory, the "
            "same step (with --norm batch the statistics are those of a part).",
            min=1,
        ),
    )
    clip: float | None = field(
        default=None,
        metadata=about(
            "Running",
            "Shorten a step's gradient to this norm, over all weights together. The log's "
            "grad_norm is that of before.",
            above=0,
        ),
    )
