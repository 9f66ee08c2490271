"""Pictures of findings: the place enlarged, ids as colours and numbers, beside what was expected.

Drawn for people; nothing here decides what is a defect.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from segdata import shards
from segdata.verify.cutouts import View

CELL = 20  # pixels of the picture for one of the mask
MARGIN, HEAD, LINE = 14, 24, 18
PAPER, INK, DIM = (250, 250, 248), (30, 30, 34), (120, 120, 126)
MARK = (235, 20, 110)  # where found and expected differ, and the place itself
VOID = (255, 255, 255)
SIGNATURE = ("Software", "segdata verify-masks")  # of our pictures, which later runs replace
LONGEST = 80  # characters of a name in a file's name
LEGEND = 10  # ids in the legend

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Color = tuple[int, int, int]


class Shown(Protocol):
    """A finding, as far as its picture needs it."""

    @property
    def defect(self) -> str:
        """Name of the defect."""

    @property
    def where(self) -> str:
        """The mask."""

    @property
    def detail(self) -> str:
        """What was expected and found."""

    @property
    def view(self) -> View | None:
        """What there is to draw."""


def write_pictures(findings: Iterable[Shown], out: Path, most: int) -> list[Path]:
    """Write a picture of each finding that has something to show, and remove those of other runs.

    Args:
        findings: of a report.
        out: a folder, made where there is something to write.
        most: pictures of one defect.

    Returns:
        The paths written, `DEFECT-NN-MASK.png`. Files that are not ours stay.

    Raises:
        OutputError: a picture cannot be written, or an old one not removed.
    """
    with shards.explained(out, "the folder of pictures"):
        _clear(out)
    numbers: Counter[str] = Counter()
    written = []
    for found in findings:
        if found.view is None or numbers[found.defect] >= most:
            continue
        numbers[found.defect] += 1
        place = re.sub(r"[^A-Za-z0-9_.-]+", "_", found.where)[-LONGEST:].removesuffix(".png")
        path = out / f"{found.defect}-{numbers[found.defect]:02}-{place.strip('._')}.png"
        buffer = BytesIO()
        draw(found.view, f"{found.defect}: {found.where}", found.detail).save(
            buffer, "PNG", pnginfo=_signed()
        )
        with shards.explained(out, "the folder of pictures"):
            out.mkdir(parents=True, exist_ok=True)
            shards.write_file(path, buffer.getvalue())
        written.append(path)
    return written


def _signed() -> PngInfo:
    signed = PngInfo()
    signed.add_text(*SIGNATURE)
    return signed


def _clear(out: Path) -> None:
    """Remove the pictures of earlier runs: they would be taken for findings of this one."""
    for path in out.glob("*.png"):
        with suppress(UnidentifiedImageError, ValueError, SyntaxError):
            with Image.open(path) as image:
                ours = image.info.get(SIGNATURE[0]) == SIGNATURE[1]
            if ours:
                path.unlink()


def draw(view: View, title: str, text: str) -> Image.Image:
    """A picture: title, what was expected and found, the panels side by side, and a legend."""
    panels = [("found", view.found)]
    if view.expected is not None:
        panels.insert(0, ("expected", view.expected))
    small, bold = ImageFont.load_default(size=13), ImageFont.load_default(size=16)
    rows, columns = view.found.shape[0] * CELL, view.found.shape[1] * CELL
    count = len(panels) + (view.image is not None)
    width = max(MARGIN + count * (columns + MARGIN + 26), 640)
    lines = wrap(text, width // 7)
    entries = _legend(view)
    top = MARGIN + HEAD + LINE * len(lines) + 8
    height = top + LINE + 16 + rows + MARGIN + LINE * (-(-len(entries) // 2) + 1) + MARGIN
    canvas = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN), _cut(title, bold, width - 2 * MARGIN), INK, bold)
    for number, line in enumerate(lines):
        pen.text((MARGIN, MARGIN + HEAD + LINE * number), line, INK, small)
    left = MARGIN
    if view.image is not None:
        scaled = Image.fromarray(view.image).resize((columns, rows), Image.Resampling.NEAREST)
        left = _panel(canvas, scaled, "image", left, top, view)
    for name, pixels in panels:
        left = _panel(canvas, _cells(pixels, view), name, left, top, view)
    _draw_legend(pen, entries, top + LINE + 16 + rows + MARGIN, width, small)
    return canvas


def _cut(text: str, font: Font, width: int) -> str:
    while font.getlength(text) > width and len(text) > 1:
        text = text[:-2] + "…"
    return text


def _panel(
    canvas: Image.Image, picture: Image.Image, name: str, left: int, top: int, view: View
) -> int:
    """Draw a panel with its name, rulers and the mark of the place; returns where the next goes."""
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    tiny = ImageFont.load_default(size=9)
    x, y = left + 26, top + LINE + 16
    pen.text((x, top), name, INK, font)
    canvas.paste(picture, (x, y))
    pen.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=DIM)
    for step in range(0, picture.width // CELL, 5):
        pen.text((x + step * CELL, y - 13), str(view.corner[0] + step), DIM, tiny)
    for step in range(0, picture.height // CELL, 5):
        pen.text((left, y + step * CELL + 4), str(view.corner[1] + step), DIM, tiny)
    cx, cy = (p - c for p, c in zip(view.place, view.corner, strict=True))
    box = (x + cx * CELL, y + cy * CELL, x + (cx + 1) * CELL - 1, y + (cy + 1) * CELL - 1)
    pen.rectangle(box, outline=MARK, width=3)
    return x + picture.width + MARGIN


def _cells(pixels: NDArray[Any], view: View) -> Image.Image:
    """A mask enlarged, each id in its colour with its number, differing pixels framed."""
    if pixels.ndim == 3:
        colours = pixels.astype(np.uint8)
    else:
        colours = np.array(
            [[_color(int(v), view.colors) for v in row] for row in pixels], dtype=np.uint8
        )
    height, width = pixels.shape[:2]
    picture = Image.fromarray(colours).resize(
        (width * CELL, height * CELL), Image.Resampling.NEAREST
    )
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=9)
    differs = np.zeros((height, width), np.bool_)
    if view.expected is not None and view.expected.shape == view.found.shape:
        differs = view.expected != view.found
        differs = differs.any(-1) if differs.ndim == 3 else differs
    for y, x in np.ndindex(height, width):
        box = (x * CELL, y * CELL, (x + 1) * CELL - 1, (y + 1) * CELL - 1)
        if pixels.ndim == 2:
            dark = sum(int(c) for c in colours[y, x]) < 300
            ink = (235, 235, 235) if dark else INK
            middle = (box[0] + CELL / 2, box[1] + CELL / 2)
            pen.text(middle, str(pixels[y, x]), ink, font, anchor="mm")
        if differs[y, x]:
            pen.rectangle(box, outline=MARK)
    return picture


def _color(value: int, colors: Mapping[int, Color]) -> Color:
    """The colour of an id; of unknown ids one that numbers far apart do not share."""
    if value == 255:
        return VOID
    if value in colors:
        return colors[value]
    mixed = value * 2654435761 & 0xFFFFFF
    return 96 + (mixed & 127), 96 + (mixed >> 8 & 127), 96 + (mixed >> 16 & 127)


def _legend(view: View) -> list[tuple[Color, str]]:
    """Colours and names of the ids in the cut-outs, the most frequent first."""
    masks = [m for m in (view.found, view.expected) if m is not None and m.ndim == 2]
    if not masks:
        return []
    values, counts = np.unique(np.concatenate([m.ravel() for m in masks]), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:LEGEND]
    entries = []
    for value in values[order].tolist():
        known = {0: "background", 255: "ignored", **view.names}
        entries.append((_color(value, view.colors), f"{value} {known.get(value, '(no name)')}"))
    return entries


def _draw_legend(
    pen: ImageDraw.ImageDraw,
    entries: list[tuple[Color, str]],
    top: int,
    width: int,
    font: Font,
) -> None:
    for number, (color, text) in enumerate(entries):
        x, y = MARGIN + number % 2 * (width // 2), top + number // 2 * LINE
        pen.rectangle((x, y + 2, x + 11, y + 13), fill=color, outline=DIM)
        pen.text((x + 18, y), text, INK, font)
    y = top + -(-len(entries) // 2) * LINE
    pen.rectangle((MARGIN, y + 2, MARGIN + 11, y + 13), outline=MARK, width=2)
    what = "the place, and pixels that differ; the rulers count pixels of the mask"
    pen.text((MARGIN + 18, y), what, DIM, font)
