"""Locks: one writer of a data set in a shards directory, one of `info.json`, one of a download.

The operating system holds a lock for the process, so even a killed build lets go of it. The file is
removed when the lock is given back, so that a folder keeps no trace of who wrote it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from segdata.errors import OutputError
from segdata.leases import ELSEWHERE, lease
from segdata.stores import RemotePath

WAIT = "wait for it, then run the same command again"  # where no other directory would do


@contextmanager
def only_writer(
    out: Path, family: str, dataset: str, advice: str = ELSEWHERE
) -> Iterator[Callable[[], None]]:
    """Hold the lock of a data set, or of all data sets of a family.

    Gives a function that raises an OutputError once the lock has been lost, as remote ones can be.

    Args:
        out: the shards directory.
        family: what the lock is of.
        dataset: what the message calls it.
        advice: what to do where another holds it.

    Raises:
        OutputError: another build holds it.
        OSError: the lock cannot be made.
    """
    path = out / f".{family}.lock"
    if isinstance(path, RemotePath):
        with lease(path, dataset, advice) as check:
            yield check
        return
    taken = OutputError(f"another build of {dataset} is writing here", where=out, advice=advice)
    with only_holder(path, taken):
        yield lambda: None


@contextmanager
def only_holder(path: Path, taken: OutputError) -> Iterator[None]:
    """Hold the lock of this file, which is there only as long.

    Raises:
        OutputError: `taken`, if another process holds it.
        OSError: the lock cannot be made.
    """
    try:
        lock = _acquired(path, timeout=0)
    except Timeout:
        raise taken from None
    try:
        yield
    finally:
        _release(lock, path)


@contextmanager
def info_writer(out: Path) -> Iterator[None]:
    """Hold the lock of `info.json`, once others have done with it; a store has none."""
    if isinstance(out, RemotePath):
        yield
        return
    path = out / ".info.lock"
    lock = _acquired(path, timeout=-1)
    try:
        yield
    finally:
        _release(lock, path)


def _acquired(path: Path, timeout: float) -> BaseFileLock:
    """The lock on the file that has this name now.

    The one that we opened may have been removed by its last holder before we locked it: a lock on
    that protects nothing.
    """
    while True:
        lock = FileLock(path)
        lock.acquire(timeout)
        if _is_current(lock, path):
            return lock
        lock.release()


def _is_current(lock: BaseFileLock, path: Path) -> bool:
    descriptor = _descriptor(lock)
    if descriptor is None:
        return True
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _release(lock: BaseFileLock, path: Path) -> None:
    if _descriptor(lock) is not None and os.name == "posix":  # Windows' locks remove their files
        with suppress(OSError):
            path.unlink()
    lock.release()


def _descriptor(lock: BaseFileLock) -> int | None:
    """The open file behind a lock, None where the library does not tell: then the file stays."""
    context = getattr(lock, "_context", None)
    return getattr(context, "lock_file_fd", None)
