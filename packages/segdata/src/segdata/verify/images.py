"""A stored image that was resized, held against our own resize of its source."""

import io
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]
Levels = NDArray[np.uint8] | NDArray[np.float32]
Band = tuple[NDArray[np.intp], NDArray[np.float64]]
"""Of each output pixel the first source pixel under it, and the weights from there on."""
BLOCK = 16  # rows of a resize's matrix that are multiplied at once
SLACK = 0.3  # levels of 255: what rounding before and after the encoder may add
FACTOR = 1.15  # of the codec's own loss: encoders of other versions round otherwise


def decode(data: bytes) -> Levels:
    """An image as RGB, (H, W, 3), 0 to 255; EXIF and transparency are not applied.

    Returns:
        Uint8; float32 where the file has 16 bits.

    Raises:
        OSError: it does not decode.
    """
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I"):  # greyscale of 16 bits, 0 to 65535
            levels = np.rint(np.asarray(image, dtype=np.float64) / 257)
            return np.repeat(levels[..., None], 3, axis=2).astype(np.float32)
        opaque = image.convert("RGBA") if image.mode == "P" else image
        return np.asarray(opaque if opaque.mode == "RGB" else opaque.convert("RGB"))


class Scratch:
    """Arrays that one thread uses for image after image: fresh memory costs more than the sums."""

    def __init__(self) -> None:
        self._kept: dict[str, Pixels] = {}

    def array(self, name: str, *shape: int) -> Pixels:
        """An array of any content; it is the same memory whenever the name is."""
        size = math.prod(shape)
        if name not in self._kept or self._kept[name].size < size:
            self._kept[name] = np.empty(size, dtype=np.float32)
        return self._kept[name][:size].reshape(shape)


def shrink(
    image: Levels, height: int, width: int, *, resampling: str = "bilinear", scratch: Scratch
) -> Pixels:
    """An antialiased resize, float32 (height, width, 3), as one matrix a dimension.

    Of `bilinear` each output pixel is the mean of the source under a triangle that is two output
    pixels wide and centred on it; of `opencv-area` that under the output pixel itself.

    Args:
        image: (H, W, 3).
        height: of the result.
        width: of the result.
        resampling: of `WEIGHTS`.
        scratch: holds the result, which lasts until it is used again.

    Raises:
        ValueError: another resampling.
    """
    if resampling not in WEIGHTS:
        raise ValueError(f"this version knows no resampling {resampling!r}")
    flat = image.reshape(len(image), -1)  # (H, W * 3)
    rows = scratch.array("rows", height, flat.shape[1])
    for block in _blocks(len(image), height, resampling):
        some = flat[block.source].astype(np.float32)  # not all at once: they stay in the cache
        np.matmul(block.weights, some, out=rows[block.target])
    planes = scratch.array("planes", height, 3, image.shape[1])
    _copy(planes.swapaxes(1, 2), rows.reshape(height, -1, 3))
    planes = planes.reshape(height * 3, -1)
    columns = scratch.array("columns", height * 3, width)
    for block in _blocks(image.shape[1], width, resampling):
        np.matmul(planes[:, block.source], block.weights.T, out=columns[:, block.target])
    shrunk = scratch.array("shrunk", height, width, 3)
    _copy(shrunk, columns.reshape(height, 3, width).swapaxes(1, 2))
    return shrunk


def _copy(to: Pixels, of: Pixels) -> None:
    """Copy (h, w, 3) between two orders of memory; by colours, which is several times as fast."""
    for color in range(3):
        to[..., color] = of[..., color]


@dataclass(frozen=True)
class _Block:
    """Some rows of a resize's matrix, without the columns that are zero in all of them."""

    target: slice
    source: slice
    weights: Pixels


@lru_cache(maxsize=256)  # some 100 kB each; most images of a data set share a few sizes
def _blocks(source: int, target: int, resampling: str) -> tuple[_Block, ...]:
    """The matrix of a resize along one dimension, in blocks beside its diagonal.

    Args:
        source: pixels of the source.
        target: pixels of the result.
        resampling: of `WEIGHTS`.
    """
    first, weights = WEIGHTS[resampling](source, target)  # (target,), (target, taps)
    weights /= weights.sum(axis=1, keepdims=True)
    blocks = []
    for begin in range(0, target, BLOCK):
        end = min(begin + BLOCK, target)
        low, high = first[begin], min(first[end - 1] + weights.shape[1], source)
        dense = np.zeros((end - begin, high - low), dtype=np.float32)
        for row, at, taps in zip(dense, first[begin:end] - low, weights[begin:end], strict=True):
            part = row[at : at + len(taps)]
            part[:] = taps[: len(part)]  # those beyond the last pixel weigh nothing
        blocks.append(_Block(slice(begin, end), slice(low, high), dense))
    return tuple(blocks)


def _triangle(source: int, target: int) -> Band:
    scale = source / target
    reach = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    first = np.maximum(np.floor(centres - reach), 0).astype(np.intp)
    pixels = first[:, None] + np.arange(math.ceil(2 * reach) + 1)
    weights = np.clip(1.0 - np.abs(pixels + 0.5 - centres[:, None]) / reach, 0.0, None)
    return first, np.where(pixels < source, weights, 0.0)


def _area(source: int, target: int) -> Band:
    edges = np.arange(target + 1) * (source / target)
    first = np.floor(edges[:-1]).astype(np.intp)
    pixels = first[:, None] + np.arange(math.ceil(source / target) + 1)
    begin, end = edges[:-1, None], edges[1:, None]
    shared = np.clip(np.minimum(end, pixels + 1) - np.maximum(begin, pixels), 0.0, None)
    return first, np.where(pixels < source, shared, 0.0)


WEIGHTS = {"bilinear": _triangle, "opencv-area": _area}


def differences(
    stored: bytes, source: bytes, quality: int, resampling: str, scratch: Scratch
) -> tuple[float, float]:
    """How far a stored image is from its source, and how far it may be.

    Args:
        stored: JPEG, smaller than the source.
        source: the source's image file.
        quality: that the build recorded, 1 to 95.
        resampling: likewise.
        scratch: kept from image to image.

    Returns:
        The mean absolute difference between the stored image and our own resize of the source, in
        levels of 255, and its bound. Encoding loses detail, by an amount that depends on the
        image's texture and the quality; so the bound is what encoding our own resize at that
        quality loses on this very image, and `FACTOR` and `SLACK` more.

    Raises:
        OSError: one of them does not decode.
    """
    found = decode(stored)  # (h, w, 3)
    size = found.shape[:2]
    expected = shrink(decode(source), *size, resampling=resampling, scratch=scratch)  # (h, w, 3)
    difference = _mean_difference(found, expected, scratch)
    buffer = io.BytesIO()
    rounded = np.rint(expected, out=scratch.array("rounded", *expected.shape)).astype(np.uint8)
    Image.fromarray(rounded).save(buffer, "JPEG", quality=quality)
    lost = _mean_difference(decode(buffer.getvalue()), expected, scratch)
    return difference, FACTOR * lost + SLACK


def _mean_difference(found: Levels, expected: Pixels, scratch: Scratch) -> float:
    difference = scratch.array("difference", *expected.shape)
    np.subtract(found, expected, out=difference, dtype=np.float32)
    return float(np.abs(difference, out=difference).mean())
