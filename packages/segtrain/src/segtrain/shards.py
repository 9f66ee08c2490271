"""A shards directory, opened: any sample by number, with plain file reads."""

import itertools
import os
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.errors import SampleError, ShardsError
from segtrain.manifests import (
    FIXED_VIEW,
    ClassInfo,
    Manifest,
    ShardRecord,
    SplitRecord,
    read_manifests,
)

MEMBERS = ("jpg", "json", "seg.png")
OPEN_FILES = 64  # shards held open at once per process; macOS allows 256 files in all


class Sample(NamedTuple):
    """One sample as stored: its key and the bytes of `KEY.jpg` and `KEY.seg.png`."""

    key: str
    image: bytes
    mask: bytes


class ShardIndex(NamedTuple):
    """Where the samples of one shard lie.

    Attributes:
        keys: The N keys, in order.
        spans: int64 `(N, 4)`: offset and size in bytes of the image, then of the mask.
    """

    keys: list[str]
    spans: NDArray[np.int64]


def advise(path: Path) -> str:
    """The way on for a shard that is not what it should be."""
    return (
        f"find out what is wrong with `segdata verify-masks {path.parent}`; remove the damaged "
        "shard and run its `segdata build-...` command again to make it anew"
    )


def shard_index(members: Iterable[tuple[str, str, int, int]], path: Path) -> ShardIndex:
    """Group `(key, ext, offset, size)` members into samples.

    Raises:
        ShardsError: If the members of a sample are not `jpg`, `json`, `seg.png`, in this order.
    """
    keys, spans = [], []
    for key, group in itertools.groupby(members, key=lambda member: member[0]):
        parts = list(group)
        found = tuple(ext for _, ext, _, _ in parts)
        if found != MEMBERS:
            raise ShardsError(
                f"{path}: sample {key} has the members {', '.join(found)}; "
                f"expected {', '.join(MEMBERS)}; {advise(path)}"
            )
        keys.append(key)
        spans.append((*parts[0][2:], *parts[2][2:]))
    return ShardIndex(keys, np.array(spans, np.int64).reshape(len(spans), 4))


def read_idx(path: Path) -> ShardIndex:
    """Read a shard's `.idx`.

    Raises:
        ShardsError: If it does not follow the format.
    """
    try:
        first, *lines = path.read_text("ascii").splitlines()
        version, count = first.split()
        samples = int(count)
        members = []
        for line in lines:
            words = line.split(" ")
            for ext, offset, size, name in zip(*[iter(words)] * 4, strict=True):
                members.append((name.removesuffix(f".{ext}"), ext, int(offset), int(size)))
    except (OSError, ValueError) as error:
        raise ShardsError(
            f"{path}: not a usable index ({error}); delete it and the shard's own headers are "
            "read instead"
        ) from error
    index = shard_index(members, path)
    if version != "v1.2" or samples != len(index.keys):
        raise ShardsError(
            f"{path}: its first line is {first!r}, expected 'v1.2 {len(index.keys)}', the number "
            "of its lines; delete it and the shard's own headers are read instead"
        )
    return index


def scan_tar(path: Path) -> ShardIndex:
    """Make a shard's index from one scan of its headers.

    Raises:
        ShardsError: If the tar is damaged.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            members = [
                (*member.name.partition(".")[::2], member.offset_data, member.size)
                for member in tar
            ]
    except (OSError, tarfile.TarError) as error:
        raise ShardsError(f"{path}: not a readable tar ({error}); {advise(path)}") from error
    return shard_index(members, path)


def index_shard(path: Path, record: ShardRecord) -> ShardIndex:
    """The index of one shard, checked against the manifest and the file itself.

    Raises:
        ShardsError: If the shard is missing, or shorter or longer than manifest or index say.
    """
    if not path.is_file():
        raise ShardsError(
            f"{path}: the manifest lists this shard, but it is not there; copy it here, or run "
            "its `segdata build-...` command again"
        )
    size = path.stat().st_size
    idx = path.with_suffix(".idx")
    if size != record.bytes:
        raise ShardsError(
            f"{path}: has {size:,} bytes, the manifest says {record.bytes:,}; {advise(path)}"
        )
    index = read_idx(idx) if idx.exists() else scan_tar(path)
    if len(index.keys) != record.samples:
        raise ShardsError(
            f"{path}: holds {len(index.keys):,} samples, the manifest says {record.samples:,}; "
            f"{advise(path)}"
        )
    end = int((index.spans[:, 2:].sum(axis=1)).max(initial=0))
    if end > size:
        raise ShardsError(
            f"{path}: has {size:,} bytes, but {idx.name} places a member up to byte {end:,}; "
            f"{advise(path)}"
        )
    return index


class OpenFiles:
    """Read-only file handles of this process, the least recently used closed first.

    Threads may share it. A pickled copy starts without handles: each worker process opens its own.
    """

    def __init__(self, limit: int = OPEN_FILES) -> None:
        self.limit = limit
        self.handles: OrderedDict[Path, int] = OrderedDict()
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type["OpenFiles"], tuple[int]]:
        return OpenFiles, (self.limit,)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close all handles; the next read opens anew."""
        while self.handles:
            os.close(self.handles.popitem()[1])

    def handle(self, path: Path) -> int:
        """An open file descriptor of `path`."""
        if path not in self.handles:
            if len(self.handles) >= self.limit:
                os.close(self.handles.popitem(last=False)[1])
            self.handles[path] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.handles.move_to_end(path)
        return self.handles[path]

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """Read exactly `size` bytes from `offset`; fewer only where the file ends."""
        with self.lock:  # no other thread may close this handle or move its position meanwhile
            handle = self.handle(path)
            if hasattr(os, "pread"):  # forked processes share positions: pread needs none
                return os.pread(handle, size, offset)
            os.lseek(handle, offset, os.SEEK_SET)
            return os.read(handle, size)


@dataclass
class SampleSet:
    """Samples of one or more data sets, by number; picklable and small.

    Attributes:
        datasets: Names of the data sets that the samples come from.
        classes: The classes in the order of their ids.
        paths: The S shards.
        starts: int64 `(S + 1,)`: number of each shard's first sample, then N.
        keys: `(N,)` of bytes strings.
        spans: int64 `(N, 4)`: offset and size of the image, then of the mask.
        official: Samples in the published splits.
        pixels: int64 `(C + 2,)`: mask pixels of class 0..C and of 255; None for a part of a split.
        synthetic: Whether any of it was generated.
        resized: Whether the build was free to make masks smaller than their sources.
    """

    datasets: tuple[str, ...]
    classes: tuple[ClassInfo, ...]
    paths: tuple[Path, ...]
    starts: NDArray[np.int64]
    keys: NDArray[np.bytes_]
    spans: NDArray[np.int64]
    official: int
    pixels: NDArray[np.int64] | None
    synthetic: bool
    resized: bool

    def __post_init__(self) -> None:
        self.files = OpenFiles()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def shard_sizes(self) -> tuple[int, ...]:
        """Number of samples of each shard."""
        return tuple(int(n) for n in np.diff(self.starts))

    def key(self, number: int) -> str:
        """The key of sample `number`."""
        return bytes(self.keys[number]).decode("ascii")

    def place(self, number: int) -> tuple[str, Path]:
        """Key and shard of sample `number`, for messages."""
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.key(number), self.paths[shard]

    def read(self, number: int) -> Sample:
        """Read sample `number` (0..N-1).

        Raises:
            SampleError: If the shard cannot be read or ends too early.
        """
        key, path = self.place(number)
        image_at, image_size, mask_at, mask_size = (int(n) for n in self.spans[number])
        try:
            image = self.files.read(path, image_at, image_size)
            mask = self.files.read(path, mask_at, mask_size)
        except OSError as error:
            raise SampleError(f"{path}: {key} cannot be read: {error}") from error
        if (len(image), len(mask)) != (image_size, mask_size):
            raise SampleError(f"{path}: ends within {key}; {advise(path)}")
        return Sample(key, image, mask)

    def subset(self, numbers: Sequence[int]) -> "SampleSet":
        """The samples of these numbers, in this order, as a set of their own."""
        shards = np.searchsorted(self.starts, np.asarray(numbers, np.int64), side="right") - 1
        runs = [(int(s), len(list(g))) for s, g in itertools.groupby(shards)]
        chosen = list(numbers)
        return SampleSet(
            datasets=self.datasets,
            classes=self.classes,
            paths=tuple(self.paths[s] for s, _ in runs),
            starts=np.cumsum([0, *(n for _, n in runs)], dtype=np.int64),
            keys=self.keys[chosen],
            spans=self.spans[chosen],
            official=self.official,
            pixels=None,
            synthetic=self.synthetic,
            resized=self.resized,
        )


@dataclass(frozen=True)
class Shards:
    """A shards directory: its manifests, one per data set, all of the same classes."""

    directory: Path
    manifests: tuple[Manifest, ...]

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes in the order of their ids, background first."""
        return self.manifests[0].classes

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each manifest by data set."""
        return {m.dataset: m.sha256 for m in self.manifests}

    def load(self, parts: Sequence[tuple[Manifest, SplitRecord]]) -> SampleSet:
        """Index the shards of these splits, in order, as one set."""
        records = [(s, self.directory / s.name) for _, split in parts for s in split.shards]
        indexes = [index_shard(path, record) for record, path in records]
        empty = np.zeros((0, 4), np.int64)
        return SampleSet(
            datasets=tuple(m.dataset for m, _ in parts),
            classes=self.classes,
            paths=tuple(path for _, path in records),
            starts=np.cumsum([0, *(len(i.keys) for i in indexes)], dtype=np.int64),
            keys=np.array([k.encode("ascii") for i in indexes for k in i.keys], np.bytes_),
            spans=np.concatenate([empty, *(i.spans for i in indexes)]),
            official=sum(split.official for _, split in parts),
            pixels=np.sum([split.pixels for _, split in parts], axis=0, dtype=np.int64),
            synthetic=any(m.synthetic for m, _ in parts),
            resized=any(split.resized for _, split in parts),
        )

    def train_set(self) -> SampleSet:
        """The train splits of all data sets as one set.

        Raises:
            ShardsError: If none has a train split with samples, or its shards are damaged.
        """
        parts = [(m, m.splits["train"]) for m in self.manifests if "train" in m.splits]
        samples = self.load([(m, s) for m, s in parts if s.samples])
        if not len(samples):
            raise ShardsError(
                f"{self.directory}: no data set has a train split with samples; build one with "
                "`segdata build-voc --split train` or `segdata build-coco --split train`"
            )
        return samples

    def sets(self, split: str) -> list[SampleSet]:
        """The samples of a physical split or a named subset, one set per data set that has it.

        VOC's come first: they are primary, for its metric is the one that is published.

        Raises:
            ShardsError: If no data set has it, or its shards are damaged.
        """
        found = [self.one_set(m, split) for m in self.manifests]
        sets = [s for s in found if s is not None and len(s)]
        if not sets:
            names = sorted({n for m in self.manifests for n in (*m.splits, *m.views)})
            raise ShardsError(
                f"{self.directory}: no data set has a split {split!r} with samples; "
                f"there are: {', '.join(names)}"
            )
        return sorted(sets, key=lambda s: not s.datasets[0].startswith("voc"))

    def one_set(self, manifest: Manifest, split: str) -> SampleSet | None:
        """The samples of one data set's split or view, None where it has no such name."""
        if split in manifest.splits:
            return self.load([(manifest, manifest.splits[split])])
        if split in manifest.views:
            view = manifest.views[split]
            whole = self.load([(manifest, manifest.splits[view.split])])
            part = select_keys(whole, view.keys, f"{manifest.dataset}: {split}")
            published = split != FIXED_VIEW and view.official  # else it is a part of its split
            return replace(part, official=view.official if published else whole.official)
        return None

    def view_keys(self, dataset: str, view: str) -> tuple[str, ...] | None:
        """The keys of a data set's named subset, None where it has none of that name."""
        found = (m.views[view] for m in self.manifests if m.dataset == dataset and view in m.views)
        return next((record.keys for record in found), None)


def select_keys(samples: SampleSet, keys: Sequence[str], where: str) -> SampleSet:
    """The samples with these keys, in the keys' order.

    Raises:
        ShardsError: If a key is not among the samples.
    """
    numbers = {samples.key(n): n for n in range(len(samples))}
    missing = [key for key in keys if key not in numbers]
    if missing:
        raise ShardsError(
            f"{where} names {len(missing)} keys that no shard holds, {missing[0]} first; "
            "run `segdata verify-masks` on the directory"
        )
    return samples.subset([numbers[key] for key in keys])


def open_shards(directory: Path) -> Shards:
    """Open a shards directory by its manifests.

    Raises:
        ShardsError: If it is missing, empty or cannot be understood.
    """
    return Shards(directory, read_manifests(directory))
