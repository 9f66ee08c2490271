"""The bytes of an unfinished download, and what the server said of the file that they are from.

Beside the `.part` lies a small JSON. It is written before any byte of that origin, so that after a
kill at any moment the bytes are known to be from where it says, or there are none.
"""

import asyncio
import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from segdata.errors import OutputError, SegdataError
from segdata.terminal import human_bytes

PART, STATE, REJECTED, SIDECAR = ".part", ".part.json", ".rejected", ".sha256"
CHUNK = 1 << 20
FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", -1))
Moved = Callable[[int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """What a response says about the whole file.

    Attributes:
        address: as asked for, before redirections, without a password.
        etag: the ETag header; "" where there is none.
        modified: the Last-Modified header; "" where there is none.
        size: bytes of the whole; None where the server does not tell.
    """

    address: str
    etag: str = ""
    modified: str = ""
    size: int | None = None

    @property
    def validator(self) -> str:
        """What If-Range can name (RFC 9110, 13.1.5: a strong ETag, or a date); "" if nothing."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def differs(self, other: "Origin") -> bool:
        """Whether both tell of one address, and of two versions of its file."""
        if self.address != other.address:
            return False
        pairs = [(self.etag, other.etag), (self.modified, other.modified), (self.size, other.size)]
        return any(mine and theirs and mine != theirs for mine, theirs in pairs)


class Part:
    """An unfinished file: bytes are appended, hashed as they come, and kept whatever happens."""

    def __init__(self, target: Path, algorithms: Iterable[str]) -> None:
        self.target = target
        self.path = target.with_name(target.name + PART)
        self.state = target.with_name(target.name + STATE)
        self.origin: Origin | None = None
        self.size = 0
        self.stitched = False  # of more than one response
        self._algorithms = set(algorithms) | {"sha256"}
        self._hashes = self._new_hashes()
        self._file: BinaryIO | None = None

    @property
    def digests(self) -> dict[str, str]:
        """Checksums of the bytes so far."""
        return {name: value.hexdigest() for name, value in self._hashes.items()}

    async def open(self, moved: Moved) -> None:
        """Take up what an earlier run left, if anything."""
        with told(self):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
            self.origin = _read_origin(self.state)
            self.stitched = self.path.stat().st_size > 0
            if self.stitched:
                await interruptible(lambda stop: self._hash_all(moved, stop))

    def _hash_all(self, moved: Moved, stop: threading.Event) -> None:
        for chunk in chunks_of(self.path, stop):
            self._count(chunk)
            moved(self.size)

    def restart(self, origin: Origin | None) -> None:
        """Forget all bytes; those to come are of `origin`."""
        with told(self):
            if self.size or self.stitched:
                self._open_file.truncate(0)
            self.size, self.stitched, self._hashes = 0, False, self._new_hashes()
            self._write_origin(origin)

    def go_on(self, origin: Origin) -> None:
        """The bytes to come are of `origin` and follow those that are here."""
        with told(self):
            self.stitched = self.stitched or self.size > 0
            self._write_origin(origin)

    def append(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            OutputError: the disk is full or refuses; what was written before is kept.
        """
        with told(self):
            self._open_file.write(chunk)
            self._count(chunk)

    def close(self) -> None:
        """Write out what is buffered; an empty part leaves nothing behind."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with told(self):
                file.close()
        finally:
            with suppress(OSError):
                if not self.path.stat().st_size:
                    self.path.unlink()
                    self.state.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the checked bytes their final name, with a `.sha256` beside it."""
        name = self.target.name
        with told(self):
            os.fsync(self._flushed.fileno())
            self._open_file.close()
            self._file = None
            line = f"{self.digests['sha256']}  {name}\n"
            self.target.with_name(name + SIDECAR).write_text(line, encoding="utf-8", newline="\n")
            self.path.replace(self.target)
            self.state.unlink(missing_ok=True)
            self.target.with_name(name + REJECTED).unlink(missing_ok=True)

    def reject(self) -> Path:
        """Put the bytes aside under a name that nothing reads, and begin anew."""
        aside = self.target.with_name(self.target.name + REJECTED)
        with told(self):
            self._open_file.close()
            self.path.replace(aside)
            self.state.unlink(missing_ok=True)
            self._file = self.path.open("a+b")
        self.restart(None)
        return aside

    def flush(self) -> None:
        """Let readers of the path see all bytes."""
        with told(self):
            self._flushed  # noqa: B018 - a property that flushes

    @property
    def _open_file(self) -> BinaryIO:
        if self._file is None:
            raise ValueError(f"{self.path} is not open")
        return self._file

    @property
    def _flushed(self) -> BinaryIO:
        self._open_file.flush()
        return self._open_file

    def _count(self, chunk: bytes) -> None:
        for value in self._hashes.values():
            value.update(chunk)
        self.size += len(chunk)

    def _new_hashes(self) -> "dict[str, hashlib._Hash]":
        return {name: hashlib.new(name, usedforsecurity=False) for name in self._algorithms}

    def _write_origin(self, origin: Origin | None) -> None:
        self.origin = origin
        if origin is None:
            self.state.unlink(missing_ok=True)
            return
        written = self.state.with_name(self.state.name + ".new")
        written.write_text(json.dumps(asdict(origin), indent=1), encoding="utf-8")
        written.replace(self.state)


def _read_origin(path: Path) -> Origin | None:
    try:
        return Origin(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def chunks_of(path: Path, stop: threading.Event) -> Iterator[bytes]:
    """The content of a file, until `stop` is set."""
    with path.open("rb") as file:
        while not stop.is_set() and (chunk := file.read(CHUNK)):
            yield chunk


async def interruptible(work: Callable[[threading.Event], T]) -> T:
    """Run long work in a thread; an interruption sets the event that the work watches."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(work, stop)
    except asyncio.CancelledError:
        stop.set()
        raise


def free_bytes(folder: Path) -> int:
    """Free space where `folder` is or will be made."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    return shutil.disk_usage(existing).free


@contextmanager
def told(part: Part) -> Iterator[None]:
    """Tell the operating system's refusals as an OutputError."""
    try:
        yield
    except OSError as error:
        raise refusal(error, part.target, part.size) from error


def refusal(error: OSError, target: Path, kept: int = 0) -> SegdataError:
    """An OutputError that says what the system refused, and what is kept."""
    full = error.errno in FULL
    return OutputError(
        f"the disk is full: {target.name} is not whole" if full else f"{target} cannot be written",
        where=target.parent,
        found=error.strerror or error,
        advice=f"make room and run the same command again: about {human_bytes(kept)} are kept"
        if full
        else "check its permissions, or choose another folder with --data",
    )
