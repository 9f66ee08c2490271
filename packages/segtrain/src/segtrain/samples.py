"""One sample decoded: an RGB image and a mask of class ids, checked against each other."""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segtrain.errors import SampleError
from segtrain.manifests import IGNORE_INDEX
from segtrain.masks import read_ids
from segtrain.sampleset import Sample, SampleSet
from segtrain.upper_rows import jpeg_header, upper_rows

FORMATS = ("JPEG", "PNG", "WEBP")  # of images in shards that others made
Rows = Callable[[tuple[int, int]], int]  # of a stored size, the rows from the top that are needed
# what Pillow and we raise on images that are not what they should be
UNDECODABLE = (OSError, ValueError, SyntaxError, UnidentifiedImageError)


class Decoded(NamedTuple):
    """A sample in memory.

    Attributes:
        key: Its key.
        image: RGB image of W x H pixels; EXIF orientation is not applied, for the mask lies on
            the pixels as stored.
        mask: uint8 `(H, W)`: class ids, 255 = ignore.
    """

    key: str
    image: Image.Image
    mask: NDArray[np.uint8]


def decode_image(data: bytes, formats: tuple[str, ...] = ("JPEG",)) -> Image.Image:
    """Decode an image to RGB: greyscale becomes three equal channels, transparency is dropped.

    Greys of 16 bits (PNG) are scaled from 0..65535 to 0..255.
    """
    with Image.open(io.BytesIO(data), formats=formats) as image:
        if image.mode.startswith("I"):
            values = np.asarray(image).astype(np.float64) / 257
            return Image.fromarray(values.round().astype(np.uint8)).convert("RGB")
        if image.mode == "RGB":
            image.load()
            return image
        return image.convert("RGB")


def decode_mask(data: bytes) -> NDArray[np.uint8]:
    """Decode an 8-bit greyscale PNG whose grey values are class ids.

    Raises:
        ValueError: If the PNG is of another kind, whose values would not be ids.
    """
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.mode != "L":
            raise ValueError(f"the mask is a PNG of mode {image.mode}, expected 8-bit greyscale")
        return np.asarray(image)


def mask_of(sample: Sample) -> NDArray[np.uint8]:
    """The ids of a sample's mask: uint8 `(H, W)`."""
    if sample.layout.foreign:
        return read_ids(sample.mask, sample.layout)
    return decode_mask(sample.mask)


def size_of(data: bytes, formats: tuple[str, ...]) -> tuple[int, int]:
    """Width and height of an image, from its header alone."""
    header = jpeg_header(data)
    if header is not None:
        return header.width, header.height
    with Image.open(io.BytesIO(data), formats=formats) as image:
        return image.size


def decode(sample: Sample, num_classes: int, rows: Rows | None = None) -> Decoded:
    """Decode one sample and check it.

    Args:
        sample: Bytes as stored.
        num_classes: C; mask values must be below it, or 255.
        rows: Asked once, with width and height as stored, how many rows from the top are needed:
            image and mask then have at least these. None is all.

    Raises:
        ValueError: If image and mask differ in size, or the mask holds another id.
        OSError: If one of them cannot be decoded.
    """
    formats = FORMATS if sample.layout.foreign else ("JPEG",)
    if rows is not None:
        needed = rows(size_of(sample.image, formats))
        if not sample.layout.foreign:
            short = upper_rows(sample.image, sample.mask, needed)
            sample = sample._replace(image=short[0], mask=short[1])
    image, mask = decode_image(sample.image, formats), mask_of(sample)
    if image.size != mask.shape[::-1]:
        raise ValueError(
            f"the image has {image.width}x{image.height} pixels, "
            f"its mask {mask.shape[1]}x{mask.shape[0]}"
        )
    if (mask + np.uint8(1)).max(initial=0) > num_classes:  # 255 + 1 is 0 here
        wrong = mask[(mask >= num_classes) & (mask != IGNORE_INDEX)]
        raise ValueError(
            f"the mask holds id {wrong[0]}; expected 0..{num_classes - 1} or {IGNORE_INDEX}"
        )
    return Decoded(sample.key, image, mask)


def load(samples: SampleSet, number: int, rows: Rows | None = None) -> Decoded:
    """Read and decode sample `number`, or its upper rows as `decode` does.

    Raises:
        SampleError: With shard and key, if it cannot be read or is not what it should be.
    """
    sample = samples.read(number)
    try:
        return decode(sample, len(samples.classes), rows)
    except UNDECODABLE as error:
        raise refusal(samples, number, error) from error


def load_mask(samples: SampleSet, number: int) -> NDArray[np.uint8]:
    """Read and decode the mask of sample `number` alone: uint8 `(H, W)`.

    Raises:
        SampleError: With shard and key, if it cannot be read or is no mask.
    """
    sample = samples.read(number)
    try:
        return mask_of(sample)
    except UNDECODABLE as error:
        raise refusal(samples, number, error) from error


def refusal(samples: SampleSet, number: int, error: Exception) -> SampleError:
    """The user's error for a sample that does not decode."""
    key, shard = samples.place(number)
    reason = "cannot be decoded" if "BytesIO" in str(error) else str(error)
    return SampleError(f"{shard}: {key}: {reason}; {shard.diagnosis()}")
