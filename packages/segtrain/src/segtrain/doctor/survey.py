"""A survey of the masks: some of each data set, read as they are stored."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segtrain.doctor.blends import Blends, blends
from segtrain.doctor.examination import Examination
from segtrain.errors import SampleError
from segtrain.manifests import IGNORE_INDEX
from segtrain.masks import read_values
from segtrain.samples import decode_mask
from segtrain.sampleset import Sample, SampleSet

MASKS = 200  # of each part
SHARDS = 8  # that they come from
FETCHED = 2  # that they come from where each must be fetched whole


@dataclass(frozen=True)
class Part:
    """What a run trains on or validates on of one data set.

    Attributes:
        name: `voc2012 train`.
        samples: The set that holds it.
        numbers: The samples that are looked at, in order.
    """

    name: str
    samples: SampleSet
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Look:
    """What one mask is.

    Attributes:
        number: Of its sample.
        unknown: Values that are no id, sorted.
        unreadable: Why it could not be read; empty where it could.
        pixels: int64 `(C + 2,)`: pixels of class 0..C and, last, of 255.
        blends: Thin lines of ids between those beside them.
    """

    number: int
    unknown: tuple[int, ...]
    unreadable: str
    pixels: NDArray[np.int64]
    blends: Blends

    @property
    def sound(self) -> bool:
        """Whether a run could read it."""
        return not self.unknown and not self.unreadable


@dataclass(frozen=True)
class Surveyed:
    """A part, and what its masks are."""

    part: Part
    looks: tuple[Look, ...]

    @property
    def whole(self) -> bool:
        """Whether all masks of the part were looked at."""
        return len(self.part.numbers) == len(self.part.samples)


def parts(exam: Examination) -> list[Part]:
    """The parts of a run, training first, each with the samples to look at.

    Training samples of a stream cannot be read one by one: that has parts for validation only.
    """
    data = exam.patient.data
    train, split = data.train, exam.patient.config.train_split
    names = np.array([shard.dataset for shard in train.shards], str).repeat(train.shard_sizes)
    found = [
        Part(f"{name} {split}", train, chosen(train, np.flatnonzero(names == name)))
        for name in train.datasets
    ]
    for val in data.val_sets:
        everything = np.arange(len(val.samples))
        found.append(Part(f"{val.name} {val.split}", val.samples, chosen(val.samples, everything)))
    return found


def chosen(samples: SampleSet, numbers: NDArray[np.int64]) -> tuple[int, ...]:
    """Some of these samples, from a few shards, always the same."""
    place = np.searchsorted(samples.starts, numbers, side="right")
    shards = np.unique(place)
    most = min(FETCHED if samples.remote else SHARDS, len(shards))
    few = shards[np.arange(most) * len(shards) // max(1, most)]
    within = numbers[np.isin(place, few)]
    drawn = np.random.default_rng(0).permutation(within)[:MASKS]
    return tuple(int(n) for n in np.sort(drawn))


def survey(exam: Examination) -> list[Surveyed]:
    """Look at some masks of each part."""
    return [Surveyed(part, tuple(looks(exam, part))) for part in parts(exam) if len(part.numbers)]


def looks(exam: Examination, part: Part) -> Iterator[Look]:
    """Look at the masks of one part."""
    for done, number in enumerate(part.numbers):
        if done % 20 == 0:
            exam.progress(f"masks of {part.name}", done, len(part.numbers))
        yield look(part.samples, number)


def look(samples: SampleSet, number: int) -> Look:
    """Look at one mask."""
    count = len(samples.classes)
    nothing = np.zeros(count + 1, np.int64)
    try:
        values, known = stored(samples.read(number), count)
    except (SampleError, OSError, ValueError, SyntaxError) as error:
        return Look(number, (), str(error), nothing, Blends(0, 0))
    found = np.bincount(values.ravel(), minlength=256)
    unknown = np.flatnonzero((found > 0) & (known < 0))
    ours = np.where(known < 0, IGNORE_INDEX, known).astype(np.uint8)
    pixels = np.bincount(ours, found, minlength=256).astype(np.int64)
    pixels = np.append(pixels[:count], pixels[IGNORE_INDEX])
    return Look(number, tuple(unknown.tolist()), "", pixels, blends(ours[values]))


def stored(sample: Sample, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The values of a mask, `(H, W)`, and the id of each of the 256 values, -1 for none.

    Raises:
        ValueError: If it is no index PNG.
        OSError: If it cannot be decoded.
    """
    if sample.layout.foreign:
        return read_values(sample.mask), np.asarray(sample.layout.ids, np.int64)
    known = np.full(256, -1)
    known[:count] = np.arange(count)
    known[IGNORE_INDEX] = IGNORE_INDEX
    return decode_mask(sample.mask), known
