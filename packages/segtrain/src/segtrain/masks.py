"""Masks as files: PNGs whose values are class ids."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain.members import Layout

SPREAD = {1: 1, 2: 85, 4: 17, 8: 1}  # by which Pillow spreads greys of so many bits over 0..255
GREY = 0  # PNG's colour type of greyscale without alpha
DEPTH, COLOUR = 24, 25  # bytes of a PNG's header
IDS = 256  # values of 8 bits


def read_values(data: bytes) -> NDArray[np.uint8]:
    """The values of a mask as they are stored: a palette PNG's indices, a greyscale PNG's greys.

    No conversion takes place: `convert("L")` would turn indices into the greys of their colours.

    Returns:
        uint8 `(H, W)`.

    Raises:
        ValueError: If the PNG is of another kind, or holds values above 255.
        OSError: If it cannot be decoded.
    """
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.mode not in ("L", "P", "1", "I;16", "I"):
            raise ValueError(
                f"the mask is a PNG of mode {image.mode}, whose values are colours and not ids; "
                "`segdata build-folder` makes shards of colour masks"
            )
        values = np.asarray(image)
    if image.mode in ("I", "I;16"):
        if values.max(initial=0) >= IDS:
            raise ValueError(
                f"the mask holds id {values.max()}, ids are at most 255; `segdata build-folder` "
                "makes shards of masks of 16 bits"
            )
        return values.astype(np.uint8)
    spread = SPREAD.get(data[DEPTH], 1) if data[COLOUR] == GREY else 1
    return values.astype(np.uint8) // np.uint8(spread)


def read_ids(data: bytes, layout: Layout) -> NDArray[np.uint8]:
    """The class ids of a mask that others made: 0..C-1, 255 = ignore.

    Args:
        data: The PNG.
        layout: Its data set's, with our id of each value.

    Returns:
        uint8 `(H, W)`.

    Raises:
        ValueError: If it holds a value that means nothing, or is no index PNG.
        OSError: If it cannot be decoded.
    """
    values = read_values(data)
    ids = np.asarray(layout.ids, np.int16)[values]
    if ids.min(initial=0) < 0:
        unknown = sorted({int(v) for v in values[ids < 0]})
        raise ValueError(
            f"the mask holds id {', '.join(map(str, unknown[:8]))}; expected {ids_words(layout)}"
        )
    return ids.astype(np.uint8)


def ids_words(layout: Layout) -> str:
    """The values that masks may hold: `0..20, 255`."""
    known = [value for value, ours in enumerate(layout.ids) if ours >= 0]
    runs: list[list[int]] = []
    for value in known:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(f"{r[0]}..{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)
