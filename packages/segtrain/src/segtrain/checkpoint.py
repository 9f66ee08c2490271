"""Checkpoints: everything that a run needs to go on, in one file."""

import pickle
import shutil
import subprocess
import warnings
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import torch
from torch import nn

from segtrain.config import TrainConfig
from segtrain.errors import CheckpointError, UsageError
from segtrain.files import write_beside
from segtrain.manifests import ClassInfo
from segtrain.options.stages import STAGES_FILE, VARIANTS
from segtrain.preprocessing import Preprocessing
from segtrain.safetensors_files import is_safetensors, read_safetensors

FORMAT = "segtrain/1"


@dataclass
class Checkpoint:
    """One checkpoint; all values are plain types or tensors.

    Attributes:
        config: The run's configuration, `TrainConfig.plain()`.
        classes: The classes in the order of their ids: `{"name", "color"}` each.
        preprocessing: `Preprocessing.fingerprint()`.
        manifests: SHA-256 of each manifest of the shards directory, by data set.
        synthetic: Whether it was trained on generated data.
        step: Optimiser steps taken.
        batches: Global batches taken from the stream: the sample position.
        model: The net's state dict; in `best.pt` the averaged weights where a run keeps them.
        average: The averaged weights; None in `best.pt` and where a run keeps none.
        optimizer: The optimiser's state dict; None in `best.pt`.
        rng: States of torch's random numbers, by device type; None in `best.pt`.
        class_weights: Weights of the classes in the loss; None where all are 1.
        meter: Sums of the interval that was under way.
        due: Whether the log line and validation of `step` are still to be made.
        best: `{"step", "dataset", "images", "mean_iou"}` of the best validation; None before one.
        seconds: Work on the run until here, over all its sessions; 0 in `best.pt`.
        threads: CPU threads of torch.
        commit: Git commit of segtrain's source, `-dirty` after it where files were changed; None
            where it was not run from a repository.
        versions: Of segtrain and torch.
    """

    config: dict[str, Any]
    classes: list[dict[str, Any]]
    preprocessing: dict[str, Any]
    manifests: dict[str, str]
    synthetic: bool
    step: int
    batches: int
    model: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor] | None = None
    optimizer: dict[str, Any] | None = None
    rng: dict[str, torch.Tensor] | None = None
    class_weights: list[float] | None = None
    meter: dict[str, float] = field(default_factory=dict)
    due: bool = False
    best: dict[str, Any] | None = None
    seconds: float = 0.0
    threads: int = 1
    commit: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def class_infos(self) -> tuple[ClassInfo, ...]:
        """The classes as the rest of the program has them."""
        return tuple(ClassInfo(c["name"], tuple(c["color"])) for c in self.classes)

    @property
    def judged(self) -> dict[str, torch.Tensor]:
        """The state dict that is judged and predicts: the averaged weights where there are any."""
        return self.model if self.average is None else self.average

    @property
    def train_config(self) -> TrainConfig:
        """The configuration as the rest of the program has it."""
        return TrainConfig.from_plain(self.config)


def plain_classes(classes: tuple[ClassInfo, ...]) -> list[dict[str, Any]]:
    """Classes as plain types."""
    return [{"name": c.name, "color": list(c.color)} for c in classes]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        RunError: If it cannot be written; the one before it is kept.
    """
    plain = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}
    write_beside(path, lambda part: torch.save({"format": FORMAT} | plain, part))


def find_checkpoint(run: Path, names: tuple[str, ...] = ("best.pt", "last.pt")) -> Path:
    """The checkpoint that a run's folder, or a path to a checkpoint, stands for.

    Args:
        run: A run's folder or a checkpoint file; of a staged run the newest stage's.
        names: What to look for in a folder, the preferred first.

    Raises:
        CheckpointError: If there is none.
    """
    if run.is_file():
        return run
    if not run.is_dir():
        raise CheckpointError(f"{run}: there is no such run or checkpoint")
    staged = (run / STAGES_FILE).is_file()
    folders = [run / variant for variant in reversed(VARIANTS)] if staged else [run]
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise CheckpointError(
        f"{run}: holds no checkpoint ({' or '.join(names)}); give the folder of a run that was "
        "trained for at least one --save-every, or a checkpoint file"
    )


def load_plain(path: Path) -> object:
    """Read a file of torch with tensors and plain types only, or of safetensors, onto the CPU.

    Raises:
        CheckpointError: If it cannot be read as that.
    """
    if path.suffix.lower() in (".onnx", ".pt2"):
        raise CheckpointError(
            f"{path}: an exported net, which segtrain does not read; give the run, its checkpoint, "
            "or what `segtrain export --format safetensors` makes"
        )
    try:
        if is_safetensors(path):
            return read_tensors(path)
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about pickles that it then refuses
            return read_plain(file)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise CheckpointError(
            f"{path}: is truncated or was not written by torch.save with plain tensors; "
            "use another checkpoint of the run"
        ) from error


def read_tensors(path: Path) -> dict[str, Any]:
    """What a file of safetensors holds: a checkpoint where segtrain wrote it, else its tensors.

    Raises:
        CheckpointError: If it is damaged, or the package is missing that reads it.
    """
    try:
        return read_safetensors(path)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


# what torch.load was seen to raise on damaged files
DAMAGE = (
    RuntimeError, OSError, EOFError, LookupError, AttributeError, TypeError, AssertionError,
    pickle.UnpicklingError, BadZipFile,
)  # fmt: skip


def read_plain(file: BinaryIO) -> object:
    """What an open file of torch holds.

    Raises:
        ValueError: If it is damaged or holds other than tensors and plain types.
    """
    try:
        plain: object = torch.load(file, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        raise ValueError(str(error)) from error
    return plain


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: If it is missing, truncated, foreign, or of an unknown format.
    """
    return read_checkpoint(load_plain(path), path)


def read_checkpoint(plain: object, path: Path) -> Checkpoint:
    """What a file of torch holds, as a checkpoint.

    Raises:
        CheckpointError: If it is foreign, not complete, damaged or of an unknown format.
    """
    if not isinstance(plain, dict) or not str(plain.get("format", "")).startswith("segtrain/"):
        raise CheckpointError(
            f"{path}: is no checkpoint of segtrain; a torchvision state dict is given as "
            "--weights FILE"
        )
    if str(plain["format"]).split(".")[0] != FORMAT:
        raise CheckpointError(
            f"{path}: its format is {plain['format']!r}, this version reads {FORMAT!r}; "
            "use the segtrain that wrote it"
        )
    known = {f.name for f in fields(Checkpoint)}
    try:
        found = Checkpoint(**{k: v for k, v in plain.items() if k in known})
    except TypeError as error:
        raise CheckpointError(f"{path}: is not complete: {error}") from error
    if not is_sound(found):
        raise CheckpointError(
            f"{path}: its classes or its weights are not what segtrain writes; use another "
            "checkpoint of the run"
        )
    check_record(found.config, found.preprocessing, path)
    return found


def check_record(config: object, preprocessing: object, path: Path) -> None:
    """Refuse what a file says of its net where no net can be made of it.

    Args:
        config: `TrainConfig.plain()`.
        preprocessing: `Preprocessing.fingerprint()`.
        path: The file.

    Raises:
        CheckpointError: With what is wrong.
    """
    other = "use another checkpoint of the run, or the segtrain that wrote it"
    if not isinstance(config, dict) or "variant" not in config:
        raise CheckpointError(f"{path}: its options do not tell the net (no variant); {other}")
    try:
        TrainConfig.from_plain(config)
    except (UsageError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise CheckpointError(f"{path}: its options cannot be used: {error}; {other}") from error
    try:
        Preprocessing.from_fingerprint(preprocessing)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; {other}") from error


def is_sound(checkpoint: Checkpoint) -> bool:
    """Whether the classes and weights of a checkpoint are of the kinds that they have to be."""
    try:
        infos = checkpoint.class_infos
    except (TypeError, LookupError):
        return False
    if type(checkpoint.step) is not int or type(checkpoint.batches) is not int:
        return False
    weights = checkpoint.model.values() if isinstance(checkpoint.model, dict) else [None]
    return bool(infos) and all(isinstance(w, torch.Tensor) for w in weights)


def load_state(model: nn.Module, state: dict[str, torch.Tensor], where: Path) -> None:
    """Load a state dict that must fit exactly.

    Raises:
        CheckpointError: With the first layer that does not fit.
    """
    ours = model.state_dict()
    for name in sorted(ours.keys() | state.keys()):
        shapes = [tuple(s[name].shape) if name in s else "nothing" for s in (state, ours)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(
                f"{where}: is of another net: {name} is {shapes[0]} there, {shapes[1]} in this "
                "net; check --model, --variant, --head, --norm, --width and the classes"
            )
    model.load_state_dict(state)


def check_classes(checkpoint: Checkpoint, classes: tuple[ClassInfo, ...], where: Path) -> None:
    """Refuse a checkpoint of other classes than those of the shards.

    Raises:
        CheckpointError: With both class lists' sizes and the first difference.
    """
    theirs, ours = ([c.name for c in cs] for cs in (checkpoint.class_infos, classes))
    if theirs == ours:
        return
    if len(theirs) != len(ours):
        what = f"has {len(theirs)} classes, the shards have {len(ours)}"
    else:
        i = next(i for i, pair in enumerate(zip(theirs, ours, strict=True)) if len(set(pair)) > 1)
        what = f"calls class {i} {theirs[i]!r}, the shards call it {ours[i]!r}"
    raise CheckpointError(
        f"{where}: {what}; use shards that were built with the checkpoint's --classes, or train "
        "a net for these"
    )


def source_commit() -> str | None:
    """The git commit of the source that runs, None where it lies in no repository."""
    git = shutil.which("git")
    folder = Path(__file__).parent
    if git is None:
        return None

    def ask(*words: str) -> str | None:
        done = subprocess.run(  # noqa: S603 - a fixed question to git, no outside text
            [git, "-C", str(folder), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    if ask("ls-files", "--error-unmatch", "__init__.py") is None:
        return None  # installed into an environment that happens to lie in some repository
    return ask("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
