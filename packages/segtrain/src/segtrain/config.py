"""The configuration of a run: all options of `segtrain run` in one frozen dataclass."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from segtrain.errors import UsageError
from segtrain.mixture import parse_mix
from segtrain.options.data import DataOptions
from segtrain.options.families import FAMILIES, Norm
from segtrain.options.fields import check_bounds, flag
from segtrain.options.idle import check_idle
from segtrain.options.kinds import is_of, kinds
from segtrain.options.model import ModelOptions
from segtrain.options.output import OutputOptions
from segtrain.options.running import RunningOptions
from segtrain.options.stages import StageOptions
from segtrain.options.training import AUTO, TrainingOptions
from segtrain.places import plain_places
from segtrain.remote.settings import parse_size

# what a resumed run may be given anew: none of it decides what the net learns; devices, threads and
# parts of a batch change sums in their last bits, and parts the draws of dropout
RESUMABLE = (
    "shards",
    "cache",
    "cache_size",
    "out",
    "device",
    "workers",
    "threads",
    "accumulate",
    "compile",
    "checkpointing",
    "dead_layers",
    "log_every",
    "save_every",
    "keep_every",
    "keep",
    "val_every",
    "val_images",
    "pictures",
    "watch",
    "csv",
    "tensorboard",
    "live",
)
# what a run started from another one takes over from it, unless it is given
ARCHITECTURE = (
    "model", "trunk", "head", "upsampling", "norm", "activation", "score_activation", "skip_scales",
    "width", "dropout", "aux_weight",
)  # fmt: skip
# of these, what may differ from it all the same
FREE = ("upsampling", "dropout", "aux_weight")
# what must be equal in a checkpoint for its weights to mean the same
NET = ("variant", *(name for name in ARCHITECTURE if name != "dropout"))


@dataclass(frozen=True)
class TrainConfig(
    OutputOptions, RunningOptions, StageOptions, TrainingOptions, ModelOptions, DataOptions
):
    """All options of a training run; each field's `help` says what it does.

    Frozen and plain, so that it can be saved in `config.json` and in every checkpoint. Fields that
    are None mean "what suits the others"; `resolved` fills them in.

    Raises:
        UsageError: If a value is outside its range.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "shards", plain_places(self.shards))
        if self.watch is not None:
            object.__setattr__(self, "watch", plain_places(self.watch))
        for known_field in dataclasses.fields(self):
            check_bounds(known_field, getattr(self, known_field.name))
        parse_size(self.cache_size)
        if self.mix is not None:
            parse_mix(self.mix)
        self.check_family()
        self.check_data()
        self.check_reader()
        self.check_model()
        self.check_stages()
        self.check_running()
        self.check_training()
        check_idle(self, defaults())

    @property
    def scales(self) -> tuple[float, float]:
        """Smallest and largest random scale, the defaults filled in."""
        cropped = self.fit == "crop"
        low = (0.5 if cropped else 1.0) if self.scale_min is None else self.scale_min
        high = (2.0 if cropped else 1.0) if self.scale_max is None else self.scale_max
        return low, high

    def check_data(self) -> None:
        """Refuse options of the cut that cannot be meant together.

        Raises:
            UsageError: With the options and the way on.
        """
        low, high = self.scales
        if self.fit != "crop" and (low, high) != (1, 1):
            raise UsageError(
                f"--fit {self.fit} takes whole images at one scale: leave out --scale-min and "
                "--scale-max, or use --fit crop"
            )
        if low > high:
            raise UsageError(f"--scale-min {low} is above --scale-max {high}")
        if self.fit == "native" and self.batch != 1:
            raise UsageError(
                f"--fit native takes one image a step, for their sizes differ, not --batch "
                f"{self.batch}; use --batch 1 (with a higher --momentum), or --fit crop or squash"
            )

    def check_training(self) -> None:
        """Refuse options of training that cannot be meant together.

        Raises:
            UsageError: With the options and the way on.
        """
        if self.loss_reduction == "sum" and self.lr is None and self.stage_lr is None:
            raise UsageError(
                "--loss-reduction sum needs its own --lr: that of the mean loss divided by the "
                "pixels of a step; the papers' is 1e-10 for one image of 500x375"
            )

    def check_reader(self) -> None:
        """Refuse options that a way of reading cannot follow.

        Raises:
            UsageError: With the options and the way on.
        """
        if self.reader == "indexed" and self.classes is not None:
            raise UsageError(
                "--classes belongs to --reader webdataset: with an index the manifest names the "
                "classes; `segtrain index DIR --classes FILE` makes both for shards of others"
            )
        if self.reader == "webdataset" and self.train_split != "train":
            raise UsageError(
                f"--train-split {self.train_split} needs --reader indexed: a stream cannot leave "
                "out samples without reading them"
            )
        if self.reader == "webdataset" and self.mix is not None:
            raise UsageError(
                "--mix needs --reader indexed: a stream gives its samples as they come"
            )

    def check_running(self) -> None:
        """Refuse options of running that cannot be meant together.

        Raises:
            UsageError: With the options and the way on.
        """
        if self.compile and self.fit == "native":
            raise UsageError(
                "--compile with --fit native would compile the net anew for each size of image; "
                "use --no-compile"
            )
        if self.watch and not self.val_every:
            raise UsageError(
                "--watch predicts photos at each validation, and --val-every 0 has none; leave out "
                "one of them"
            )
        if self.compile and self.checkpointing:
            raise UsageError(
                "--compile with --checkpointing is not supported: torch's compiler cannot keep "
                "batch norms from counting a batch twice; use one of them"
            )
        self.check_parts()

    def check_parts(self) -> None:
        """Refuse a batch that cannot be cut as it is asked for.

        Raises:
            UsageError: With the options and the way on.
        """
        if self.batch == AUTO:  # checked when it is found
            return
        if self.accumulate > self.batch:
            raise UsageError(
                f"--accumulate {self.accumulate} is above --batch {self.batch}: each part needs "
                "an image; use a smaller --accumulate"
            )
        cells = 1 if self.family.pools else math.ceil(self.crop / 32) ** 2  # of the smallest maps
        smallest = self.batch // self.accumulate
        if self.norm == "batch" and smallest * cells < 2:
            cut = f" in {self.accumulate} parts" if self.accumulate > 1 else ""
            enough = f"a --batch of {2 * self.accumulate} or more{cut}"
            if self.family.pools:
                raise UsageError(
                    f"{self.family.title} pools each image to one value per channel, and batch "
                    f"norm needs two: use {enough}"
                )
            other = ", or --norm group" * ("group" in self.family.norms)
            raise UsageError(
                f"--norm batch needs more than one value per channel: with --crop {self.crop} use "
                f"{enough}{other}"
            )

    def check_family(self) -> None:
        """Refuse options that mean nothing to the model.

        Raises:
            UsageError: With the options and the way on.
        """
        title, norms = self.family.title, " or ".join(self.family.norms)
        ways = {
            "norm": f"{title} is built with {norms} norm; use --norm {norms}",
            "freeze": f"{title} has no such part; leave it out",
            "weights": f"there are none for {title}; use --weights none, or a checkpoint's file",
        }
        for name, default in defaults().items():
            value = getattr(self, name)
            if value == default or self.family.takes(name, value):
                continue
            if name in ways:
                raise UsageError(f"{flag(name)} {value}: {ways[name]}")
            raise UsageError(
                f"{flag(name)} means nothing to --model {self.model}; leave it out, or use "
                f"{' or '.join(takers(name))}"
            )

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
        if self.pool_scales != (1, 1) and self.variant == "32s":
            raise UsageError(
                f"--skip-scales {self.skip_scales} with --variant 32s scales nothing: 32s has no "
                "skips; leave it out, or use 16s or 8s"
            )
        if self.norm == "batch" and self.fit == "native" and not self.family.native_batch_norm:
            others = [norm for norm in ("group", "none") if norm in self.family.norms]
            way = f"--norm {' or '.join(others)}" if others else "--fit crop or squash"
            raise UsageError(
                "--norm batch with --fit native would take its statistics from a single image; "
                f"use {way}"
            )
        if self.init is not None and self.weights != "none":
            raise UsageError("--init and --weights both say where the net starts; give one of them")
        if self.freeze != "none" and self.init is None and self.weights == "none":
            raise UsageError(
                f"--freeze {self.freeze} would keep weights that are random; say where they start "
                "with --weights or --init, or leave it out"
            )
        if self.weights == "imagenet" and self.width != 1:
            raise UsageError(
                f"--weights imagenet fits a net of --width 1 only, not {self.width:g}; "
                "leave out --width, or train from scratch with --weights none"
            )

    def check_stages(self) -> None:
        """Refuse stages that are none.

        Raises:
            UsageError: With the options and the way on.
        """
        if self.staged and self.variant == "32s":
            raise UsageError(
                "--staged with --variant 32s has a single stage; leave --staged out, or name the "
                "last stage: --variant 16s or 8s"
            )
        for name in ("steps", "lr"):
            if getattr(self, f"stage_{name}") is not None and not self.staged:
                raise UsageError(
                    f"{flag(f'stage_{name}')} is for --staged; add that, or use {flag(name)}"
                )
        self.steps_of(self.variant)
        self.rate_of(self.variant)

    def resolved(self) -> Self:
        """The same with every None that depends on other options filled in."""
        alone: Norm = "group" if self.fit == "native" else "batch"  # from scratch
        alike: Norm = alone if self.weights == "none" else "none"
        norm = self.norm or self.family.norm or alike
        kind = f"fcn{self.variant}" if self.model == "fcn" else self.model
        fast = self.optimizer == "sgd" and norm != "none"
        return dataclasses.replace(
            self,
            norm=norm,
            scale_min=self.scales[0],
            scale_max=self.scales[1],
            dropout=self.family.dropout if self.dropout is None else self.dropout,
            aux_weight=self.family.auxiliary if self.aux_weight is None else self.aux_weight,
            lr=self.lr or self.tuned_rate or (0.05 if fast else 0.001),
            warmup=min(1000, self.steps // 20) if self.warmup is None else self.warmup,
            out=self.out or Path("runs") / f"{kind}{'-staged' * self.staged}",
        )

    @property
    def tuned_rate(self) -> float | None:
        """The model's own rate by default, for sgd on weights that were trained; None without."""
        trained = self.weights != "none" or self.init is not None
        return self.family.tuned_rate if trained and self.optimizer == "sgd" else None

    def plain(self) -> dict[str, Any]:
        """These values as plain types, for JSON and checkpoints."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: plain_value(v) for k, v in values.items()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Read what `plain` wrote; fields unknown to this version are left out.

        Raises:
            UsageError: If a value is of another kind than its field, or outside its range.
        """
        return cls(**field_values(plain))


def defaults() -> dict[str, Any]:
    """The default of each field."""
    return {f.name: f.default for f in dataclasses.fields(TrainConfig)}


def field_values(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Some fields from plain types; those unknown to this version are left out.

    They are not checked but for their kinds: what they mean together depends on the recipe and the
    other fields.

    Raises:
        UsageError: If a value is of another kind than its field.
    """
    paths = {"out", "init", "cache"}
    names = {f.name for f in dataclasses.fields(TrainConfig)}
    values: dict[str, Any] = {k: v for k, v in plain.items() if k in names}
    for name, value in values.items():
        if not any(is_of(kind, value) for kind in kinds(TrainConfig, name)):
            raise UsageError(f"{flag(name)} cannot be {value!r}")
    return values | {k: Path(values[k]) for k in paths & values.keys() if values[k] is not None}


def plain_value(value: object) -> object:
    """A field's value as JSON has it."""
    if isinstance(value, Path):
        return value.as_posix()
    return list(value) if isinstance(value, tuple) else value


T = TypeVar("T")


def known(value: T | None) -> T:
    """A value that `TrainConfig.resolved` has filled in.

    Raises:
        TypeError: If it has not: a mistake in the program.
    """
    if value is None:
        raise TypeError("the configuration was not resolved")
    return value


def takers(name: str) -> list[str]:
    """The models that take an option that not all take, as `--model fcn`."""
    return [f"--model {model}" for model, family in FAMILIES.items() if name in family.own]


def changed(old: TrainConfig, given: Mapping[str, Any]) -> TrainConfig:
    """A resumed run's configuration: the old one with what may be given anew.

    Args:
        old: The configuration that the run was started with.
        given: Options that were given now, by field.

    Raises:
        UsageError: If one of them would change what the run computes.
    """
    for name, value in given.items():
        if (name, value) == ("batch", AUTO):
            continue  # it was found when the run began
        if name not in RESUMABLE and value != getattr(old, name):
            raise UsageError(
                f"{flag(name)} cannot change in the middle of a run: it has "
                f"{getattr(old, name)}, you gave {value}; leave it out, or start a new run from "
                f"this one's net with --init {old.out} and another --out"
            )
    parts = given.get("accumulate", old.accumulate)
    if old.norm == "batch" and parts != old.accumulate:
        raise UsageError(
            f"--accumulate cannot change in the middle of a run with --norm batch, whose "
            f"statistics are those of a part: it has {old.accumulate}, you gave {parts}; leave it "
            "out"
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
    net = TrainConfig.from_plain(origin)
    if net.model != config.model:
        raise UsageError(
            f"the net of {config.init} is {net.title}, not {config.title}; add --model "
            f"{net.model}, or leave out --init"
        )
    theirs = {name: getattr(net, name) for name in ARCHITECTURE}
    if net.variant == "32s":
        del theirs["skip_scales"], theirs["upsampling"]  # of skips, which it has not
    for name in theirs.keys() & given.keys():
        if name not in FREE and given[name] != theirs[name]:
            raise UsageError(
                f"{flag(name)} is {given[name]}, but the net of {config.init} has "
                f"{theirs[name]}; leave it out, or leave out --init"
            )
    return dataclasses.replace(config, **(theirs | {k: given[k] for k in theirs if k in given}))
