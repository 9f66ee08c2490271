"""Training images that stand in a validation set, too: by their ids and by their very bytes."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain.doctor.examination import Examination
from segtrain.errors import SampleError
from segtrain.samples import FORMATS, decode_image
from segtrain.sampleset import SampleSet

PROBE = 64  # bytes in the middle of a file that are compared first
COMPARED = 20_000  # pairs of equal size that are compared, at most
LOOKED_AT = 16  # pairs of equal ids whose pictures are compared, in shards that others made
SIDE = 24  # pixels of the pictures that are compared
ALIKE = 0.9  # correlation of their brightness
OWN_KEY = re.compile(r"(?P<family>coco|voc)20\d\d_(?P<id>[0-9_]+)")
VOC_ID = re.compile(r"20(?:0[7-9]|1[0-2])_\d{6}")
COCO_ID = re.compile(r"(?:COCO_(?:train|val)2014_)?(\d{12})")


@dataclass(frozen=True)
class Twins:
    """What training and one validation set share.

    Attributes:
        name: Of the validation set: `voc2012 val`.
        by_id: Pairs of keys, training first, of the same image of VOC or COCO.
        by_bytes: Pairs of keys, training first, whose image files are equal.
        compared: Whether all files that may be equal were compared.
    """

    name: str
    by_id: list[tuple[str, str]]
    by_bytes: list[tuple[str, str]]
    compared: bool


def source(key: str, *, foreign: bool) -> str:
    """Which photo of VOC or COCO a key names, the same for all years; empty for another.

    `coco2014_000000000139` and `coco2017_000000000139` are one photo, and so are VOC's of 2007 and
    2012 of one id. In shards that others made, the last part of a key may be such an id.
    """
    if not foreign:
        own = OWN_KEY.fullmatch(key)
        return f"{own['family']} {own['id']}" if own else ""
    last = key.rpartition("/")[2]
    if VOC_ID.fullmatch(last):
        return f"voc {last}"
    coco = COCO_ID.fullmatch(last)
    return f"coco {coco[1]}" if coco else ""


def sources(samples: SampleSet) -> list[str]:
    """`source` of every sample."""
    foreign = np.repeat([s.record.layout.foreign for s in samples.shards], samples.shard_sizes)
    keys = (bytes(key).decode("utf-8") for key in samples.keys)
    return [source(key, foreign=bool(f)) for key, f in zip(keys, foreign, strict=True)]


def twins(exam: Examination) -> list[Twins]:
    """Compare the training set with each validation set."""
    train = exam.patient.data.train
    numbers = {name: number for number, name in enumerate(sources(train)) if name}
    found = []
    for val in exam.patient.data.val_sets:
        exam.progress(f"images of {val.name} in training", 0, 0)
        names = enumerate(sources(val.samples))
        same = [(numbers[name], number) for number, name in names if name in numbers]
        by_id = list(confirmed(train, val.samples, same))
        pairs, whole = equal_sizes(train, val.samples, {b for _, b in by_id})
        by_bytes = [pair for pair in pairs if equal_files(train, val.samples, *pair)]
        found.append(
            Twins(
                f"{val.name} {val.split}",
                keys(train, val.samples, by_id),
                keys(train, val.samples, by_bytes),
                whole,
            )
        )
    return found


def keys(
    train: SampleSet, val: SampleSet, pairs: Iterable[tuple[int, int]]
) -> list[tuple[str, str]]:
    """The keys of pairs of samples."""
    return [(train.key(a), val.key(b)) for a, b in pairs]


def confirmed(
    train: SampleSet, val: SampleSet, pairs: list[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Pairs of equal ids that are one photo: others may have numbered other photos alike.

    Of shards that others made, the pictures of the first pairs decide, each for itself; the others
    are left out.
    """
    looked = 0
    for a, b in pairs:
        if not (is_foreign(train, a) or is_foreign(val, b)):
            yield a, b
        elif looked < LOOKED_AT:
            looked += 1
            if look_alike(train, val, a, b):
                yield a, b


def is_foreign(samples: SampleSet, number: int) -> bool:
    """Whether others made a sample's shard."""
    return samples.place(number)[1].record.layout.foreign


def look_alike(train: SampleSet, val: SampleSet, a: int, b: int) -> bool:
    """Whether two samples show the same picture, whatever their sizes; False if unreadable."""
    try:
        first, second = (small(s.read(n).image) for s, n in ((train, a), (val, b)))
    except (SampleError, OSError, ValueError, SyntaxError):
        return False
    if first.std() == 0 or second.std() == 0:
        return bool(first.std() == second.std())
    return bool(np.corrcoef(first, second)[0, 1] >= ALIKE)


def small(data: bytes) -> NDArray[np.float64]:
    """Brightness of a small picture of an image, flat."""
    image = decode_image(data, FORMATS).convert("L")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64).ravel()


def equal_sizes(
    train: SampleSet, val: SampleSet, known: set[int]
) -> tuple[list[tuple[int, int]], bool]:
    """Pairs of image files of equal size, those of known val samples left out, and whether all.

    Shards at URLs are left out: each would have to be fetched whole.
    """
    ours, theirs = here(train), here(val)
    theirs = theirs[~np.isin(theirs, sorted(known))]
    whole = len(ours) == len(train) and len(theirs) + len(known) >= len(val)
    sizes = train.spans[ours, 1]
    order = np.argsort(sizes, kind="stable")
    first = np.searchsorted(sizes[order], val.spans[theirs, 1], "left")
    last = np.searchsorted(sizes[order], val.spans[theirs, 1], "right")
    pairs = [
        (int(ours[order[k]]), int(number))
        for number, begin, end in zip(theirs, first, last, strict=True)
        for k in range(begin, end)
    ]
    return pairs[:COMPARED], whole and len(pairs) <= COMPARED


def here(samples: SampleSet) -> NDArray[np.int64]:
    """The samples whose shards lie on this machine."""
    local = np.repeat([shard.cache is None for shard in samples.shards], samples.shard_sizes)
    return np.flatnonzero(local)


def equal_files(train: SampleSet, val: SampleSet, a: int, b: int) -> bool:
    """Whether two image files of one size are equal: first a little of both, then all."""
    size = int(train.spans[a, 1])
    for at, count in ((size // 2, min(PROBE, size - size // 2)), (0, size)):
        if piece(train, a, at, count) != piece(val, b, at, count):
            return False
    return True


def piece(samples: SampleSet, number: int, at: int, count: int) -> bytes:
    """Some bytes of a sample's image file."""
    key, shard = samples.place(number)
    return samples.read_bytes(key, shard, int(samples.spans[number, 0]) + at, count)
