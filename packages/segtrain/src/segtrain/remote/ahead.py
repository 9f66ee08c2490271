"""Fetching ahead: the shards that a reader needs next are copied and kept before it asks."""

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import Any, TypeVar

from segtrain.errors import ShardsError
from segtrain.remote.cache import Pin
from segtrain.shardfile import Shard

AT_ONCE = 4  # shards that are copied at the same time
LOOK = 0.2  # seconds between two looks at how far the first ones are


T = TypeVar("T")
# called with the bytes that have come and with all bytes that are waited for
Fetching = Callable[[int, int], None]


class AbandonedError(ShardsError):
    """Nobody waits for this shard any more; never told to anybody."""


class Ahead:
    """Copies shards of URLs in the background, in the order in which they will be needed.

    Shards of this machine are left alone. What could not be fetched is left to the reader, who
    tries again and tells.

    Args:
        shards: All shards, by number.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = shards
        self.wanted: list[int] = []
        self.pins: dict[int, Pin] = {}
        self.busy: set[int] = set()
        self.failed: dict[int, ShardsError] = {}
        self.came: dict[int, int] = {}  # bytes so far
        self.stopped = False
        self.changed = threading.Condition()
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def move(self, now: Iterable[int], later: Iterable[int]) -> None:
        """Say which shards are needed now and which will be; all others may be removed."""
        wanted = [n for n in dict.fromkeys([*now, *later]) if self.shards[n].cache is not None]
        if wanted == self.wanted:
            return
        with self.changed:
            self.failed = {n: e for n, e in self.failed.items() if n in wanted}
            self.wanted = wanted
            for n in [n for n in self.pins if n not in wanted]:
                self.pins.pop(n).release()
            self.changed.notify_all()
        if wanted and not self.threads:
            self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(AT_ONCE)]
            for thread in self.threads:
                thread.start()

    def wait(self, now: Iterable[int], show: Fetching) -> None:
        """Wait until these shards have come.

        Args:
            now: Numbers of shards, of those that were named to `move`.
            show: Called now and then with the bytes that have come, and with all bytes. What it
                raises ends the waiting.

        Raises:
            ShardsError: If one cannot be had.
        """
        mine = [n for n in dict.fromkeys(now) if self.shards[n].cache is not None]
        total = sum(self.shards[n].record.bytes for n in mine)
        shown = False
        while True:
            with self.changed:
                lost = next((self.failed[n] for n in mine if n in self.failed), None)
                left = [n for n in mine if n not in self.pins]
                done = total - sum(self.shards[n].record.bytes - self.came.get(n, 0) for n in left)
            if lost is not None:
                raise lost
            if not left:
                if shown:
                    show(total, total)
                return
            show(done, total)
            shown = True
            with self.changed:
                self.changed.wait(LOOK)

    def close(self) -> None:
        """Let all shards go, and end what is under way at its next piece."""
        with self.changed:
            self.stopped = True
            self.wanted = []
            for pin in self.pins.values():
                pin.release()
            self.pins = {}
            self.changed.notify_all()

    def work(self) -> None:
        """What each thread does until `close`."""
        while (n := self.take()) is not None:
            pin, error = self.pinned(n)
            with self.changed:
                self.busy.discard(n)
                if pin is not None and n in self.wanted:
                    self.pins[n] = pin
                elif pin is not None:
                    pin.release()
                elif error is not None:
                    self.failed[n] = error
                self.changed.notify_all()

    def take(self) -> int | None:
        """The next shard to fetch, once there is one; None when all is over."""
        with self.changed:
            while not self.stopped:
                taken = self.pins.keys() | self.busy | self.failed.keys()
                n = next((n for n in self.wanted if n not in taken), None)
                if n is not None:
                    self.busy.add(n)
                    self.came[n] = 0
                    return n
                self.changed.wait()
        return None

    def pinned(self, n: int) -> tuple[Pin | None, ShardsError | None]:
        """Fetch and keep one shard, or what went wrong."""

        def watch(size: int) -> None:
            self.came[n] = self.came.get(n, 0) + size
            if self.stopped or n not in self.wanted:
                raise AbandonedError

        try:
            return self.shards[n].pin(watch), None
        except AbandonedError:
            return None, None
        except ShardsError as error:
            return None, error


def fetched_ahead(
    stream: Generator[T, Any, None],
    shards: Sequence[Shard],
    needed: Callable[[int], tuple[Iterable[int], Iterable[int]]],
    first: int,
    show: Fetching,
) -> Generator[T, None, None]:
    """A stream whose shards are fetched before they are read.

    Args:
        stream: What reads them.
        shards: All of them.
        needed: The shards that are needed now and later, by the number of an item of the stream.
        first: The number of its first item.
        show: How people follow the first shards, without which nothing can begin.

    Raises:
        ShardsError: If one of the first shards cannot be had.
    """
    with closing(stream), Ahead(shards) as ahead:
        now, later = needed(first)
        ahead.move(now, later)
        ahead.wait(now, show)
        for number, item in enumerate(stream, start=first):
            yield item
            ahead.move(*needed(number + 1))
