"""A set of samples: any of them by number, with plain file reads."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.errors import SampleError, ShardsError
from segtrain.indexes import advise
from segtrain.manifests import ClassInfo
from segtrain.members import OWN, Layout
from segtrain.openfiles import OpenFiles


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
        paths: The S shards.
        starts: int64 `(S + 1,)`: number of each shard's first sample, then N.
        keys: `(N,)` of bytes strings.
        spans: int64 `(N, 4)`: offset and size of the image, then of the mask.
        official: Samples in the published splits.
        pixels: int64 `(C + 2,)`: mask pixels of class 0..C and of 255; None for a part of a split.
        synthetic: Whether any of it was generated.
        resized: Whether the build was free to make masks smaller than their sources.
        layouts: How samples lie in each of the S shards.
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
    layouts: tuple[Layout, ...]

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
        return bytes(self.keys[number]).decode("utf-8")

    def place(self, number: int) -> tuple[str, Path]:
        """Key and shard of sample `number`, for messages."""
        return self.key(number), self.paths[self.shard_of(number)]

    def shard_of(self, number: int) -> int:
        """Which shard holds sample `number`."""
        return int(np.searchsorted(self.starts, number, side="right")) - 1

    def advise(self, number: int) -> str:
        """The way on where sample `number` is not what it should be."""
        shard = self.shard_of(number)
        return advise(self.paths[shard], self.layouts[shard])

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
            raise SampleError(f"{path}: ends within {key}; {self.advise(number)}")
        return Sample(key, image, mask, self.layouts[self.shard_of(number)])

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
            layouts=tuple(self.layouts[s] for s, _ in runs),
        )


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
