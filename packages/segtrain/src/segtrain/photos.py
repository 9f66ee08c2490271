"""Reading photos of any kind as upright RGB, from files and from what somebody sent."""

import struct
import sys
import warnings
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segtrain.errors import PhotoError

# what Pillow was seen to raise on damaged files; the last two of AVIF and EXIF
DAMAGE = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error)


class Photo(NamedTuple):
    """A photo as RGB, and whether its file holds more pictures: an animation or several pages."""

    picture: Image.Image
    several: bool


def eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16 or 32 bits a pixel as 8-bit greyscale; others as they are.

    16-bit greys are 0..65535; floats are taken as 0..1 where none is larger, else as 0..255.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        values /= 257 if values.max() > 255 or image.mode != "I" else 1
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image, np.float64))
        values *= 255 if values.max() <= 1 else 1
    else:
        return image
    # in place, for a large photo's take 8 bytes a pixel
    np.rint(values, out=values).clip(0, 255, out=values)
    return Image.fromarray(values.astype(np.uint8))


def to_rgb(image: Image.Image) -> Image.Image:
    """Any photo as upright RGB: EXIF orientation applied, transparent parts laid on white."""
    upright = eight_bits(ImageOps.exif_transpose(image))
    if upright.has_transparency_data:
        clear = upright.convert("RGBA")
        paper = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(paper, clear).convert("RGB")
    return upright.convert("RGB")


def refuse_bomb(image: Image.Image, max_pixels: int) -> None:
    """Refuse an image that was opened and not decoded yet, where it has too many pixels.

    Raises:
        DecompressionBombError: If it has.
    """
    if image.width * image.height > max_pixels:
        raise Image.DecompressionBombError


def load_photo(path: Path) -> Image.Image:
    """Read a photo.

    Raises:
        PhotoError: If it is missing, no image, damaged, or of more pixels than Pillow takes for
            safe (179 million).
    """
    try:
        with path.open("rb") as file:
            return read_photo(file, str(path)).picture
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise PhotoError(f"{path}: is a folder; name the photos in it") from error
    except OSError as error:
        raise PhotoError(f"{path}: cannot be decoded: {error}") from error


def read_photo(
    file: IO[bytes], name: str, *, formats: tuple[str, ...] | None = None, max_pixels: int = 0
) -> Photo:
    """Read a photo from an open file.

    Args:
        file: What holds it; read from its start.
        name: What messages call it.
        formats: Pillow's names of the only kinds that are tried, by content; all by default.
        max_pixels: Of a photo with more, none is decoded; where 0, Pillow's own limit holds.

    Returns:
        The first picture of the file.

    Raises:
        PhotoError: If it is no image of these kinds, damaged, or of too many pixels.
    """
    limit = max_pixels or 2 * (Image.MAX_IMAGE_PIXELS or sys.maxsize)
    try:
        with warnings.catch_warnings():
            # Pillow warns from half its limit on, and of odd metadata: neither spoils the pixels
            warnings.simplefilter("ignore")
            with Image.open(file, formats=formats) as image:
                refuse_bomb(image, limit)
                # a camera's MPO holds its preview, too
                several = getattr(image, "is_animated", False) and image.format != "MPO"
                return Photo(to_rgb(image), several)
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name}: has more than {limit:,} pixels; reduce it first") from error
    except UnidentifiedImageError as error:
        kinds = "of the kinds taken: " + ", ".join(formats) if formats else "that Pillow can read"
        raise PhotoError(f"{name}: is no image {kinds}") from error
    except DAMAGE as error:
        raise PhotoError(f"{name}: cannot be decoded: {error}") from error
