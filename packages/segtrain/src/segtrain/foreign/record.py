"""What makes foreign shards trainable: the manifest and the indices, and writing them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segtrain import __version__
from segtrain.errors import RunError
from segtrain.files import write_beside
from segtrain.foreign.classfile import ClassList
from segtrain.foreign.scan import Scanned
from segtrain.manifests import FIXED_VIEW, FORMAT, IGNORE_INDEX

POLICY = "foreign"
FIXED_IMAGES = 100


@dataclass(frozen=True)
class Contents:
    """Everything that was found in the shards of a data set.

    Attributes:
        dataset: Its name.
        classes: Its classes.
        mask: Extension of its masks.
        splits: What each shard holds, by split, then by the shard's name.
        pixels: Whether masks were counted.
        divided: What decided about splits: `names` or `patterns`.
    """

    dataset: str
    classes: ClassList
    mask: str
    splits: Mapping[str, Mapping[str, Scanned]]
    pixels: bool
    divided: str

    def manifest(self) -> dict[str, Any]:
        """The manifest, by docs/shards-format.md."""
        extensions = {e for of_split in self.splits.values() for s in of_split.values()
                      for e in s.extensions}  # fmt: skip
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "synthetic": False,
            "classes": self.classes.plain(),
            "ignore_index": IGNORE_INDEX,
            "labels": {"policy": POLICY, "version": 1, "min_area": 0, "void_border": 0},
            "members": {
                "image": sorted(extensions),
                "mask": self.mask,
                "ids": self.classes.plain_ids(),
            },
            "options": {
                "year": 0, "protocol": "", "size": 0, "val_size": 0, "limit": 0,
                "index": {"split": self.divided, "pixels": self.pixels},
            },
            "seed": 0,
            "versions": {"segtrain": __version__},
            "splits": {name: split_record(found) for name, found in self.splits.items()},
            "views": self.views(),
            "complete": True,
        }  # fmt: skip

    def views(self) -> dict[str, Any]:
        """`val100`: fixed images for the validations of a run."""
        if "val" not in self.splits:
            return {}
        keys = [key for found in self.splits["val"].values() for key in found.samples]
        drawn = np.random.default_rng(0).permutation(len(keys))[:FIXED_IMAGES]
        chosen = [keys[i] for i in sorted(int(n) for n in drawn)]
        return {FIXED_VIEW: {"split": "val", "official": len(chosen), "keys": chosen}}


def split_record(found: Mapping[str, Scanned]) -> dict[str, Any]:
    """One entry of the manifest's `splits`."""
    samples = sum(len(s.samples) for s in found.values())
    images = np.sum([s.images for s in found.values()], axis=0)
    return {
        "samples": samples,
        "available": samples,
        "official": samples,
        "complete": True,
        "shards": [
            {"name": name, "samples": len(s.samples), "bytes": s.bytes, "sha256": s.sha256}
            for name, s in found.items()
        ],
        "pixels": np.sum([s.pixels for s in found.values()], axis=0).tolist(),
        "objects": [0] * (len(images) - 1),
        "images": images[1:].tolist(),
        "left_out": {},
        "sources": [],
    }


def idx_text(found: Scanned) -> str | None:
    """The DALI index of a shard; None where a blank in a name would break it."""
    lines = [f"v1.2 {len(found.samples)}"]
    for members in found.samples.values():
        words = [f"{m.extension} {m.offset} {m.size} {m.name}" for m in members]
        if any(len(word.split()) != 4 for word in words):
            return None
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


def old_sums(path: Path) -> dict[str, str]:
    """SHA-256 of each shard in an earlier manifest of `segtrain index`; empty where there is none.

    Raises:
        RunError: If something else has the manifest's name.
    """
    if not path.exists():
        return {}
    try:
        plain = json.loads(path.read_bytes())
        if plain["labels"]["policy"] != POLICY:
            raise RunError(
                f"{path}: is the manifest of shards that segdata made; they need no index. Shards "
                "of your own get another name with --name"
            )
        shards = [s for split in plain["splits"].values() for s in split["shards"]]
        return {s["name"]: s["sha256"] for s in shards}
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise RunError(
            f"{path}: is no manifest of `segtrain index`, and is not overwritten; give another "
            "--name, or move it away"
        ) from error


def write_contents(directory: Path, contents: Contents) -> list[str]:
    """Write an `.idx` beside each shard, then the manifest, then `info.json`.

    Returns:
        Names of shards that have no `.idx`, for their names hold blanks.

    Raises:
        RunError: If something cannot be written.
    """
    without = []
    for found in contents.splits.values():
        for name, scanned in found.items():
            text, path = idx_text(scanned), (directory / name).with_suffix(".idx")
            if text is None:
                path.unlink(missing_ok=True)  # of other names, or it could not be read
                without.append(name)
            else:
                write_text(path, text)
    text = json.dumps(contents.manifest(), indent=1, ensure_ascii=False) + "\n"
    write_text(directory / f"{contents.dataset}.json", text)
    info = json.dumps(directory_info(directory), indent=1, ensure_ascii=False) + "\n"
    write_text(directory / "info.json", info)
    return without


def directory_info(directory: Path) -> dict[str, Any]:
    """`info.json`: what all manifests of a directory say, summed; by it a URL's are found."""
    plain = [json.loads(p.read_bytes()) for p in sorted(directory.glob("*.json"))
             if p.name != "info.json" and not p.name.endswith(".stats.json")]  # fmt: skip
    found = [m for m in plain if isinstance(m, dict) and "splits" in m and "classes" in m]
    splits: dict[str, dict[str, Any]] = {}
    for manifest in found:
        for name, record in manifest["splits"].items():
            total = splits.setdefault(
                name, {"samples": 0, "shards": 0, "bytes": 0, "pixels": [], "datasets": []}
            )
            total["samples"] += record["samples"]
            total["shards"] += len(record["shards"])
            total["bytes"] += sum(shard["bytes"] for shard in record["shards"])
            pixels = total["pixels"] or [0] * len(record["pixels"])
            total["pixels"] = [a + b for a, b in zip(pixels, record["pixels"], strict=True)]
            total["datasets"].append(manifest["dataset"])
    return {
        "format": FORMAT,
        "synthetic": any(m["synthetic"] for m in found),
        "complete": all(m["complete"] for m in found),
        "classes": found[0]["classes"],
        "ignore_index": IGNORE_INDEX,
        "datasets": [m["dataset"] for m in found],
        "splits": splits,
    }


def write_text(path: Path, text: str) -> None:
    """Write a file where its content differs."""
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return
    write_beside(path, lambda part: part.write_bytes(data))


def manifest_hash(path: Path) -> str:
    """SHA-256 of a manifest's bytes; empty where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
