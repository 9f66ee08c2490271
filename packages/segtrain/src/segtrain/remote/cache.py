"""The cache of shards of URLs: whole files by checksum, shared by all processes of a machine.

In its folder a shard is `AB/ABCD….tar`, after its SHA-256; `.idx` beside it is its index, `.part`
a copy that is under way. `.fetch` and `.use` are locks: of the process that copies, and of those
that need the shard to stay. The shards used longest ago are removed first, never one in use.
"""

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from segtrain.errors import ShardsError
from segtrain.files import write_beside
from segtrain.manifests import ShardRecord
from segtrain.remote.locks import FileLock
from segtrain.remote.settings import default_folder, parse_size, size_words
from segtrain.remote.store import StoreError, read

CHUNK = 16 << 20  # bytes that are asked for at a time
TARS, PARTS = "??/[0-9a-f]*.tar", "??/[0-9a-f]*.part"

# called with the bytes of each piece that has come
Watch = Callable[[int], None]


@dataclass(frozen=True)
class Cache:
    """Copies of shards on this machine.

    Attributes:
        folder: Where they lie.
        limit: Bytes of shards that it may hold.
    """

    folder: Path
    limit: int

    @classmethod
    def of(cls, folder: Path | None, size: str) -> Self:
        """The cache that `--cache` and `--cache-size` ask for; without a folder, the user's own.

        Raises:
            UsageError: If the size is none.
        """
        return cls(folder or default_folder(), parse_size(size))

    def path(self, url: str, record: ShardRecord) -> Path:
        """Where the copy of a shard lies, or would."""
        name = record.sha256 or hashlib.sha256(f"{url} {record.bytes}".encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.tar"

    def holds(self, url: str, record: ShardRecord) -> bool:
        """Whether a whole copy is there; it then counts as used now."""
        path = self.path(url, record)
        try:
            if path.stat().st_size != record.bytes:
                return False
            os.utime(path)
        except OSError:
            return False
        return True

    def fetch(self, url: str, record: ShardRecord, watch: Watch = lambda _: None) -> Path:
        """A copy of a shard, fetched unless it is there.

        It may be removed at any time; `pin` keeps it.

        Raises:
            ShardsError: If it cannot be had, or its checksum is not the manifest's.
        """
        path = self.path(url, record)
        if self.holds(url, record):
            return path
        try:
            with FileLock(path.with_suffix(".fetch")):
                if not self.holds(url, record):  # nobody else has fetched it meanwhile
                    self.download(url, record, watch)
        except OSError as error:
            raise ShardsError(self.unwritable(error)) from error
        return path

    def unwritable(self, error: OSError) -> str:
        """Say that the cache cannot be written."""
        smaller = " or a smaller --cache-size" if error.errno == errno.ENOSPC else ""
        return (
            f"{self.folder}: the cache of shards cannot be written ({error.strerror or error}); "
            f"name another folder with --cache{smaller}"
        )

    def pin(self, url: str, record: ShardRecord, watch: Watch = lambda _: None) -> "Pin":
        """Fetch a shard unless it is there, and keep it from being removed.

        Raises:
            ShardsError: As `fetch`.
        """
        path = self.path(url, record)
        while True:
            try:
                pin = Pin(path)
            except OSError as error:
                raise ShardsError(self.unwritable(error)) from error
            if pin.kept and self.holds(url, record):
                return pin
            pin.release()
            self.fetch(url, record, watch)

    def download(self, url: str, record: ShardRecord, watch: Watch) -> None:
        """Copy a shard, check it, and give it its name; its `.fetch` is held.

        Raises:
            ShardsError: If it cannot be had, or its checksum is not the manifest's.
            OSError: If it cannot be written.
        """
        path = self.path(url, record)
        part = path.with_suffix(".part")
        self.make_room(part, record.bytes)
        try:
            found = copy(url, record, part, watch)
            if record.sha256 and found != record.sha256:
                raise ShardsError(
                    f"{url}: corrupt shard: the sha256 of what came is {found}, the manifest says "
                    f"{record.sha256}; put the shard there anew from where it was built "
                    "(`segdata verify-masks` checks it), together with its manifest"
                )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def make_room(self, part: Path, size: int) -> None:
        """Remove the shards used longest ago until so many bytes fit, and claim these.

        Shards that are in use stay, even if the limit is passed by them.

        Raises:
            OSError: If the folder cannot be written.
        """
        with FileLock(self.folder / "evict.lock"):
            held = sorted(self.folder.glob(PARTS))
            abandoned = [path for path in held if path != part and removed_alone(path, ".fetch")]
            # parts first: one that gets its final name meanwhile counts twice, never not at all
            total = sum(s.st_size for p, s in self.stats(PARTS) if p not in abandoned)
            tars = sorted((s.st_mtime, s.st_size, p) for p, s in self.stats(TARS))
            total += sum(taken for _, taken, _ in tars)
            for _, taken, path in tars:
                if total + size <= self.limit:
                    break
                if removed_alone(path, ".use"):
                    total -= taken
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.truncate(size)  # so that others that look meanwhile count it whole

    def stats(self, pattern: str) -> list[tuple[Path, os.stat_result]]:
        """The files of a pattern, with what the system knows of them."""
        found = []
        for path in self.folder.glob(pattern):
            with suppress(OSError):  # removed meanwhile
                found.append((path, path.stat()))
        return found

    def index(self, url: str, record: ShardRecord) -> str | None:
        """The text of a shard's index, kept or fetched; None where there is none at the URL.

        Raises:
            ShardsError: If it cannot be had.
        """
        kept = self.path(url, record).with_suffix(".idx")
        with suppress(OSError, ValueError):
            return kept.read_text("utf-8")
        idx = index_url(url)
        try:
            return read(idx).decode("utf-8")
        except StoreError as error:
            if error.absent:
                return None
            raise ShardsError(f"{idx}: cannot be fetched: {error}") from error
        except ValueError as error:
            raise ShardsError(f"{idx}: not a usable index ({error}); remove it there") from error

    def keep_index(self, url: str, record: ShardRecord, text: str) -> None:
        """Keep an index that was found to be right.

        Raises:
            ShardsError: If the cache cannot be written.
        """
        path = self.path(url, record).with_suffix(".idx")
        if path.exists():
            return
        try:
            with FileLock(path.with_suffix(".fetch")):
                write_beside(path, lambda part: part.write_text(text, "utf-8", newline=""))
        except OSError as error:
            raise ShardsError(self.unwritable(error)) from error


class Pin:
    """What keeps a shard in the cache until it is released.

    Attributes:
        kept: Whether there was a file to keep.
    """

    def __init__(self, path: Path) -> None:
        self.lock = FileLock(path.with_suffix(".use"))
        self.lock.acquire(shared=True)
        self.handle: int | None = None
        self.kept = path.exists()
        if self.kept and os.name == "nt":  # there an open file cannot be removed
            self.handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def release(self) -> None:
        """Let the shard be removed when others need its room."""
        handle, self.handle = self.handle, None
        if handle is not None:
            os.close(handle)
        self.lock.release()


def removed_alone(path: Path, suffix: str) -> bool:
    """Remove a file unless somebody holds its lock of this suffix; whether it is gone."""
    lock = FileLock(path.with_suffix(suffix))
    if not lock.acquire(wait=False):
        return False
    try:
        path.unlink(missing_ok=True)
    except PermissionError:  # open in another process, on Windows
        return False
    finally:
        lock.release()
    return True


def index_url(url: str) -> str:
    """Where the index of a shard lies."""
    return url.removesuffix(".tar") + ".idx"


def copy(url: str, record: ShardRecord, part: Path, watch: Watch) -> str:
    """Copy a shard piece by piece; a piece that breaks off is asked for again.

    Returns:
        SHA-256 of what came.

    Raises:
        ShardsError: If it cannot be had, or is shorter than the manifest says.
        OSError: If it cannot be written.
    """
    digest = hashlib.sha256()
    with part.open("rb+") as file:
        done = 0
        while done < record.bytes:
            data = piece(url, done, record)
            digest.update(data)
            file.write(data)
            done += len(data)
            watch(len(data))
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def piece(url: str, begin: int, record: ShardRecord) -> bytes:
    """The next piece of a shard; all of it from a server that knows no ranges.

    Raises:
        ShardsError: If it cannot be had.
    """
    end = min(begin + CHUNK, record.bytes)
    try:
        data = read(url, begin, end)
    except StoreError as error:
        got = f" after {size_words(begin)} of {size_words(record.bytes)}" if begin else ""
        raise ShardsError(
            f"{url}: the shard cannot be fetched{got}: {error}; the manifest lists it, so look "
            "whether it is there and may be read, or try again later"
        ) from error
    if len(data) > end - begin:  # no ranges: the whole file
        data = data[begin : record.bytes]
    if not data:
        raise ShardsError(
            f"{url}: ends after {begin:,} bytes, the manifest says {record.bytes:,}; copy the "
            "shard there again"
        )
    return data
