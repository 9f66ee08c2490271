"""How the weights are learnt: a panel of options."""

from dataclasses import dataclass, field
from typing import Literal

from segtrain.options.fields import about

Device = Literal["auto", "cpu", "cuda", "mps"]
RecipeName = Literal["modern", "light", "heavy", "scratch", "journal", "tiramisu"]
Optimizer = Literal["sgd", "adamw", "rmsprop"]
Schedule = Literal["poly", "cosine", "constant", "exponential"]
Reduction = Literal["mean", "sum"]

AUTO = 0  # --batch auto, until the largest one that fits is found


@dataclass(frozen=True)
class TrainingOptions:
    """How the weights are learnt; each field's `help` says what it does."""

    recipe: RecipeName | None = field(
        default=None,
        metadata=about(
            "Training",
            "Values for the options that are not given; `segtrain recipes` lists them. By default "
            "modern.",
        ),
    )
    steps: int = field(
        default=20_000, metadata=about("Training", "Training steps, one batch each.", min=1)
    )
    batch: int = field(
        default=16,
        metadata=about(
            "Training",
            "Images per step. auto takes as many as the memory of a CUDA GPU holds, a power of two "
            "for each of the parts and GPUs.",
            words={"auto": AUTO},
            min=0,
        ),
    )
    optimizer: Optimizer = field(
        default="sgd",
        metadata=about(
            "Training",
            "sgd with momentum, as in the papers; adamw (decay apart from the gradient); rmsprop.",
        ),
    )
    lr: float | None = field(
        default=None,
        metadata=about(
            "Training",
            "Peak learning rate. By default 0.05 for sgd with a norm (0.01 for torchvision's nets "
            "that start from weights), 0.001 for all else; --loss-reduction sum needs its own.",
            above=0,
        ),
    )
    bias_rate: float = field(
        default=2.0,
        metadata=about(
            "Training", "Factor on the learning rate of biases; 2 in the FCN papers.", min=0, max=10
        ),
    )
    schedule: Schedule = field(
        default="poly",
        metadata=about(
            "Training",
            "How the learning rate falls from its peak: poly and cosine reach 0 at the end, "
            "constant never falls, exponential falls by --decay every --decay-steps.",
        ),
    )
    power: float = field(
        default=0.9,
        metadata=about("Training", "Exponent of --schedule poly; 1 is a straight line.", min=0),
    )
    decay: float = field(
        default=0.995,
        metadata=about(
            "Training", "Factor of --schedule exponential on the rate.", above=0, below=1
        ),
    )
    decay_steps: int | None = field(
        default=None,
        metadata=about(
            "Training",
            "Steps between two falls of --schedule exponential. By default one pass over the "
            "training images, with --mix as many draws; a stream (--reader webdataset) needs a "
            "number.",
            min=1,
        ),
    )
    momentum: float = field(
        default=0.9,
        metadata=about(
            "Training",
            "Momentum of sgd and rmsprop; of adamw the decay of the mean gradient.",
            min=0,
            below=1,
        ),
    )
    weight_decay: float = field(
        default=5e-4,
        metadata=about(
            "Training",
            "Weight decay of convolutions; biases and norms have none. It is not divided by the "
            "pixels: under --loss-reduction sum it weighs that much less.",
            min=0,
        ),
    )
    loss_reduction: Reduction = field(
        default="mean",
        metadata=about(
            "Training",
            "mean: the loss is that of the mean valid pixel of a step; sum: of all together, so "
            "the rate must be smaller by their number. The log shows the mean for both.",
        ),
    )
    class_weights: str = field(
        default="none",
        metadata=about(
            "Training",
            "Weights of the classes in the loss: none, median-frequency or inverse-log of the "
            "training pixels, or a JSON file: numbers by class name, or a list.",
        ),
    )
    loss_sampling: float = field(
        default=1.0,
        metadata=about(
            "Training",
            "Share of the pixels whose loss counts, drawn anew for each image (the papers' patch "
            "sampling); 1 takes all.",
            above=0,
            max=1,
        ),
    )
    ema: float = field(
        default=0.0,
        metadata=about(
            "Training",
            "Decay of the running average of the weights, which validation, best.pt, eval and "
            "predict use; 0 keeps none. modern has 0.999.",
            min=0,
            below=1,
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
