"""A Dask cluster as an engine: the same functions and tasks, run by workers on other machines.

Dask gives the tasks of a dead worker to the others. A worker whose client is gone, stopped or
killed finds its task cancelled and leaves it at the next item.
"""

import socket
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

from segdata import __version__, engine
from segdata.errors import SegdataError

try:
    import distributed
except ImportError as error:
    raise SegdataError(
        "the engine dask needs packages that are not installed",
        expected="dask and distributed",
        found=error,
        advice="pip install 'segdata[dask]', here and on every worker's machine",
    ) from error

Task = TypeVar("Task")
Result = TypeVar("Result")
ANSWER = 5  # seconds within which a scheduler must answer
JOIN = 10  # seconds to wait for a first worker
ALONE = 60  # seconds that a build goes on without any worker
LOOK = 2  # seconds between two looks at the cluster's size
REPORT = 0.5  # seconds between two reports of a task's progress
LEAVE = 10  # seconds that running tasks have to end when they are cancelled
CANCELLED = ("cancelled", "released", "forgotten")  # states in which nobody wants a task's result
KEPT = "finished shards are kept; the same command goes on from there"


class DaskPool:
    """The workers of a Dask cluster, as they come and go; see `engine.Pool`.

    Args:
        scheduler: its address, such as tcp://10.0.0.5:8786.

    Raises:
        SegdataError: it does not answer, or has no workers.
    """

    def __init__(self, scheduler: str) -> None:
        self.scheduler = scheduler
        self.client: Any = _connected(scheduler)
        self.executor = self.client.get_executor(pure=False)
        self.topic = f"segdata-{uuid.uuid4().hex}"
        self.submitted = 0
        self.counts: dict[int, int] = {}  # items by task; a task that runs again counts once
        self.numbers: dict[Future[Any], int] = {}  # of the tasks whose results are awaited
        self.running: set[tuple[int, str]] = set()  # (task, worker)
        self.threads, self.looked, self.alone = 0, 0.0, 0.0
        self.client.subscribe_topic(self.topic, self._hear)
        self._wait_for_workers()
        self._refuse_other_versions()

    def submit(self, function: Callable[[Task], Result], task: Task) -> "Future[Result]":
        """Give a task to the cluster."""
        self.submitted += 1
        number, key = self.submitted, f"{self.topic}-{self.submitted}"
        future: Future[Result] = self.executor.submit(
            _work, function, task, self.topic, number, key=key
        )
        self.numbers[future] = number
        return future

    def size(self) -> int:
        """Threads of all workers at present.

        Raises:
            SegdataError: the scheduler is lost, or has had no worker for a minute.
        """
        now = time.monotonic()
        if now < self.looked + LOOK:
            return self.threads
        self.looked = now
        if self.client.status != "running":
            raise self._lost()
        try:
            self.threads = sum(self.client.nthreads().values())
        except (OSError, TimeoutError) as error:
            raise self._lost() from error
        self.alone = 0.0 if self.threads else self.alone or now
        if self.alone and now > self.alone + ALONE:
            raise SegdataError(
                "the cluster has no workers any more",
                where=self.scheduler,
                found=f"none for {ALONE} seconds",
                advice=f"start workers again; {KEPT}",
            )
        return self.threads

    def finished(self) -> int:
        """Items finished so far, as workers report them twice a second."""
        return sum(list(self.counts.values()))

    def result(self, future: "Future[Result]") -> Result:
        """The result of a future that is done; its errors name the machine."""
        del self.numbers[future]
        try:
            return future.result()
        except CancelledError:
            raise self._lost() from None
        except engine.StoppedError:
            raise SegdataError(
                "a worker of the cluster was shut down in the middle of a shard",
                where=self.scheduler,
                advice=f"see that workers keep running; {KEPT}",
            ) from None
        except distributed.KilledWorker as error:
            raise SegdataError(
                "workers of the cluster died one after the other over the same shard",
                where=self.scheduler,
                found=f"{error.allowed_failures + 1} deaths: their memory may be too small, or "
                "segdata is not installed where they run",
                advice=f"see the workers' logs; {KEPT}",
            ) from error

    def close(self) -> None:
        """Cancel what is still running, wait until it has been left, and hang up."""
        with suppress(Exception):  # a lost cluster cannot be told anything
            self.executor.shutdown(wait=False)
            until = time.monotonic() + LEAVE
            while self._still_running() and time.monotonic() < until:
                time.sleep(engine.POLL)
        with suppress(Exception):
            self.client.close(timeout=ANSWER)

    def _still_running(self) -> bool:
        """Whether a worker is within a task that we have cancelled."""
        awaited = set(self.numbers.values())
        return self.client.status == "running" and any(n in awaited for n, _ in list(self.running))

    def _wait_for_workers(self) -> None:
        try:
            self.client.wait_for_workers(1, timeout=JOIN)
        except (TimeoutError, OSError) as error:
            self.close()
            raise SegdataError(
                "the scheduler has no workers",
                where=self.scheduler,
                found=f"none within {JOIN} seconds",
                advice=f"start some: dask worker {self.scheduler} --nthreads 1 --nworkers N",
            ) from error

    def _refuse_other_versions(self) -> None:
        """Ask every worker for its segdata; one that lacks it could not even unpickle our work."""
        ask = "__import__('segdata').__version__"
        for worker, found in self.client.run(eval, ask, on_error="return").items():
            if found != __version__:
                self.close()
                raise SegdataError(
                    "a worker of the cluster cannot run segdata's work",
                    where=worker,
                    expected=f"segdata {__version__}",
                    found=found if isinstance(found, Exception) else f"segdata {found}",
                    advice="pip install the same segdata on every worker's machine",
                )

    def _hear(self, event: tuple[float, tuple[str, int, int, str]]) -> None:
        """Note what a worker reports of a task: how many items, and whether it still runs."""
        state, number, count, worker = event[1]
        self.counts[number] = max(count, self.counts.get(number, 0))
        if state == "runs":
            self.running.add((number, worker))
        else:
            self.running.discard((number, worker))

    def _lost(self) -> SegdataError:
        return SegdataError(
            "the connection to the scheduler was lost",
            where=self.scheduler,
            found="it has ended, or the network has",
            advice=f"start it and its workers again; {KEPT}",
        )


def _connected(scheduler: str) -> Any:  # noqa: ANN401 - Dask's class is not annotated
    import logging

    # What fails is told once, by the error below; the library would add pages of its own.
    for name in ("distributed", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client: Any = distributed.Client
        return client(scheduler, timeout=ANSWER, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise SegdataError(
            "no Dask scheduler answers",
            where=scheduler,
            expected=f"an answer within {ANSWER} seconds",
            found=error,
            advice="check the address that `dask scheduler` printed, such as tcp://10.0.0.5:8786",
        ) from error


def _work(function: Callable[[Task], Result], task: Task, topic: str, number: int) -> Result:
    """Run a task on a worker, reporting its items, until nobody wants its result any more."""
    worker, key = distributed.get_worker(), f"{topic}-{number}"
    count, reported = 0, time.monotonic()

    def report(state: str) -> None:
        worker.log_event(topic, (state, number, count, worker.address))

    def tick() -> None:
        nonlocal count, reported
        count += 1
        if time.monotonic() > reported + REPORT:
            reported = time.monotonic()
            report("runs")
        if _unwanted(worker, key):
            raise engine.StoppedError

    report("runs")
    try:
        with engine.counted(tick):
            return function(task)
    except SegdataError as error:
        place = f"{socket.gethostname()} ({worker.address})"
        error.where = f"{error.where}, on worker {place}" if error.where else f"worker {place}"
        raise
    finally:
        report("left")


def _unwanted(worker: Any, key: str) -> bool:  # noqa: ANN401 - Dask's class is not annotated
    task = worker.state.tasks.get(key)
    return task is None or task.state in CANCELLED or worker.status.name in ("closing", "closed")
