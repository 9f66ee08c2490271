"""Builds on a Dask cluster: real schedulers and workers, as processes on loopback."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make

Tree = Callable[[Path], dict[str, bytes]]

DIES = """
import os, signal

def dask_setup(worker):
    flush, calls = os.fsync, 0

    def counted(file):
        nonlocal calls
        calls += 1
        if calls == 4:  # the tar of its second shard
            os.kill(os.getpid(), signal.SIGKILL)
        flush(file)

    os.fsync = counted
"""
"""Preloaded by a worker: it is killed when it has written a tar that has no name yet."""

LACKS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "segdata":
            raise ModuleNotFoundError("No module named 'segdata'", name="segdata")

def dask_setup(worker):
    sys.meta_path.insert(0, Absent())
"""
"""Preloaded by a worker: an environment without segdata."""

SLOW = """
import time

def dask_setup(worker):
    from segdata import records
    made = records._record

    def slow(*arguments):
        time.sleep(0.2)
        return made(*arguments)

    records._record = slow
"""
"""Preloaded by a worker: five samples a second, so that a stop falls into a shard."""

CLOSES = """
def dask_setup(worker):
    from distributed.core import Status
    from segdata import records
    made = records._record

    def closing(*arguments):
        worker._status = Status.closing
        return made(*arguments)

    records._record = closing
"""
"""Preloaded by a worker: at the first sample it is closing, and its results still arrive."""


def arguments(data: Path, out: Path, *more: str, samples: int = 1) -> list[str]:
    """A build of VOC, in eight shards of one sample by default."""
    options = [f"--data={data}", f"--out={out}", "--size=48", f"--shard-samples={samples}"]
    return ["build-voc", *options, *more]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler that knows nothing of segdata."""
    with scheduling() as (address, _):
        yield address


@contextmanager
def scheduling() -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """A scheduler that is ended with the block: its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    module = ["-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
    with process(*module, "--host=127.0.0.1", f"--port={port}") as running:
        yield f"tcp://127.0.0.1:{port}", running


@contextmanager
def process(*command: str) -> "Iterator[subprocess.Popen[str]]":
    """A Python process that is ended with the block."""
    running = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def worker(
    scheduler: str, folder: Path, preload: str = "", name: str = "worker"
) -> "Iterator[subprocess.Popen[str]]":
    """A worker of one thread without a nanny that would start it again."""
    script = folder / f"{name}.py"
    script.write_text(preload)
    module = ["-m", "distributed.cli.dask_worker", scheduler, "--no-dashboard", "--no-nanny"]
    local = f"--local-directory={folder / name}"
    with process(*module, "--nthreads=1", local, f"--preload={script}") as running:
        yield running


def wait_for_workers(scheduler: str, count: int) -> None:
    """Until so many have joined."""
    import distributed

    with distributed.Client(scheduler, set_as_default=False) as client:  # type: ignore[no-untyped-call] # Dask's
        client.wait_for_workers(count)  # type: ignore[no-untyped-call] # Dask's


@pytest.fixture(scope="module")
def whole(
    segdata: "Command", small: Path, tmp_path_factory: pytest.TempPathFactory, read_tree: Tree
) -> dict[str, bytes]:
    """Every file of a local build."""
    out = tmp_path_factory.mktemp("whole")
    assert segdata(*arguments(small, out)).code == 0
    return read_tree(out)


def test_a_killed_worker_changes_no_byte(
    segdata: "Command",
    scheduler: str,
    small: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    read_tree: Tree,
) -> None:
    """A worker dies by SIGKILL within a shard; the others make the bytes of a local build."""
    out = tmp_path / "out"
    with (
        worker(scheduler, tmp_path, DIES, "dies") as dies,
        worker(scheduler, tmp_path, "", "lives"),
    ):
        wait_for_workers(scheduler, 2)
        done = segdata(*arguments(small, out, "--engine=dask", f"--scheduler={scheduler}"))
        assert (done.code, done.stderr) == (0, "")
        assert dies.wait() == -signal.SIGKILL
    assert read_tree(out) == whole
    assert {path.name for path in out.iterdir()} == whole.keys()


def test_a_broken_sample_is_one_message(make: "Make", scheduler: str, tmp_path: Path) -> None:
    """What a worker raises is what a local build raises, with the worker's name."""
    from segdata.build import build
    from segdata.classes import ClassSet
    from segdata.errors import SampleError
    from segdata.plan import BuildOptions
    from segdata.voc import open_voc

    voc = make.voc()
    voc.members[voc.name("SegmentationClass", voc.val[0])] = b"no PNG"
    data = make.write_voc(tmp_path / "data", voc)
    out, classes = tmp_path / "out", ClassSet.parse("voc")
    options = BuildOptions(out, classes, shard_samples=2, scheduler=scheduler)
    source = open_voc(data, 2012, classes, ("train", "val"))
    seen: list[int] = []
    with worker(scheduler, tmp_path):
        wait_for_workers(scheduler, 1)
        with pytest.raises(SampleError, match="a mask is no image") as error:
            build(source, options, lambda _, done, __: seen.append(done))
        assert f"{voc.val[0]}.png, on worker {socket.gethostname()} (tcp://" in str(error.value)
        assert not (out / "voc2012.json").exists()
        again = BuildOptions(
            out, classes, shard_samples=2, scheduler=scheduler, skip_errors=True, val_size=0
        )
        assert build(source, again, lambda *_: None)["splits"]["val"]["samples"] == 2
    assert seen == sorted(seen)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a signal")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_leave_a_stopped_build(
    scheduler: str, small: Path, tmp_path: Path, how: signal.Signals
) -> None:
    """Ctrl-C or a killed client ends the work of the cluster within a sample; nothing half is left.

    The shard of five samples would take a second; its worker leaves it before.
    """
    out = tmp_path / "out"
    with worker(scheduler, tmp_path, SLOW):
        wait_for_workers(scheduler, 1)
        command = arguments(small, out, "--engine=dask", f"--scheduler={scheduler}", samples=5)
        running = subprocess.Popen(
            [sys.executable, "-m", "segdata", *command], stderr=subprocess.PIPE, text=True
        )
        until(lambda: any(out.glob("voc2012-*.partial")))
        running.send_signal(how)
        stderr = running.communicate()[1]
        until(lambda: not any(out.glob("voc2012-*.partial")))
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert stderr.startswith("interrupted: finished shards are kept")
        assert stderr.count("\n") == 1
        assert not out.exists()
    assert not list(out.glob("*.tar"))


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds; fails after half a minute."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    pytest.fail("it did not come about")


def test_a_worker_without_segdata_is_told(
    segdata: "Command", scheduler: str, small: Path, tmp_path: Path
) -> None:
    """A worker whose environment lacks segdata ends the build with the way out."""
    command = arguments(small, tmp_path / "out", "--engine=dask", f"--scheduler={scheduler}")
    with worker(scheduler, tmp_path, LACKS):
        wait_for_workers(scheduler, 1)
        done = segdata(*command)
    assert done.code == 1
    assert done.stderr.splitlines()[0] == "error: a worker of the cluster cannot run segdata's work"
    assert "No module named 'segdata'" in done.stderr
    assert "pip install the same segdata" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_closing_worker_is_told(
    segdata: "Command",
    scheduler: str,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that is shut down leaves its shard at the next sample, and the build says so."""
    monkeypatch.setattr("segdata.cluster.LEAVE", 0.5)
    out = tmp_path / "out"
    command = arguments(small, out, "--engine=dask", f"--scheduler={scheduler}", samples=5)
    with worker(scheduler, tmp_path, CLOSES):
        wait_for_workers(scheduler, 1)
        done = segdata(*command)
    assert (done.code, done.stdout) == (1, "")
    message = "a worker of the cluster was shut down in the middle of a shard"
    assert done.stderr.startswith(f"error: {message}")
    assert not list(out.glob("*.tar"))


def test_absent_clusters_are_told(
    segdata: "Command",
    scheduler: str,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No scheduler, or one without workers, is an error within seconds and leaves nothing."""
    from segdata import cluster

    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    monkeypatch.setattr(cluster, "JOIN", 0.5)
    for address, message in [
        ("tcp://127.0.0.1:9", "no Dask scheduler answers"),
        ("nonsense", "no Dask scheduler answers"),
        (scheduler, "the scheduler has no workers"),
    ]:
        out = tmp_path / "out"
        done = segdata(*arguments(small, out, "--engine=dask", f"--scheduler={address}"))
        assert (done.code, done.stderr.splitlines()[0]) == (1, f"error: {message}")
        assert f"where:    {address}" in done.stderr
        assert not out.exists()


@pytest.mark.skipif(os.name == "nt", reason="workers and schedulers are ended by signals")
@pytest.mark.parametrize(
    ("ended", "how", "failures", "message"),
    [
        ("scheduler", signal.SIGKILL, "3", "the connection to the scheduler was lost"),
        ("worker", signal.SIGKILL, "3", "the cluster has no workers any more"),
        ("worker", signal.SIGKILL, "0", "workers of the cluster died one after the other over"),
    ],
)
def test_a_cluster_that_ends_is_told(
    segdata: "Command",
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ended: str,
    how: signal.Signals,
    failures: str,
    message: str,
) -> None:
    """Scheduler or last worker end within a shard: one error, and the same command goes on."""
    from segdata import cluster

    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", failures)
    for name, seconds in (("ALONE", 0.5), ("LOOK", 0.1), ("LEAVE", 0.5), ("ANSWER", 2)):
        monkeypatch.setattr(cluster, name, seconds)
    out = tmp_path / "out"
    with scheduling() as (address, scheduler), worker(address, tmp_path, SLOW) as only:
        wait_for_workers(address, 1)
        culprit = {"scheduler": scheduler, "worker": only}[ended]

        def end() -> None:
            until(lambda: any(out.glob("voc2012-*.partial")))
            culprit.send_signal(how)

        ending = threading.Thread(target=end)
        ending.start()
        command = arguments(small, out, "--engine=dask", f"--scheduler={address}", samples=5)
        done = segdata(*command)
        ending.join()
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {message}")
    assert f"where:    {address}" in done.stderr
    assert done.stderr.rstrip().endswith(cluster.KEPT)
    assert not list(out.glob("*.tar"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--engine=dask"], "--engine dask needs the address of a scheduler"),
        (["--engine=dask", "--scheduler=tcp://x:1", "--workers=2"], "--workers counts"),
        (["--scheduler=tcp://x:1"], "--scheduler is of no use"),
    ],
)
def test_options_of_another_engine_are_refused(
    segdata: "Command", small: Path, tmp_path: Path, given: list[str], message: str
) -> None:
    """An option that the chosen engine would not use is a usage error."""
    done = segdata(*arguments(small, tmp_path / "out", *given))
    assert done.code == 2
    assert done.stderr.startswith(f"error: {message}")


def test_without_dask_the_way_to_it_is_told(small: Path, tmp_path: Path) -> None:
    """Where Dask is not installed, --engine dask says what to install."""
    code = "import sys; sys.modules['distributed'] = None; from segdata.cli import main; main()"
    command = arguments(small, tmp_path / "out", "--engine=dask", "--scheduler=tcp://x:1")
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    message = "the engine dask needs packages that are not installed"
    assert done.stderr.startswith(f"error: {message}")
    assert "pip install 'segdata[dask]'" in done.stderr
    assert "Traceback" not in done.stderr
