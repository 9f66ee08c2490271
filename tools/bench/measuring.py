"""What the benchmarks share: fresh processes in turns, medians with spread, and the machine.

A benchmark has subjects, each a command that does its job once in a fresh process and prints one
line of JSON: `count` (what it got through) and, where it times a part of itself alone, `wall` and
`cpu` (seconds) and `peak` (MiB). Subjects take turns, A B A B, so that a change of the machine's
load meets all of them.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
Command = Sequence[str | Path]


@dataclass(frozen=True)
class Run:
    """One run: wall and CPU seconds (children included), peak MiB, and what it got through."""

    wall: float
    cpu: float
    peak: float
    count: int
    more: Mapping[str, Any]


def peak_memory() -> float:
    """The most memory that this process has held, MiB.

    Linux keeps the peak of whoever started a program in its `ru_maxrss`, not in its `VmHWM`.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    if sys.platform == "win32":
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def busy_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def timed(work: Callable[[], int], **more: object) -> None:
    """Do `work` in this process and print what it took, as `measure` reads it."""
    wall, cpu = time.perf_counter(), busy_seconds()
    count = work()
    found = {"wall": time.perf_counter() - wall, "cpu": busy_seconds() - cpu}
    print(json.dumps(found | {"peak": peak_memory(), "count": count, **more}))


def measure(command: Command, environment: Mapping[str, str] | None = None) -> Run:
    """Run a subject once.

    Raises:
        SystemExit: it failed; with what it wrote.
    """
    given = os.environ | ONE_THREAD | (environment or {})
    wall, cpu = time.perf_counter(), busy_seconds()
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=given)
    wall, cpu = time.perf_counter() - wall, busy_seconds() - cpu
    if run.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{run.stdout[-2000:]}{run.stderr[-4000:]}")
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    own = [found.pop(name, default) for name, default in
           (("wall", wall), ("cpu", cpu), ("peak", 0.0), ("count", 1))]  # fmt: skip
    return Run(*own, found)


def take_turns(
    subjects: Mapping[str, Callable[[], Run]], repeats: int, *, warm: bool = False
) -> dict[str, list[Run]]:
    """Runs of each subject: all of them once, then all again, `repeats` times.

    Args:
        subjects: what to run, by name.
        repeats: runs of each.
        warm: one more round first, which is not kept.
    """
    runs: dict[str, list[Run]] = {name: [] for name in subjects}
    for number in range(repeats + warm):
        for name, subject in subjects.items():
            run = subject()
            if number >= warm:
                runs[name].append(run)
            print(f"  {name}: {run.wall:.2f} s, CPU {run.cpu:.2f} s", file=sys.stderr)
    return runs


def medians(runs: Sequence[Run]) -> Run:
    """The median of each figure."""
    return Run(
        *(
            statistics.median(getattr(run, name) for run in runs)
            for name in ("wall", "cpu", "peak")
        ),
        runs[0].count,
        runs[0].more,
    )


def header(*packages: str) -> str:
    """Date, commit, machine, load and versions, in a line or two."""
    commit = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}, {load}\n"
        f"{platform.machine()} ({processor()}), {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}"
    )


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def rates(runs: Mapping[str, Sequence[Run]], against: str, unit: str = "images") -> str:
    """A table: items a second of wall (with spread) and of CPU time, and ratios to a subject."""
    base = medians(runs[against])
    title = f"{'subject':18} {unit}/s (min-max)".ljust(46)
    lines = [f"{title} {unit}/CPU s  peak MiB   ratio  of CPU  (to {against})"]
    for name, of in runs.items():
        median = medians(of)
        low, high = (pick(run.count / run.wall for run in of) for pick in (min, max))
        ratio = (median.count / median.wall) / (base.count / base.wall)
        of_cpu = (median.count / median.cpu) / (base.count / base.cpu)
        rate = f"{name:18} {median.count / median.wall:8.1f} ({low:.1f}-{high:.1f})".ljust(46)
        busy = median.count / median.cpu
        lines.append(f"{rate} {busy:12.1f}  {median.peak:8.0f}  {ratio:6.2f}  {of_cpu:6.2f}")
    return "\n".join(lines)


def environment(
    folder: Path, name: str, requirements: Sequence[str], *, over: bool = False
) -> Path:
    """The Python of a virtual environment that holds a peer; made where it is not there yet.

    Args:
        folder: where environments lie.
        name: of this one.
        requirements: what pip installs.
        over: it sees the packages of this environment, too, where it has none of its own.

    Raises:
        OSError: it cannot be made.
        subprocess.CalledProcessError: pip cannot install the peer.
    """
    place = folder / name
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = place / "installed.txt"
    if done.exists() and done.read_text().split() == list(requirements):
        return python
    print(f"installing {', '.join(requirements)} into {place}", file=sys.stderr)
    venv.create(place, with_pip=True, clear=True)
    if over:
        asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        own = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        Path(own, "under.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
    done.write_text("\n".join(requirements))
    return python
