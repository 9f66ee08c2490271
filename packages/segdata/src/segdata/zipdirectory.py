"""The directory of a zip, read straight into members.

The standard library's `zipfile` makes a large object of each entry; without them an archive of a
hundred thousand images is indexed in a third of the time. The layout is that of PKWARE's APPNOTE
6.3 (4.3.12 to 4.3.16, 4.4.4, 4.5.3). What is not as it should be raises `zipfile.BadZipFile`, as
there.
"""

import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

END = struct.Struct("<4s4H2LH")
LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")
LONGEST_COMMENT = 0xFFFF
ELSEWHERE = 0xFFFFFFFF  # the number stands in the zip64 field of the entry
ZIP64_FIELD = 1
ENCRYPTED, UTF_8 = 0x1, 0x800


class Entry(NamedTuple):
    """One file of a zip.

    Attributes:
        size: bytes, unpacked.
        offset: of its local header in the file.
        packed: bytes, as stored.
    """

    name: str
    size: int
    offset: int
    packed: int
    method: int
    crc32: int
    encrypted: bool


def entries(path: Path) -> Iterator[Entry]:
    """The files of a zip in the order of its directory, folders left out.

    Raises:
        zipfile.BadZipFile: it has no directory, or not a whole one.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        begin, size, shift = _place(file)
        file.seek(begin)
        directory = file.read(size)
    at = 0
    while at < size:
        try:
            signature, flags, method, crc32, packed, unpacked, name, extra, comment, offset = (
                ENTRY.unpack_from(directory, at)
            )
        except struct.error as error:
            raise zipfile.BadZipFile("its directory ends within an entry") from error
        at += ENTRY.size
        if signature != b"PK\x01\x02":
            raise zipfile.BadZipFile("its directory holds something else than entries")
        try:
            text = directory[at : at + name].decode("utf-8" if flags & UTF_8 else "cp437")
        except UnicodeDecodeError as error:
            raise zipfile.BadZipFile("its directory holds a name that is no UTF-8") from error
        at += name
        if ELSEWHERE in (packed, unpacked, offset):
            field = directory[at : at + extra]
            unpacked, packed, offset = _wide(field, unpacked, packed, offset)
        at += extra + comment
        if offset + shift + packed > begin:
            raise zipfile.BadZipFile(f"member {text} does not lie before the directory")
        if not text.endswith("/"):
            encrypted = bool(flags & ENCRYPTED)
            yield Entry(text, unpacked, offset + shift, packed, method, crc32, encrypted)


def _place(file: BinaryIO) -> tuple[int, int, int]:
    """Where the directory begins, its bytes, and what to add to its offsets.

    The latter is not 0 where something was put before the zip, as self-extracting ones do.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - LONGEST_COMMENT - END.size))
    base = file.tell()
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - END.size) + 4)
    if at < 0:
        raise zipfile.BadZipFile("it has no directory at its end")
    *_, size, offset, _ = END.unpack_from(tail, at)
    end = base + at
    if end >= LOCATOR.size + END64.size:
        file.seek(end - LOCATOR.size)
        signature, _, where, _ = LOCATOR.unpack(file.read(LOCATOR.size))
        if signature == b"PK\x06\x07":
            size, offset, end = _wide_place(file, end - LOCATOR.size - END64.size, where)
    begin = end - size
    if begin < 0 or begin < offset:
        raise zipfile.BadZipFile("its directory does not lie where its end says")
    return begin, size, begin - offset


def _wide_place(file: BinaryIO, usual: int, named: int) -> tuple[int, int, int]:
    """Bytes and offset of the directory, and its end, from the zip64 record."""
    for where in (usual, named):
        file.seek(min(where, usual))  # it lies before its locator
        record = file.read(END64.size)
        if len(record) == END64.size and record.startswith(b"PK\x06\x06"):
            *_, size, offset = END64.unpack(record)
            return size, offset, where
    raise zipfile.BadZipFile("its zip64 record does not lie where its end says")


def _wide(extra: bytes, *numbers: int) -> list[int]:
    """The numbers (size, packed size, offset), those that stand elsewhere from the zip64 field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4
        if kind == ZIP64_FIELD:
            wide = iter(struct.unpack_from(f"<{min(length, len(extra) - at) // 8}Q", extra, at))
            try:
                return [next(wide) if number == ELSEWHERE else number for number in numbers]
            except (StopIteration, RuntimeError) as error:
                raise zipfile.BadZipFile("an entry's zip64 field is too short") from error
        at += length
    return list(numbers)
