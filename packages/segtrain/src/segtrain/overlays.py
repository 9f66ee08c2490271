"""Pictures for people: overlays, legends, and sheets of photo, truth and prediction."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segtrain.manifests import IGNORE_INDEX, ClassInfo

OPACITY = 0.55  # of a class's colour over the photo
VOID = (224, 224, 192)  # the colour that VOC gives to 255
PAPER, INK, DIM = (250, 250, 248), (30, 30, 34), (110, 110, 116)
SMALLEST = 480  # pictures whose longest side is below this are enlarged
LARGEST = 2048  # pictures whose longest side is above this are reduced
CELL = 320  # longest side of a picture in a sheet

Ids = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Entry(NamedTuple):
    """One line of a legend: a class, its colour and its share of the pixels (0..1)."""

    name: str
    color: tuple[int, int, int]
    share: float


def palette(classes: Sequence[ClassInfo]) -> NDArray[np.uint8]:
    """Colours by id: uint8 `(256, 3)`; 255 and ids without a class get VOC's void colour."""
    table = np.tile(np.array(VOID, np.uint8), (256, 1))
    table[: len(classes)] = [c.color for c in classes]
    return table


def shares(mask: Ids, classes: Sequence[ClassInfo]) -> list[Entry]:
    """The classes that a mask holds, by falling share of its pixels; background and void last.

    Args:
        mask: uint8 `(H, W)`.
        classes: The classes in the order of their ids.
    """
    counts = np.bincount(mask.ravel(), minlength=256)
    found = [i for i in range(len(classes)) if counts[i]]
    found.sort(key=lambda i: (i == 0, -counts[i]))
    entries = [Entry(classes[i].name, classes[i].color, counts[i] / mask.size) for i in found]
    if counts[IGNORE_INDEX]:
        entries.append(Entry("ignored", VOID, counts[IGNORE_INDEX] / mask.size))
    return entries


def edges(mask: Ids) -> NDArray[np.bool_]:
    """Where a pixel's right or lower neighbour has another id, bool `(H, W)`."""
    found = np.zeros(mask.shape, np.bool_)
    found[:, :-1] |= mask[:, 1:] != mask[:, :-1]
    found[:-1] |= mask[1:] != mask[:-1]
    return found


def overlay(
    image: Image.Image, mask: Ids, classes: Sequence[ClassInfo], opacity: float = OPACITY
) -> Image.Image:
    """The image with its mask in colour: background clear, borders white so that they always show.

    Args:
        image: RGB of W x H pixels.
        mask: uint8 `(H, W)`.
        classes: The classes in the order of their ids.
        opacity: Of the colours over the image, 0..1.
    """
    pixels = np.asarray(image.convert("RGB"))
    colors = palette(classes)[mask]  # (H, W, 3)
    mixed = (pixels * (1 - opacity) + colors * opacity).round().astype(np.uint8)
    shown = np.where((mask > 0)[..., None], mixed, pixels)
    if min(mask.shape) >= CELL // 4:  # on a smaller picture borders would hide what they bound
        shown[edges(mask)] = 255
    return Image.fromarray(shown)


def fitted(size: tuple[int, int], smallest: int, largest: int) -> tuple[int, int]:
    """A picture's size with its longest side in `smallest..largest`, the shape kept."""
    longest = max(size)
    scale = min(max(longest, smallest), largest) / longest
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def resized_pair(image: Image.Image, mask: Ids, size: tuple[int, int]) -> tuple[Image.Image, Ids]:
    """Image and mask at a picture's size; the mask by nearest, so that no class is invented."""
    if image.size == size:
        return image, mask
    few = max(size) > 4 * max(image.size)  # so few pixels that each of them shall be seen
    way = Image.Resampling.NEAREST if few else Image.Resampling.BICUBIC
    shown = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return image.resize(size, way), shown


def font_for(width: int) -> Font:
    """Pillow's own font, larger on wider pictures."""
    return ImageFont.load_default(min(36, max(14, width // 55)))


def legend_text(entry: Entry) -> str:
    """What a legend says of a class: its name and, where it has one, its share."""
    if not entry.share:
        return entry.name
    share = f"{entry.share:.1%}" if entry.share >= 0.001 else "<0.1%"
    return f"{entry.name} {share}"


class Placed(NamedTuple):
    """One entry of a legend where it is drawn."""

    left: float
    row: int
    text: str
    color: tuple[int, int, int]


def place(entries: Sequence[Entry], font: Font, width: int, unit: float) -> list[Placed]:
    """Set entries in rows of `width` pixels."""
    placed, left, row = [], unit, 0
    for entry in entries:
        text = legend_text(entry)
        needed = 1.5 * unit + font.getlength(text)
        if left > unit and left + needed > width:
            left, row = unit, row + 1
        placed.append(Placed(left, row, text, entry.color))
        left += needed + unit
    return placed


def with_legend(
    picture: Image.Image, entries: Sequence[Entry], note: str = "", font_width: int = 0
) -> Image.Image:
    """A picture with a strip of paper below that holds a legend.

    Args:
        picture: RGB.
        entries: What the legend names; entries without a share are named only.
        note: A line of small text above the entries.
        font_width: Width that decides the size of the letters; 0 is the picture's own.
    """
    font = font_for(font_width or picture.width)
    unit = font.getlength("0") * 1.6  # swatches and gaps
    longest = max([font.getlength(e.name + " 100.0%") for e in entries], default=0)
    width = int(max(picture.width, longest + 4 * unit, font.getlength(note) + 2 * unit))
    placed = place(entries, font, width, unit)
    line = 2.1 * unit
    top = picture.height + unit * 0.6
    rows = bool(note) + (placed[-1].row + 1 if placed else 0)
    canvas = Image.new("RGB", (width, int(top + rows * line + unit * 0.6)), PAPER)
    canvas.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    if note:
        draw.text((unit, top + line / 2), note, DIM, font, anchor="lm")
        top += line
    for item in placed:
        middle = top + (item.row + 0.5) * line
        square = (item.left, middle - unit / 2, item.left + unit, middle + unit / 2)
        draw.rectangle(square, item.color, INK)
        draw.text((item.left + 1.5 * unit, middle), item.text, INK, font, anchor="lm")
    return canvas


def photo_overlay(image: Image.Image, mask: Ids, classes: Sequence[ClassInfo]) -> Image.Image:
    """A photo with its prediction in colour and a legend of the classes found.

    Drawn at the photo's size; with a longest side of at least 480 and at most 2048 pixels.

    Args:
        image: RGB of W x H pixels.
        mask: uint8 `(H, W)`: predicted ids.
        classes: The classes in the order of their ids.
    """
    size = fitted(image.size, SMALLEST, LARGEST)
    shown, ids = resized_pair(image, mask, size)
    return with_legend(overlay(shown, ids, classes), shares(mask, classes))


class Judged(NamedTuple):
    """One judged image.

    Attributes:
        key: Its key, and what else its row shall say.
        image: The photo.
        truth: uint8 `(H, W)`.
        preds: Predictions of one or more nets, uint8 `(H, W)` each.
    """

    key: str
    image: Image.Image
    truth: Ids
    preds: tuple[Ids, ...]


def comparison(
    rows: Sequence[Judged],
    classes: Sequence[ClassInfo],
    title: str,
    nets: Sequence[str] = ("prediction",),
) -> Image.Image:
    """A sheet with a row per image: photo, truth, predictions; a legend of all classes in it.

    Args:
        rows: The images, at least one.
        classes: The classes in the order of their ids.
        title: What the sheet shows: data set and step.
        nets: What stands above each prediction; as many as each row has.
    """
    font = ImageFont.load_default(15)
    gap, caption, head = 8, 24, 58
    heads = ("photo", "truth", *nets)
    cells = [draw_cells(row, classes) for row in rows]
    heights = [cell[0].height + caption for cell in cells]
    width = len(heads) * (CELL + gap) + gap
    canvas = Image.new("RGB", (width, head + sum(heights) + gap), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((gap, 8), title, INK, ImageFont.load_default(18))
    for part, words in enumerate(heads):
        draw.text((gap + part * (CELL + gap), 34), words, DIM, font)
    top = head
    for row, cell, height in zip(rows, cells, heights, strict=True):
        for part, picture in enumerate(cell):
            canvas.paste(picture, (gap + part * (CELL + gap), top))
        draw.text((gap, top + height - caption + 3), row.key, DIM, font)
        top += height
    found = np.concatenate([m.ravel() for row in rows for m in (row.truth, *row.preds)])
    entries = [Entry(e.name, e.color, 0) for e in shares(found, classes)]
    return with_legend(canvas, entries, font_width=800)


def draw_cells(row: Judged, classes: Sequence[ClassInfo]) -> list[Image.Image]:
    """The pictures of a comparison's row: the photo, then truth and predictions in flat colours."""
    size = fitted(row.image.size, CELL, CELL)
    photo = resized_pair(row.image, row.truth, size)[0]
    masks = [resized_pair(row.image, ids, size)[1] for ids in (row.truth, *row.preds)]
    return [photo, *(Image.fromarray(palette(classes)[ids]) for ids in masks)]
