"""The headers of a tar, read straight into entries.

The standard library's `tarfile` takes a dozen fields of each header apart; without them an archive
of forty thousand members is indexed in a fifth of the time. What is not a plain file or folder by
its header (POSIX.1-1988's, with GNU's or without), such as an extended header, a link or a damaged
block, is left to `tarfile` from there on: it alone says how such a tar ends, and what is wrong.
"""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = tarfile.BLOCKSIZE
END = bytes(BLOCK)
FILES, FOLDER = (b"0", b"\0"), b"5"  # a file's type, and as it was before POSIX
SUM = slice(148, 156)  # place of a header's sum, which counts as spaces in it


class Entry(NamedTuple):
    """One regular file of a tar; its data begin at `offset`, `size` bytes."""

    name: str
    size: int
    offset: int


def entries(path: Path) -> Iterator[Entry]:
    """The files of a tar in its order; at their end it is known to be whole.

    Raises:
        tarfile.ReadError: it ends too early, or holds what one seek cannot read.
        OSError, ValueError, OverflowError: it cannot be read.
    """
    at = 0
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        while at < length:
            file.seek(at)
            header = file.read(BLOCK)
            if header == END:
                return
            entry = _plain(header, at + BLOCK)
            if entry is None:
                break
            following = entry.offset + -(-entry.size // BLOCK) * BLOCK
            if following > length:
                break
            if header[156:157] != FOLDER:
                yield entry
            at = following
    yield from _others(path, at)


def _plain(header: bytes, offset: int) -> Entry | None:
    """A plain file or an empty folder; None where `tarfile` has to say what a header is."""
    kind, name, size = header[156:157], header[:100], header[124:136].rstrip(b"\0 ")
    if kind not in (*FILES, FOLDER) or not size.isdigit():
        return None
    try:
        length, expected = int(size, 8), int(header[SUM].rstrip(b"\0 "), 8)
    except ValueError:
        return None
    counted = header[: SUM.start] + header[SUM.stop :]
    if sum(counted.translate(None, b"\0")) + 8 * ord(" ") != expected:
        return None
    prefix = header[345:500].partition(b"\0")[0]
    whole = (prefix + b"/" if prefix else b"") + name.partition(b"\0")[0]
    if length if kind == FOLDER else whole.endswith(b"/"):  # the latter a folder before POSIX
        return None
    return Entry(whole.decode(errors="surrogateescape"), length, offset)


def _others(path: Path, begin: int) -> Iterator[Entry]:
    """The files whose headers lie from `begin` on, by `tarfile`."""
    with path.open("rb") as file:
        file.seek(begin)
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as archive:
            for info in archive:
                if info.size < 0:  # tarfile would go back, and round in circles
                    raise tarfile.ReadError(f"member {info.name} has a negative size")
                if info.issparse():
                    raise tarfile.ReadError(
                        f"member {info.name} is stored with holes (tar --sparse)"
                    )
                if info.isreg():
                    yield Entry(info.name, info.size, info.offset_data)
            end = archive.offset
        # tarfile takes the end of the file for the end of the archive, even between two members:
        # only the zero block that closes an archive tells a whole one from a cut one.
        file.seek(end)
        if file.read(BLOCK) != END:
            raise tarfile.ReadError("it ends without the closing blocks of a tar")
