"""Stored samples: reading members of a shard by the offsets in its index."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from segdata.errors import ShardsError
from segdata.shards import FACTS, IMAGE, MASK

KEY = re.compile(r"[A-Za-z0-9_-]+")
FIELDS = 12  # of an index line: suffix, offset, size and name of three members
CHECK = "see `segdata verify-masks`, then delete the shard's files and build again"
BROKEN = (OSError, ValueError, OverflowError, MemoryError)  # of files, and of senseless numbers


class Place(NamedTuple):
    """Where a member's data lies in its tar, and how many bytes it has."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Row:
    """A sample, as the index of its shard has it.

    Attributes:
        tar: the shard.
        key: of the sample.
        places: of its three members, by suffix.
    """

    tar: Path
    key: str
    places: Mapping[str, Place]

    def members(self, *suffixes: str) -> dict[str, bytes]:
        """The sample's members by suffix, all of them if none is named.

        Raises:
            ShardsError: the shard cannot be read, or ends too early.
        """
        try:
            with self.tar.open("rb") as file:
                return {suffix: self.read(suffix, file) for suffix in suffixes or self.places}
        except BROKEN as error:
            raise unreadable(self.tar, error) from error

    def read(self, suffix: str, file: BinaryIO) -> bytes:
        """One member, from the open shard.

        Raises:
            ShardsError: the shard ends too early.
            OSError, ValueError, OverflowError, MemoryError: it cannot be read.
        """
        place = self.places[suffix]
        file.seek(place.offset)
        data = file.read(place.size)
        if len(data) < place.size:
            raise unreadable(self.tar, f"it ends within {self.key}.{suffix}")
        return data


def index(tar: Path) -> list[Row]:
    """The samples of a shard in order, by its index.

    Raises:
        ShardsError: the index is missing or damaged.
    """
    path = tar.with_suffix(".idx")
    try:
        lines = path.read_text("ascii").splitlines()[1:]
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return [_row(tar, path, line) for line in lines]


def _row(tar: Path, path: Path, line: str) -> Row:
    fields = line.split()
    if len(fields) != FIELDS:
        raise unreadable(path, f"a line of {len(fields)} fields: {line[:60]}")
    try:
        numbers = zip(map(int, fields[1::4]), map(int, fields[2::4]), strict=True)
        places = dict(zip(fields[::4], map(Place._make, numbers), strict=True))
    except ValueError as error:
        raise unreadable(path, error) from error
    if places.keys() != {IMAGE, FACTS, MASK}:
        raise unreadable(path, f"a line of the members {', '.join(places)}")
    key = fields[3].partition(".")[0]
    if not KEY.fullmatch(key):  # files are called by it, wherever a `/` would lead
        raise unreadable(path, f"a line of the key {key[:60]!r}")
    return Row(tar, key, places)


def all_facts(tar: Path) -> Iterator[tuple[Row, bytes]]:
    """Every sample of a shard in order with its `KEY.json`; nothing else of it is read.

    Raises:
        ShardsError: the shard or its index cannot be read.
    """
    rows = index(tar)
    try:
        with tar.open("rb") as file:
            for row in rows:
                yield row, row.read(FACTS, file)
    except BROKEN as error:
        raise unreadable(tar, error) from error


def unreadable(path: Path, found: object) -> ShardsError:
    """The error of a damaged file of the shards directory."""
    return ShardsError(
        "a file of the shards directory cannot be read", where=path, found=found, advice=CHECK
    )
