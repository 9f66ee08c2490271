"""What every source of the verifier yields: records that know their files and their labels."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from segdata.archive import Archive, Member, open_archive
from segdata.stores import RemotePath
from segdata.verify.labels import Labelled, Labels, Region

COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}  # the six that the two data sets name differently

SourceFile = tuple[str, int, int]  # name below the source's root, bytes, CRC-32


class Record(Protocol):
    """One image of a source and what the source says of its pixels."""

    @property
    def source_id(self) -> str:
        """Its id in the source."""

    @property
    def image(self) -> Member | None:
        """Its image file, None where the source lacks it."""

    @property
    def areas(self) -> Sequence[tuple[int, bool, float]]:
        """Class id, crowd, JSON area of every annotation of the chosen classes."""

    def labelled(self, labels: Labels) -> tuple[Labelled, list[Region]]:
        """Its labelled pixels and the regions they come from, none where the source has masks.

        Raises:
            SourceError: a file cannot be read.
            ValueError: what it says cannot be drawn.
        """

    def files(self) -> list[SourceFile]:
        """The files that a build reads for it.

        Raises:
            SourceError: one cannot be read.
        """


@dataclass(frozen=True)
class SourceSplit:
    """A split of a source.

    Attributes:
        records: its images by id.
        files: what is read to list them.
        barred: ids that must never be in this split, and why.
        views: ids of named subsets, by name.
    """

    records: Mapping[str, Record]
    files: list[SourceFile] = field(default_factory=list)
    barred: Mapping[str, str] = field(default_factory=dict)
    views: Mapping[str, frozenset[str]] = field(default_factory=dict)


def canonical(name: str) -> str:
    """COCO's name of a class that VOC names otherwise; any other name as it is."""
    return COCO_NAMES.get(name, name)


def describe(name: str, data: bytes) -> SourceFile:
    """A source file as sidecars list it."""
    return name, len(data), zlib.crc32(data)


def find(data: Path, year: int, places: Sequence[str], names: Sequence[str]) -> Path | None:
    """The first of `names` in a place below `data`; `{year}` in a place is filled in."""
    if data.name in names:
        return data
    paths = (data / place.format(year=year) / name for place in places for name in names)
    return next((path for path in paths if path.exists()), None)


def indexed(path: Path) -> Archive:
    """An archive's members, listed once for all splits, as long as the file stays as it is.

    Raises:
        SourceError: as `open_archive`.
    """
    if path.is_dir() or isinstance(path, RemotePath):
        return open_archive(path)
    found = path.stat()
    return _listed(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4)
def _listed(path: Path, size: int, modified: int) -> Archive:
    del size, modified  # they only tell this file from a later one
    return open_archive(path)
