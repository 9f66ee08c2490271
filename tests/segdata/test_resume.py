"""Interrupted builds: killed or stopped at any moment, the next run ends with the same bytes."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.segdata.conftest import Command

Tree = Callable[[Path], dict[str, bytes]]
PATIENCE = 300  # seconds until a process that should end counts as one that does not
INTERRUPTED = "interrupted: finished shards are kept; the same command goes on from there\n"

ENDED_AT_FLUSH = """
import os, signal, sys
moment, calls, flush = int(sys.argv.pop(1)), 0, os.fsync
how = sys.argv.pop(1)

def counted(file):
    global calls
    calls += 1
    if calls == moment and how == "kill":
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    if calls == moment:
        signal.raise_signal(signal.SIGINT)
    flush(file)

os.fsync = counted
from segdata.cli import main
main()
"""
"""The command, ended when it flushes its n-th file: that one is whole and not yet renamed."""

ENDED_AMONG_WORKERS = """
import multiprocessing, os, signal, sys

def ended(*arguments):
    for result in run(*arguments):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os.killpg(0, signal.SIGINT)  # as a terminal does it: to parent and workers alike
        yield result

if __name__ == "__main__":
    how = sys.argv.pop(1)
    from segdata import engine
    from segdata.cli import main
    run, engine.run = engine.run, ended
    main()
"""
"""The command with several workers, ended when the first shard is done and others are not."""

ENDED_AT_START = """
import os, signal, sys
from multiprocessing import util

def started(*arguments):
    global count
    pid = start(*arguments)
    count += 1
    print(pid, flush=True)
    if count == moment:
        os.kill(0 if whole_group else os.getpid(), number)
    return pid

if __name__ == "__main__":
    number = getattr(signal, sys.argv.pop(1))
    whole_group = sys.argv.pop(1) == "group"
    moment, count = int(sys.argv.pop(1)), 0
    start, util.spawnv_passfds = util.spawnv_passfds, started
    from segdata.__main__ import main
    main()
"""
"""The command, told to end while its n-th process starts; the first one counts semaphores."""


def arguments(data: Path, out: Path, workers: int = 1) -> list[str]:
    """A build in six shards."""
    options = {"data": data, "out": out, "size": 48, "shard-samples": 1, "workers": workers}
    return ["build-voc", *(f"--{name}={value}" for name, value in options.items())]


def ended(
    script: str, *first: str, data: Path, out: Path, workers: int = 1
) -> tuple[int, str, str]:
    """Run a script above; returns its exit code and what it printed."""
    out.parent.mkdir(exist_ok=True)
    path = out.parent / "ended.py"
    path.write_text(script)
    printed = [out.parent / "stdout.txt", out.parent / "stderr.txt"]
    with (
        printed[0].open("w") as stdout,
        printed[1].open("w") as stderr,
    ):  # pipes would wait for orphans
        done = subprocess.run(
            [sys.executable, path, *first, *arguments(data, out, workers)],
            stdout=stdout,
            stderr=stderr,
            check=False,
            start_new_session=True,
        )
    return done.returncode, *(text.read_text() for text in printed)


@pytest.fixture(scope="module")
def whole(
    segdata: "Command", small: Path, tmp_path_factory: pytest.TempPathFactory, read_tree: Tree
) -> dict[str, bytes]:
    """Every file of the build that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole")
    assert segdata(*arguments(small, out)).code == 0
    return read_tree(out)


def finished(out: Path) -> dict[str, int]:
    """The shards with a sidecar, and the identity of their tars on the disk."""
    sidecars = [path.name.removesuffix(".stats.json") for path in out.glob("*.stats.json")]
    return {name: (out / f"{name}.tar").stat().st_ino for name in sidecars}


def check_resumed(
    segdata: "Command", data: Path, out: Path, whole: dict[str, bytes], read_tree: Tree
) -> None:
    """Run the command again: the same bytes, nothing left behind, finished shards not redone."""
    before = finished(out)
    done = segdata(*arguments(data, out))
    assert (done.code, done.stderr) == (0, "")
    assert read_tree(out) == whole
    assert before.items() <= finished(out).items()


@pytest.mark.parametrize("moment", [1, 2, 3, 11, 24, 25, 26, 27])
def test_a_killed_build_resumes(
    segdata: "Command",
    small: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    read_tree: Tree,
    moment: int,
) -> None:
    """Killed before a tar, an index, a sidecar or the manifests take their names, it goes on."""
    out = tmp_path / "out"
    code, _, _ = ended(ENDED_AT_FLUSH, str(moment), "kill", data=small, out=out)
    assert code != 0
    assert len(finished(out)) == min(8, (moment - 1) // 3)
    names = {path.name for path in out.iterdir() if not path.name.endswith((".partial", ".lock"))}
    assert all((out / name).read_bytes() == whole[name] for name in names)
    assert len([path for path in out.iterdir() if path.name.endswith(".partial")]) == 1
    check_resumed(segdata, small, out, whole, read_tree)


def test_a_damaged_manifest_is_made_anew(
    segdata: "Command", small: Path, tmp_path: Path, whole: dict[str, bytes], read_tree: Tree
) -> None:
    """A cut manifest stops the build, which says the way out: delete it, and it is restored."""
    out = tmp_path / "out"
    assert segdata(*arguments(small, out)).code == 0
    manifest = out / "voc2012.json"
    manifest.write_bytes(manifest.read_bytes()[:300])
    refused = segdata(*arguments(small, out))
    assert refused.code == 1
    assert str(manifest) in refused.stderr
    assert "delete it and run the build again" in refused.stderr
    manifest.unlink()
    check_resumed(segdata, small, out, whole, read_tree)


def test_moments_cover_the_build(whole: dict[str, bytes]) -> None:
    """The moments are the files of eight shards, then the manifest, info.json and the card."""
    assert len(whole) == 8 * 3 + 3


@pytest.mark.parametrize("moment", [1, 5, 25])
def test_ctrl_c_says_how_to_go_on(
    segdata: "Command",
    small: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    read_tree: Tree,
    moment: int,
) -> None:
    """Ctrl-C ends a build with exit code 130, one line, no half file; the same command goes on."""
    out = tmp_path / "out"
    code, stdout, stderr = ended(ENDED_AT_FLUSH, str(moment), "stop", data=small, out=out)
    assert (code, stdout) == (130, "")
    assert stderr == INTERRUPTED
    assert not list(out.glob("*.partial"))
    check_resumed(segdata, small, out, whole, read_tree)


def surviving(pids: list[int]) -> list[int]:
    """Those of some processes that do not end; they are then killed.

    The kernel tells of an end at once, so the patience costs nothing where all do end, however busy
    the machine is.
    """
    left = []
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([process], [], [], PATIENCE)[0]:
                os.kill(pid, signal.SIGKILL)
                left.append(pid)
        finally:
            os.close(process)
    return left


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes as Linux can")
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_workers_end_with_their_parent(
    segdata: "Command",
    small: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    read_tree: Tree,
    how: str,
) -> None:
    """When the parent of several workers is killed or stopped none survives, and it can go on."""
    out = tmp_path / "out"
    code, stdout, stderr = ended(ENDED_AMONG_WORKERS, how, data=small, out=out, workers=2)
    assert code == (-9 if how == "kill" else 130)
    # Python's own tracker of semaphores may outlive the parent and say what it cleaned up
    said = "" if "resource_tracker" in stderr else stderr
    assert said == ("" if how == "kill" else INTERRUPTED)
    workers = [int(pid) for pid in stdout.split()]
    assert len(workers) == 2
    assert not surviving(workers)
    check_resumed(segdata, small, out, whole, read_tree)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes as Linux can")
@pytest.mark.parametrize(
    ("name", "whom", "moment"),
    [
        ("SIGINT", "group", 1),
        ("SIGINT", "group", 2),
        ("SIGINT", "parent", 3),
        ("SIGTERM", "group", 3),
        ("SIGHUP", "group", 2),
    ],
)
def test_signals_while_workers_start(
    segdata: "Command",
    small: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    read_tree: Tree,
    name: str,
    whom: str,
    moment: int,
) -> None:
    """A signal that meets workers half ready ends the build as any other: quietly, and wholly."""
    out = tmp_path / "out"
    code, stdout, stderr = ended(
        ENDED_AT_START, name, whom, str(moment), data=small, out=out, workers=2
    )
    assert (code, stderr) == (128 + getattr(signal, name), INTERRUPTED)
    assert not surviving([int(pid) for pid in stdout.split()])
    assert not list(out.glob("*.partial"))
    check_resumed(segdata, small, out, whole, read_tree)


STOPPED_IN_A_TASK = """
import sys, time
from pathlib import Path
from segdata import engine

def work(task):
    for _ in range(task):
        engine.tick()
        time.sleep(0.05)
    Path(sys.argv[1], str(task)).touch()
    return task

if __name__ == "__main__":
    for _ in engine.run(work, [1, 400], 2, lambda done: None):
        break
"""


def test_a_stop_reaches_workers_within_one_item(tmp_path: Path) -> None:
    """A worker in the middle of a long task leaves it at its next item once the parent stops."""
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED_IN_A_TASK)
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"stopped.py", "1"}
