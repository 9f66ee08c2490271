"""Manifests: what a shards directory says about itself.

The format is described in docs/shards-format.md; each data set has one `<dataset>.json`.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from segtrain.errors import ShardsError
from segtrain.members import OWN, Layout

FORMAT = "segdata/1"
IGNORE_INDEX = 255
FIXED_VIEW = "val100"  # 100 keys of val that the build has drawn, for runs to validate on


@dataclass(frozen=True)
class ClassInfo:
    """One class: its name and the colour (red, green, blue; 0..255) that pictures draw it in."""

    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class ShardRecord:
    """One shard as its manifest has it.

    Attributes:
        name: Of its file, from the directory on.
        samples: How many it holds, at least one.
        bytes: Its size.
        sha256: Hash of the file; empty where the manifest gives none.
        layout: Which members are image and mask.
    """

    name: str
    samples: int
    bytes: int
    sha256: str = ""
    layout: Layout = OWN


@dataclass(frozen=True)
class SplitRecord:
    """One physical split of a data set.

    Attributes:
        name: `train` or `val`.
        samples: Samples in the shards.
        official: Samples in the published split.
        pixels: Mask pixels of class 0..C and, last, of 255 (C + 2 counts).
        shards: The shards, in order.
        resized: Whether the build was free to make images and masks smaller than their sources.
    """

    name: str
    samples: int
    official: int
    pixels: tuple[int, ...]
    shards: tuple[ShardRecord, ...]
    resized: bool


@dataclass(frozen=True)
class ViewRecord:
    """A named subset of one physical split.

    Attributes:
        split: The physical split that holds its samples.
        official: Samples in the published split of its name.
        keys: Its samples, in order.
    """

    split: str
    official: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """One data set of a shards directory.

    Attributes:
        dataset: Its name: `voc2012`, `coco2017`, ...
        synthetic: True for generated data.
        classes: The classes in the order of their ids, background first.
        splits: Physical splits by name.
        views: Named subsets by name.
        sha256: Hash of the manifest's bytes, by which a resumed run knows its data again.
    """

    dataset: str
    synthetic: bool
    classes: tuple[ClassInfo, ...]
    splits: dict[str, SplitRecord]
    views: dict[str, ViewRecord]
    sha256: str


def check_format(found: object, path: str) -> None:
    """Refuse a major version of the format that this program does not know.

    Raises:
        ShardsError: If `found` is not `segdata/1` (or `segdata/1.x`).
    """
    major = str(found).split(".")[0]
    if major != FORMAT:
        raise ShardsError(
            f"{path}: format is {found!r}, this version of segtrain reads {FORMAT!r}; use the "
            "segtrain that belongs to it, or build the shards again with this one's segdata"
        )


def parse_classes(records: list[dict[str, Any]], path: str) -> tuple[ClassInfo, ...]:
    """Read the class list; ids must be 0, 1, 2, ... in order.

    Raises:
        ShardsError: If they are not.
    """
    ids = [record["id"] for record in records]
    if ids != list(range(len(ids))) or not 2 <= len(ids) <= IGNORE_INDEX:
        raise ShardsError(f"{path}: class ids must be 0, 1, 2, ... (2 to 255 of them), found {ids}")
    return tuple(
        ClassInfo(str(record["name"]), (int(r), int(g), int(b)))
        for record in records
        for r, g, b in [record["color"]]
    )


def parse_layout(plain: dict[str, Any]) -> Layout:
    """Read a manifest's `members`, which only shards have that others made."""
    if "members" not in plain:
        return OWN
    found = plain["members"]
    ids = [-1] * 256
    for ours, values in found["ids"].items():
        for value in values:
            ids[value] = int(ours)
    return Layout(tuple(str(e) for e in found["image"]), str(found["mask"]), tuple(ids))


def parse_shard(record: dict[str, Any], layout: Layout) -> ShardRecord:
    """Read one entry of a split's `shards`.

    Raises:
        ValueError: If it is empty, or its name is none of a file beside the manifest.
    """
    found = ShardRecord(
        name=str(record["name"]),
        samples=int(record["samples"]),
        bytes=int(record["bytes"]),
        sha256=str(record.get("sha256", "")),
        layout=layout,
    )
    if found.samples < 1:
        raise ValueError(f"{found.name} is listed with {found.samples} samples, a shard holds some")
    return found


def parse_split(
    name: str, record: dict[str, Any], options: dict[str, Any], layout: Layout = OWN
) -> SplitRecord:
    """Read one entry of the manifest's `splits`."""
    shards = tuple(parse_shard(shard, layout) for shard in record["shards"])
    size = options["val_size"] if name == "val" else options["size"]
    return SplitRecord(
        name=name,
        samples=int(record["samples"]),
        official=int(record["official"] or 0),
        pixels=tuple(int(n) for n in record["pixels"]),
        shards=shards,
        resized=bool(size),
    )


def parse_view(record: dict[str, Any], splits: dict[str, SplitRecord]) -> ViewRecord:
    """Read one entry of the manifest's `views`.

    Raises:
        KeyError: If it lies in a split that the manifest does not have.
    """
    split = splits[record["split"]].name
    return ViewRecord(split, int(record["official"]), tuple(str(key) for key in record["keys"]))


def parse_manifest(plain: dict[str, Any], path: str, sha256: str) -> Manifest:
    """Turn a manifest's JSON into a `Manifest`.

    Raises:
        ShardsError: If a field is missing or is not what the format says.
    """
    check_format(plain.get("format"), path)
    try:
        if plain["ignore_index"] != IGNORE_INDEX:
            raise ShardsError(f"{path}: ignore_index is {plain['ignore_index']}, expected 255")
        layout = parse_layout(plain)
        splits = {
            name: parse_split(name, record, plain["options"], layout)
            for name, record in plain["splits"].items()
        }
        return Manifest(
            dataset=str(plain["dataset"]),
            synthetic=bool(plain["synthetic"]),
            classes=parse_classes(plain["classes"], path),
            splits=splits,
            views={name: parse_view(record, splits) for name, record in plain["views"].items()},
            sha256=sha256,
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ShardsError(
            f"{path}: not a complete manifest ({type(error).__name__}: {error}); "
            "run the `segdata build-...` command that made it again"
        ) from error


def read_manifest(data: bytes, path: str) -> Manifest | None:
    """Read one JSON file of a folder of shards; None if it is no manifest at all.

    Args:
        data: The file's bytes.
        path: str or URL of the file.

    Raises:
        ShardsError: If it is no JSON, or a manifest that is damaged or of another major version.
    """
    try:
        plain = json.loads(data)
    except ValueError as error:
        raise ShardsError(unreadable(path, error)) from error
    if not isinstance(plain, dict) or not str(plain.get("format", "")).startswith("segdata/"):
        return None
    name = path.replace("\\", "/").rpartition("/")[2]
    if f"{plain.get('dataset')}.json" != name:
        return None  # a report that someone keeps here
    return parse_manifest(plain, path, hashlib.sha256(data).hexdigest())


def unreadable(path: str, error: Exception) -> str:
    """Say that a manifest cannot be read."""
    return (
        f"{path}: cannot be read as JSON ({error}); "
        "run the `segdata build-...` command that made it again"
    )
