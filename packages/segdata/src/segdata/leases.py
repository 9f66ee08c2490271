"""Leases: the lock of a data set in a store, where no operating system lets go of it for the dead.

The lock is an object that its holder writes anew every few seconds. Whoever finds one watches it:
one that changes is held; one that does not for a while belonged to a build that was killed, and is
taken over. No clocks are compared. On stores that can create an object only where there is none (S3
and its likes since 2024, Google's) two builds never both take a free lock. A holder that finds
another's lock in its place stops.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex

from segdata.errors import OutputError
from segdata.stores import RemotePath

RENEW = 10  # seconds between two renewals
DEAD = 35  # seconds without renewal after which a lock is nobody's
LOOK = 1  # seconds between two looks at another's lock
ELSEWHERE = "wait for it, or choose another --out"  # a builder's choice


@contextmanager
def lease(path: RemotePath, dataset: str, advice: str = ELSEWHERE) -> Iterator[Callable[[], None]]:
    """Hold the lock at `path`; gives a function that raises once the lock has been lost.

    Args:
        path: of the lock.
        dataset: what the message calls it.
        advice: what to do where another holds it.

    Raises:
        OutputError: another build holds it.
        OSError: the store does not answer.
    """
    holder = _Holder(path, dataset)
    if not holder.take():
        _watch(path, _held(path, dataset, advice))
        path.unlink(missing_ok=True)
        if not holder.take():
            raise _held(path, dataset, advice)
    holder.thread.start()
    try:
        yield holder.check
    finally:
        holder.release()


def _watch(path: RemotePath, held: OutputError) -> None:
    """Return once the lock is gone or has not changed for long enough.

    Raises:
        OutputError: `held`, as it is being renewed.
    """
    first, until = _content(path), time.monotonic() + DEAD
    while first and time.monotonic() < until:
        time.sleep(LOOK)
        now = _content(path)
        if now and now != first:
            raise held
        if not now:
            return


def _content(path: RemotePath) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _held(path: RemotePath, dataset: str, advice: str) -> OutputError:
    return OutputError(
        f"another build of {dataset} is writing here",
        where=path.parent,
        advice=advice,
    )


class _Holder:
    """One build's claim, renewed by a thread."""

    def __init__(self, path: RemotePath, dataset: str) -> None:
        self.path, self.dataset, self.secret = path, dataset, token_hex()
        self.count, self.lost = 0, False
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._renew, daemon=True)

    def take(self) -> bool:
        return self.path.create(self._text())

    def check(self) -> None:
        if self.lost:
            raise OutputError(
                f"another build of {self.dataset} has taken this one for dead",
                where=self.path.parent,
                found=f"its lock was not renewed for {DEAD} seconds, or was removed",
                advice="let the other one finish, or run the same command again afterwards",
            )

    def release(self) -> None:
        self.done.set()
        self.thread.join()
        with suppress(OSError):
            if self._is_ours():  # it may be another's since the last look
                self.path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        """Whether the lock is there and ours, whichever renewal arrived last."""
        return _content(self.path).startswith(self.secret.encode())

    def _text(self) -> bytes:
        return f"{self.secret} {self.count}\n".encode()

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self.done.wait(RENEW):
            try:
                if not self._is_ours():
                    self.lost = True
                    return
                self.count += 1
                self.path.write_bytes(self._text())
                renewed = time.monotonic()
            except OSError:  # the network may come back; until then others may think us dead
                if time.monotonic() > renewed + DEAD - RENEW:
                    self.lost = True
                    return
