"""Manifests: what a shards directory says about itself.

The format is described in docs/shards-format.md; each data set has one `<dataset>.json`.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
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
        samples: How many it holds.
        bytes: Its size.
        layout: Which members are image and mask.
    """

    name: str
    samples: int
    bytes: int
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


def check_format(found: object, path: Path) -> None:
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


def parse_classes(records: list[dict[str, Any]], path: Path) -> tuple[ClassInfo, ...]:
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


def parse_split(
    name: str, record: dict[str, Any], options: dict[str, Any], layout: Layout = OWN
) -> SplitRecord:
    """Read one entry of the manifest's `splits`."""
    shards = tuple(
        ShardRecord(str(s["name"]), int(s["samples"]), int(s["bytes"]), layout)
        for s in record["shards"]
    )
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


def parse_manifest(plain: dict[str, Any], path: Path, sha256: str) -> Manifest:
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


def read_manifest(path: Path) -> Manifest | None:
    """Read one JSON file of a shards directory; None if it is no manifest at all.

    Raises:
        ShardsError: If it cannot be read, or is a manifest that is damaged or of another major.
    """
    try:
        data = path.read_bytes()
        plain = json.loads(data)
    except (OSError, ValueError) as error:
        raise ShardsError(
            f"{path}: cannot be read as JSON ({error}); "
            "run the `segdata build-...` command that made it again"
        ) from error
    if not isinstance(plain, dict) or not str(plain.get("format", "")).startswith("segdata/"):
        return None
    if plain.get("dataset") != path.stem:
        return None  # a report that someone keeps here
    return parse_manifest(plain, path, hashlib.sha256(data).hexdigest())


def read_manifests(directory: Path) -> tuple[Manifest, ...]:
    """Read all manifests of a shards directory, sorted by data set.

    Raises:
        ShardsError: If the directory is missing or empty, or its data sets have different classes.
    """
    if not directory.is_dir():
        kind = "is a file" if directory.exists() else "does not exist"
        raise ShardsError(
            f"{directory}: the shards directory {kind}; make one with "
            f"`segdata build-voc --out {directory}` or name another with --shards"
        )
    paths = [p for p in sorted(directory.glob("*.json")) if not p.name.endswith(".stats.json")]
    found = [read_manifest(p) for p in paths if p.name != "info.json"]
    manifests = tuple(m for m in found if m is not None)
    if not manifests:
        raise ShardsError(missing_manifest(directory))
    check_same_classes(manifests, directory)
    return manifests


def missing_manifest(directory: Path) -> str:
    """Say why a directory without a manifest cannot be used."""
    if any(directory.glob("*.tar")) or any(directory.glob("*/*.tar")):
        return (
            f"{directory}: holds shards but no manifest. Where segdata made them, their build did "
            "not end: run the same `segdata build-...` command again. Where others made them: "
            f"`segtrain index {directory} --classes FILE`"
        )
    return (
        f"{directory}: holds no shards; make some with `segdata build-voc --out {directory}` "
        "or name another directory with --shards"
    )


def check_same_classes(manifests: tuple[Manifest, ...], directory: Path) -> None:
    """Refuse data sets whose class ids mean different things.

    Raises:
        ShardsError: With the first difference.
    """
    first = manifests[0]
    names = [c.name for c in first.classes]
    for other in manifests[1:]:
        theirs = [c.name for c in other.classes]
        if theirs != names:
            raise ShardsError(
                f"{directory}: {first.dataset} has the {len(names)} classes {', '.join(names)}, "
                f"but {other.dataset} has the {len(theirs)} classes {', '.join(theirs)}; "
                "build both with the same --classes, or into different directories"
            )
