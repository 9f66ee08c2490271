"""A step that spoilt the numbers, kept in a file so that it can be looked at again."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
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
        batch: Its batch.
        model: State dict of the net, on the CPU.
        model_step: Steps that these weights had been trained for. Where the break is noticed when
            the weights are spoilt already, they are those of the last checkpoint, or the spoilt
            ones where there is none.
        rng: States of torch's random numbers before the step, by device type.
        config: The run's configuration, `TrainConfig.plain()`.
        identity: What every checkpoint of the run repeats: classes, preprocessing, commit, ...
        device: Where it happened, for people.
    """

    step: int
    found: str
    batch: Batch
    model: dict[str, Tensor]
    model_step: int
    rng: dict[str, Tensor]
    config: dict[str, Any]
    identity: dict[str, Any]
    device: str = ""

    @property
    def exact(self) -> bool:
        """Whether the weights are those that the step started from."""
        return self.model_step == self.step - 1

    def save(self, folder: Path, rank: int = 0) -> Path:
        """Write `nonfinite-STEP.pt` into a run's folder.

        Args:
            folder: The run's.
            rank: Whose part of the batch it is; ranks but the first add theirs to the name.

        Raises:
            RunError: If it cannot be written.
        """
        path = folder / f"nonfinite-{self.step:06d}{f'-rank{rank}' if rank else ''}.pt"
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["batch"] = self.batch._asdict()
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
        batch = Batch(**plain["batch"])
        return Capture(**({k: v for k, v in plain.items() if k in known} | {"batch": batch}))
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: is not complete: {error}") from error


def named_keys(keys: Iterable[str]) -> str:
    """The first keys of a batch, and how many more there are."""
    names = list(keys)
    more = f" and {len(names) - KEYS_SHOWN} more" if len(names) > KEYS_SHOWN else ""
    return ", ".join(names[:KEYS_SHOWN]) + more
