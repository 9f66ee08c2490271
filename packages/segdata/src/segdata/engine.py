"""Engines run the same function over many tasks: in this process, or in several of its children.

A task's work reports every finished item with `tick`, which is also where it learns that it shall
stop: Ctrl-C ends a build within one sample, and a killed parent takes its workers with it.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

from segdata.errors import SegdataError

Task = TypeVar("Task")
Result = TypeVar("Result")
MOST_ON_WINDOWS = 61  # processes that its wait function can wait for
POLL = 0.1  # seconds between two looks at the progress


class StoppedError(Exception):
    """The build was stopped; a worker leaves its shard unfinished."""


class _Shared:
    """What parent and workers share: finished items, and whether to stop."""

    counter: "Synchronized[int] | None" = None
    stop: Event | None = None
    local: Callable[[], None] | None = None


def tick() -> None:
    """Count one finished item.

    Raises:
        StoppedError: the build is being stopped.
    """
    if _Shared.local is not None:
        _Shared.local()
    if _Shared.counter is not None:
        with _Shared.counter.get_lock():
            _Shared.counter.value += 1
    if _Shared.stop is not None and _Shared.stop.is_set():
        raise StoppedError


def default_workers() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return min(os.cpu_count() or 1, MOST_ON_WINDOWS) if os.name == "nt" else os.cpu_count() or 1


def run(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    progress: Callable[[int], None],
) -> Iterator[Result]:
    """Results of `function` over `tasks`, in the order in which they are finished.

    Tasks are taken from the iterable only as workers come free, so that a long list of them need
    not be in memory.

    Args:
        function: a module's function; with several workers it and the tasks are pickled.
        tasks: any iterable.
        workers: processes; with 1 everything runs in this process.
        progress: called with the number of items finished so far (see `tick`).

    Raises:
        SegdataError: a worker died, or what `function` raises.
    """
    if workers <= 1:
        yield from _run_here(function, tasks, progress)
    else:
        yield from _run_in_pool(function, tasks, workers, progress)


def _run_here(
    function: Callable[[Task], Result], tasks: Iterable[Task], progress: Callable[[int], None]
) -> Iterator[Result]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress(done)

    _Shared.local = count
    try:
        for task in tasks:
            yield function(task)
    finally:
        _Shared.local = None


def _run_in_pool(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    progress: Callable[[int], None],
) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(workers, context, _start_worker, (counter, stop))
    waiting = iter(tasks)
    pending: set[Future[Any]] = set()
    try:
        while True:
            for task in waiting:
                pending.add(pool.submit(function, task))
                if len(pending) > workers:  # one in reserve, so that no worker waits for us
                    break
            if not pending:
                return
            done, pending = wait(pending, POLL, FIRST_COMPLETED)
            progress(counter.value)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise SegdataError(
            "a worker process died",
            found="it was killed, perhaps because memory ran out",
            advice="run the same command again, perhaps with fewer --workers",
        ) from error
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(counter: "Synchronized[int]", stop: Event) -> None:
    _Shared.counter, _Shared.stop = counter, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops us
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End this worker when its parent is gone: an orphan must not write into a newer build."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
