"""Shards: tars of samples, their indices and sidecars, and the manifests that describe them.

Every file is written beside its final name, flushed to the disk and renamed, so a name never holds
half a file. `docs/shards-format.md` is the contract.
"""

import errno
import hashlib
import json
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from segdata.errors import OutputError, ShardsError
from segdata.stores import RemotePath

FORMAT = "segdata/1"
IMAGE, FACTS, MASK = "jpg", "json", "seg.png"
IDX_VERSION = "v1.2"
SIZE_BINS = 21  # object areas by powers of two, 1 px .. 2 Mpx
PARTIAL = ".partial"
DIRECTORY = "the shards directory"
ANEW = "delete it and run the build again: finished shards are kept"
MANIFEST_FIELDS = {
    *("format", "dataset", "synthetic", "classes", "ignore_index", "labels", "options", "seed"),
    *("versions", "splits", "views", "complete"),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One finished sample, as its three members.

    Attributes:
        facts: the fields of `KEY.json`.
        image: JPEG bytes.
        png: the encoded mask.
        mask: uint8 (H, W), the mask before encoding.
        areas: (class id, rasterised source pixels) of every object.
        files: [name, size, crc32] of the source files that were read.
    """

    facts: Mapping[str, Any]
    image: bytes
    png: bytes
    mask: NDArray[np.uint8]
    areas: Sequence[tuple[int, int]] = ()
    files: Sequence[tuple[str, int, int]] = ()

    @property
    def key(self) -> str:
        """The sample's key."""
        return str(self.facts["key"])

    @property
    def passed_through(self) -> bool:
        """Whether the image is the source's own bytes."""
        facts = self.facts
        return (
            facts["height"] == facts["source_height"]
            and facts["width"] == facts["source_width"]
            and str(facts["source_file"]).lower().endswith((".jpg", ".jpeg"))
        )


@dataclass
class _Tally:
    """Sums over the samples of a shard, for its sidecar."""

    classes: int
    samples: int = 0
    crowd_pixels: int = 0
    content: Any = field(default_factory=hashlib.sha256)
    files: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pixels = np.zeros(self.classes + 2, np.int64)
        self.objects = np.zeros(self.classes, np.int64)
        self.images = np.zeros(self.classes, np.int64)
        self.sizes = np.zeros((self.classes, SIZE_BINS), np.int64)

    def add(self, record: Record) -> None:
        facts = record.facts
        self.samples += 1
        self.crowd_pixels += facts["crowd_pixels"]
        self.pixels += facts["pixels"]
        self.objects += facts["objects"]
        self.images += np.asarray(facts["pixels"][1:-1]) > 0
        for class_id, area in record.areas:
            if area:
                self.sizes[class_id - 1, min(area.bit_length() - 1, SIZE_BINS - 1)] += 1
        self.files += record.files
        height, width = record.mask.shape
        self.content.update(f"{record.key}\0{height}x{width}\0".encode())
        self.content.update(np.ascontiguousarray(record.mask).data)
        if record.passed_through:
            self.content.update(record.image)


class _Tar:
    """A tar that is only appended to, hashed on the way.

    The bytes are those of `tarfile` in its USTAR format, which takes four times as long: it copies
    and checks a dozen fields of a member that are the same for all of ours.
    """

    file: BinaryIO

    def __init__(self) -> None:
        self.sha256, self.size = hashlib.sha256(), 0

    def append(self, members: Sequence[tuple[str, bytes]]) -> list[int]:
        """Append files of these names (ASCII, at most 100 bytes); returns where their data are."""
        begins, parts, at = [], [], self.size
        for name, data in members:
            begins.append(at + BLOCK)
            parts += [_header(name, len(data)), data, bytes(-len(data) % BLOCK)]
            at += BLOCK + len(data) + len(parts[-1])
        self._write(b"".join(parts))
        return begins

    def close(self) -> None:
        """The two zero blocks that end a tar, and zeros up to a whole record."""
        end = 2 * BLOCK
        self._write(bytes(end + -(self.size + end) % tarfile.RECORDSIZE))

    def _write(self, data: bytes) -> None:
        self.sha256.update(data)
        self.size += len(data)
        self.file.write(data)


def _header(name: str, size: int) -> bytes:
    """A member's USTAR header: name and size in one that is the same for all, and the checksum."""
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a tar's header has no room for the name {name}")
    header, written = bytearray(HEADER), (name.encode("ascii"), b"%011o" % size)
    header[: len(name)], header[124:135] = written
    # HEADER has spaces in place of the sum, as that asks, and zeros for the size
    header[148:155] = b"%06o\0" % (HEADER_SUM + sum(map(sum, written)))
    return bytes(header)


def _blank_header() -> bytes:
    """The header of an empty file without a name, by `tarfile`."""
    header = bytearray(tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT))
    header[148:156] = b" " * 8
    return bytes(header)


BLOCK = tarfile.BLOCKSIZE
LONGEST_NAME = tarfile.LENGTH_NAME
HEADER = _blank_header()
HEADER_SUM = sum(HEADER) - 11 * ord("0")  # without the digits of a size
FACTS_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def write_shard(
    folder: Path, name: str, records: Iterable[Record], classes: int, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Write one shard: the tar, its index and, last of all, its sidecar.

    Args:
        folder: the shards directory.
        name: of the shard, without suffix.
        records: its samples in order.
        classes: C.
        extra: further fields of the sidecar; `left_out` may still be growing while records come.

    Where there are no records there is no tar either, for readers take an empty one for an error;
    the sidecar alone says that the shard is done.

    Returns:
        The sidecar's content.

    Raises:
        OutputError: the disk is full or the directory cannot be written.
    """
    tally = _Tally(classes)
    lines: list[str] = []
    sidecar = folder / f"{name}.stats.json"
    tar = _Tar()
    with explained(folder):
        sidecar.unlink(missing_ok=True)  # a shard that is being rewritten is not done
        coming = iter(records)
        first = next(coming, None)
        if first is not None:
            with replacing(folder / f"{name}.tar") as tar.file:
                for record in chain([first], coming):
                    lines.append(_append(tar, record))
                    tally.add(record)
                tar.close()
            index = "".join([f"{IDX_VERSION} {tally.samples}\n", *lines])
            write_file(folder / f"{name}.idx", index.encode())
        stats = _stats(name, tally, tar) | dict(extra)
        write_file(sidecar, to_json(stats))
    return stats


def _append(tar: _Tar, record: Record) -> str:
    """Append a sample's three members; returns its line of the index."""
    facts = FACTS_JSON.encode(record.facts).encode()
    key = record.key
    parts = ((IMAGE, record.image), (FACTS, facts), (MASK, record.png))
    begins = tar.append([(f"{key}.{suffix}", data) for suffix, data in parts])
    placed = zip(begins, parts, strict=True)
    return (
        " ".join(f"{suffix} {begin} {len(data)} {key}.{suffix}" for begin, (suffix, data) in placed)
        + "\n"
    )


def _stats(name: str, tally: _Tally, tar: _Tar) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "shard": f"{name}.tar",
        "samples": tally.samples,
        "bytes": tar.size,
        "sha256": tar.sha256.hexdigest(),
        "content_sha256": tally.content.hexdigest(),
        "pixels": tally.pixels.tolist(),
        "crowd_pixels": tally.crowd_pixels,
        "objects": tally.objects.tolist(),
        "object_sizes": tally.sizes.tolist(),
        "images": tally.images.tolist(),
        "members": sorted(tally.files),
    }


def to_json(value: object) -> bytes:
    """JSON whose bytes depend on the content alone: sorted keys, one item a line, UTF-8."""
    compact = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    # json's own indenting is written in Python, and takes four times as long
    return msgspec.json.format(compact.encode(), indent=1) + b"\n"


@contextmanager
def explained(folder: Path, what: str = DIRECTORY) -> Iterator[None]:
    """Tell the operating system's refusals to write `what` into a folder as an OutputError."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(
            f"{what} cannot be made",
            where=folder,
            expected="a directory, or a name that is still free",
            found="a file",
            advice="choose another folder",
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", -1))
        advice = "check its permissions, or choose another place"
        if full:
            advice = "make room and run the same command again"
            advice += ": finished shards are kept" if what == DIRECTORY else ""
        elif isinstance(folder, RemotePath):
            advice = "check bucket, credentials and network; the same command then goes on"
        raise OutputError(
            "the disk is full" if full else f"{what} cannot be written",
            where=folder,
            found=error.strerror or error,
            advice=advice,
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the name `path` only once it is whole and on the disk.

    Where that is remote, it is put into the store as a whole.
    """
    if isinstance(path, RemotePath):
        with path.replacing() as file:
            yield file
        return
    # No two writers share it, on whatever machines: process ids would repeat.
    partial = path.with_name(f"{path.name}.{token_hex(4)}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sweep(folder: Path, dataset: str) -> None:
    """Remove what a killed writer of the data set left behind under unfinished names."""
    ours = re.compile(rf"\.?{re.escape(dataset)}(-(train|val)-\d+)?\.[a-z.]+\.[0-9a-f]+\{PARTIAL}")
    with explained(folder):
        for partial in folder.glob(f"*{PARTIAL}"):
            if ours.fullmatch(partial.name):
                partial.unlink(missing_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file at once."""
    with replacing(path) as file:
        file.write(data)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of the shards directory.

    Raises:
        ShardsError: it is not there or damaged, or of a format that this version does not know.
    """
    return _checked(path, _parsed(path))


def _parsed(path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ShardsError(
            "a file of the shards directory cannot be read",
            where=path,
            found=error,
            advice=ANEW if isinstance(error, ValueError) else "check drive, network, permissions",
        ) from error


def _checked(path: Path, value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The parsed JSON as an object of our format, or an error that says what it is instead."""
    found = value.get("format") if isinstance(value, dict) else None
    if not isinstance(found, str) or found.partition("/")[0::2] != ("segdata", FORMAT[-1]):
        raise ShardsError(
            "this is no shards directory that this version can read",
            where=path,
            expected=f'"format": "{FORMAT}"',
            found=repr(found),
            advice="use the version of segdata that made it, or build it again",
        )
    return dict(value)


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    """All manifests of a shards directory by data set, sorted.

    Raises:
        ShardsError: the directory is missing or holds none.
    """
    if not folder.is_dir():
        raise ShardsError(
            "there is no shards directory",
            where=folder,
            advice="build one with segdata build-voc, build-coco or build-folder, or name another",
        )
    found = {path.stem: read_manifest(path) for path in sorted(folder.glob("*.json"))}
    names = {name: manifest for name, manifest in found.items() if manifest}
    if not names:
        raise ShardsError(
            "this directory holds no manifest, so no finished shards",
            where=folder,
            expected="<dataset>.json",
            advice="name a shards directory, or run the build again: it goes on where it stopped",
        )
    return names


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest in a JSON file; None if the file is none of ours, or another of ours.

    Raises:
        ShardsError: it is damaged, of an unknown format, or lacks a field.
    """
    name = path.name
    if name == "info.json" or name.endswith(".stats.json") or name.startswith("."):
        return None  # of hidden ones macOS makes a `._NAME` beside every file on foreign disks
    value = _parsed(path)
    if _is_foreign(value):
        return None
    manifest = _checked(path, value)
    missing = sorted(MANIFEST_FIELDS - manifest.keys())
    if missing:
        raise ShardsError(
            "a manifest is damaged",
            where=path,
            expected=f"the fields {', '.join(sorted(MANIFEST_FIELDS))}",
            found=f"none of the name {', '.join(missing)}",
            advice=ANEW,
        )
    return manifest


def _is_foreign(value: object) -> bool:
    """Whether it is JSON that does not call itself ours, such as a saved report."""
    return not isinstance(value, dict) or not str(value.get("format", "")).startswith("segdata/")


def write_info(folder: Path) -> dict[str, Any]:
    """Write `info.json` anew from the manifests; returns its content."""
    all_of_them = manifests(folder)
    first = next(iter(all_of_them.values()))
    splits: dict[str, dict[str, Any]] = {}
    for dataset, manifest in all_of_them.items():
        for split, facts in manifest["splits"].items():
            total = splits.setdefault(
                split, {"samples": 0, "shards": 0, "bytes": 0, "pixels": [], "datasets": []}
            )
            total["samples"] += facts["samples"]
            total["shards"] += len(facts["shards"])
            total["bytes"] += sum(shard["bytes"] for shard in facts["shards"])
            pixels = total["pixels"] or [0] * len(facts["pixels"])
            total["pixels"] = [a + b for a, b in zip(pixels, facts["pixels"], strict=True)]
            total["datasets"].append(dataset)
    info = {
        "format": FORMAT,
        "synthetic": any(m["synthetic"] for m in all_of_them.values()),
        "complete": all(m["complete"] for m in all_of_them.values()),
        "classes": first["classes"],
        "ignore_index": first["ignore_index"],
        "datasets": list(all_of_them),
        "splits": splits,
    }
    write_file(folder / "info.json", to_json(info))
    return info


def sources_digest(files: Iterable[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """The manifest's `sources`: by first folder, members, bytes and a SHA-256 over sorted lines."""
    sizes: dict[str, list[int]] = {}
    digests: defaultdict[str, hashlib._Hash] = defaultdict(hashlib.sha256)
    for name, size, crc32 in sorted(set(files)):
        group = name.partition("/")[0]
        sizes.setdefault(group, []).append(size)
        digests[group].update(f"{name} {size} {crc32:08x}\n".encode())
    return [
        {
            "name": group,
            "members": len(of_group),
            "bytes": sum(of_group),
            "sha256": digests[group].hexdigest(),
        }
        for group, of_group in sizes.items()
    ]
