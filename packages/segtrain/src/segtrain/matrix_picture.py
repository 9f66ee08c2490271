"""A confusion matrix as a picture: what becomes of each class's pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segtrain.manifests import ClassInfo
from segtrain.overlays import DIM, INK, PAPER

NUMBERED = 40  # classes up to which cells hold numbers
RIGHT, WRONG = (38, 110, 62), (176, 48, 40)  # the colours of a full cell on and off the diagonal
GAP = 12
KEY = "rows: truth; columns: prediction; % of the truth's pixels"


def matrix_picture(
    confmat: NDArray[np.int64], classes: Sequence[ClassInfo], title: str
) -> Image.Image:
    """A confusion matrix whose rows are shares of the target's pixels, in per cent.

    Args:
        confmat: `(C, C)`, rows targets.
        classes: The classes in the order of their ids.
        title: What was judged.
    """
    size = len(classes)
    side = 34 if size <= NUMBERED else 14
    font = ImageFont.load_default(14 if size <= NUMBERED else 10)
    label = int(max(font.getlength(c.name) for c in classes)) + 2 * GAP
    left, top = label, 64 + label
    title_font = ImageFont.load_default(17)
    words = max(title_font.getlength(title), font.getlength(KEY))
    width = max(left + size * side, int(words) + GAP) + GAP
    canvas = Image.new("RGB", (width, top + size * side + GAP), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((GAP, 10), title, INK, title_font)
    pen.text((GAP, 36), KEY, DIM, font)
    canvas.paste(grid(confmat, side), (left, top))
    for number, known in enumerate(classes):
        middle = number * side + side / 2
        pen.text((left - 8, top + middle), known.name, INK, font, anchor="rm")
        name = upright(known.name, font)
        canvas.paste(name, (left + int(middle) - name.width // 2, top - name.height - 8))
    return canvas


def upright(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """A word that reads from below to above."""
    picture = Image.new("RGB", (int(font.getlength(text)) + 2, 20), PAPER)
    ImageDraw.Draw(picture).text((1, 10), text, INK, font, anchor="lm")
    return picture.transpose(Image.Transpose.ROTATE_90)


def grid(confmat: NDArray[np.int64], side: int) -> Image.Image:
    """The cells: the more of a row, the fuller the colour; numbers where there is room."""
    size = len(confmat)
    rows = confmat.sum(1, keepdims=True)
    shares = np.divide(confmat, rows, out=np.zeros(confmat.shape), where=rows > 0)
    full = np.where(np.eye(size, dtype=bool)[..., None], RIGHT, WRONG)
    depth = np.sqrt(shares)[..., None]  # else confusions of a few per cent would not be seen
    colors = (np.array(PAPER) * (1 - depth) + full * depth).round().astype(np.uint8)
    picture = Image.fromarray(colors).resize((size * side,) * 2, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    for line in range(size + 1):
        pen.line([(line * side, 0), (line * side, size * side)], (225, 225, 222))
        pen.line([(0, line * side), (size * side, line * side)], (225, 225, 222))
    if size > NUMBERED:
        return picture
    font = ImageFont.load_default(12)
    for t, p in zip(*np.nonzero(shares >= 0.005), strict=True):
        ink = PAPER if shares[t, p] > 0.3 else INK
        words = f"{100 * shares[t, p]:.0f}"
        pen.text(((p + 0.5) * side, (t + 0.5) * side), words, ink, font, anchor="mm")
    return picture
