"""Ctrl-C and SIGTERM as a request to stop at the next good moment."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class StopRequested(Exception):  # noqa: N818 - not an error: it unwinds to where the run is saved
    """Raised by `Interruption.check` after a signal."""


class Interruption:
    """Within its `with` block the first Ctrl-C or SIGTERM is noted; a second Ctrl-C ends at once.

    Signals belong to the main thread: elsewhere nothing is caught.

    Args:
        relayed: Whether a launcher passes signals on, too: one Ctrl-C then comes twice, and a
            second one is for the launcher to act upon.

    Attributes:
        number: The signal that came, 0 before.
    """

    def __init__(self, *, relayed: bool = False) -> None:
        self.number = 0
        self.relayed = relayed
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self.note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, _: FrameType | None) -> None:
        """The signals' handler."""
        if self.number and number == signal.SIGINT and not self.relayed:
            raise KeyboardInterrupt
        self.number = number

    def check(self) -> None:
        """Stop here if a signal came.

        Raises:
            StopRequested: If one did.
        """
        if self.number:
            raise StopRequested
