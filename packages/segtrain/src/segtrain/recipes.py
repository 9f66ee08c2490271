"""The configuration of a run: one dataclass, whose fields are the options of `segtrain run`."""

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from segtrain.errors import UsageError

Variant = Literal["32s", "16s", "8s"]
Head = Literal["paper", "1x1"]
Upsampling = Literal["fixed", "learned"]
Norm = Literal["none", "batch", "group"]
Start = Literal["he", "zero"]
Device = Literal["auto", "cpu", "cuda", "mps"]

# what a resumed run may be given anew, because it changes no number that the net learns
RESUMABLE = (
    "shards",
    "out",
    "device",
    "workers",
    "threads",
    "log_every",
    "save_every",
    "val_every",
    "val_images",
    "pictures",
)
# what a run started from another one takes over from it, unless it is given
ARCHITECTURE = ("head", "upsampling", "norm", "width", "dropout")


def about(panel: str, help_text: str, **bounds: float) -> dict[str, Any]:
    """What the command line knows of a field.

    Args:
        panel: The panel of `--help` that shows it.
        help_text: What it is: unit, range, consequence.
        **bounds: `min`, `max` (inclusive) or `above`, `below` (exclusive).
    """
    return {"panel": panel, "help": help_text, "bounds": bounds}


@dataclass(frozen=True)
class TrainConfig:
    """All options of a training run; each field's `help` says what it does.

    Frozen and plain, so that it can be saved in `config.json` and in every checkpoint. Fields that
    are None mean "what suits the others"; `resolved` fills them in.

    Raises:
        UsageError: If a value is outside its range.
    """

    shards: Path = field(default=Path("shards"), metadata=about("Data", "The shards directory."))
    crop: int = field(
        default=320,
        metadata=about(
            "Data",
            "Side of the training squares in pixels; memory and time grow with its square.",
            min=8,
        ),
    )
    scale_min: float = field(
        default=0.5,
        metadata=about(
            "Data", "Smallest random scale of a training image; 1 keeps the stored size.", above=0
        ),
    )
    scale_max: float = field(
        default=2.0,
        metadata=about("Data", "Largest random scale. Drawn uniformly in its logarithm.", above=0),
    )
    flip: bool = field(default=True, metadata=about("Data", "Mirror half of the training images."))
    workers: int | None = field(
        default=None,
        metadata=about(
            "Data",
            "Processes that read and cut images; 0 does it in this process. By default one per "
            "core, at most 16, beside a GPU, and 0 without one.",
            min=0,
        ),
    )

    variant: Variant = field(
        default="8s", metadata=about("Model", "The stride of the net's finest scores.")
    )
    head: Head = field(
        default="paper",
        metadata=about(
            "Model", "paper: fc6 is 7x7 and fc7 1x1; 1x1: both are 1x1, far fewer weights."
        ),
    )
    upsampling: Upsampling = field(
        default="fixed",
        metadata=about(
            "Model",
            "fixed: bilinear; learned: the x2 layers of 16s and 8s are trained from a bilinear "
            "start, the last one stays fixed.",
        ),
    )
    norm: Norm | None = field(
        default=None,
        metadata=about(
            "Model",
            "Normalisation after each hidden convolution. A VGG16 without one hardly learns from "
            "scratch; batch wants 8 images per step or more, group suits fewer. By default batch "
            "from scratch, none with --weights.",
        ),
    )
    width: float = field(
        default=1.0,
        metadata=about(
            "Model",
            "Factor on all hidden channel counts (rounded to multiples of 8); 0.125 is thin.",
            above=0,
            max=4,
        ),
    )
    dropout: float = field(
        default=0.5,
        metadata=about("Model", "Probability of dropout after fc6 and fc7.", min=0, below=1),
    )
    conv_init: Start = field(
        default="he",
        metadata=about(
            "Model",
            "Start of fc6 and fc7, the hidden layers of the head. At zero they never move: their "
            "ReLU passes no gradient. For experiments.",
        ),
    )
    score_init: Start = field(
        default="zero", metadata=about("Model", "Start of the deep score layer.")
    )
    skip_init: Start = field(
        default="zero", metadata=about("Model", "Start of the score layers of the skips.")
    )
    weights: str = field(
        default="none",
        metadata=about(
            "Model",
            "imagenet (torchvision's VGG16, downloaded once, 528 MB), none (from scratch), or a "
            "file: a VGG16 state dict of torchvision or a checkpoint of segtrain.",
        ),
    )
    init: Path | None = field(
        default=None,
        metadata=about(
            "Model",
            "Start from the net of another run (folder or checkpoint) of the same or a coarser "
            "variant: 32s, then 16s, then 8s. Its head, upsampling, norm, width and dropout are "
            "taken over.",
        ),
    )

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

    out: Path | None = field(
        default=None,
        metadata=about("Output", "Folder of the run. By default runs/fcn8s, by the variant."),
    )
    log_every: int = field(
        default=20, metadata=about("Output", "Steps between lines of log.jsonl.", min=1)
    )
    save_every: int = field(
        default=500, metadata=about("Output", "Steps between checkpoints last.pt.", min=1)
    )
    val_every: int = field(
        default=1000,
        metadata=about(
            "Output",
            "Steps between validations, which choose best.pt; 0 never validates.",
            min=0,
        ),
    )
    val_images: int = field(
        default=100,
        metadata=about(
            "Output",
            "Images per data set of these validations; 0 takes all. The end always takes all.",
            min=0,
        ),
    )
    pictures: int = field(
        default=4,
        metadata=about(
            "Output",
            "Validation images drawn with truth and prediction at each validation.",
            min=0,
        ),
    )

    def __post_init__(self) -> None:
        for known_field in dataclasses.fields(self):
            check_bounds(known_field, getattr(self, known_field.name))
        if self.scale_min > self.scale_max:
            raise UsageError(f"--scale-min {self.scale_min} is above --scale-max {self.scale_max}")
        self.check_model()

    def check_model(self) -> None:
        """Refuse options of the model that cannot be meant together.

        Raises:
            UsageError: With the options and the way on.
        """
        if self.upsampling == "learned" and self.variant == "32s":
            raise UsageError(
                "--upsampling learned with --variant 32s has nothing to learn: 32s has only the "
                "last upsampling, which stays fixed; use --upsampling fixed, or 16s or 8s"
            )
        cells = math.ceil(self.crop / 32) ** 2  # of the deepest maps
        if self.norm == "batch" and self.batch * cells < 2:
            raise UsageError(
                f"--norm batch needs more than one value per channel: with --crop {self.crop} use "
                "a --batch of 2 or more, or --norm group"
            )
        if self.init is not None and self.weights != "none":
            raise UsageError("--init and --weights both say where the net starts; give one of them")
        if self.weights == "imagenet" and self.width != 1:
            raise UsageError(
                f"--weights imagenet fits a net of --width 1 only, not {self.width:g}; "
                "leave out --width, or train from scratch with --weights none"
            )

    def resolved(self) -> Self:
        """The same with every None that depends on other options filled in."""
        norm = self.norm or ("batch" if self.weights == "none" else "none")
        return dataclasses.replace(
            self,
            norm=norm,
            lr=self.lr or (0.001 if norm == "none" else 0.05),
            warmup=min(1000, self.steps // 20) if self.warmup is None else self.warmup,
            out=self.out or Path("runs") / f"fcn{self.variant}",
        )

    def plain(self) -> dict[str, Any]:
        """These values as plain types, for JSON and checkpoints."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: v.as_posix() if isinstance(v, Path) else v for k, v in values.items()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Read what `plain` wrote; fields unknown to this version are left out."""
        paths = {"shards", "out", "init"}
        names = {f.name for f in dataclasses.fields(cls)}
        values: dict[str, Any] = {k: v for k, v in plain.items() if k in names}
        values |= {k: Path(values[k]) for k in paths & values.keys() if values[k] is not None}
        return cls(**values)


def flag(name: str) -> str:
    """The command line's name of a field: `val_every` is `--val-every`."""
    return "--" + name.replace("_", "-")


T = TypeVar("T")


def known(value: T | None) -> T:
    """A value that `TrainConfig.resolved` has filled in.

    Raises:
        TypeError: If it has not: a mistake in the program.
    """
    if value is None:
        raise TypeError("the configuration was not resolved")
    return value


def check_bounds(option: "Field[Any]", value: object) -> None:
    """Refuse a value outside its field's range.

    Raises:
        UsageError: With the option, the value and the range.
    """
    tests: dict[str, tuple[str, Callable[[float, float], bool]]] = {
        "min": ("at least", operator.ge),
        "max": ("at most", operator.le),
        "above": ("above", operator.gt),
        "below": ("below", operator.lt),
    }
    if not isinstance(value, int | float):
        return
    for bound, limit in option.metadata["bounds"].items():
        words, holds = tests[bound]
        if not (math.isfinite(value) and holds(value, limit)):
            raise UsageError(f"{flag(option.name)} must be {words} {limit:g}, not {value}")


def changed(old: TrainConfig, given: Mapping[str, Any]) -> TrainConfig:
    """A resumed run's configuration: the old one with what may be given anew.

    Args:
        old: The configuration that the run was started with.
        given: Options that were given now, by field.

    Raises:
        UsageError: If one of them would change what the run computes.
    """
    for name, value in given.items():
        if name not in RESUMABLE and value != getattr(old, name):
            raise UsageError(
                f"{flag(name)} cannot change in the middle of a run: it has "
                f"{getattr(old, name)}, you gave {value}; leave it out, or start a new run from "
                f"this one's net with --init {old.out} and another --out"
            )
    return dataclasses.replace(old, **{k: v for k, v in given.items() if k in RESUMABLE})


def inherited(
    config: TrainConfig, given: Mapping[str, Any], origin: Mapping[str, Any]
) -> TrainConfig:
    """A configuration with the architecture of the net that it starts from.

    Args:
        config: The configuration with defaults.
        given: Options that were given, by field.
        origin: Configuration of the checkpoint to start from.

    Raises:
        UsageError: If an option was given that differs from that net's.
    """
    theirs = {name: origin[name] for name in ARCHITECTURE}
    for name in ("head", "norm", "width"):
        if name in given and given[name] != theirs[name]:
            raise UsageError(
                f"{flag(name)} is {given[name]}, but the net of {config.init} has "
                f"{theirs[name]}; leave it out, or leave out --init"
            )
    return dataclasses.replace(config, **(theirs | {k: given[k] for k in theirs if k in given}))
