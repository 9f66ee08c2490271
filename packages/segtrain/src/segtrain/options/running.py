"""How steps are computed on the hardware at hand: a panel of options."""

from dataclasses import dataclass, field
from typing import Literal

from segtrain.options.fields import about

Precision = Literal["auto", "bf16", "fp32"]
DeadLayers = Literal["stop", "warn", "ignore"]
Statistics = Literal["running", "batch"]  # that batch norms use where a net is judged
JudgedBy = Literal["running", "batch", "both"]


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
    precision: Precision = field(
        default="auto",
        metadata=about(
            "Running",
            "Numbers of the net's products: bf16, or fp32 without TF32. auto is bf16 on a CUDA GPU "
            "that has it, fp32 elsewhere.",
        ),
    )
    compile: bool = field(
        default=False,
        metadata=about(
            "Running",
            "Let torch compile the net for the training size: minutes at the start, then maybe "
            "faster steps.",
        ),
    )
    checkpointing: bool = field(
        default=False,
        metadata=about(
            "Running",
            "FC-DenseNet: keep of each dense layer only the maps that it sees, and compute the "
            "rest again for backward: the same numbers in less memory and more time.",
        ),
    )
    dead_layers: DeadLayers = field(
        default="stop",
        metadata=about(
            "Running",
            "What to do where a layer turns out to have no gradient at all, in the first steps or "
            "later, so that it can never learn: stop, warn, or ignore, which does not look.",
        ),
    )
