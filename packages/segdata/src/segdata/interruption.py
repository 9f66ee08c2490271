"""Signals that ask a command to end: Ctrl-C, SIGTERM, and SIGHUP of a terminal that is closed.

They are raised as a KeyboardInterrupt, but not at moments at which one would leave processes behind
that nobody knows of.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last is Windows' closed console
NUMBERS = tuple(int(getattr(signal, name)) for name in NAMES if hasattr(signal, name))
SIGNALLED = 128  # a shell's exit code of a process that a signal ended, less the signal's number


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(error: KeyboardInterrupt) -> int:
    """As shells report a process that the signal ended: 130 for Ctrl-C."""
    number = error.number if isinstance(error, Interrupted) else signal.SIGINT
    return SIGNALLED + number


def listen() -> None:
    """Have the signals raised, except those that this process was told to ignore, as by nohup."""
    for number in NUMBERS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _raised)


def ignore() -> None:
    """Take no notice of the signals any more."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _raised(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


@contextmanager
def postponed() -> Iterator[Callable[[], None]]:
    """Within its `with` block signals wait until the given function is called, or for its end.

    Only those wait that have a handler in Python, which is then called. Signals belong to the main
    thread: elsewhere there is nothing to wait.
    """
    before: dict[int, Any] = {}
    noted: list[tuple[int, FrameType | None]] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append((number, frame))

    def deliver() -> None:
        while noted:
            number, frame = noted.pop(0)
            before[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        before = {n: signal.getsignal(n) for n in NUMBERS if callable(signal.getsignal(n))}
    try:
        for number in before:
            signal.signal(number, note)
        yield deliver
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        deliver()


@contextmanager
def blocked() -> Iterator[None]:
    """Within its `with` block this thread gets no signals, nor do processes started in it.

    They are to call `unblock` when they are ready. Windows has nothing of the kind.
    """
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Get the signals that were blocked when this process was started."""
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)
