"""How fast both builds are on one core, against a plain Pillow decode of the same JPEGs.

    .venv/bin/python tools/bench/build_rate.py --data FOLDER [--repeats 5]

FOLDER holds the official archives, or a sample of them. Builds (opening the archives included) and
reference take turns; medians are printed, in images a second, and each build's ratio to the
reference.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import measuring
from PIL import Image

from segdata.build import build
from segdata.classes import ClassSet
from segdata.coco import open_coco
from segdata.labels import LabelPolicy
from segdata.plan import BuildOptions
from segdata.samples import Source
from segdata.voc import open_voc

CLASSES = ClassSet.parse("voc")
SPLITS = ("train", "val")


def rate_of_build(source: Callable[[], Source], size: int) -> float:
    """Images a second of one whole build into an empty directory; `size` 0 is native."""
    with tempfile.TemporaryDirectory() as out:
        options = BuildOptions(Path(out), CLASSES, size=size, val_size=size)
        begin = time.perf_counter()
        manifest = build(source(), options, lambda *_: None)
        seconds = time.perf_counter() - begin
    return sum(split["samples"] for split in manifest["splits"].values()) / seconds


def rate_of_decoding(source: Source) -> float:
    """Images a second of reading and decoding the same JPEGs with Pillow."""
    images = [sample.image for split in source.splits.values() for sample in split.samples]
    begin = time.perf_counter()
    for image in images:
        Image.open(io.BytesIO(image.read())).load()
    return len(images) / (time.perf_counter() - begin)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()

    def voc() -> Source:
        return open_voc(given.data, 2012, CLASSES, SPLITS)

    def coco() -> Source:
        return open_coco(given.data, 2017, CLASSES, SPLITS, LabelPolicy())

    builds = {
        "VOC, pass-through": (voc, 512),
        "COCO at 512": (coco, 512),
        "COCO, native": (coco, 0),
    }
    print(measuring.header("pillow"))
    print("build              images/s  Pillow decode  ratio  (one core, both splits)")
    for name, (source, size) in builds.items():
        pairs = [
            (rate_of_build(source, size), rate_of_decoding(source())) for _ in range(given.repeats)
        ]
        built, decoded = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name:17}  {built:8.0f}  {decoded:13.0f}  {built / decoded:5.2f}")


if __name__ == "__main__":
    main()
