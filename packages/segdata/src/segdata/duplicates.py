"""Duplicates: samples that show one photo, found by its names and by how it looks.

Every image is decoded once, in worker processes, and leaves a thumbnail of 1,024 bytes. Near pairs
of thumbnails (`fingerprints`) are candidates; a candidate is a duplicate only if the fine structure
agrees as well (`alignment`). Both thresholds were chosen on real photos, see
docs/commands/check-leaks.md.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segdata import alignment, engine, fingerprints
from segdata.catalog import Photo, Shard, photos_of
from segdata.engine import Progress
from segdata.errors import ShardsError
from segdata.images import UNDECODABLE
from segdata.stored import CHECK
from segdata.stores import fetched

SIMILAR = 0.6  # cosine from which a pair is looked at more closely
CERTAIN = 0.82  # correlation of the fine structure from which it is one photo
PART = 512  # candidates of one task
MANY = 64  # equal plain images of which no longer every pair is named

Kind = Literal["same-id", "same-photo", "mirrored", "same-bytes"]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two samples that show one photo, by their numbers in the catalogue.

    Attributes:
        first: below `second`.
        kind: `same-id` by name; by looks `same-photo` or `mirrored`; `same-bytes` where both are
            too plain to be told from others and only equal files count.
        similarity: cosine of the fingerprints; 1 where only names or bytes were compared.
        correlation: of the fine structure, likewise.
    """

    first: int
    second: int
    kind: Kind
    similarity: float = 1.0
    correlation: float = 1.0


@dataclass(frozen=True)
class Catalogue:
    """All samples of some shards, and how their images look.

    Attributes:
        photos: in the order of the shards.
        thumbnails: uint8 (N, 32, 32), or (0, 32, 32) where looks were not asked for.
        digests: of each image that is too plain for a fingerprint, by number.
    """

    photos: Sequence[Photo]
    thumbnails: NDArray[np.uint8]
    digests: dict[int, bytes]


@dataclass(frozen=True)
class Search:
    """What a search for duplicates found, and how far it went.

    Attributes:
        duplicates: sorted by their numbers, each pair once.
        pairs: pairs of images whose looks were compared.
        candidates: those of them that were looked at more closely.
        plain: images that are too plain to be compared by looks.
    """

    duplicates: Sequence[Duplicate]
    pairs: int
    candidates: int
    plain: int


def read_catalogue(
    shards: Sequence[Shard], workers: int, progress: Progress, *, looks: bool = True
) -> Catalogue:
    """Read every sample of some shards once.

    Args:
        shards: which.
        workers: processes.
        progress: see `Progress`.
        looks: whether to decode the images; without, only names are known.

    Raises:
        ShardsError: a shard is damaged, or an image does not decode.
    """
    tasks = [(number, shard) for number, shard in enumerate(shards)]
    total = sum(shard.samples for shard in shards)
    report = partial(progress, "reading images" if looks else "reading samples")
    report(0, total)
    work = partial(_read_shard, looks=looks)
    workers = min(workers, max(1, len(tasks)))
    found = sorted(
        engine.run(work, tasks, workers, lambda done: report(done, total)), key=lambda part: part[0]
    )
    photos = [photo for _, part, _, _ in found for photo in part]
    empty = np.empty((0, fingerprints.SIDE, fingerprints.SIDE), np.uint8)
    thumbnails = np.concatenate([empty, *(part for _, _, part, _ in found)])
    digests = [digest for _, _, _, part in found for digest in part]
    return Catalogue(photos, thumbnails, {i: d for i, d in enumerate(digests) if d})


_Part = tuple[int, list[Photo], NDArray[np.uint8], list[bytes]]


def _read_shard(task: tuple[int, Shard], *, looks: bool) -> _Part:
    """One shard's samples, thumbnails, and digests (empty where one is not needed)."""
    number, shard = task
    photos, thumbnails, images = [], [], []
    # A remote shard is copied once: its images are too many to ask for one by one.
    with fetched(shard.path, (".idx",)) if looks else nullcontext(shard.path) as tar:
        for here in photos_of(replace(shard, folder=tar.parent)):
            photo = replace(here, shard=shard, row=replace(here.row, tar=shard.path))
            photos.append(photo)
            if looks:
                image = here.read()
                thumbnails.append(_thumbnail(photo, image))
                images.append(hashlib.blake2b(image, digest_size=16).digest())
            engine.tick()
    stacked = np.array(thumbnails, np.uint8).reshape(-1, fingerprints.SIDE, fingerprints.SIDE)
    plain = fingerprints.detail(stacked) < fingerprints.DETAIL
    return number, photos, stacked, [d if p else b"" for d, p in zip(images, plain, strict=True)]


def _thumbnail(photo: Photo, image: bytes) -> NDArray[np.uint8]:
    try:
        return fingerprints.thumbnail(image)
    except UNDECODABLE as error:
        raise ShardsError(
            "an image of a shard cannot be decoded",
            where=f"{photo.shard.path}: {photo.key}",
            found=error,
            advice=CHECK,
        ) from error


def find_duplicates(catalogue: Catalogue, workers: int, progress: Progress) -> Search:
    """All pairs of samples that show one photo."""
    found: dict[tuple[int, int], Duplicate] = {}
    pairs = candidates = 0
    if len(catalogue.thumbnails):
        vectors = fingerprints.describe(catalogue.thumbnails)
        total = len(vectors)
        report = partial(progress, "comparing images")
        near = fingerprints.near_pairs(vectors, SIMILAR, lambda done: report(done, total))
        told = total - len(catalogue.digests)
        pairs, candidates = told * (told - 1) // 2, len(near.first)
        for duplicate in _confirmed(catalogue, near, workers, progress):
            found[duplicate.first, duplicate.second] = duplicate
    found |= {(d.first, d.second): d for d in _equal_files(catalogue.digests)}
    found |= {(d.first, d.second): d for d in _same_ids(catalogue.photos)}
    ordered = [found[numbers] for numbers in sorted(found)]
    return Search(ordered, pairs, candidates, len(catalogue.digests))


def _confirmed(
    catalogue: Catalogue, near: fingerprints.Candidates, workers: int, progress: Progress
) -> Iterator[Duplicate]:
    """The candidates whose fine structure agrees as well."""
    count = len(near.first)
    tasks = (_comparison(catalogue.thumbnails, near, i) for i in range(0, count, PART))
    report = partial(progress, "aligning pairs")
    workers = min(workers, -(-count // PART))
    for begin, scores in engine.run(_compare, tasks, workers, lambda done: report(done, count)):
        for offset in np.flatnonzero(scores >= CERTAIN):
            i = begin + int(offset)
            yield Duplicate(
                int(near.first[i]),
                int(near.second[i]),
                "mirrored" if near.mirrored[i] else "same-photo",
                round(float(near.similarity[i]), 3),
                round(float(scores[offset]), 3),
            )


_Comparison = tuple[int, NDArray[np.uint8], NDArray[np.uint8]]


def _comparison(
    thumbnails: NDArray[np.uint8], near: fingerprints.Candidates, begin: int
) -> _Comparison:
    part = slice(begin, begin + PART)
    second = thumbnails[near.second[part]]
    mirrored = near.mirrored[part, None, None]
    return begin, thumbnails[near.first[part]], np.where(mirrored, second[:, :, ::-1], second)


def _compare(task: _Comparison) -> tuple[int, NDArray[np.float32]]:
    begin, first, second = task
    scores = alignment.fine_correlation(first, second)
    for _ in scores:
        engine.tick()
    return begin, scores


def _equal_files(digests: dict[int, bytes]) -> Iterator[Duplicate]:
    """Pairs of plain images that are one file; of very many only those with the first."""
    groups: dict[bytes, list[int]] = {}
    for number, digest in digests.items():
        groups.setdefault(digest, []).append(number)
    for group in groups.values():
        several = len(group) <= MANY
        pairs = combinations(group, 2) if several else ((group[0], i) for i in group[1:])
        for first, second in pairs:
            yield Duplicate(first, second, "same-bytes")


def _same_ids(photos: Sequence[Photo]) -> Iterator[Duplicate]:
    groups: dict[str, list[int]] = {}
    for number, photo in enumerate(photos):
        groups.setdefault(photo.identity, []).append(number)
    for group in groups.values():
        for first, second in combinations(group, 2):
            yield Duplicate(first, second, "same-id")
