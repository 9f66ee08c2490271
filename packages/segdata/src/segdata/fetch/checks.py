"""Whether a file is the right one: its first bytes, its size, its checksums, its own checksums."""

import gzip
import hashlib
import html
import re
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

from segdata import tardirectory
from segdata.archive import UNREADABLE
from segdata.errors import SourceError
from segdata.fetch.catalogue import RemoteFile
from segdata.fetch.partial import CHUNK, SIDECAR, chunks_of

HEAD = 512  # bytes that tell a tar, a zip or a gzip from a page; a tar has no fewer
TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<body")


def looks_right(name: str, head: bytes) -> bool:
    """Whether a file of that name may begin with these bytes, `HEAD` of them or all there are."""
    if name.endswith(".zip"):
        return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    if name.endswith((".tgz", ".gz")):
        return head.startswith(b"\x1f\x8b")
    return head[257:262] == b"ustar"


def description(head: bytes) -> str:
    """What the first bytes of a wrong file are, in words."""
    if not head:
        return "nothing: an empty answer"
    if not head.lstrip().lower().startswith(PAGES):
        return f"something that begins with {head[:24]!r}"
    title = TITLE.search(head)
    if title is None:
        return "a web page"
    text = html.unescape(title[1].decode("utf-8", "replace"))
    return f"a web page, titled “{' '.join(text.split())[:80]}”"


def existing(file: RemoteFile, folder: Path) -> Path | None:
    """Where a file of that name and size lies already, in `folder` or a folder of it.

    Raises:
        SourceError: there is one in `folder`, of another size.
    """
    for path in [folder / file.name, *sorted(folder.glob(f"*/{file.name}"))]:
        if not path.is_file():
            continue
        if file.size in (None, path.stat().st_size):
            return path
        if path.parent == folder:
            raise SourceError(
                f"{file.name} is there, but of another size",
                where=path,
                expected=f"{file.size:,} bytes",
                found=f"{path.stat().st_size:,} bytes",
                advice=f"to have it completed, rename it to {file.name}.part; to have it fetched "
                "anew, remove it; then run the same command again",
            )
    return None


def digests_of(
    path: Path, algorithms: set[str], moved: Callable[[int], None], stop: threading.Event
) -> dict[str, str]:
    """Checksums of a file in hexadecimal."""
    values = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    done = 0
    for chunk in chunks_of(path, stop):
        for value in values.values():
            value.update(chunk)
        done += len(chunk)
        moved(done)
    return {name: value.hexdigest() for name, value in values.items()}


def is_noted(file: RemoteFile, path: Path) -> bool:
    """Whether the note beside a file says that it was fetched and is what is asked for now."""
    wanted, noted = dict(file.digests), recorded(path)
    return bool(noted) and wanted in ({}, noted)


def recorded(path: Path) -> dict[str, str]:
    """The checksum that the fetch of a file noted beside it; none if it did not."""
    try:
        digits = path.with_name(path.name + SIDECAR).read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return {}
    return {"sha256": digits}


def wrong_digest(expected: dict[str, str], found: dict[str, str]) -> tuple[str, str] | None:
    """The first checksum that differs, as (expected, found); None if all agree."""
    for name, digits in expected.items():
        if found[name] != digits:
            return f"{name} {digits}", f"{name} {found[name]}"
    return None


def damage(path: Path, name: str, stop: threading.Event) -> str | None:
    """What is broken about an archive by its own checksums; None if it is whole.

    A zip has a CRC-32 for each member and a gzip one for its content; a tar has only those of its
    headers, and its closing blocks.
    """
    try:
        if name.endswith(".zip"):
            return _zip_damage(path, stop)
        if name.endswith((".tgz", ".gz")):
            with gzip.open(path) as unzipped:
                while not stop.is_set() and unzipped.read(CHUNK):
                    pass
            return None
        for _ in tardirectory.entries(path):
            if stop.is_set():
                break
    except (*UNREADABLE, zipfile.BadZipFile, RuntimeError) as error:  # the latter if encrypted
        return str(error)
    return None


def _zip_damage(path: Path, stop: threading.Event) -> str | None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:  # raises where the CRC-32 differs at the end
                while not stop.is_set() and member.read(CHUNK):
                    pass
            if stop.is_set():
                return None
    return None


def how_checked(file: RemoteFile) -> str:
    """By what a fetched file was judged, in words. A tar's own sums say nothing of its content."""
    if file.digests:
        kind = "published" if file.size is not None else "given"
        return f"{' and '.join(sorted(file.digests))} as {kind}"
    if file.name.endswith(".zip"):
        return "the zip's own CRC-32"
    if file.name.endswith((".tgz", ".gz")):
        return "the gzip's own CRC-32"
    return "the tar's headers and end"
