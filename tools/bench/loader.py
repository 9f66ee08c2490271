"""How fast training samples are loaded, against other loaders and the limit of this machine.

    .venv/bin/python tools/bench/loader.py --shards DIR --cache FOLDER [--workers 0 1 2]

Every loader makes the same batches of the same images, augmented (see `loading.py`), in a fresh
process; they take turns. Peers are installed into FOLDER, over the packages of this environment;
where one asks for other versions it gets them, and the table names its torch. What peers store lies
in FOLDER, too. The limit decodes the same files from memory and resamples each image once, with the
fastest kernels that are installed, and makes no batches.

Printed are medians of samples a second with their spread, CPU time a sample (of all processes;
other programs disturb it less), the start-up (from the first line to the first batch, imports that
the loader itself does included, torch's own not), and ratios to the limit. `--memory N` loads N
samples by segtrain alone and prints what it holds on the way.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import measuring

HERE = Path(__file__).parent
Loaded = Mapping[str, Any]  # what one process of `loading.py` prints
PEERS = {"litdata": "litdata", "streaming": "mosaicml-streaming"}
LOADERS = ("segtrain", "webdataset", "torchvision", *PEERS, "limit")


def pythons(cache: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """The Python of each loader; a peer that cannot be installed is named and left out."""
    found = {}
    for name in wanted:
        try:
            at = Path(sys.executable)
            if name in PEERS:
                at = measuring.environment(cache, f"env-{name}", [PEERS[name]], over=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name}: left out, it cannot be installed: {error}")
            continue
        found[name] = at
    return found


def run_once(python: Path, name: str, given: argparse.Namespace, *more: str) -> Loaded:
    """One loader with each number of workers, in a fresh process.

    Raises:
        SystemExit: It failed; with what it wrote.
    """
    command = [
        python, HERE / "loading.py", name, "--shards", given.shards, "--cache", given.cache,
        "--samples", str(given.samples), "--batch", str(given.batch),
        "--size", str(given.size), "--workers", *map(str, given.workers), *more,
    ]  # fmt: skip
    return measuring.measure(command).more


def prepare(python: Path, name: str, given: argparse.Namespace) -> bool:
    """Have a loader write what it stores, or say why it cannot do the job."""
    few = argparse.Namespace(**vars(given) | {"samples": given.batch, "workers": [0]})
    try:
        run_once(python, name, few)
    except SystemExit as error:
        print(f"{name}: left out, it cannot do the job: {str(error).strip().splitlines()[-1]}")
        return False
    return True


def table(runs: Mapping[str, list[Loaded]], workers: int) -> str:
    """Medians and ratios for one number of workers."""
    found: dict[str, list[dict[str, Any]]] = {
        name: [run["by_workers"][str(workers)] for run in of] for name, of in runs.items()
    }
    middle = {
        name: {f: statistics.median(run[f] for run in of) for f in ("rate", "cpu", "start")}
        for name, of in found.items()
    }
    ends = middle.get("limit")
    head = f"{'workers ' + str(workers):12} samples/s  (min to max)  ms CPU/sample  start s"
    lines = [f"{head}   of the limit: rate  CPU   torch"]
    for name, of in found.items():
        low, high = (pick(run["rate"] for run in of) for pick in (min, max))
        m = middle[name]
        line = (f"{name:12} {m['rate']:9.1f}  ({low:.1f} to {high:.1f})".ljust(38)
                + f"{1000 * m['cpu']:12.2f} {m['start']:8.2f}")  # fmt: skip
        if ends:
            line += f"               {m['rate'] / ends['rate']:6.2f} {ends['cpu'] / m['cpu']:5.2f}"
        lines.append(f"{line}   {runs[name][0]['torch']}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder for peers and their data")
    parser.add_argument("--loaders", nargs="+", choices=LOADERS, default=list(LOADERS))
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--samples", type=int, default=480, help="timed samples of each run")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--memory", type=int, metavar="N", help="only: memory over N samples")
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    given.cache, given.shards = given.cache.resolve(), given.shards.resolve()
    print(measuring.header("torch", "torchvision", "pillow", "numpy", "webdataset"))
    if given.memory:
        given.samples = given.memory
        run = run_once(Path(sys.executable), "segtrain", given, "--memory")
        for workers, found in run["by_workers"].items():
            parts = ", ".join(f"{used:.0f}" for used in found["memory"])
            print(
                f"workers {workers}: {parts} MiB after 1/10, 4/10, 7/10 and all of {given.memory:,}"
            )
        return
    able = {
        name: python
        for name, python in pythons(given.cache, given.loaders).items()
        if prepare(python, name, given)
    }
    runs: dict[str, list[Loaded]] = {name: [] for name in able}
    for _ in range(given.repeats):
        for name, python in able.items():
            runs[name].append(run_once(python, name, given))
    print(f"{given.samples} samples a run, batches of {given.batch}, {given.size} pixels, "
          f"median of {given.repeats} runs in turns")  # fmt: skip
    for workers in given.workers:
        print("", table(runs, workers), sep="\n")


if __name__ == "__main__":
    main()
