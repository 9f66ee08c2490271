"""A toy scene as PASCAL VOC stores it: a JPEG and a palette PNG of class ids with void borders."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdata.classes import IGNORE, voc_color
from segdata.toy.scenes import Scene
from segdata.toy.sprites import SCALE

ROOT = "VOCdevkit/VOC2012"
_PALETTE = bytes(channel for index in range(256) for channel in voc_color(index))


def mask(scene: Scene) -> NDArray[np.uint8]:
    """Class ids 0..20, and 255 along the border of every object: uint8 (H, W).

    A pixel shows what its middle shows. The void border is two pixels wide, one on either side:
    a pixel is void where one of its eight neighbours shows another object, or background.
    """
    ids, objects = labels(scene)
    ids[_borders(objects)] = IGNORE
    return ids


def labels(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Class ids 0..20, and numbers of the objects, 0 for background: two uint8 (H, W)."""
    height, width = scene.image.height, scene.image.width
    ids = np.zeros((height, width), np.uint8)
    objects = np.zeros((height, width), np.uint8)
    centre = slice(SCALE // 2, None, SCALE)
    for number, thing in enumerate(scene.things, 1):
        shown = thing.shown[centre, centre]  # (H, W)
        ids[shown] = thing.voc_id
        objects[shown] = number if thing.voc_id else 0
    return ids, objects


def _borders(objects: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels with a different neighbour, of eight."""
    around = np.pad(objects, 1, mode="edge")
    height, width = objects.shape
    border = np.zeros(objects.shape, bool)
    for y in range(3):
        for x in range(3):
            border |= around[y : y + height, x : x + width] != objects
    return border


def encode_mask(ids: NDArray[np.uint8]) -> bytes:
    """An 8-bit palette PNG with VOC's colours, whose indices are the class ids."""
    image = Image.fromarray(ids)
    image.putpalette(_PALETTE)  # from greyscale to palette, indices unchanged
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
