"""What a picture of a finding shows: a cut-out of the mask around the place, and its company."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CUT = 20  # pixels of the mask, across and down
Color = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class View:
    """Equal cut-outs of what was found, what was expected, and the image.

    Attributes:
        place: (x, y) in the whole mask.
        corner: (x, y) of the cut-outs' first pixel.
        size: (width, height) of the whole mask.
        found: int64 (h, w) ids, or uint8 (h, w, 3) colours.
        expected: the same, None where nothing tells.
        image: uint8 (h, w, 3), None where there is none of the mask's size.
        names: of ids, as far as known.
        colors: of ids, as far as known.
    """

    place: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]
    found: NDArray[Any]
    expected: NDArray[Any] | None = None
    image: NDArray[np.uint8] | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, Color] = field(default_factory=dict)


def cut_out(
    place: tuple[int, int],
    found: NDArray[Any],
    *,
    expected: NDArray[Any] | None = None,
    image: bytes | None = None,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, Color] | None = None,
) -> View:
    """Cut out what lies around a place.

    Args:
        place: (x, y).
        found: the mask, (H, W) ids or (H, W, 3) colours.
        expected: the mask as it should be; left out where its size is another.
        image: the encoded image; left out where it does not decode to the mask's size.
        names: of ids.
        colors: of ids.
    """
    height, width = found.shape[:2]
    x0, y0 = (
        max(0, min(p - CUT // 2, n - CUT)) for p, n in zip(place, (width, height), strict=True)
    )
    part = np.s_[y0 : y0 + CUT, x0 : x0 + CUT]
    same = expected is not None and expected.shape[:2] == (height, width)
    pixels = None if image is None else _pixels(image, (width, height))
    return View(
        place,
        (x0, y0),
        (width, height),
        found[part].copy(),
        expected[part].copy() if same and expected is not None else None,
        None if pixels is None else pixels[part].copy(),
        names or {},
        colors or {},
    )


def _pixels(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB")) if image.size == size else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
