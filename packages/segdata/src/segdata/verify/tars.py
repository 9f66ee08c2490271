"""The members of a shard, read header by header, with every departure from the fixed form."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from segdata.verify.findings import Log

BLOCK = 512
# Offsets of POSIX.1-1988's header ("USTAR") and what shards hold there.
FIXED = {
    "mode": (100, 108, 0o644),
    "uid": (108, 116, 0),
    "gid": (116, 124, 0),
    "mtime": (136, 148, 0),
}
EMPTY = {"link name": (157, 257), "owner": (265, 297), "group": (297, 329), "prefix": (345, 500)}
MAGIC = b"ustar\x0000"


@dataclass(frozen=True)
class Member:
    """A file in a tar: its name, the offset of its data and its size in bytes."""

    name: str
    offset: int
    size: int

    @property
    def key(self) -> str:
        """The text before the first dot, as webdataset cuts it."""
        return self.name.partition(".")[0]

    @property
    def suffix(self) -> str:
        """The text from the first dot on."""
        return self.name[len(self.key) :]

    def read(self, file: BinaryIO) -> bytes:
        """The member's data."""
        file.seek(self.offset)
        return file.read(self.size)


def list_members(path: Path, log: Log) -> list[Member]:
    """Walk a tar from header to header, as far as it holds together.

    Args:
        path: the tar.
        log: receives `tar-header` and `tar-broken`.

    Returns:
        The members whose data is there as a whole, in order.

    Raises:
        OSError: the file cannot be read.
    """
    members: list[Member] = []
    end = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while (header := _header(file, at)) is not None:
            if not any(header):
                _check_end(file, at, log)
                return members
            member = _member(header, at, log)
            if member is None:
                return members
            if member.offset + member.size > end:
                detail = f"its {member.size} bytes at {member.offset} end beyond the file's {end}"
                log.add("tar-broken", detail, at=member.name)
                return members
            members.append(member)
            at = member.offset + -(-member.size // BLOCK) * BLOCK
    log.add("tar-broken", f"expected a header or the end mark at byte {at}, found {end} bytes")
    return members


def _header(file: BinaryIO, at: int) -> bytes | None:
    file.seek(at)
    header = file.read(BLOCK)
    return header if len(header) == BLOCK else None


def _check_end(file: BinaryIO, at: int, log: Log) -> None:
    """Two zero blocks end a tar; only zeros may follow, which fill its last record."""
    file.seek(at)
    rest = file.read()
    if len(rest) < 2 * BLOCK:
        log.add("tar-broken", f"expected two zero blocks from byte {at}, found {len(rest)} bytes")
    elif any(rest):
        log.add("tar-header", f"expected zeros from byte {at} to the end, found other bytes")


def _member(header: bytes, at: int, log: Log) -> Member | None:
    """One header's member, or None where the walk cannot go on."""
    name = header[:100].split(b"\0")[0].decode("ascii", "backslashreplace")
    unsigned = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    size, checksum = _octal(header[124:136]), _octal(header[148:156])
    if checksum != unsigned or size is None or size < 0:
        log.add("tar-broken", f"no valid header at byte {at}; the members from there on are unread")
        return None
    wrong = [
        f"{field} {value:o} expected, {header[first:last].rstrip(bytes(1))!r} found"
        for field, (first, last, value) in FIXED.items()
        if _octal(header[first:last]) != value
    ]
    wrong += [f"no {field} expected" for field, (a, b) in EMPTY.items() if any(header[a:b])]
    if header[257:265] != MAGIC:
        wrong.append(f"magic {MAGIC!r} expected, {header[257:265]!r} found")
    if header[156:157] != b"0":
        wrong.append(f"a plain file (type '0') expected, type {header[156:157]!r} found")
    if wrong:
        log.add("tar-header", "; ".join(wrong), at=name)
    return Member(name, at + BLOCK, size)


def _octal(field: bytes) -> int | None:
    try:
        return int(field.rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        return None
