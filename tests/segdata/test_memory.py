"""A build's memory: the index of its source, and hardly anything that grows with the images."""

import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from segdata.build import build
from segdata.classes import ClassSet
from segdata.coco import open_coco
from segdata.labels import LabelPolicy
from segdata.plan import BuildOptions

if TYPE_CHECKING:
    from tests.segdata.conftest import Make

OUTLINE = [1.5, 1.5, 6.5, 1.5, 6.5, 6.5, 1.5, 6.5] * 101  # an odd number of rounds


def beyond_the_index(make: "Make", folder: Path, images: int, policy: LabelPolicy) -> int:
    """The most bytes that a build of so many images takes while its source is open."""
    coco = make.coco(images, 0)
    for record in coco.instances["train"]["images"]:
        record["height"], record["width"] = 8, 8
        coco.images["train"][f"train2017/{record['file_name']}"] = make.jpeg(8, 8)
    for note in coco.instances["train"]["annotations"]:
        note |= {"iscrowd": 0, "area": 9000.0, "segmentation": [OUTLINE]}
    del coco.images["val"], coco.instances["val"]
    make.write_coco(folder, coco)
    classes = ClassSet.parse("voc")
    source = open_coco(folder, 2017, classes, ["train"], policy)
    options = BuildOptions(folder / "out", classes, policy, shard_samples=10)
    tracemalloc.start()
    try:
        manifest = build(source, options, lambda *_: None)
        assert manifest["splits"]["train"]["samples"] >= images - 1
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_build_copies_no_index(make: "Make", tmp_path: Path) -> None:
    """Per image, choosing and building add a quarter of its outlines at most."""
    policy = LabelPolicy("gluoncv", min_area=1)
    beyond_the_index(make, tmp_path / "imports", 11, policy)
    few, many = (beyond_the_index(make, tmp_path / str(n), n, policy) for n in (30, 60))
    outlines = 3 * len(json.dumps(OUTLINE))  # of an image with the fewest of the chosen classes
    assert (many - few) / 30 < outlines / 4
