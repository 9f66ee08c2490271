"""A set of samples: any of them by number, with plain file reads."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.errors import SampleError, ShardsError
from segtrain.indexes import ShardIndex, index_shards
from segtrain.manifests import ClassInfo, Manifest, SplitRecord
from segtrain.members import OWN, Layout
from segtrain.openfiles import OpenFiles
from segtrain.shardfile import Shard

FETCHES = 5  # of a shard whose copy is removed again before it can be opened


class Sample(NamedTuple):
    """One sample as stored: its key, the bytes of image and mask, and what the mask's mean."""

    key: str
    image: bytes
    mask: bytes
    layout: Layout = OWN


@dataclass
class SampleSet:
    """Samples of one or more data sets, by number; picklable and small.

    Attributes:
        datasets: Names of the data sets that the samples come from.
        classes: The classes in the order of their ids.
        shards: The S shards.
        starts: int64 `(S + 1,)`: number of each shard's first sample, then N.
        keys: `(N,)` of bytes strings.
        spans: int64 `(N, 4)`: offset and size of the image, then of the mask.
        facts: int64 `(N, 2)`: offset and size of `KEY.json`; 0 where there is none.
        official: Samples in the published splits.
        pixels: int64 `(C + 2,)`: mask pixels of class 0..C and of 255; None for a part of a split.
        synthetic: Whether any of it was generated.
        resized: Whether the build was free to make masks smaller than their sources.
    """

    datasets: tuple[str, ...]
    classes: tuple[ClassInfo, ...]
    shards: tuple[Shard, ...]
    starts: NDArray[np.int64]
    keys: NDArray[np.bytes_]
    spans: NDArray[np.int64]
    facts: NDArray[np.int64]
    official: int
    pixels: NDArray[np.int64] | None
    synthetic: bool
    resized: bool

    def __post_init__(self) -> None:
        self.files = OpenFiles()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def remote(self) -> bool:
        """Whether any of its shards lies at a URL."""
        return any(shard.cache is not None for shard in self.shards)

    @property
    def shard_sizes(self) -> tuple[int, ...]:
        """Number of samples of each shard."""
        return tuple(int(n) for n in np.diff(self.starts))

    def key(self, number: int) -> str:
        """The key of sample `number`."""
        return bytes(self.keys[number]).decode("utf-8")

    def place(self, number: int) -> tuple[str, Shard]:
        """Key and shard of sample `number`."""
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.key(number), self.shards[shard]

    def read(self, number: int) -> Sample:
        """Read sample `number` (0..N-1).

        Raises:
            SampleError: If the shard cannot be read or ends too early.
        """
        key, shard = self.place(number)
        image_at, image_size, mask_at, mask_size = (int(n) for n in self.spans[number])
        image = self.read_bytes(key, shard, image_at, image_size)
        mask = self.read_bytes(key, shard, mask_at, mask_size)
        if (len(image), len(mask)) != (image_size, mask_size):
            raise SampleError(f"{shard}: ends within {key}; {shard.advice()}")
        return Sample(key, image, mask, shard.record.layout)

    def read_bytes(self, key: str, shard: Shard, offset: int, size: int) -> bytes:
        """Bytes of a shard, which is fetched first where it lies at a URL.

        Raises:
            SampleError: If it cannot be read, with the sample's key.
        """
        for _ in range(FETCHES if shard.cache else 1):
            try:
                return self.files.read(shard.path, offset, size)
            except FileNotFoundError as error:
                if shard.cache is None:
                    raise SampleError(f"{shard}: {key} cannot be read: {error}") from error
            except OSError as error:
                raise SampleError(f"{shard}: {key} cannot be read: {error}") from error
            try:
                shard.fetch()
            except ShardsError as error:
                raise SampleError(f"{key}: {error}") from error
        raise SampleError(
            f"{shard}: {key} cannot be read: others remove its copy as soon as it is fetched; use "
            "a larger --cache-size"
        )

    def read_facts(self, number: int) -> dict[str, Any]:
        """The `KEY.json` of sample `number`.

        Raises:
            SampleError: If the shard cannot be read or ends too early.
            ValueError: If it is no JSON object.
        """
        key, shard = self.place(number)
        offset, size = (int(n) for n in self.facts[number])
        found = json.loads(self.read_bytes(key, shard, offset, size))
        if not isinstance(found, dict):
            raise ValueError(f"{key}.json holds no object")  # noqa: TRY004 - of JSON, not of Python
        return found

    def subset(self, numbers: Sequence[int]) -> "SampleSet":
        """The samples of these numbers, in this order, as a set of their own."""
        shards = np.searchsorted(self.starts, np.asarray(numbers, np.int64), side="right") - 1
        runs = [(int(s), len(list(g))) for s, g in itertools.groupby(shards)]
        chosen = list(numbers)
        return SampleSet(
            datasets=self.datasets,
            classes=self.classes,
            shards=tuple(self.shards[s] for s, _ in runs),
            starts=np.cumsum([0, *(n for _, n in runs)], dtype=np.int64),
            keys=self.keys[chosen],
            spans=self.spans[chosen],
            facts=self.facts[chosen],
            official=self.official,
            pixels=None,
            synthetic=self.synthetic,
            resized=self.resized,
        )


def load_shards(manifest: Manifest, split: SplitRecord, shards: Sequence[Shard]) -> SampleSet:
    """Index the shards of one data set's split, in order.

    Raises:
        ShardsError: If one of them is missing or damaged.
    """
    return indexed(
        SampleSet(
            datasets=(manifest.dataset,),
            classes=manifest.classes,
            shards=tuple(shards),
            starts=np.zeros(1, np.int64),
            keys=np.array([], np.bytes_),
            spans=np.zeros((0, 4), np.int64),
            facts=np.zeros((0, 2), np.int64),
            official=split.official,
            pixels=np.array(split.pixels, np.int64),
            synthetic=manifest.synthetic,
            resized=split.resized,
        ),
        index_shards(shards),
    )


def indexed(samples: SampleSet, indexes: Sequence[ShardIndex]) -> SampleSet:
    """The same set with the samples that the indexes of its shards name."""
    if not indexes:
        return samples
    return replace(
        samples,
        starts=np.cumsum([0, *(len(i.keys) for i in indexes)], dtype=np.int64),
        keys=np.array([k.encode() for i in indexes for k in i.keys], np.bytes_),
        spans=np.concatenate([i.spans for i in indexes]),
        facts=np.concatenate([i.facts for i in indexes]),
    )


def join(sets: Sequence[SampleSet]) -> SampleSet:
    """Sets of the same classes as one, in the order given."""
    counts = [s.pixels for s in sets]
    known = [c for c in counts if c is not None]
    sizes = [n for s in sets for n in s.shard_sizes]
    return SampleSet(
        datasets=tuple(name for s in sets for name in s.datasets),
        classes=sets[0].classes,
        shards=tuple(shard for s in sets for shard in s.shards),
        starts=np.cumsum([0, *sizes], dtype=np.int64),
        keys=np.concatenate([s.keys for s in sets]),
        spans=np.concatenate([s.spans for s in sets]),
        facts=np.concatenate([s.facts for s in sets]),
        official=sum(s.official for s in sets),
        pixels=np.sum(known, axis=0, dtype=np.int64) if len(known) == len(sets) else None,
        synthetic=any(s.synthetic for s in sets),
        resized=any(s.resized for s in sets),
    )


def select_keys(
    samples: SampleSet, keys: Sequence[str], where: str, *, stored_order: bool = False
) -> SampleSet:
    """The samples with these keys, in the keys' order or in that of the set.

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
    chosen = [numbers[key] for key in keys]
    return samples.subset(sorted(chosen) if stored_order else chosen)


def counted_pixels(samples: SampleSet) -> NDArray[np.int64] | None:
    """Mask pixels of class 0..C and of 255, `(C + 2,)`, summed over the `KEY.json` of the samples.

    Returns:
        None where a sample's facts cannot be read, as in shards that have none, and of shards at
        URLs, which would have to be fetched whole for it.
    """
    total = np.zeros(len(samples.classes) + 1, np.int64)
    if samples.remote:
        return None
    try:
        for number in range(len(samples)):
            total += np.array(samples.read_facts(number)["pixels"], np.int64)
    except (SampleError, ValueError, KeyError, TypeError):
        return None
    return total
