#!/usr/bin/env python3
"""Kill training runs at random moments, resume them, and compare the end with an undisturbed run.

    python tools/kill_run.py --kills 40 --seed 1

In turn the run alone, its whole process group and a single data worker are killed with SIGKILL,
and the run is asked to end by SIGTERM. Every start and resume has another number of data workers.
After each kill every checkpoint must be whole, and the log must be the beginning of the undisturbed
one; the run is then resumed, until it gets through. At the end its log without the clock, its
checkpoints (weights, optimiser, random numbers), its table and its pictures must be the same bit
for bit, and TensorBoard must find each step once. Then the next run begins. Exit code 1, with what
differs, if anything does.
"""

import argparse
import csv
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import torch

from segtrain import cli
from segtrain.checkpoint import load_checkpoint
from segtrain.log_files import read_lines

SERVER = multiprocessing.get_context("forkserver")
KINDS = ("run", "group", "worker", "term")
# what may differ between equal runs
CLOCK = ("images_per_second", "data_wait", "seconds", "tflops", "mfu", "peak_memory")
EARLY = 0.15  # share of kills at any moment of the start
MOST_LINES = 8  # lines of the log after which a start is killed at the latest
PARTS = ("model", "optimizer", "rng", "average", "step", "batches", "meter", "best", "due")


class DifferError(Exception):
    """A killed or resumed run left something that an undisturbed one does not."""


@dataclass
class Trial:
    """One run of the script: the command, what it must give, and what was counted.

    Attributes:
        options: those of the run, without --out and --workers.
        whole: the folder of an undisturbed run.
        seconds: that it took.
        workers: numbers of data workers to choose from.
        kills: by kind.
        resumes: starts after a kill.
        finished: runs that got through and were compared.
        compared: checkpoints compared or found whole.
        missed: starts that ended before they could be killed.
    """

    options: list[str]
    whole: Path
    seconds: float
    workers: tuple[int, ...] = (0, 1, 2)
    kills: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    finished: int = 0
    compared: int = 0
    missed: int = 0


def unclocked(line: dict[str, Any]) -> dict[str, Any]:
    """A line of the log, or a row of the table, without what time decides."""
    return {name: value for name, value in line.items() if name not in CLOCK}


def equal(a: object, b: object) -> bool:
    """Whether two nests of plain values and tensors are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def rows(run: Path) -> list[dict[str, Any]]:
    """The rows of log.csv."""
    with (run / "log.csv").open(newline="") as file:
        return [unclocked(row) for row in csv.DictReader(file)]


def pictures(run: Path) -> dict[str, bytes]:
    """All pictures, and what the validations counted."""
    paths = [*(run / "pictures").glob("*"), *(run / "validations").glob("*")]
    return {path.name: path.read_bytes() for path in paths}


def charted(run: Path) -> list[tuple[int, float]]:
    """The loss as TensorBoard finds it."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells each resume
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard" / "net"), size_guidance={"scalars": 0})
    found.Reload()
    return [(event.step, event.value) for event in found.Scalars("loss")]


def compare(trial: Trial, out: Path) -> None:
    """Compare a run that got through with the undisturbed one."""
    ours, theirs = ([unclocked(x) for x in read_lines(r / "log.jsonl")] for r in (out, trial.whole))
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            raise DifferError(f"{out}: the log differs at step {b['step']}: {a} against {b}")
    names = sorted(p.name for p in trial.whole.glob("*.pt"))
    checks = {
        "the log": (len(ours), len(theirs)),
        "log.csv": (rows(out), rows(trial.whole)),
        "the pictures": (pictures(out), pictures(trial.whole)),
        "TensorBoard's curve": (charted(out), charted(trial.whole)),
        "the checkpoints": (sorted(p.name for p in out.glob("*.pt")), names),
        "what is left half-written": (list(out.glob(".*")), []),
    }
    for what, (found, expected) in checks.items():
        if found != expected:
            raise DifferError(f"{out}: {what} differs from an undisturbed run")
    for name in names:
        a, b = (load_checkpoint(run / name) for run in (out, trial.whole))
        for part in PARTS:
            if not equal(getattr(a, part, None), getattr(b, part, None)):
                if part == "meter" and equal(*(steady(x.meter) for x in (a, b))):
                    continue
                raise DifferError(f"{out / name}: {part} differs from an undisturbed run")
        trial.compared += 1


def steady(meter: dict[str, float]) -> dict[str, float]:
    """A checkpoint's sums without those of time."""
    return {name: value for name, value in meter.items() if name not in ("seconds", "waited")}


def check_left(trial: Trial, out: Path) -> None:
    """After a kill: checkpoints must be whole, the log must be a beginning of the whole one."""
    for path in out.glob("*.pt"):
        load_checkpoint(path)
        trial.compared += 1
    ours = [unclocked(line) for line in read_lines(out / "log.jsonl")]
    theirs = [unclocked(line) for line in read_lines(trial.whole / "log.jsonl")]
    if ours != theirs[: len(ours)]:
        raise DifferError(f"{out}: after a kill the log is no beginning of an undisturbed one")


def start(trial: Trial, out: Path, workers: int) -> BaseProcess:
    """The run, or its continuation, in a process group of its own; its messages go to a file.

    It is forked from a process that has loaded torch already, and so begins at once.
    """
    how = ["--resume"] if (out / "config.json").exists() else trial.options
    words = ["segtrain", "run", *how, f"--out={out}", f"--workers={workers}"]
    running = SERVER.Process(target=train, args=(words, messages(out)))
    running.start()
    return running


def train(words: list[str], log: Path) -> None:
    """The command line in this process."""
    os.setsid()
    with log.open("ab") as stderr, Path(os.devnull).open("wb") as stdout:
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
    sys.argv = words
    cli.main()


def finished(running: BaseProcess) -> int:
    """Wait for a run; its exit code."""
    running.join()
    return running.exitcode or 0


def messages(out: Path) -> Path:
    """Where the messages of all starts of a run go."""
    return out.with_suffix(".txt")


def kill(running: BaseProcess, kind: str, rng: random.Random) -> bool:
    """Kill the run, or one of its workers; whether there was one to kill."""
    if not running.is_alive() or running.pid is None:
        return False
    if kind in ("run", "term"):
        os.kill(running.pid, signal.SIGKILL if kind == "run" else signal.SIGTERM)
        return True
    try:
        if kind == "group":
            os.killpg(running.pid, signal.SIGKILL)
            return True
        workers = psutil.Process(running.pid).children()
        if workers:
            rng.choice(workers).kill()
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False
    return bool(workers)


def await_moment(running: BaseProcess, out: Path, rng: random.Random) -> None:
    """Wait until the log has grown by some lines, and a moment more; now and then not so long."""
    log = out / "log.jsonl"
    patience = rng.uniform(0, 10) if rng.random() < EARLY else float("inf")
    wanted = len(read_lines(log)) + rng.randint(1, MOST_LINES)
    begin = time.monotonic()
    while running.is_alive() and time.monotonic() - begin < patience:
        if len(read_lines(log)) >= wanted:
            time.sleep(rng.uniform(0, 0.3))  # into the next steps, a save, or a validation
            return
        time.sleep(0.01)


def disturb(trial: Trial, out: Path, rng: random.Random) -> bool:
    """One start that is killed at a random moment; whether it got through all the same."""
    kind = KINDS[sum(trial.kills.values()) % len(KINDS)]
    workers = rng.choice(trial.workers) if kind != "worker" else max(trial.workers)
    running = start(trial, out, workers)
    await_moment(running, out, rng)
    if kill(running, kind, rng):
        trial.kills[kind] += 1
    elif not running.is_alive():
        trial.missed += 1
    code = finished(running)
    said = messages(out)
    text = said.read_text() if said.exists() else ""  # killed before it could say anything
    # a worker whose run was killed while it handed a batch over is told so by Python itself
    if text.count("Traceback") > text.count("resource_sharer.py"):
        raise DifferError(f"a traceback after the death of the {kind}:\n{text}")
    check_left(trial, out)
    return code == 0


def run(trial: Trial, folder: Path, kills: int, rng: random.Random) -> None:
    """Runs that are killed and resumed until they get through, until there were enough kills."""
    while sum(trial.kills.values()) < kills:
        out = folder / f"run-{trial.finished}"
        while not disturb(trial, out, rng):
            trial.resumes += 1
            if sum(trial.kills.values()) >= kills:
                if finished(start(trial, out, rng.choice(trial.workers))) != 0:
                    raise DifferError(f"the last resume failed:\n{messages(out).read_text()}")
                break
        compare(trial, out)
        trial.finished += 1
        killed = sum(trial.kills.values())
        print(f"run {trial.finished} is as if undisturbed; {killed} kills so far", flush=True)


def prepared(folder: Path, shards: Path | None, steps: int) -> Trial:
    """The options on the given or generated shards, and its undisturbed result."""
    python = [sys.executable, "-m"]
    if shards is None:
        toy, shards = folder / "toy", folder / "shards"
        segdata = [*python, "segdata"]
        subprocess.run([*segdata, "toy", f"--out={toy}", "--images=96"], check=True)
        build = [*segdata, "build-coco", f"--data={toy}", f"--out={shards}", "--shard-samples=8"]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    options = [
        f"--shards={shards}", "--width=0.06", "--crop=64", "--batch=4", f"--steps={steps}",
        "--log-every=2", "--save-every=7", "--keep-every=10", "--keep=2", "--val-every=20",
        "--val-images=3", "--pictures=1", "--lr=0.02", "--csv", "--tensorboard", "--device=cpu",
        "--threads=1",
    ]  # fmt: skip
    trial = Trial(options, folder / "whole", 0.0)
    begin = time.monotonic()
    if finished(start(trial, trial.whole, 0)) != 0:
        raise DifferError(f"the undisturbed run failed:\n{messages(trial.whole).read_text()}")
    trial.seconds = time.monotonic() - begin
    return trial


def main() -> int:
    """Parse the command line, run, and print the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=40, help="at least so many (default: 40)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: by time)")
    parser.add_argument("--steps", type=int, default=60, help="of a run (default: 60)")
    parser.add_argument("--shards", type=Path, help="a shards directory (default: generated)")
    given = parser.parse_args()
    SERVER.set_forkserver_preload(["segtrain.cli", "segtrain.session"])
    seed = time.time_ns() % 1_000_000 if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(prefix="kill-run-") as name:
        folder = Path(name)
        trial = prepared(folder, given.shards, given.steps)
        print(f"undisturbed: {given.steps} steps in {trial.seconds:.1f} s; seed {seed}", flush=True)
        begin = time.monotonic()
        try:
            run(trial, folder, given.kills, random.Random(seed))
        except DifferError as error:
            print(f"FAILED with seed {seed}, after {sum(trial.kills.values())} kills: {error}")
            return 1
        kinds = ", ".join(f"{kind} {trial.kills[kind]}" for kind in KINDS)
        print(
            f"kills: {sum(trial.kills.values())} ({kinds}); starts that ended first: {trial.missed}"
        )
        print(f"resumes: {trial.resumes}; runs brought to their end: {trial.finished}")
        print(
            f"checkpoints compared or found whole: {trial.compared:,}; logs, tables, pictures and "
            f"curves equal; {time.monotonic() - begin:.0f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
