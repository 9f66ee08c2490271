"""Real data multiplied: the same archives with each image several times, under ids of its own.

What a build does once, whatever the number of images, and what each image costs can be told apart
by builds of two sizes. A sample of the archives alone has one.
"""

import io
import json
import tarfile
import zipfile
from pathlib import Path

SPLITS = ("train", "val")
STEP = 10**9  # beyond every id of COCO's


def multiply_voc(data: Path, folder: Path, times: int) -> None:
    """VOC 2012's tar in `folder`, each image and mask of the splits `times` times."""
    from segdata.voc import ARCHIVES, open_tree

    tree = open_tree(data, 2012)
    with tarfile.open(folder / ARCHIVES[2012], "w") as tar:
        for split, ids in zip(SPLITS, (tree.train, tree.val), strict=True):
            names = [f"{name}_{copy}" for copy in range(times) for name in ids]
            _add(tar, f"ImageSets/Segmentation/{split}.txt", "\n".join(names).encode())
            for name in names:
                for place, kind in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
                    own = f"{place}/{name.rpartition('_')[0]}.{kind}"
                    _add(tar, f"{place}/{name}.{kind}", tree.archive[tree.root + own].read())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(f"VOCdevkit/VOC2012/{name}")
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def multiply_coco(data: Path, folder: Path, times: int) -> None:
    """COCO 2017's zips in `folder`, each image and its annotations `times` times."""
    from segdata.archive import open_archive

    found = open_archive(data / "annotations_trainval2017.zip")
    with zipfile.ZipFile(folder / found.name, "w", zipfile.ZIP_DEFLATED) as annotations:
        for split in SPLITS:
            name = f"annotations/instances_{split}2017.json"
            document = json.loads(found[name].read())
            images = open_archive(data / f"{split}2017.zip")
            with zipfile.ZipFile(folder / images.name, "w") as stored:
                for copy in range(times):
                    for image in document["images"]:
                        own = images[f"{split}2017/{image['file_name']}"]
                        stored.writestr(f"{split}2017/{copy}_{image['file_name']}", own.read())
            document["images"] = [
                image
                | {"id": image["id"] + copy * STEP, "file_name": f"{copy}_{image['file_name']}"}
                for copy in range(times)
                for image in document["images"]
            ]
            document["annotations"] = [
                note | {"id": note["id"] + copy * STEP, "image_id": note["image_id"] + copy * STEP}
                for copy in range(times)
                for note in document["annotations"]
            ]
            annotations.writestr(name, json.dumps(document))


MULTIPLY = {"voc": multiply_voc, "coco": multiply_coco}
