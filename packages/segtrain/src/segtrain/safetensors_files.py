"""Files of safetensors: weights under the net's own names, and strings that describe them."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

INSTALL = 'pip install "segtrain[export]"'
# fields of a checkpoint that are JSON strings of the same name in the file
FIELDS = (
    "preprocessing", "synthetic", "step", "batches", "best", "commit", "versions", "config",
)  # fmt: skip


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON object, then the object.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(9)
    if len(head) < 9 or head[8:] != b"{":
        return False
    return int(struct.unpack("<Q", head[:8])[0]) + 8 <= path.stat().st_size


def read_safetensors(path: Path) -> dict[str, Any]:
    """What a file holds: where segtrain wrote it, the fields of a checkpoint; else its tensors.

    Raises:
        ValueError: If it is damaged, or the package safetensors is not here.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ValueError(
            f"safetensors are read by a package that is not here: {INSTALL}"
        ) from error
    try:
        with safe_open(path, framework="pt") as file:
            strings = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
        return checkpoint_fields(strings, tensors) if "segtrain_format" in strings else tensors
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"is damaged: {error}") from error


def checkpoint_fields(strings: Mapping[str, str], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The fields of a checkpoint from a file that segtrain wrote.

    Raises:
        ValueError: If a string is no JSON.
        LookupError: If one is missing.
        TypeError: If the classes are none.
    """
    classes = [{"name": c["name"], "color": c["color"]} for c in json.loads(strings["classes"])]
    fields = {name: json.loads(strings[name]) for name in FIELDS}
    return fields | {
        "format": json.loads(strings["segtrain_format"]),
        "classes": classes,
        "manifests": json.loads(strings["datasets"]),
        "model": tensors,
    }


def write_safetensors(path: Path, state: Mapping[str, Tensor], strings: Mapping[str, str]) -> None:
    """Write tensors and what describes them.

    Raises:
        OSError: If it cannot be written.
    """
    from safetensors.torch import save

    plain = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    path.write_bytes(save(plain, {"format": "pt", **strings}))  # its own files are for one user
