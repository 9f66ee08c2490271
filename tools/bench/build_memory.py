"""Peak memory of a build, parent and workers, for N and for 3 N images.

    .venv/bin/python tools/bench/build_memory.py [--images 10000] [--workers 2]

The data are generated: one small JPEG under many names and some polygons on each, so that what
grows with the number of images stands out. Each build runs in a fresh process; its memory before,
after the index, and at the end of the build is printed, and the largest of its workers. Linux only.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import zipfile
from io import BytesIO
from multiprocessing import active_children
from pathlib import Path

import measuring
from PIL import Image

from segdata.classes import COCO_CATEGORIES

HEIGHT, WIDTH = 48, 64


def make(folder: Path, images: int) -> None:
    """COCO's archives with so many train images; 7 annotations of 40 points on each."""
    folder.mkdir()
    buffer = BytesIO()
    Image.effect_noise((WIDTH, HEIGHT), 60).save(buffer, "JPEG")
    with zipfile.ZipFile(folder / "train2017.zip", "w") as archive:
        for i in range(1, images + 1):
            archive.writestr(f"train2017/{i:012d}.jpg", buffer.getvalue())
    draw = random.Random(0)
    records, notes = [], []
    for i in range(1, images + 1):
        name = f"{i:012d}.jpg"
        records.append({"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for k in range(7):
            outline = [round(draw.uniform(0, (WIDTH, HEIGHT)[n % 2]), 2) for n in range(80)]
            note = {"id": 7 * i + k, "image_id": i, "category_id": draw.choice([1, 3, 44, 8])}
            notes.append(note | {"segmentation": [outline], "area": 900.0, "iscrowd": 0})
    categories = [{"id": i, "name": name} for i, name in COCO_CATEGORIES.items()]
    document = json.dumps({"images": records, "annotations": notes, "categories": categories})
    with zipfile.ZipFile(
        folder / "annotations_trainval2017.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        archive.writestr("annotations/instances_train2017.json", document)


def memory(field: str, process: int | str = "self") -> float:
    """VmHWM (peak) or VmRSS (now) of a process, MiB; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0)


def child(data: Path, workers: int) -> None:
    """Build once in this fresh process, and print its memory as JSON."""
    from segdata.build import build
    from segdata.classes import ClassSet
    from segdata.coco import open_coco
    from segdata.labels import LabelPolicy
    from segdata.plan import BuildOptions

    peaks: dict[int, float] = {}

    def watch() -> None:
        while True:
            for process in active_children():
                if process.pid:
                    peak = memory("VmHWM", process.pid)
                    peaks[process.pid] = max(peaks.get(process.pid, 0), peak)
            time.sleep(0.05)

    classes, before = ClassSet.parse("voc"), memory("VmRSS")
    source = open_coco(data, 2017, classes, ["train"], LabelPolicy())
    index, index_peak = memory("VmRSS"), memory("VmHWM")
    threading.Thread(target=watch, daemon=True).start()
    with tempfile.TemporaryDirectory() as out:
        build(source, BuildOptions(Path(out), classes, workers=workers), lambda *_: None)
    found = {
        "before": before,
        "index": index,
        "index peak": index_peak,
        "peak": memory("VmHWM"),
        "worker": max(peaks.values(), default=0),
    }
    print(json.dumps(found))


def main() -> None:
    """Make, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.workers)
        return
    print(f"{measuring.header('pillow')}\n{given.workers} workers; MiB")
    print("images    before  index now  (peak)  build peak  largest worker")
    with tempfile.TemporaryDirectory() as temporary:
        for images in (given.images, 3 * given.images):
            data = Path(temporary, str(images))
            make(data, images)
            command = [sys.executable, __file__, "--child", data, "--workers", str(given.workers)]
            run = measuring.measure(command)
            mib = run.more
            print(
                f"{images:7}  {mib['before']:7.0f}  {mib['index']:9.0f} {mib['index peak']:8.0f}"
                f"  {run.peak:10.0f}  {mib['worker']:14.0f}"
            )


if __name__ == "__main__":
    main()
