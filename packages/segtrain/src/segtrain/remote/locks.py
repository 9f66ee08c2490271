"""Locks on files, held for the process by the operating system: even a killed one lets go."""

import os
import sys
import time
from pathlib import Path

LOOK = 0.05  # seconds between two attempts at a lock that another holds


class FileLock:
    """A lock on a file of its own, for one holder alone or for several together.

    Two locks on one file exclude each other also within a process, so threads may use them.
    On Windows a shared lock locks nothing: there a file that is open cannot be removed anyway.

    Args:
        path: The file; it is made, and left in place, for others may be waiting at it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = True) -> bool:
        """Take the lock; whether it was to be had.

        Args:
            shared: Whether others may hold it in this way at the same time.
            wait: Whether to wait until it is free.

        Raises:
            OSError: If the file cannot be made.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        while not lock(handle, shared=shared):
            if not wait:
                os.close(handle)
                return False
            time.sleep(LOOK)
        self.handle = handle
        return True

    def release(self) -> None:
        """Give it back; nothing where it is not held."""
        handle, self.handle = self.handle, None
        if handle is not None:
            unlock(handle)  # a forked process may hold a copy of the handle: closing is not enough
            os.close(handle)

    def __enter__(self) -> "FileLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


if sys.platform == "win32":
    import msvcrt

    def lock(handle: int, *, shared: bool) -> bool:
        """Lock an open file at once; whether it was possible."""
        if shared:
            return True
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(handle: int) -> None:
        """Unlock an open file."""
        import contextlib

        with contextlib.suppress(OSError):  # a shared lock is none here
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(handle: int, *, shared: bool) -> bool:
        """Lock an open file at once; whether it was possible."""
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(handle: int) -> None:
        """Unlock an open file."""
        fcntl.flock(handle, fcntl.LOCK_UN)
