"""How a build scales: 1 and 2 workers measured, more of them simulated from measured costs.

    .venv/bin/python tools/bench/scaling.py --coco FOLDER [--repeats 3] [--shard-samples 20]

FOLDER holds COCO's official archives, or a sample of them. Builds by 1 and by 2 workers take turns
in fresh processes; what one process does before (opening) is left out of them. The simulation takes
the measured seconds of an image, the given seconds of opening, and the images of all of COCO 2017:
shards are given out as workers come free, which is what the engine does. Disks and memory are taken
as fast enough; on one machine they are not for ever.
"""

import argparse
import heapq
import sys
import tempfile
import time
from pathlib import Path

import measuring
from measuring import Run

IMAGES, SHARD = 97_500, 1000  # of COCO 2017 with VOC's classes, and what a shard holds
WORKERS = (1, 2, 4, 8, 16, 32, 64)


def child(data: Path, workers: int, shard: int) -> None:
    """One build in this fresh process; its opening is told apart."""
    from segdata.build import build
    from segdata.classes import ClassSet
    from segdata.coco import open_coco
    from segdata.labels import LabelPolicy
    from segdata.plan import BuildOptions

    classes = ClassSet.parse("voc")
    begin = time.perf_counter()
    source = open_coco(data, 2017, classes, ("train", "val"), LabelPolicy())
    opening = time.perf_counter() - begin

    def work() -> int:
        with tempfile.TemporaryDirectory() as out:
            options = BuildOptions(
                Path(out), classes, val_size=512, workers=workers, shard_samples=shard
            )
            manifest = build(source, options, lambda *_: None)
        return sum(split["samples"] for split in manifest["splits"].values())

    measuring.timed(work, opening=opening)


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
    parser.add_argument("--shard-samples", type=int, default=20)
    parser.add_argument("--alone", type=float, default=4.0, help="seconds that one process opens")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.coco, given.child, given.shard_samples)
        return
    print(measuring.header("pillow", "numpy", "pycocotools"))

    def run(workers: int) -> Run:
        return measuring.measure(
            [sys.executable, __file__, "--child", str(workers), "--coco", given.coco,
             "--shard-samples", str(given.shard_samples)]
        )  # fmt: skip

    runs = measuring.take_turns(
        {f"{n} workers": lambda n=n: run(n) for n in (1, 2)}, given.repeats
    )  # fmt: skip
    print(measuring.rates(runs, "1 workers"))
    one = measuring.medians(runs["1 workers"])
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
