"""How a build scales: 1 and 2 workers and Dask measured, more simulated from measured costs.

    .venv/bin/python tools/bench/scaling.py --coco FOLDER [--repeats 3] [--times 6]

FOLDER holds COCO's official archives, or a sample of them. Its train images are multiplied, so that
starting processes weighs as little as in a real build. Builds by 1 and by 2 workers, and by a
cluster of Dask on this machine, take turns in fresh processes; what one process does before
(opening the source; starting the cluster) is left out of them. Beside them stands what the machine
gives: 1 and 2 processes that decode, resize and encode images of their own and share nothing. Where
two processors are two threads of one core, that is far from twice. The simulation takes
the measured seconds of an image, the given seconds of opening, and the images of all of COCO 2017:
shards are given out as workers come free, which is what the engine does. Disks and memory are taken
as fast enough; on one machine they are not for ever.
"""

import argparse
import heapq
import io
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import measuring
from measuring import Run
from multiplying import multiply_coco
from PIL import Image

IMAGES, SHARD = 97_500, 1000  # of COCO 2017 with VOC's classes, and what a shard holds
WORKERS = (1, 2, 4, 8, 16, 32, 64)
SUBJECTS = {
    "1 worker": ("local", 1),
    "2 workers": ("local", 2),
    "Dask, 2 workers": ("dask", 2),
    "1 process": ("bare", 1),
    "2 processes": ("bare", 2),
}
BUILDS, MACHINE = ("1 worker", "2 workers"), ("1 process", "2 processes")
BARE = 1500  # images that each process of the bare work takes


def child(data: Path, name: str, shard: int) -> None:
    """One build in this fresh process; its opening is told apart."""
    from segdata.build import build
    from segdata.classes import ClassSet
    from segdata.coco import open_coco
    from segdata.labels import LabelPolicy
    from segdata.plan import BuildOptions

    engine, workers = SUBJECTS[name]
    if engine == "bare":
        measuring.timed(lambda: bare(data, workers))
        return
    classes = ClassSet.parse("voc")
    begin = time.perf_counter()
    source = open_coco(data, 2017, classes, ("train",), LabelPolicy())
    opening = time.perf_counter() - begin
    with started(engine, workers) as more, tempfile.TemporaryDirectory() as out:
        begin, busy = time.perf_counter(), measuring.busy_seconds()
        options = BuildOptions(Path(out), classes, shard_samples=shard, **more)
        manifest = build(source, options, lambda *_: None)
        wall = time.perf_counter() - begin
    found = {"wall": wall, "cpu": measuring.busy_seconds() - busy, "opening": opening}
    count = sum(split["samples"] for split in manifest["splits"].values())
    print(json.dumps(found | {"peak": measuring.peak_memory(), "count": count}))


def bare(data: Path, processes: int) -> int:
    """Images that so many processes get through, each with its own; nothing is shared."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return sum(pool.map(transcode, [data] * processes))


def transcode(data: Path) -> int:
    """Decode, resize and encode images from memory."""
    with zipfile.ZipFile(data / "train2017.zip") as archive:
        files = [archive.read(name) for name in archive.namelist()[:BARE]]
    for file in files:
        image = Image.open(io.BytesIO(file)).convert("RGB")
        image.thumbnail((512, 512), Image.Resampling.BILINEAR, reducing_gap=None)
        image.save(io.BytesIO(), "JPEG", quality=92)
    return len(files)


@contextmanager
def started(engine: str, workers: int) -> Iterator[dict[str, Any]]:
    """The options of a build by so many workers; those of Dask have been started, and end here."""
    if engine == "local":
        yield {"workers": workers}
        return
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        yield {"scheduler": cluster.scheduler_address}


def speed_up(runs: dict[str, list[Run]], one: str, two: str) -> float:
    """How many times as fast the second subject gets through as the first."""
    first, second = (measuring.medians(runs[name]) for name in (one, two))
    return (second.count / second.wall) / (first.count / first.wall)


def simulate(workers: int, image: float, alone: float, images: int, shard: int) -> float:
    """Seconds of a build: shards of equal counts given to whichever worker is free first."""
    free = [0.0] * workers
    left = images
    while left > 0:
        heapq.heappush(free, heapq.heappop(free) + min(shard, left) * image)
        left -= shard
    return alone + max(free)


def main() -> None:
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--coco", type=Path, default=Path("data"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--times", type=int, default=6, help="copies of each train image")
    parser.add_argument("--shard-samples", type=int, default=50)
    parser.add_argument("--alone", type=float, default=4.0, help="seconds that one process opens")
    parser.add_argument("--child", choices=SUBJECTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.coco, given.child, given.shard_samples)
        return
    print(measuring.header("pillow", "numpy", "pycocotools", "distributed"))
    with tempfile.TemporaryDirectory() as data:
        multiply_coco(given.coco, Path(data), given.times)

        def run(name: str) -> Run:
            return measuring.measure(
                [sys.executable, __file__, "--child", name, "--coco", data,
                 "--shard-samples", str(given.shard_samples)]
            )  # fmt: skip

        runs = measuring.take_turns(
            {name: lambda name=name: run(name) for name in SUBJECTS}, given.repeats
        )
    print(measuring.rates(runs, "1 worker"))
    gained, offered = (speed_up(runs, *names) for names in (BUILDS, MACHINE))
    print(f"2 workers are {gained:.2f} of one; the machine gives 2 processes {offered:.2f} of one:")
    print(f"{gained / offered:.2f} of what it gives")
    one = measuring.medians(runs["1 worker"])
    image = one.wall / one.count
    print(f"\nsimulated: {image * 1000:.1f} ms an image, {given.alone:.1f} s alone")
    print("workers   shards of 1,000: s   speed-up   shards of 250: s   speed-up")
    for workers in WORKERS:
        cells = []
        for shard in (SHARD, SHARD // 4):
            seconds = simulate(workers, image, given.alone, IMAGES, shard)
            base = simulate(1, image, given.alone, IMAGES, shard)
            cells.append(f"{seconds:12.0f} {base / seconds:12.1f}")
        print(f"{workers:7}   {'     '.join(cells)}")


if __name__ == "__main__":
    main()
