"""Stored samples: reading members of a shard by the offsets in its index."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from segdata.errors import ShardsError

FIELDS = 12  # of an index line: suffix, offset, size and name of three members
CHECK = "see `segdata verify-masks`, then delete the shard's files and build again"


def index(tar: Path) -> Iterator[tuple[Path, list[str]]]:
    """(tar, fields of the line) of each sample in a shard's index.

    Raises:
        ShardsError: the index is missing or damaged.
    """
    path = tar.with_suffix(".idx")
    try:
        lines = [line.split() for line in path.read_text().splitlines()[1:]]
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    for fields in lines:
        if len(fields) != FIELDS:
            raise unreadable(path, f"a line of {len(fields)} fields: {' '.join(fields)[:60]}")
    return ((tar, fields) for fields in lines)


def members(tar: Path, fields: Sequence[str]) -> dict[str, bytes]:
    """The members of one sample by suffix.

    Args:
        tar: the shard.
        fields: of the sample's line in the index.

    Raises:
        ShardsError: the shard cannot be read, or ends too early.
    """
    parts = {}
    try:
        with tar.open("rb") as file:
            for suffix, offset, size in zip(fields[::4], fields[1::4], fields[2::4], strict=True):
                file.seek(int(offset))
                parts[suffix] = file.read(int(size))
    except (OSError, ValueError) as error:
        raise unreadable(tar, error) from error
    _refuse_short(tar, fields, parts)
    return parts


def all_facts(tar: Path) -> Iterator[bytes]:
    """The bytes of every `KEY.json` of a shard in order, and nothing else of it.

    Raises:
        ShardsError: the shard or its index cannot be read.
    """
    rows = index(tar)
    try:
        with tar.open("rb") as file:
            for _, fields in rows:
                place = 4 * fields[::4].index("json")
                file.seek(int(fields[place + 1]))
                data = file.read(int(fields[place + 2]))
                _refuse_short(tar, fields[place : place + 4], {"json": data})
                yield data
    except (OSError, ValueError) as error:
        raise unreadable(tar, error) from error


def _refuse_short(tar: Path, fields: Sequence[str], parts: dict[str, bytes]) -> None:
    for suffix, size in zip(fields[::4], fields[2::4], strict=True):
        if len(parts[suffix]) < int(size):
            raise unreadable(tar, f"it ends within a {suffix} member")


def unreadable(path: Path, found: object) -> ShardsError:
    """The error of a damaged file of the shards directory."""
    return ShardsError(
        "a file of the shards directory cannot be read", where=path, found=found, advice=CHECK
    )
