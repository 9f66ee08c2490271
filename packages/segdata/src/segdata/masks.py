"""Masks: resizing by one integer rule, PNGs that keep their ids, pixel counts.

A mask is uint8 (H, W): 0 background, 1..C class ids, 255 ignore.
"""

import io
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

T = TypeVar("T", bound=np.generic)
Mask = NDArray[np.uint8]
IGNORE = 255
ZLIB_RLE = 3  # run-length strategy: on masks smaller and twice as fast as the default


def nearest_indices(source: int, target: int) -> NDArray[np.int64]:
    """Which source row (or column) each target row takes, int64 (target,).

    The pixel whose area holds the centre of the target pixel: ((2i + 1)·source) // (2·target). In
    integers it is the same on every machine, and aligned with the image, which floor-nearest
    (OpenCV, torch `nearest`) is not.
    """
    return (2 * np.arange(target, dtype=np.int64) + 1) * source // (2 * target)


def resize(mask: NDArray[T], height: int, width: int) -> NDArray[T]:
    """The mask at another size by the nearest rule, (height, width), dtype kept."""
    if mask.shape == (height, width):
        return mask
    rows = nearest_indices(mask.shape[0], height)
    columns = nearest_indices(mask.shape[1], width)
    return mask[rows[:, None], columns[None, :]]


def encode_png(mask: Mask) -> bytes:
    """The mask as an 8-bit greyscale PNG whose grey values are the ids.

    Not a palette PNG: common decoders turn palettes into colours or luminance and lose the ids.
    """
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG", compress_level=1, compress_type=ZLIB_RLE)
    return buffer.getvalue()


def count_pixels(mask: Mask, classes: int) -> list[int]:
    """Pixels of id 0, 1, …, `classes`, and last of 255: `classes` + 2 numbers."""
    counts = np.bincount(mask.ravel(), minlength=256)
    return [*counts[: classes + 1].tolist(), int(counts[IGNORE])]
