"""A sample of COCO, multiplied: real images and records under new names and ids."""

import json
import zipfile
from pathlib import Path

from segdata.archive import open_archive

ANNOTATIONS, IMAGES = "annotations_trainval2017.zip", "train2017.zip"
RECORDS = "annotations/instances_train2017.json"


def multiply_coco(data: Path, folder: Path, times: int) -> None:
    """Write the train archives of COCO 2017 with each image so many times.

    What is done once, such as imports, then weighs as little as in a real build. There is no val
    split.

    Args:
        data: A folder with the official archives, or a sample of them.
        folder: Where to write; it must exist.
        times: How often each image stands in them.
    """
    bundle, photos = (open_archive(data / n) for n in (ANNOTATIONS, IMAGES))
    document = json.loads(bundle[RECORDS].read())
    step = 1 + max(record["id"] for record in document["images"])
    notes = 1 + max(note["id"] for note in document["annotations"])
    images, annotations = [], []
    with zipfile.ZipFile(folder / IMAGES, "w") as archive:
        for copy in range(times):
            for record in document["images"]:
                number = record["id"] + copy * step
                name = f"{number:012d}.jpg"
                images.append(record | {"id": number, "file_name": name})
                jpeg = photos[f"train2017/{record['file_name']}"].read()
                archive.writestr(f"train2017/{name}", jpeg)
            annotations += [
                note | {"id": note["id"] + copy * notes, "image_id": note["image_id"] + copy * step}
                for note in document["annotations"]
            ]
    text = json.dumps(document | {"images": images, "annotations": annotations})
    with zipfile.ZipFile(folder / ANNOTATIONS, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(RECORDS, text)
