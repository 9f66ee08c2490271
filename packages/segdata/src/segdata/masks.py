"""Masks: resizing by one integer rule, PNGs that keep their ids, pixel counts.

A mask is uint8 (H, W): 0 background, 1..C class ids, 255 ignore.
"""

import struct
import zlib
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

T = TypeVar("T", bound=np.generic)
Mask = NDArray[np.uint8]
IGNORE = 255
PNG = b"\x89PNG\r\n\x1a\n"
GREY_8_BIT = (8, 0, 0, 0, 0)  # depth, colour type, and compression, filters, interlace: the usual
MEMORY = 9  # zlib's most: 256 KiB
ENCODER = "up-rle"  # stands in the manifest: another way to pack the same ids gives other bytes
UP = 2  # PNG's filter that leaves differences to the row above, which of masks are mostly zeros


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
    if mask.flags.c_contiguous:  # along the memory first
        return mask.take(rows, 0).take(columns, 1)
    return np.ascontiguousarray(mask[:, columns][rows])


def encode_png(mask: Mask) -> bytes:
    """The mask as an 8-bit greyscale PNG whose grey values are the ids.

    Not a palette PNG: common decoders turn palettes into colours or luminance and lose the ids.
    One filter for all rows and zlib's run-length strategy: as small as a general encoder makes it,
    in a third of the time, for that one tries all filters on each row.
    """
    height, width = mask.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = UP
    rows[0, 1:] = mask[0]
    np.subtract(mask[1:], mask[:-1], out=rows[1:, 1:])  # modulo 256, as PNG has it
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, MEMORY, zlib.Z_RLE)
    packed = packer.compress(rows.data) + packer.flush()
    header = struct.pack(">II5B", width, height, *GREY_8_BIT)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return PNG + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG: length, name, content, CRC-32 of both."""
    crc32 = zlib.crc32(content, zlib.crc32(name))
    return b"".join((struct.pack(">I", len(content)), name, content, struct.pack(">I", crc32)))


def count_pixels(mask: Mask, classes: int) -> list[int]:
    """Pixels of id 0, 1, …, `classes`, and last of 255: `classes` + 2 numbers."""
    counts = Image.fromarray(mask).histogram()
    return [*counts[: classes + 1], counts[IGNORE]]
