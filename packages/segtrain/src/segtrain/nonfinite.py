"""A step that spoilt the numbers, kept in a file so that it can be looked at again."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtrain.batches import Batch
from segtrain.checkpoint import load_plain
from segtrain.errors import CheckpointError
from segtrain.files import write_beside

FORMAT = "segtrain-nonfinite/1"
KEYS_SHOWN = 8  # keys of a bad batch that an error names


@dataclass
class Capture:
    """A step whose loss, gradient or weights were NaN or infinite, and what it started from.

    Attributes:
        step: The step, 1 is the first.
        found: What was found, in words.
        keys: Keys of its batch.
        draws: `[epoch, sample]` of each: its place in the stream decides crop and flip.
        image: uint8 `(N, 3, H, W)`.
        target: uint8 `(N, H, W)`.
        model: State dict of the net before the step, if `exact`.
        model_step: Steps that these weights had been trained for.
        exact: Whether they are those before the step. A GPU may find out when they are spoilt:
            then they are the last checkpoint's, or the spoilt ones where there is none.
        rng: States of torch's random numbers before the step.
        config: The run's configuration.
        classes: The classes, as in a checkpoint.
        preprocessing: `Preprocessing.fingerprint()`.
        device: Where it happened, for people.
        threads: CPU threads of torch.
        commit: As in a checkpoint.
        versions: Of segtrain and torch.
    """

    step: int
    found: str
    keys: list[str]
    draws: list[list[int]]
    image: Tensor
    target: Tensor
    model: dict[str, Tensor]
    model_step: int
    exact: bool
    rng: dict[str, Tensor]
    config: dict[str, Any]
    classes: list[dict[str, Any]]
    preprocessing: dict[str, Any]
    device: str = ""
    threads: int = 1
    commit: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def batch(self) -> Batch:
        """Its batch."""
        image = self.image.contiguous(memory_format=torch.channels_last)
        return Batch(image, self.target, self.keys)

    def save(self, folder: Path) -> Path:
        """Write `nonfinite-STEP.pt` into a run's folder.

        Raises:
            RunError: If it cannot be written.
        """
        path = folder / f"nonfinite-{self.step:06d}.pt"
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        write_beside(path, lambda part: torch.save({"format": FORMAT} | plain, part))
        return path


def load_capture(path: Path) -> Capture:
    """Read what `Capture.save` wrote.

    Raises:
        CheckpointError: If it is missing, damaged, something else, or of an unknown format.
    """
    plain = load_plain(path)
    found = plain.get("format") if isinstance(plain, dict) else None
    if not isinstance(plain, dict) or not str(found).startswith("segtrain-nonfinite/"):
        raise CheckpointError(
            f"{path}: is no step that a run kept when its numbers broke; give a nonfinite-STEP.pt"
        )
    if str(found).split(".")[0] != FORMAT:
        raise CheckpointError(
            f"{path}: its format is {found!r}, this version reads {FORMAT!r}; use the segtrain "
            "that wrote it"
        )
    known = {f.name for f in fields(Capture)}
    try:
        return Capture(**{k: v for k, v in plain.items() if k in known})
    except TypeError as error:
        raise CheckpointError(f"{path}: is not complete: {error}") from error


def named_keys(keys: Iterable[str]) -> str:
    """The first keys of a batch, and how many more there are."""
    names = list(keys)
    more = f" and {len(names) - KEYS_SHOWN} more" if len(names) > KEYS_SHOWN else ""
    return ", ".join(names[:KEYS_SHOWN]) + more
