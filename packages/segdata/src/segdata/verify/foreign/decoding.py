"""A mask file of any usual kind as an array, and what its encoding says."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdata.verify.samples import UNDECODABLE

SUFFIXES = (".png", ".npy", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")
LARGEST = 1 << 28  # pixels


@dataclass(frozen=True)
class Decoded:
    """A mask as stored.

    Attributes:
        pixels: int64 (H, W) for ids, or uint8 (H, W, 3) for colours.
        format: `PNG`, `JPEG`, `NPY`…
        bits: per channel, as the file says.
        palette: whether pixels are indices into a palette.
        grey_colour: whether the file has three equal channels.
        alpha: uint8 (H, W), where the file has it.
        fractions: whether numbers were no integers; `pixels` holds them rounded.
    """

    pixels: NDArray[Any]
    format: str
    bits: int = 8
    palette: bool = False
    grey_colour: bool = False
    alpha: NDArray[np.uint8] | None = None
    fractions: bool = False

    @property
    def is_colour(self) -> bool:
        """Whether the file holds colours that are not all grey."""
        return self.pixels.ndim == 3


def decode(data: bytes) -> Decoded:
    """Decode a mask.

    Raises:
        ValueError: with the reason, where it cannot be.
    """
    if data.startswith(b"\x93NUMPY"):
        return _array(data)
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return _image(image, data)
    except UNDECODABLE as error:
        text = str(error).split(" <_io.")[0].split("<_io.")[0]
        raise ValueError(text or type(error).__name__) from None


def _array(data: bytes) -> Decoded:
    array = np.load(io.BytesIO(data), allow_pickle=False)
    array = np.squeeze(array)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"an array of shape {array.shape} instead of (H, W)")
    if array.dtype.kind not in "buif":
        raise ValueError(f"an array of {array.dtype} instead of numbers")
    rounded = np.rint(np.nan_to_num(array)) if array.dtype.kind == "f" else array
    fractions = array.dtype.kind == "f" and not np.array_equal(rounded, array)
    return Decoded(
        rounded.astype(np.int64), "NPY", bits=8 * array.dtype.itemsize, fractions=fractions
    )


def _image(image: Image.Image, data: bytes) -> Decoded:
    kind = str(image.format)
    bits = data[24] if kind == "PNG" else 16 if image.mode.startswith("I") else 8
    if image.mode == "P":
        alpha = None
        if "transparency" in image.info:
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
        return Decoded(_ids(image), kind, bits, palette=True, alpha=alpha)
    if image.mode in ("L", "I", "F", "1") or image.mode.startswith("I;"):
        return Decoded(_ids(image), kind, bits)
    if image.mode == "LA":
        opacity = np.asarray(image.getchannel("A"))
        return Decoded(_ids(image.getchannel("L")), kind, bits, alpha=opacity)
    if image.mode == "PA":
        return Decoded(_ids(image.getchannel(0)), kind, bits, alpha=np.asarray(image.getchannel(1)))
    alpha = np.asarray(image.getchannel("A")) if image.mode == "RGBA" else None
    pixels = np.asarray(image.convert("RGB"))
    if np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(
        pixels[..., 1], pixels[..., 2]
    ):
        grey_pixels = pixels[..., 0].astype(np.int64)
        return Decoded(grey_pixels, kind, bits, grey_colour=True, alpha=alpha)
    return Decoded(pixels, kind, bits, alpha=alpha)


def _ids(image: Image.Image) -> NDArray[np.int64]:
    array = np.asarray(image)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255  # as a reader of greyscale sees one bit
    ids: NDArray[np.int64] = np.rint(array).astype(np.int64)
    return ids


def oriented_size(data: bytes) -> tuple[tuple[int, int], int]:
    """(width, height) of an image as stored, and its EXIF orientation, 1 where it has none.

    Raises:
        ValueError: it does not open.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size, int(image.getexif().get(0x0112, 1))
    except UNDECODABLE as error:
        raise ValueError(str(error).split(" <_io.")[0]) from None


def grey(data: bytes) -> NDArray[np.float32]:
    """An image's luminance, float32 (H, W), EXIF orientation not applied.

    Raises:
        ValueError: it does not decode.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("L"), dtype=np.float32)
    except UNDECODABLE as error:
        raise ValueError(str(error).split(" <_io.")[0]) from None
