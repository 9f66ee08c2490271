"""Both builds on one core, against what a user would write with other tools, and the limits.

    .venv/bin/python tools/bench/packing.py --voc FOLDER --coco FOLDER [--peers FOLDER] [--only voc]

FOLDER holds the official archives, or a sample of them, or what they unpack to. Two jobs: `voc`,
whose images fit into 512 pixels, so that their bytes pass through; and `coco`, polygons to masks,
images and masks resized to 512. Each tool gets the same images, as files; segdata reads what FOLDER
holds. The limits are loops that write nothing: of `voc`, reading, hashing and the work on masks; of
`coco`, decoding, antialiased resize, encoding and the work on masks, with Pillow's kernels and with
OpenCV's (`INTER_AREA`). Masks are drawn and packed there in the fastest form that we know, which is
segdata's own. What a build does once weighs much where images are few: with --times, our subjects
also take the data multiplied, and the difference gives the rate at the margin. A peer that cannot
be installed, or cannot do the job, is named with its reason. Needs opencv-python-headless; peers
are installed below --peers.
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
import numpy as np
from measuring import Run
from multiplying import MULTIPLY
from PIL import Image

PEERS = {  # both that need torch share one environment
    "webdataset": ["webdataset"],
    "litdata": ["litdata", "mosaicml-streaming"],
    "streaming": ["litdata", "mosaicml-streaming"],
    "datumaro": ["datumaro"],
}
CANNOT = {("datumaro", "coco"): "it resizes to one fixed size, whatever the image's shape"}
LIMITS = {"voc": ["limit"], "coco": ["limit-pillow", "limit-opencv"]}
RESIZES = {"voc": ["pillow"], "coco": ["pillow", "opencv"]}
SIZE, QUALITY = 512, 92
MANY = " multiplied"  # ends the names of subjects over more data


def open_source(job: str, data: Path) -> Any:  # noqa: ANN401 - a segdata Source
    """Both splits of a job's data set."""
    from segdata.classes import ClassSet
    from segdata.coco import open_coco
    from segdata.labels import LabelPolicy
    from segdata.voc import open_voc

    classes, splits = ClassSet.parse("voc"), ("train", "val")
    if job == "voc":
        return open_voc(data, 2012, classes, splits)
    return open_coco(data, 2017, classes, splits, LabelPolicy())


def lay_out(job: str, data: Path, folder: Path) -> None:
    """The images that segdata builds, as files, and what peers and limits have to know of them."""
    images, masks = folder / "JPEGImages", folder / "SegmentationClass"
    lists = folder / "ImageSets" / "Segmentation"
    for made in (images, masks, lists):
        made.mkdir(parents=True)
    items = []
    for name, split in open_source(job, data).splits.items():
        ids = []
        for sample in split.samples:
            stem = Path(sample.image.basename).stem
            ids.append(stem)
            image = images / f"{stem}.jpg"
            image.write_bytes(sample.image.read())
            item = {"key": sample.key, "image": str(image)}
            if job == "voc":
                mask = masks / f"{stem}.png"
                mask.write_bytes(sample.mask.read())
                item |= {"mask": str(mask)}
            else:
                item |= {"height": sample.height, "width": sample.width, "notes": notes(sample)}
            items.append(item)
        (lists / f"{name}.txt").write_text("\n".join(ids))
    (folder / "items.json").write_text(json.dumps(items))


def notes(sample: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a CocoSample
    """What a peer reads of an image's annotations."""
    return [
        {
            "class": sample.of_coco[note.category_id],
            "iscrowd": note.iscrowd,
            "area": note.area,
            "segmentation": json.loads(bytes(note.segmentation)),
        }
        for note in sample.annotations
    ]


def with_segdata(job: str, data: Path, out: Path, resize: str, limit: int = 0) -> int:
    """Our build, the opening of the archives included; returns the images."""
    from segdata.build import build
    from segdata.classes import ClassSet
    from segdata.plan import BuildOptions

    options = BuildOptions(
        out / "shards",
        ClassSet.parse("voc"),
        size=SIZE,
        val_size=SIZE,
        quality=QUALITY,
        limit=limit,
        resize=resize,
    )  # fmt: skip
    manifest = build(open_source(job, data), options, lambda *_: None)
    return sum(split["samples"] for split in manifest["splits"].values())


def limit_voc(items: list[dict[str, Any]]) -> int:
    """Read both files, hash what a shard and its content consist of, decode and encode the mask."""
    shard, content = hashlib.sha256(), hashlib.sha256()
    for item in items:
        image, mask = Path(item["image"]).read_bytes(), Path(item["mask"]).read_bytes()
        ids = np.asarray(Image.open(io.BytesIO(mask)))
        shard.update(image)
        shard.update(pack(ids))
        content.update(np.ascontiguousarray(ids))
        content.update(image)
        Image.fromarray(ids).histogram()
    return len(items)


def pack(mask: Any) -> bytes:  # noqa: ANN401 - an array
    """The pixels of a mask's PNG in the fastest form that we know: one filter, run lengths."""
    rows = np.empty((mask.shape[0], mask.shape[1] + 1), np.uint8)
    rows[:, 0] = 2
    rows[0, 1:] = mask[0]
    np.subtract(mask[1:], mask[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return packer.compress(rows.data) + packer.flush()


def limit_coco(items: list[dict[str, Any]], kernels: str) -> int:
    """Decode, resize and encode the image; draw, resize and encode the mask."""
    for item in items:
        height, width = item["height"], item["width"]
        data = Path(item["image"]).read_bytes()
        mask = draw(item)
        scale = min(1.0, SIZE / max(height, width))
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            (with_pillow if kernels == "pillow" else with_opencv)(data, size)
            rows = (2 * np.arange(size[1]) + 1) * height // (2 * size[1])
            columns = (2 * np.arange(size[0]) + 1) * width // (2 * size[0])
            mask = mask[:, columns][rows]
        pack(mask)
        Image.fromarray(mask).histogram()
    return len(items)


def draw(item: dict[str, Any]) -> Any:  # noqa: ANN401 - an array
    """The mask of an image's polygons, crowds first, then from the largest to the smallest."""
    from pycocotools import mask as rasteriser

    from segdata.coco import CocoRegion

    height, width = item["height"], item["width"]
    mask = np.zeros((height, width), np.uint8, "F")
    drawn = []
    for note in item["notes"]:
        rle = rasteriser.frPyObjects(note["segmentation"], height, width)
        rle = rasteriser.merge(rle) if isinstance(rle, list) else rle
        number = 255 if note["iscrowd"] else note["class"]
        drawn.append((-note["iscrowd"], -int(rasteriser.area(rle)), number, rle))
    for *_, number, rle in sorted(drawn, key=lambda part: part[:2]):
        first, pixels = CocoRegion(number, False, rle).columns()
        part = mask[:, first : first + pixels.shape[1]]
        np.copyto(part, np.uint8(number), where=pixels)
    return mask


def with_pillow(data: bytes, size: tuple[int, int]) -> None:
    """The image's work with Pillow's kernels."""
    image = Image.open(io.BytesIO(data))
    image.load()
    image.resize(size, Image.Resampling.BILINEAR).save(io.BytesIO(), "JPEG", quality=QUALITY)


def with_opencv(data: bytes, size: tuple[int, int]) -> None:
    """The image's work with OpenCV's, by one thread, as a worker does it."""
    import cv2

    cv2.setNumThreads(1)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def child(subject: str, job: str, data: Path, folder: Path) -> None:
    """One of our subjects once, in this fresh process."""
    kind, _, kernels = subject.partition("-")
    if kind == "segdata":
        with tempfile.TemporaryDirectory() as out:  # imports, and whatever else is done once
            with_segdata(job, data, Path(out), kernels, limit=2)
        with tempfile.TemporaryDirectory() as out:
            measuring.timed(lambda: with_segdata(job, data, Path(out), kernels))
        return
    items = json.loads((folder / "items.json").read_text())
    if job == "voc":
        limit_voc(items[:2])
        measuring.timed(lambda: limit_voc(items))
    else:
        limit_coco(items[:2], kernels)
        measuring.timed(lambda: limit_coco(items, kernels))


def peer(python: Path, tool: str, job: str, folder: Path) -> Run:
    """A peer once; what starting its own processes costs is taken off."""
    with tempfile.TemporaryDirectory() as out:
        script = Path(__file__).with_name("peers.py")
        run = measuring.measure([python, script, tool, job, folder, out])
    wall, cpu = run.wall - run.more["start_wall"], run.cpu - run.more["start_cpu"]
    return Run(wall, cpu, run.peak, run.count, run.more)


def subjects_of(
    job: str, data: Path, folder: Path, peers: Path, wanted: list[str]
) -> dict[str, Callable[[], Run]]:
    """What takes turns in a job; peers that cannot are told."""
    found: dict[str, Callable[[], Run]] = {}
    ours = [f"segdata-{kernels}" for kernels in RESIZES[job]] + LIMITS[job]
    for name in ours:
        command = [sys.executable, __file__, "--child", name, "--only", job,
                   f"--{job}", data, "--folder", folder]  # fmt: skip
        found[name] = lambda command=command: measuring.measure(command)
    for tool in wanted:
        if reason := CANNOT.get((tool, job)):
            print(f"{tool} cannot do the job {job}: {reason}")
            continue
        needed = [*PEERS[tool], *(same(name) for name in ("pillow", "pycocotools"))]
        try:
            python = measuring.environment(peers, "+".join(PEERS[tool]), needed)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{tool} cannot be installed here: {error}")
            continue
        found[tool] = lambda python=python, tool=tool: peer(python, tool, job, folder)
    return found


def margins(few: dict[str, list[Run]], many: dict[str, list[Run]]) -> str:
    """What one more image costs each subject, CPU time, and what is left for everything else."""
    lines = [
        "subject            images/CPU s more   once, CPU ms   ratio (to the first) at the margin"
    ]
    first = 0.0
    for name, of in many.items():
        small, large = measuring.medians(few[name]), measuring.medians(of)
        each = (large.cpu - small.cpu) / (large.count - small.count)
        once = 1000 * (small.cpu - small.count * each)
        first = first or each
        lines.append(f"{name:18} {1 / each:17.1f} {once:14.0f} {first / each:7.2f}")
    return "\n".join(lines)


def same(package: str) -> str:
    """The version that we have: peers decode, encode and draw with the same libraries."""
    return f"{package}=={measuring.version(package)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--voc", type=Path, default=Path("data"))
    parser.add_argument("--coco", type=Path, default=Path("data"))
    parser.add_argument("--peers", type=Path, default=Path(tempfile.gettempdir(), "segdata-peers"))
    parser.add_argument("--with", dest="tools", default=",".join(PEERS), help="peers, by commas")
    parser.add_argument("--only", choices=LIMITS, help="one job")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--times", type=int, default=1, help="also the data multiplied by this")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.only, getattr(given, given.only), given.folder)
        return
    print(measuring.header("pillow", "numpy", "pycocotools", "opencv-python-headless"))
    tools = [tool for tool in given.tools.split(",") if tool]
    for job in [given.only] if given.only else LIMITS:
        with tempfile.TemporaryDirectory() as temporary:
            folder, data = Path(temporary), getattr(given, job)
            lay_out(job, data, folder)
            subjects = subjects_of(job, data, folder, given.peers, tools)
            if given.times > 1:
                subjects |= multiplied(job, data, folder / MANY.strip(), given.times)
            runs = measuring.take_turns(subjects, given.repeats)
            few = {name: of for name, of in runs.items() if MANY not in name}
            many = {name.removesuffix(MANY): runs[name] for name in runs.keys() - few.keys()}
            print(f"\n{job}: one core, median of {given.repeats} runs each, images: ", end="")
            print(f"{medians_count(few):,}")
            print(measuring.rates(few, "segdata-pillow"))
            if many:
                print(f"\nfrom there to {medians_count(many):,} images, the same ones again:")
                print(margins(few, {name: many[name] for name in few if name in many}))


def multiplied(job: str, data: Path, folder: Path, times: int) -> dict[str, Callable[[], Run]]:
    """Our subjects over the data multiplied; their names end in MANY."""
    folder.mkdir()
    MULTIPLY[job](data, folder, times)
    lay_out(job, folder, folder / "files")
    found = subjects_of(job, folder, folder / "files", folder, [])
    return {name + MANY: subject for name, subject in found.items()}


def medians_count(runs: dict[str, list[Run]]) -> int:
    """The images that each subject went through.

    Raises:
        SystemExit: they differ, so that rates say nothing.
    """
    counts = {run.count for of in runs.values() for run in of}
    if len(counts) != 1:
        raise SystemExit(f"the subjects went through different numbers of images: {counts}")
    return counts.pop()


if __name__ == "__main__":
    main()
