#!/usr/bin/env python3
"""Kill builds at random moments, resume them, and compare the end with an undisturbed build.

    python tools/kill_build.py --kills 50 --seed 1

In turn the parent alone, its whole process group and a single worker are killed with SIGKILL. After
each kill every file that has its final name must already be as in the undisturbed build; the same
command is then given again, until it gets through, and its directory must be the same byte for
byte. Then the next build begins. Exit code 1, with what differs, if anything does.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

KINDS = ("parent", "group", "worker")
UNFINISHED = (".partial", ".lock")


@dataclass
class Trial:
    """One run of the script: the command, what it must give, and what was counted.

    Attributes:
        command: the build, without --out.
        whole: the files of an undisturbed build.
        seconds: that it took.
        kills: by kind.
        resumes: runs after a kill.
        finished: builds that got through and were compared.
        compared: files compared, after kills and at the end.
        missed: runs that ended before they could be killed.
    """

    command: list[str]
    whole: dict[str, bytes]
    seconds: float
    kills: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    finished: int = 0
    compared: int = 0
    missed: int = 0


class DifferError(Exception):
    """A killed or resumed build left something that an undisturbed one does not."""


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a shards directory that has its final name."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return {path.name: path.read_bytes() for path in paths if path.suffix not in UNFINISHED}


def start(command: list[str], out: Path) -> "subprocess.Popen[bytes]":
    """The build in a process group of its own.

    Its messages go to a file: a pipe would make us wait for orphaned workers, and the next build
    shall begin while they may still be there.
    """
    with messages(out).open("ab") as stderr:
        return subprocess.Popen(
            [*command, f"--out={out}"],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )


def messages(out: Path) -> Path:
    """Where the messages of all runs of a build go."""
    return out.with_suffix(".txt")


def kill(running: "subprocess.Popen[bytes]", kind: str, rng: random.Random) -> bool:
    """Kill the build, or one of its workers; whether there was one to kill."""
    if running.poll() is not None:
        return False
    if kind == "group":
        os.killpg(running.pid, signal.SIGKILL)
        return True
    if kind == "parent":
        running.kill()
        return True
    try:
        children = psutil.Process(running.pid).children()
        # Not Python's own tracker of semaphores, which complains in tracebacks when it is killed.
        workers = [child for child in children if "resource_tracker" not in str(child.cmdline())]
        if workers:
            rng.choice(workers).kill()
    except psutil.NoSuchProcess:
        return False
    return bool(workers)


def disturb(trial: Trial, out: Path, rng: random.Random) -> bool:
    """One run that is killed at a random moment; whether it got through all the same."""
    kind = KINDS[sum(trial.kills.values()) % len(KINDS)]
    running = start(trial.command, out)
    try:
        running.wait(rng.uniform(0, trial.seconds))
    except subprocess.TimeoutExpired:
        if kill(running, kind, rng):
            trial.kills[kind] += 1
    else:
        trial.missed += 1
    running.wait()
    stderr = messages(out).read_text()
    # a worker that is being started when its parent is killed has nothing to read yet, and
    # Python says so before any code of ours runs
    if "Traceback" in stderr and not ("in spawn_main" in stderr and "EOFError" in stderr):
        raise DifferError(f"a traceback after the death of the {kind}:\n{stderr}")
    compare(trial, out, whole=False)
    return running.returncode == 0


def compare(trial: Trial, out: Path, *, whole: bool) -> None:
    """Compare what has a final name, or everything, with the undisturbed build."""
    found = tree(out)
    wrong = [name for name, data in found.items() if data != trial.whole.get(name)]
    if whole:
        wrong += sorted(trial.whole.keys() - found.keys())
        wrong += [path.name for path in out.iterdir() if path.name not in trial.whole]
    if wrong:
        raise DifferError(f"{out}: these differ from an undisturbed build: {', '.join(wrong)}")
    trial.compared += len(found)


def run(trial: Trial, folder: Path, kills: int, rng: random.Random) -> None:
    """Builds that are killed and resumed until they get through, until there were enough kills."""
    while sum(trial.kills.values()) < kills:
        out = folder / f"out-{trial.finished}"
        while not disturb(trial, out, rng):
            trial.resumes += 1
            if sum(trial.kills.values()) >= kills:
                done = start(trial.command, out)
                if done.wait() != 0:
                    raise DifferError(f"the last resume failed:\n{messages(out).read_text()}")
                break
        compare(trial, out, whole=True)
        trial.finished += 1


def prepared(folder: Path, data: Path | None, workers: int, samples: int) -> Trial:
    """The command on the given or a generated data set, and its undisturbed result."""
    segdata = [sys.executable, "-m", "segdata"]
    if data is None:
        data = folder / "toy"
        subprocess.run([*segdata, "toy", f"--out={data}", "--images=200"], check=True)
    options = [f"--data={data}", f"--shard-samples={samples}", f"--workers={workers}"]
    command = [*segdata, "build-coco", *options]
    begin = time.monotonic()
    subprocess.run([*command, f"--out={folder / 'whole'}"], check=True, stdout=subprocess.DEVNULL)
    return Trial(command, tree(folder / "whole"), time.monotonic() - begin)


def main() -> int:
    """Parse the command line, run, and print the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="at least so many (default: 50)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: by time)")
    parser.add_argument("--workers", type=int, default=2, help="of the builds (default: 2)")
    parser.add_argument("--samples", type=int, default=10, help="in a shard (default: 10)")
    parser.add_argument("--data", type=Path, help="COCO's archives (default: a generated set)")
    given = parser.parse_args()
    seed = time.time_ns() % 1_000_000 if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(prefix="kill-build-") as name:
        folder = Path(name)
        trial = prepared(folder, given.data, given.workers, given.samples)
        print(f"undisturbed: {len(trial.whole)} files in {trial.seconds:.1f} s; seed {seed}")
        begin = time.monotonic()
        try:
            run(trial, folder, given.kills, random.Random(seed))
        except DifferError as error:
            print(f"FAILED with seed {seed}, after {sum(trial.kills.values())} kills: {error}")
            return 1
        kinds = ", ".join(f"{kind} {trial.kills[kind]}" for kind in KINDS)
        print(
            f"kills: {sum(trial.kills.values())} ({kinds}); runs that ended first: {trial.missed}"
        )
        print(f"resumes: {trial.resumes}; builds brought to their end: {trial.finished}")
        print(f"files compared: {trial.compared:,}, all equal; {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
