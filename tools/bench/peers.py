"""The jobs of `packing.py` as users of other tools write them; run by each tool's own Python.

Each loop does what makes its output usable in training, and no more: masks end as 8-bit greyscale
PNGs of ids, as no reader keeps a palette's ids, and images have a longest side of at most 512
pixels. None of it counts, checks, hashes, or can be resumed.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import busy_seconds, timed
from PIL import Image

SIZE, QUALITY = 512, 92
Item = dict[str, Any]


def voc_item(item: Item) -> dict[str, Any]:
    """JPEG bytes as they are, where they fit, and the mask's ids as a greyscale PNG."""
    image = Path(item["image"]).read_bytes()
    if max(Image.open(io.BytesIO(image)).size) > SIZE:
        raise SystemExit(f"{item['image']} does not fit")
    mask = np.array(Image.open(item["mask"]))
    return {"key": item["key"], "image": image, "mask": png(mask)}


def coco_item(item: Item) -> dict[str, Any]:
    """Polygons to a mask, the smaller object on top, both resized to a longest side of 512."""
    from pycocotools import mask as rasteriser

    height, width = item["height"], item["width"]
    mask = np.zeros((height, width), np.uint8)
    drawn = []
    for note in item["notes"]:
        shape = note["segmentation"]
        rle = rasteriser.frPyObjects(shape, height, width)
        rle = rasteriser.merge(rle) if isinstance(rle, list) else rle
        drawn.append((note["iscrowd"], -note["area"], note["class"], rasteriser.decode(rle)))
    for crowd, _, number, pixels in sorted(drawn, key=lambda part: (-part[0], part[1])):
        mask[pixels > 0] = 255 if crowd else number
    image = Path(item["image"]).read_bytes()
    scale = min(1.0, SIZE / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = Image.open(io.BytesIO(image)).convert("RGB").resize(size, Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=QUALITY)
        image = buffer.getvalue()
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return {"key": item["key"], "image": image, "mask": png(mask)}


def png(mask: Any) -> bytes:  # noqa: ANN401 - an array
    """A mask as Pillow encodes it by default."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def webdataset(items: Sequence[Item], make: Callable[[Item], dict[str, Any]], out: Path) -> None:
    """A loop around webdataset's ShardWriter."""
    from webdataset import ShardWriter

    out.mkdir()
    with ShardWriter(str(out / "%06d.tar"), maxcount=1000, verbose=0) as writer:
        for item in items:
            made = make(item)
            sample = {"__key__": made["key"], "jpg": made["image"], "seg.png": made["mask"]}
            writer.write(sample | {"json": {"key": made["key"]}})


def litdata(items: Sequence[Item], make: Callable[[Item], dict[str, Any]], out: Path) -> None:
    """The optimize of litdata, with one worker."""
    from litdata import optimize

    optimize(
        fn=make, inputs=list(items), output_dir=str(out), chunk_bytes="64MB", num_workers=1
    )  # fmt: skip


def streaming(items: Sequence[Item], make: Callable[[Item], dict[str, Any]], out: Path) -> None:
    """A loop around MosaicML streaming's MDSWriter."""
    from streaming import MDSWriter

    columns = {"key": "str", "image": "bytes", "mask": "bytes"}
    with MDSWriter(out=str(out), columns=columns) as writer:
        for item in items:
            writer.write(make(item))


def datumaro(items: Sequence[Item], _: Callable[[Item], dict[str, Any]], out: Path) -> None:
    """The import of VOC by datumaro and its export to Arrow files, images included."""
    import datumaro as dm

    root = Path(items[0]["image"]).parents[1]
    dataset = dm.Dataset.import_from(str(root), "voc_segmentation")
    dataset.export(str(out), "arrow", save_media=True)


TOOLS = {tool.__name__: tool for tool in (webdataset, litdata, streaming, datumaro)}
STARTS_PROCESSES = "litdata"


def main() -> None:
    """Do one job once, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("job", choices=("voc", "coco"))
    parser.add_argument("folder", type=Path, help="of items.json and what it names")
    parser.add_argument("out", type=Path, help="folder for what is written")
    given = parser.parse_args()
    items = json.loads((given.folder / "items.json").read_text())
    make = voc_item if given.job == "voc" else coco_item
    tool = TOOLS[given.tool]
    start = (0.0, 0.0)
    if given.tool != "datumaro":  # imports, and whatever else is done once
        tool(items[:2], make, given.out / "first")
    if given.tool == STARTS_PROCESSES:
        wall, cpu = time.perf_counter(), busy_seconds()
        tool(items[:2], make, given.out / "start")
        start = (time.perf_counter() - wall, busy_seconds() - cpu)

    def work() -> int:
        tool(items, make, given.out / "all")
        return len(items)

    timed(work, start_wall=start[0], start_cpu=start[1])


if __name__ == "__main__":
    main()
