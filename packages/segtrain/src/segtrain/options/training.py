"""How the weights are learnt: a panel of options."""

from dataclasses import dataclass, field
from typing import Literal

from segtrain.options.fields import about

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class TrainingOptions:
    """How the weights are learnt; each field's `help` says what it does."""

    steps: int = field(
        default=20_000, metadata=about("Training", "Training steps, one batch each.", min=1)
    )
    batch: int = field(default=16, metadata=about("Training", "Images per step.", min=1))
    lr: float | None = field(
        default=None,
        metadata=about(
            "Training",
            "Peak learning rate, on the mean loss per pixel; biases learn at twice the rate. By "
            "default 0.05 with a norm, 0.001 without.",
            above=0,
        ),
    )
    momentum: float = field(
        default=0.9, metadata=about("Training", "Momentum of SGD.", min=0, below=1)
    )
    weight_decay: float = field(
        default=5e-4,
        metadata=about(
            "Training", "Weight decay of convolutions; biases and norms have none.", min=0
        ),
    )
    power: float = field(
        default=0.9,
        metadata=about(
            "Training", "Exponent of the polynomial decay of the learning rate to 0.", min=0
        ),
    )
    warmup: int | None = field(
        default=None,
        metadata=about(
            "Training",
            "Steps over which the learning rate rises from near 0. By default a twentieth of "
            "--steps, at most 1000.",
            min=0,
        ),
    )
    seed: int = field(
        default=0,
        metadata=about("Training", "Decides start weights, order, crops and dropout.", min=0),
    )
    device: Device = field(
        default="auto",
        metadata=about("Training", "Where to train; auto takes a GPU where there is one."),
    )
    threads: int | None = field(
        default=None,
        metadata=about(
            "Training",
            "CPU threads of torch; results repeat bit for bit at equal threads. By default "
            "torch's own choice.",
            min=1,
        ),
    )
