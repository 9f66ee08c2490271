"""Toy scenes as MS-COCO stores them: one JSON per split with polygons, areas, boxes and crowds."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.classes import COCO_CATEGORIES, COCO_ID_OF_NAME
from segdata.toy.contours import area, trace
from segdata.toy.scenes import Scene, Thing
from segdata.toy.shapes import Points
from segdata.toy.sprites import SCALE

Record = dict[str, Any]

DESCRIPTION = "Generated drawings in the layout of COCO 2017, made by segdata toy; not COCO data"
_TOLERANCE = 0.75  # canvas pixels: a quarter of an image pixel
_SPECK = 2.0  # parts below this area, square image pixels, are not annotated
_SUPERCATEGORIES = (
    (1, "person"), (9, "vehicle"), (15, "outdoor"), (25, "animal"), (33, "accessory"),
    (43, "sports"), (51, "kitchen"), (61, "food"), (70, "furniture"), (77, "electronic"),
    (82, "appliance"), (90, "indoor"),
)  # fmt: skip  # each with its last category id


def document(images: Sequence[Record], annotations: Sequence[Record]) -> Record:
    """The content of an `instances_*.json`, marked as generated."""
    info = {
        "description": DESCRIPTION, "url": "", "version": "1.0", "year": 2017,
        "contributor": "segdata toy", "date_created": "2017/09/01", "synthetic": True,
    }  # fmt: skip
    return {
        "info": info,
        "licenses": [{"url": "", "id": 1, "name": "Generated; no rights reserved"}],
        "images": list(images),
        "annotations": list(annotations),
        "categories": [
            {"supercategory": _supercategory(i), "id": i, "name": name}
            for i, name in COCO_CATEGORIES.items()
        ],
    }


def _supercategory(category: int) -> str:
    return next(name for last, name in _SUPERCATEGORIES if category <= last)


def image_record(image_id: int, scene: Scene) -> Record:
    """The `images` entry of a scene."""
    return {
        "license": 1, "file_name": f"{image_id:012d}.jpg", "coco_url": "",
        "height": scene.image.height, "width": scene.image.width,
        "date_captured": "2017-09-01 00:00:00", "flickr_url": "", "id": image_id,
    }  # fmt: skip


def annotation_records(image_id: int, scene: Scene, first_id: int) -> list[Record]:
    """The `annotations` entries of a scene, ids counted up from `first_id`."""
    records = []
    for i, thing in enumerate(scene.things):
        outline = _crowd(thing) if thing.crowd else _polygons(thing, scene.things[i + 1 :])
        if outline is not None:
            records.append(outline)
    return [
        {
            **{name: record[name] for name in ("segmentation", "area", "iscrowd")},
            "image_id": image_id,
            "bbox": record["bbox"],
            "category_id": record["category_id"],
            "id": first_id + number,
        }
        for number, record in enumerate(records)
    ]


def _polygons(thing: Thing, before: Sequence[Thing]) -> Record | None:
    """The outline of an object: in its visible parts, or whole.

    Annotators draw an object on through a smaller one that covers its edge, so most outlines
    overlap; the smaller object is then painted over. Where something cuts an object apart, each
    visible part has a polygon. Where something outside VOC's classes hides it, the hidden part
    is left out as well: nothing would be painted over it.
    """
    parts = _traced(thing.shown)
    hidden_by_other = any(not b.voc_id and (b.shown & thing.whole).any() for b in before)
    if len(parts) == 1 and not hidden_by_other and (thing.whole != thing.shown).any():
        parts = _traced(thing.whole)
    if not parts:
        return None
    corners = np.concatenate(parts)
    (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
    return {
        "segmentation": [part.ravel().tolist() for part in parts],
        "area": round(sum(area(part) for part in parts), 4),
        "iscrowd": 0,
        "bbox": [round(float(n), 2) for n in (x0, y0, x1 - x0, y1 - y0)],
        "category_id": COCO_ID_OF_NAME[thing.name],
    }


def _traced(region: NDArray[np.bool_]) -> list[Points]:
    """Polygons in image pixels, rounded to hundredths as COCO's are."""
    polygons = [np.round(p / SCALE, 2) for p in trace(region, _TOLERANCE)]
    return [p for p in polygons if area(p) >= _SPECK]


def _crowd(thing: Thing) -> Record | None:
    """A crowd as uncompressed run lengths, column by column, unset pixels first."""
    shown = thing.shown[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]  # (H, W)
    if not shown.any():
        return None
    flat = shown.ravel(order="F")
    turns = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
    ys, xs = np.nonzero(shown)
    x0, y0 = int(xs.min()), int(ys.min())
    return {
        "segmentation": {
            "counts": [b - a for a, b in pairwise([0, *turns, flat.size])],
            "size": list(shown.shape),
        },
        "area": int(shown.sum()),
        "iscrowd": 1,
        "bbox": [x0, y0, int(xs.max()) + 1 - x0, int(ys.max()) + 1 - y0],
        "category_id": COCO_ID_OF_NAME[thing.name],
    }
