"""Engines run one function over many tasks: here, in processes of this machine, or in a cluster.

A task's work reports every finished item with `tick`, which is also where it learns that it shall
stop: Ctrl-C ends a build within one sample, and a killed parent takes its workers with it.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from types import FrameType
from typing import Any, Protocol, TypeVar

from segdata import interruption
from segdata.errors import SegdataError

Task = TypeVar("Task")
Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many items are done, and of how many."""
MOST_WORKERS = 61 if os.name == "nt" else sys.maxsize  # Windows can wait for no more processes
POLL = 0.1  # seconds between two looks at the progress


class StoppedError(Exception):
    """The build was stopped; a worker leaves its shard unfinished."""


class _Shared:
    """What parent and workers share: finished items, and whether to stop.

    In a worker also whether it is within a task.
    """

    counter: "Synchronized[int] | None" = None
    stop: Event | None = None
    busy = False


class _Thread(threading.local):
    """What to call for every item that this thread finishes."""

    count: Callable[[], None] | None = None


_thread = _Thread()


def tick() -> None:
    """Count one finished item.

    Raises:
        StoppedError: the build is being stopped.
    """
    if _thread.count is not None:
        _thread.count()
    if _Shared.counter is not None:
        with _Shared.counter.get_lock():
            _Shared.counter.value += 1
    if _Shared.stop is not None and _Shared.stop.is_set():
        raise StoppedError


def default_workers() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return min(os.cpu_count() or 1, MOST_WORKERS)


def run(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    progress: Callable[[int], None],
    scheduler: str = "",
) -> Iterator[Result]:
    """Results of `function` over `tasks`, in the order in which they are finished.

    Tasks are taken from the iterable only as workers come free, so that a long list of them need
    not be in memory.

    Args:
        function: a module's function; unless everything runs in this process, it and the tasks are
            pickled.
        tasks: any iterable.
        workers: processes, as far as the system allows; with 1 everything runs in this process.
        progress: called with the number of items finished so far (see `tick`).
        scheduler: address of a Dask scheduler, whose workers then do it instead.

    Raises:
        SegdataError: a worker died, no cluster answers, or what `function` raises.
    """
    if scheduler:
        from segdata.cluster import DaskPool

        yield from _drained(DaskPool(scheduler), function, tasks, progress)
    elif workers <= 1:
        yield from _run_here(function, tasks, progress)
    else:
        # An interrupt within the pool's making would leave workers that nobody stops.
        with interruption.postponed() as deliver:

            def report(done: int) -> None:
                deliver()
                progress(done)

            yield from _drained(_LocalPool(workers), function, tasks, report)


@contextmanager
def counted(count: Callable[[], None]) -> Iterator[None]:
    """Within its `with` block `count` is called for every item that this thread finishes."""
    before, _thread.count = _thread.count, count
    try:
        yield
    finally:
        _thread.count = before


def _run_here(
    function: Callable[[Task], Result], tasks: Iterable[Task], progress: Callable[[int], None]
) -> Iterator[Result]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress(done)

    with counted(count):
        for task in tasks:
            yield function(task)


class Pool(Protocol):
    """An executor in the manner of `concurrent.futures`, with progress and one way to end."""

    def submit(self, function: Callable[[Task], Result], task: Task) -> "Future[Result]":
        """Give a task to the workers."""

    def size(self) -> int:
        """Tasks that can run at the same time at present.

        Raises:
            SegdataError: no worker is left.
        """

    def finished(self) -> int:
        """Items finished so far."""

    def result(self, future: "Future[Result]") -> Result:
        """The result of a future that is done.

        Raises:
            SegdataError: its worker died, or what the function raised.
        """

    def close(self) -> None:
        """Stop whatever is still running, and wait for it."""


def _drained(
    pool: Pool,
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    progress: Callable[[int], None],
) -> Iterator[Result]:
    """Results as they are finished, with one task in reserve so that no worker waits for us."""
    waiting = iter(tasks)
    pending: set[Future[Any]] = set()
    try:
        while True:
            for task in islice(waiting, max(0, pool.size() + 1 - len(pending))):
                pending.add(pool.submit(function, task))
            if not pending:
                return
            done, pending = wait(pending, POLL, FIRST_COMPLETED)
            progress(pool.finished())
            for future in done:
                yield pool.result(future)
    finally:
        pool.close()


class _LocalPool:
    """Processes of this machine, started anew so that they inherit nothing."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.workers = min(workers, MOST_WORKERS)
        with interruption.blocked():  # here Python starts a process that keeps books of semaphores
            self.counter, self.stop = context.Value("q", 0), context.Event()
        arguments = (self.counter, self.stop)
        self.executor = ProcessPoolExecutor(self.workers, context, _start_worker, arguments)

    def submit(self, function: Callable[[Task], Result], task: Task) -> "Future[Result]":
        # This is what starts workers; a signal to the whole group must not meet them half ready.
        with _told_death(), interruption.blocked():
            return self.executor.submit(_work, function, task)

    def size(self) -> int:
        return self.workers

    def finished(self) -> int:
        return int(self.counter.value)

    def result(self, future: "Future[Result]") -> Result:
        with _told_death():
            return future.result()

    def close(self) -> None:
        self.stop.set()
        self.executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _told_death() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise SegdataError(
            "a worker process died",
            found="it was killed, perhaps because memory ran out",
            advice="run the same command again, perhaps with fewer --workers",
        ) from error


def _start_worker(counter: "Synchronized[int]", stop: Event) -> None:
    _Shared.counter, _Shared.stop = counter, stop
    interruption.ignore()  # they reach the parent, too, which stops us
    signal.signal(signal.SIGTERM, _end_worker)  # but this is also how a pool ends its workers
    interruption.unblock()
    threading.Thread(target=_follow_parent, daemon=True).start()


def _end_worker(number: int, _: FrameType | None) -> None:
    if _Shared.busy:
        raise SystemExit(interruption.SIGNALLED + number)
    os._exit(interruption.SIGNALLED + number)


def _work(function: Callable[[Task], Result], task: Task) -> Result:
    """Run a task in a worker, unless everything is to stop."""
    if _Shared.stop is not None and _Shared.stop.is_set():
        raise StoppedError
    _Shared.busy = True
    try:
        return function(task)
    except SystemExit as error:  # the pool would take it for a result, and wait for the next task
        os._exit(error.code if isinstance(error.code, int) else 1)
    finally:
        _Shared.busy = False


def _follow_parent() -> None:
    """End this worker when its parent is gone: an orphan must not write into a newer build."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
