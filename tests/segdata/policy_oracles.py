"""What torchvision's reference and GluonCV make of COCO's annotations, written from their rules.

torchvision (`references/segmentation/coco_utils.py`): annotations of the classes, each decoded with
its parts united; every pixel takes the highest class id over it; a pixel under two annotations or
more becomes 255. Train keeps images whose annotations of the classes have a summed `area` above
1000; val keeps all. GluonCV (`gluoncv/data/mscoco/segmentation.py`): a pixel that is still 0 takes
the class of the annotation at hand, in file order; both splits keep images with more than 1000
labelled pixels. Both read annotations through pycocotools' `COCO`, and treat crowds like objects.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rasteriser
from pycocotools.coco import COCO

CATEGORIES = [0, 5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72]
"""COCO's category of each VOC class, 0 for the background."""

Mask = NDArray[np.uint8]


def annotations_of(coco: COCO, image: int) -> list[dict[str, Any]]:
    """The annotations of an image that are of VOC's classes, in the order that COCO gives."""
    found: list[dict[str, Any]] = coco.loadAnns(coco.getAnnIds(imgIds=image, iscrowd=None))
    return [note for note in found if note["category_id"] in CATEGORIES]


def layers(notes: list[dict[str, Any]], height: int, width: int) -> NDArray[np.bool_]:
    """The pixels of each annotation, bool (N, H, W)."""
    stack = np.zeros((len(notes), height, width), np.bool_)
    for layer, note in zip(stack, notes, strict=True):
        pixels = rasteriser.decode(rasteriser.frPyObjects(note["segmentation"], height, width))
        layer[:] = pixels.reshape(height, width, -1).any(axis=2)
    return stack


def torchvision(coco: COCO, image: int) -> Mask:
    """torchvision's mask, uint8 (H, W)."""
    record, notes = coco.loadImgs(image)[0], annotations_of(coco, image)
    mask = np.zeros((record["height"], record["width"]), np.uint8)
    if notes:
        stack = layers(notes, *mask.shape)
        ids = np.array([CATEGORIES.index(note["category_id"]) for note in notes], np.uint8)
        mask = (stack * ids[:, None, None]).max(axis=0)
        mask[stack.sum(axis=0) > 1] = 255
    return mask


def gluoncv(coco: COCO, image: int) -> Mask:
    """GluonCV's mask, uint8 (H, W)."""
    record, notes = coco.loadImgs(image)[0], annotations_of(coco, image)
    mask = np.zeros((record["height"], record["width"]), np.uint8)
    for note, layer in zip(notes, layers(notes, *mask.shape), strict=True):
        mask += (mask == 0) * layer * np.uint8(CATEGORIES.index(note["category_id"]))
    return mask


def torchvision_keeps(coco: COCO, image: int, split: str) -> bool:
    """Whether torchvision's reference keeps the image."""
    notes = annotations_of(coco, image)
    return split != "train" or (len(notes) > 0 and sum(note["area"] for note in notes) > 1000)


def gluoncv_keeps(coco: COCO, image: int, split: str) -> bool:
    """Whether GluonCV keeps the image."""
    del split  # both splits
    return int((gluoncv(coco, image) > 0).sum()) > 1000


MASKS = {"torchvision": torchvision, "gluoncv": gluoncv}
KEEPS = {"torchvision": torchvision_keeps, "gluoncv": gluoncv_keeps}
