"""JPEGs and PNGs of which only the upper rows are decoded, by another height in their header.

Decoders stop after as many rows as the header says and skip the bytes that are left. What a cut
does not show below it need not be decoded; what lies above must be, for all that follows builds on
it. Damage below those rows goes unnoticed.
"""

import zlib
from typing import NamedTuple

MARGIN = 8  # rows below, for colours that JPEGs store at half the height reach up from the next row
FRAMES = (0xC0, 0xC1, 0xC2)  # markers of a JPEG's frame: baseline, extended, progressive
ALONE = (0x00, 0x01, *range(0xD0, 0xDA), 0xFF)  # no length follows these, or no frame
OTHER_FRAMES = (0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
INTERLACE = 28  # a byte of a PNG's header


class Header(NamedTuple):
    """What a file's header says of its size.

    Attributes:
        width: Pixels.
        height: Pixels.
        at: Where the height stands in the file.
    """

    width: int
    height: int
    at: int


def jpeg_header(data: bytes) -> Header | None:
    """The header of a JPEG whose height may be changed; None of others, and of what is none."""
    at = 2  # after the marker of the start
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in FRAMES:
            height, width = (int.from_bytes(data[i : i + 2], "big") for i in (at + 5, at + 7))
            return Header(width, height, at + 5)
        if marker in ALONE or marker in OTHER_FRAMES:
            return None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def png_header(data: bytes) -> Header | None:
    """The header of a PNG whose height may be changed; None of others, and of what is none."""
    if not data.startswith(PNG) or data[INTERLACE : INTERLACE + 1] != b"\x00":
        return None
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    return Header(width, height, 20)


def upper_rows(jpeg: bytes, png: bytes, rows: int) -> tuple[bytes, bytes]:
    """An image and its mask with their first rows alone.

    Args:
        jpeg: The image.
        png: Its mask.
        rows: Whose pixels are needed; they are those of the whole file, bit for bit.

    Returns:
        Files of at least `rows` rows, equally many in both; those given, where they are not of one
        size or cannot be made shorter.
    """
    image, mask = jpeg_header(jpeg), png_header(png)
    rows += MARGIN
    if image is None or mask is None or image[:2] != mask[:2] or rows >= image.height:
        return jpeg, png
    header = png[12:20] + rows.to_bytes(4, "big") + png[24:29]
    checked = header + zlib.crc32(header).to_bytes(4, "big")
    short = b"".join((jpeg[: image.at], rows.to_bytes(2, "big"), jpeg[image.at + 2 :]))
    return short, b"".join((png[:12], checked, png[33:]))
