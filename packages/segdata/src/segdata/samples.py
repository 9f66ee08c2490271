"""What every source yields: small references to samples, and what a reference loads to."""

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segdata.archive import Archive, Member
from segdata.errors import SampleError, SourceError
from segdata.labels import Region

KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")  # what may follow the data set's name in a key


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was read: name below the source's root, bytes, CRC-32 of the content."""

    name: str
    size: int
    crc32: int

    @classmethod
    def of(cls, name: str, data: bytes) -> "SourceFile":
        """Describe content that has been read anyway."""
        return cls(name, len(data), zlib.crc32(data))


@dataclass(frozen=True, slots=True)
class Loaded:
    """One sample as its source has it.

    Attributes:
        image: the image file's bytes.
        height: of the annotation, pixels; the image must have the same.
        width: likewise.
        mask: uint8 (height, width), where the source holds masks.
        regions: where it holds objects instead.
        files: what was read.
    """

    image: bytes
    height: int
    width: int
    files: tuple[SourceFile, ...]
    mask: NDArray[np.uint8] | None = None
    regions: tuple[Region, ...] = ()


class Sample(Protocol):
    """A picklable reference to one sample of a source."""

    @property
    def key(self) -> str:
        """`<dataset>_<id>`."""

    @property
    def source_id(self) -> str:
        """The id in the source."""

    @property
    def image(self) -> Member:
        """The image file."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels as annotated; (0, 0) where only the mask file tells."""

    @property
    def fingerprint(self) -> str:
        """A line that changes when what the sample is made from changes, as far as names tell."""

    def regions(self) -> tuple[Region, ...]:
        """Its objects and crowds of the chosen classes; empty where the source holds masks."""

    def load(self) -> Loaded:
        """Read it.

        Raises:
            SampleError: a file of it is missing, damaged or inconsistent.
        """


class Drawn:
    """A sample of a source that holds masks: nothing is known of it until its mask is read."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Unknown."""
        return 0, 0

    def regions(self) -> tuple[Region, ...]:
        """None."""
        return ()


@dataclass(frozen=True)
class Split:
    """The samples of one physical split of a source.

    Attributes:
        samples: those that can be loaded and that the label policy keeps, by its annotations.
        available: images that the source lists, kept or not.
        official: images of the published split.
        left_out: (source_id, reason) of those that the policy leaves out.
        broken: (source_id, error) of those that are listed but cannot be loaded.
        files: what was read to list them.
    """

    samples: Sequence[Sample]
    available: int
    official: int
    left_out: Sequence[tuple[str, str]] = ()
    broken: Sequence[tuple[str, SampleError]] = ()
    files: Sequence[SourceFile] = ()


@dataclass(frozen=True)
class View:
    """A named split: a part, or all, of one physical split.

    Attributes:
        name: such as `seg11valid`; never that of a physical split.
        split: the physical split that all its samples are in.
        official: images of the published split of that name.
        keys: those that are in it; keys that no shard holds are passed over.
    """

    name: str
    split: str
    official: int
    keys: frozenset[str]


@dataclass(frozen=True)
class Source:
    """A data set, opened: its splits by name and how it was labelled.

    Attributes:
        protocol: which published rule made up the splits, where there are several; else "".
        views: named splits within the physical ones.
        year: 0 where there is none.
        labels: the manifest's `labels`.
        notes: what a person should know.
        options: how the source was read, as far as it decides the shards; joins the manifest's.
    """

    dataset: str
    year: int
    synthetic: bool
    splits: Mapping[str, Split]
    labels: Mapping[str, object]
    notes: Sequence[str] = field(default=())
    protocol: str = ""
    views: Sequence[View] = field(default=())
    options: Mapping[str, object] = field(default_factory=dict)


def gather(
    ids: Iterable[str], sample: Callable[[str], Sample]
) -> tuple[list[Sample], list[tuple[str, SampleError]]]:
    """References to the images of these ids, and those that cannot be made, with their errors."""
    samples, broken = [], []
    for source_id in ids:
        try:
            samples.append(sample(source_id))
        except SampleError as error:
            broken.append((source_id, error))
    return samples, broken


def listed_files(archive: Archive, source_id: str, *names: str) -> list[Member]:
    """The files of an image that a list names.

    Raises:
        SampleError: one is missing, or the id cannot be part of a key.
    """
    if not KEY_ID.fullmatch(source_id):
        raise SampleError(
            "a list names an id that cannot be part of a key",
            where=archive.path,
            expected="letters, digits, _ and -, at most 80 of them",
            found=repr(source_id),
            advice="rename it in the list and its files, or leave it out with --on-error skip",
        )
    absent = [name for name in names if name not in archive]
    if absent:
        raise SampleError(
            "a list names an image whose files are missing",
            where=archive.path,
            expected=" and ".join(absent),
            found="no such member",
            advice="complete the source, or leave such samples out with --on-error skip",
        )
    return [archive[name] for name in names]


def read(member: Member, key: str) -> bytes:
    """A member's bytes, its errors told as those of the sample `key`.

    Raises:
        SampleError: it cannot be read.
    """
    try:
        return member.read()
    except SourceError as error:
        raise SampleError(
            error.what,
            where=f"{error.where} (sample {key})",
            expected=error.expected,
            found=error.found,
            advice=error.advice,
        ) from error
