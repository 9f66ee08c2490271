"""Time and memory to index COCO's annotations, against `pycocotools.coco.COCO`.

    .venv/bin/python tools/bench/annotation_index.py --data FOLDER [--repeats 3]

FOLDER holds the official annotation archive, or a sample of it. Its real records are multiplied,
under new ids and in mixed order, to a file of train2017's size. Then fresh processes take turns:
the index of the annotations, from the unpacked file and from the zip; all of `open_coco` as a build
uses it from the zips, the directory of 118,287 image members, the choice of images and a reference
to each sample included; and `COCO`, from the unpacked file, which is all that it reads. Medians are
printed.
"""

import argparse
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import measuring
import numpy as np
from measuring import Run

IMAGES, ANNOTATIONS = 118_287, 860_001  # of instances_train2017.json
FILE = "annotations/instances_train2017.json"
SUBJECTS = {
    "index, file": "plain",
    "index, zip": "zip",
    "open_coco, zips": "zip",
    "pycocotools": "plain",
}


def templates(data: Path) -> tuple[list[dict[str, Any]], list[tuple[int, str, str]]]:
    """Real image records, and annotations as (place of its image, JSON before and after its id)."""
    from segdata.archive import open_archive

    folder = data / "annotations_trainval2017.zip"
    archive = open_archive(folder if folder.exists() else data)
    images: list[dict[str, Any]] = []
    annotations = []
    for split in ("train", "val"):
        document = json.loads(archive[f"annotations/instances_{split}2017.json"].read())
        places = {image["id"]: len(images) + i for i, image in enumerate(document["images"])}
        images += document["images"]
        for note in document["annotations"]:
            fields = [f'"{k}": {json.dumps(note[k], separators=(",", ":"))}' for k in
                      ("segmentation", "area", "iscrowd", "bbox", "category_id")]  # fmt: skip
            before, after = ",".join(fields[:3]), ",".join(fields[3:])
            annotations.append((places[note["image_id"]], before, after))
    return images, annotations


def instances(data: Path, count: int, wanted: int) -> Iterator[str]:
    """The text of the multiplied file, in parts."""
    from segdata.classes import COCO_CATEGORIES

    images, annotations = templates(data)
    yield '{"info": {"description": "real records multiplied"},"licenses": [],"images": ['
    for i in range(count):
        record = images[i % len(images)] | {"id": i + 1, "file_name": f"{i + 1:012d}.jpg"}
        yield ("," if i else "") + json.dumps(record, separators=(",", ": "))
    yield '],"annotations": ['
    copies = -(-count // len(images))
    order = np.random.default_rng(0).permutation(len(annotations) * copies)
    written = 0
    for number in order.tolist():
        copy, template = divmod(number, len(annotations))
        place, before, after = annotations[template]
        image = copy * len(images) + place + 1
        if image > count or written == wanted:
            continue
        written += 1
        comma = "," if written > 1 else ""
        yield f'{comma}{{{before},"image_id": {image},{after},"id": {number + 1}}}'
    rows = [{"id": i, "name": name} for i, name in COCO_CATEGORIES.items()]
    yield f'],"categories": {json.dumps(rows)}}}'


def make(data: Path, folder: Path, images: int, annotations: int) -> Path:
    """The file, its zip, and a zip of as many (empty) images as it lists; returns the file."""
    file = folder / "plain" / FILE
    file.parent.mkdir(parents=True)
    (folder / "zip").mkdir()
    with file.open("w") as target:
        target.writelines(instances(data, images, annotations))
    with zipfile.ZipFile(
        folder / "zip" / "annotations_trainval2017.zip", "w", zipfile.ZIP_DEFLATED
    ) as packed:
        packed.write(file, FILE)
    with zipfile.ZipFile(folder / "zip" / "train2017.zip", "w") as stored:
        for i in range(images):
            stored.writestr(f"train2017/{i + 1:012d}.jpg", b"")
    os.link(folder / "zip" / "train2017.zip", folder / "plain" / "train2017.zip")
    return file


def index_alone(folder: Path) -> int:
    """The index of the annotations and nothing else; returns its images."""
    from segdata.archive import open_archive
    from segdata.classes import ClassSet
    from segdata.coco import read_instances

    bundle = folder / "annotations_trainval2017.zip"
    archive = open_archive(bundle if bundle.exists() else folder / "annotations")
    return len(read_instances(archive, "train2017", ClassSet.parse("voc"))[0].images)


def open_source(folder: Path) -> int:
    """What a build does before it plans; returns the samples."""
    from segdata.classes import ClassSet
    from segdata.coco import open_coco
    from segdata.labels import LabelPolicy

    source = open_coco(folder, 2017, ClassSet.parse("voc"), ["train"], LabelPolicy())
    return len(source.splits["train"].samples)


def index_with_pycocotools(folder: Path) -> int:
    """The peer's index; returns its images."""
    from pycocotools.coco import COCO

    return len(COCO(folder / FILE).imgs)


def child(subject: str, folder: Path) -> None:
    """Index once, in this fresh process, and print what it took as JSON."""
    import pycocotools.coco  # noqa: F401 - its import is no part of the index

    import segdata.coco  # noqa: F401 - likewise

    work: Callable[[Path], int] = {
        "pycocotools": index_with_pycocotools,
        "open_coco, zips": open_source,
    }.get(subject, index_alone)
    measuring.timed(lambda: work(folder), before=measuring.peak_memory())


def measure(subject: str, folder: Path) -> Run:
    """One run in a fresh process."""
    command = [sys.executable, __file__, "--child", subject, "--data", folder]
    return measuring.measure(command)


def report(runs: Mapping[str, Sequence[Run]]) -> None:
    """Print medians, spread and ratios to the peer."""
    peer = measuring.medians(runs["pycocotools"])
    print(
        "subject          wall s (min-max)      CPU s  (min)  peak MiB  (start)   wall  CPU  memory"
    )
    for subject, of in runs.items():
        median = measuring.medians(of)
        low, high = (pick(run.wall for run in of) for pick in (min, max))
        least = min(run.cpu for run in of)
        wall, cpu, peak = peer.wall / median.wall, peer.cpu / median.cpu, peer.peak / median.peak
        print(
            f"{subject:15} {median.wall:8.2f} ({low:.2f}-{high:.2f})  {median.cpu:8.2f}"
            f"  {least:5.2f}  {median.peak:8.0f}  {median.more['before']:8.0f}"
            f"  1/{wall:<5.1f} 1/{cpu:<5.1f} 1/{peak:<5.1f}"
        )


def main() -> None:
    """Make the file, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--annotations", type=int, default=ANNOTATIONS)
    parser.add_argument("--keep", type=Path, help="make the files here and leave them")
    parser.add_argument("--child", choices=SUBJECTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.data)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        file = folder / "plain" / FILE
        if not file.exists():
            make(given.data, folder, given.images, given.annotations)
        subjects = {
            subject: partial(measure, subject, folder / kind) for subject, kind in SUBJECTS.items()
        }
        runs = measuring.take_turns(subjects, given.repeats)
        print(measuring.header("pycocotools", "msgspec", "numpy"))
        print(f"{file.stat().st_size / 1e6:,.0f} MB, median of {given.repeats} runs each")
        report(runs)


if __name__ == "__main__":
    main()
