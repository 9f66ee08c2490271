"""A stored image that was resized, held against our own resize of its source."""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]
SLACK = 0.3  # levels of 255: what rounding before and after the encoder may add
FACTOR = 1.15  # of the codec's own loss: encoders of other versions round otherwise


def decode(data: bytes) -> Pixels:
    """An image as RGB, float32 (H, W, 3), 0 to 255; EXIF and transparency are not applied.

    Raises:
        OSError: it does not decode.
    """
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I"):  # greyscale of 16 bits, 0 to 65535
            levels = np.rint(np.asarray(image, dtype=np.float64) / 257)
            return np.repeat(levels[..., None], 3, axis=2).astype(np.float32)
        opaque = image.convert("RGBA") if image.mode == "P" else image
        return np.asarray(opaque.convert("RGB"), dtype=np.float32)


def shrink(image: Pixels, height: int, width: int, *, resampling: str = "bilinear") -> Pixels:
    """An antialiased resize, float32 (height, width, 3), as one matrix a dimension.

    Of `bilinear` each output pixel is the mean of the source under a triangle that is two output
    pixels wide and centred on it; of `opencv-area` that under the output pixel itself.

    Raises:
        ValueError: another resampling.
    """
    weights = {"bilinear": _weights, "opencv-area": _area_weights}.get(resampling)
    if weights is None:
        raise ValueError(f"this version knows no resampling {resampling!r}")
    rows = weights(image.shape[0], height)  # (height, H)
    columns = weights(image.shape[1], width)  # (width, W)
    channels = [rows @ image[..., channel] @ columns.T for channel in range(image.shape[2])]
    return np.stack(channels, axis=-1)


@lru_cache(maxsize=8)  # most images of a data set share a few sizes
def _weights(source: int, target: int) -> Pixels:
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source)[None, :] + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.clip(1.0 - distance, 0.0, None)  # (target, source)
    normalised: Pixels = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


@lru_cache(maxsize=8)
def _area_weights(source: int, target: int) -> Pixels:
    edges = np.arange(target + 1) * (source / target)
    pixels = np.arange(source)[None, :]
    begin, end = edges[:-1, None], edges[1:, None]
    shared = np.clip(np.minimum(end, pixels + 1) - np.maximum(begin, pixels), 0.0, None)
    normalised: Pixels = (shared / shared.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


def differences(
    stored: bytes, source: bytes, quality: int, resampling: str = "bilinear"
) -> tuple[float, float]:
    """How far a stored image is from its source, and how far it may be.

    Args:
        stored: JPEG, smaller than the source.
        source: the source's image file.
        quality: that the build recorded, 1 to 95.
        resampling: likewise.

    Returns:
        The mean absolute difference between the stored image and our own resize of the source, in
        levels of 255, and its bound. Encoding loses detail, by an amount that depends on the
        image's texture and the quality; so the bound is what encoding our own resize at that
        quality loses on this very image, and `FACTOR` and `SLACK` more.

    Raises:
        OSError: one of them does not decode.
    """
    found = decode(stored)  # (h, w, 3)
    expected = shrink(decode(source), *found.shape[:2], resampling=resampling)  # (h, w, 3)
    buffer = io.BytesIO()
    rounded = np.clip(np.rint(expected), 0, 255).astype(np.uint8)
    Image.fromarray(rounded).save(buffer, "JPEG", quality=quality)
    lost = _mean_difference(decode(buffer.getvalue()), expected)
    return _mean_difference(found, expected), FACTOR * lost + SLACK


def _mean_difference(a: Pixels, b: Pixels) -> float:
    return float(np.mean(np.abs(a - b)))
