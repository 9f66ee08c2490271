"""Images: what a JPEG says of itself, the size that fits, and one resize with one encoding."""

import io
import struct
from dataclasses import dataclass

from PIL import Image

RESAMPLING = "bilinear"  # Pillow's: antialiased, its support grows with the reduction
STANDALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length: TEM, RST0..7
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG and DAC
SCAN, END = 0xDA, b"\xff\xd9"


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
        raise BrokenImageError(f"it is no JPEG: it begins with {data[:4].hex(' ') or 'nothing'}")
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
    if header is None or data.find(END, at) < 0:
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


def resize_jpeg(data: bytes, height: int, width: int, quality: int) -> bytes:
    """Decode an image, resize it with antialiasing to (height, width), encode it as a JPEG.

    Greyscale stays greyscale; everything else becomes RGB. Metadata is left behind: an EXIF
    orientation must not be applied to pixels that a mask lies on.

    Args:
        data: any format that Pillow reads.
        height: pixels.
        width: pixels.
        quality: 1..95, libjpeg's scale.

    Raises:
        BrokenImageError: it does not decode to its end.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened if opened.mode in ("L", "RGB") else opened.convert("RGB")
            image.load()
            image = image.resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BrokenImageError(f"it does not decode: {error}") from error
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
