"""Images: what a JPEG says of itself, the size that fits, and one resize with one encoding."""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

JPEG_NAMES = (".jpg", ".jpeg")  # files of these names are stored as they are, where they fit
RESAMPLING = {"pillow": "bilinear", "opencv": "opencv-area"}
"""What the manifest calls a resize, by the option's name; both are antialiased.

`bilinear` is Pillow's, a triangle whose support grows with the reduction. `opencv-area` is OpenCV's
`INTER_AREA`: each pixel is the mean of the source below it.
"""
FULL_16_BITS = 65535
STANDALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length: TEM, RST0..7
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG and DAC
SCAN, END = 0xDA, b"\xff\xd9"
UNDECODABLE = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""What Pillow raises for files that are damaged, or made to break it."""


class BrokenImageError(Exception):
    """An image cannot be used; the text says why. Callers know the sample and say which."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Height, width (pixels) and channels of a JPEG."""

    height: int
    width: int
    channels: int


def probe_jpeg(data: bytes) -> JpegHeader:
    """Read a JPEG's frame header and check that the file is whole, without decoding it.

    Whole means: it begins with SOI, names its frame size, and has an EOI after the start of its
    scan. In entropy-coded data 0xFF is always followed by a zero or a restart marker, so a file
    cut anywhere has no EOI there; one inside an embedded thumbnail comes before the scan.

    Raises:
        BrokenImageError: it is no JPEG, or cut short.
    """
    if data[:2] != b"\xff\xd8":
        begins = f"begins with {data[:4].hex(' ')}" if data else "is empty, 0 bytes"
        raise BrokenImageError(f"it is no JPEG: it {begins}")
    header, at = None, 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise BrokenImageError(f"its marker at byte {at} is damaged")
        marker = data[at + 1]
        if marker == 0xFF or marker in STANDALONE:  # fill bytes
            at += 1 if marker == 0xFF else 2
            continue
        if marker in FRAMES and at + 10 <= len(data):
            header = JpegHeader(*struct.unpack(">HHB", data[at + 5 : at + 10]))
        if marker == SCAN:
            break
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if header is None or data.rfind(END, at) < 0:
        raise BrokenImageError(f"it is cut short: no end marker in its {len(data):,} bytes")
    return header


def fit(height: int, width: int, size: int) -> tuple[int, int]:
    """(height, width) whose longest side is at most `size` pixels; unchanged if `size` is 0.

    The short side is rounded to the nearest integer, halves up, and is at least 1.
    """
    long, short = max(height, width), min(height, width)
    if size == 0 or long <= size:
        return height, width
    scaled = max(1, (2 * short * size + long) // (2 * long))
    return (size, scaled) if height >= width else (scaled, size)


def is_jpeg_name(name: str) -> bool:
    """Whether a file's name says that it is a JPEG, which is what the shards' readers go by."""
    return name.lower().endswith(JPEG_NAMES)


def measure(name: str, data: bytes) -> tuple[int, int]:
    """(height, width) of an image as stored, read from its header: EXIF orientation not applied.

    Args:
        name: the file's; one that says JPEG must hold one, and a whole one.
        data: its content.

    Raises:
        BrokenImageError: it is no image, or not what its name says, or a JPEG cut short.
    """
    if is_jpeg_name(name):
        header = probe_jpeg(data)
        return header.height, header.width
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return opened.height, opened.width
    except UNDECODABLE as error:
        raise BrokenImageError(f"it is no image: {_text(error)}") from error


def resize_jpeg(
    data: bytes, height: int, width: int, quality: int, resize: str = "pillow"
) -> bytes:
    """Decode an image, resize it with antialiasing to (height, width), encode it as a JPEG.

    Greyscale stays greyscale, 16 bits of it become 8; everything else becomes RGB, without its
    alpha channel. Of several pictures in a file the first is taken. Metadata is left behind: an
    EXIF orientation must not be applied to pixels that a mask lies on.

    Args:
        data: any format that Pillow reads.
        height: pixels.
        width: pixels.
        quality: 1..95, libjpeg's scale.
        resize: whose kernel, `pillow` or `opencv`.

    Raises:
        BrokenImageError: it does not decode to its end.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = RESIZES[resize](_eight_bits(opened), (width, height))
    except UNDECODABLE as error:
        raise BrokenImageError(f"it does not decode: {_text(error)}") from error
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _by_pillow(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR)


def _by_opencv(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if image.size == size:  # only encoded anew
        return image
    import cv2

    cv2.setNumThreads(1)  # there is a process for each core
    return Image.fromarray(cv2.resize(np.asarray(image), size, interpolation=cv2.INTER_AREA))


RESIZES = {"pillow": _by_pillow, "opencv": _by_opencv}


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB.

    Raises:
        ValueError: its values have no known range.
    """
    image.load()
    if image.mode in ("L", "RGB"):
        return image
    if image.mode in ("1", "LA"):
        return image.convert("L")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > FULL_16_BITS:
            raise ValueError(f"it holds values {values.min()}..{values.max()}, more than 16 bits")
        return Image.fromarray(
            ((values * 255 + FULL_16_BITS // 2) // FULL_16_BITS).astype(np.uint8)
        )
    if image.mode == "F":
        raise ValueError("it holds floating-point values, whose range nothing tells")
    if image.mode == "P":  # by way of RGBA: a palette may hold transparency
        image = image.convert("RGBA")
    return image.convert("RGB")


def _text(error: BaseException) -> str:
    """An error's text without the address of the buffer that it names."""
    return str(error).split(" <_io.")[0]
