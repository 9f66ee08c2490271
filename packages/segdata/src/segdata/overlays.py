"""Overlays: masks in colour over their images, with a legend, and sheets of many of them.

Drawn for people; the shards themselves hold greyscale ids, which look black in most viewers.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segdata import shards, stored
from segdata.errors import ShardsError
from segdata.images import UNDECODABLE

IGNORE = 255
VOID = (255, 255, 255)
OPACITY = 0.55
PAPER, INK, DIM = (250, 250, 248), (30, 30, 34), (120, 120, 126)
TILE = (320, 240)
COLUMNS = 4

Classes = Sequence[Mapping[str, Any]]
"""The manifest's `classes`: id, name, color."""


def overlay(image: Image.Image, mask: NDArray[np.uint8], classes: Classes) -> Image.Image:
    """The image with its mask in colour, outlines drawn in full strength and void in white.

    Args:
        image: any mode, size (W, H).
        mask: uint8 (H, W), ids.
        classes: the manifest's table.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32)
    palette = np.zeros((256, 3), np.float32)
    for row in classes:
        palette[row["id"]] = row["color"]
    palette[IGNORE] = VOID
    shown = np.where(mask[..., None] > 0, (1 - OPACITY) * pixels + OPACITY * palette[mask], pixels)
    edge = _edges(mask) & (mask > 0)
    shown[edge] = palette[mask[edge]]
    return Image.fromarray(shown.astype(np.uint8))


def _edges(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels with another id to their right, left, above or below, bool (H, W)."""
    edges = np.zeros(mask.shape, np.bool_)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges


def with_legend(
    picture: Image.Image, mask: NDArray[np.uint8], classes: Classes, title: str
) -> Image.Image:
    """The picture with a strip below: title, and colour, name and share of each id in the mask."""
    font = ImageFont.load_default(size=14)
    entries = list(shares(mask, classes))
    width = max(picture.width, 260)
    rows = _wrapped(entries, font, width - 16)
    canvas = Image.new("RGB", (width, picture.height + 30 + 22 * len(rows)), PAPER)
    canvas.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    y = picture.height + 6
    draw.text((8, y), title, INK, font)
    for row in rows:
        y += 22
        x = 8.0
        for color, text in row:
            draw.rectangle((x, y + 2, x + 12, y + 14), color, DIM)
            draw.text((x + 17, y), text, INK, font)
            x += 17 + font.getlength(text) + 14
    return canvas


Entry = tuple[tuple[int, int, int], str]


def shares(mask: NDArray[np.uint8], classes: Classes) -> Iterator[Entry]:
    """Colour and text of each id in the mask but background, the most frequent first."""
    counts = np.bincount(mask.ravel(), minlength=256)
    table = {row["id"]: (tuple(row["color"]), row["name"]) for row in classes}
    table[IGNORE] = (VOID, "ignored")
    for value in np.argsort(-counts, kind="stable"):
        if counts[value] and value:
            color, name = table.get(int(value), ((255, 0, 255), f"unknown id {value}"))
            yield color, f"{name} {100 * counts[value] / mask.size:.1f} %"


def _wrapped(
    entries: Sequence[Entry], font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", width: int
) -> list[list[Entry]]:
    rows: list[list[Entry]] = [[]]
    used = 0.0
    for entry in entries:
        need = 31 + font.getlength(entry[1])
        if rows[-1] and used + need > width:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += need
    return [row for row in rows if row]


def contact_sheet(tiles: Sequence[tuple[str, Image.Image]], title: str) -> Image.Image:
    """A page of (caption, picture), four in a row, each fitted into a tile."""
    font, head = ImageFont.load_default(size=12), ImageFont.load_default(size=18)
    columns = max(1, min(COLUMNS, len(tiles)))
    rows = -(-len(tiles) // columns)
    cell = TILE[0] + 12, TILE[1] + 28
    size = max(columns * cell[0] + 12, int(head.getlength(title)) + 24)
    sheet = Image.new("RGB", (size, rows * cell[1] + 52), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((12, 14), title, INK, head)
    for number, (caption, picture) in enumerate(tiles):
        x, y = 12 + number % columns * cell[0], 46 + number // columns * cell[1]
        fitted = picture.copy()
        fitted.thumbnail(TILE)
        scale = min(TILE[0] / picture.width, TILE[1] / picture.height)
        if scale > 1:
            fitted = picture.resize(
                (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
            )
        sheet.paste(fitted, (x + (TILE[0] - fitted.width) // 2, y + (TILE[1] - fitted.height) // 2))
        draw.text((x, y + TILE[1] + 4), caption, DIM, font)
    return sheet


def show(folder: Path, keys: Sequence[str], out: Path, count: int) -> list[Path]:
    """Write an overlay of each sample, `KEY.png`, and a contact sheet; returns the paths.

    Args:
        folder: the shards directory.
        keys: which samples; none means `count` of each data set and split.
        out: where the pictures go.
        count: see `keys`.

    Raises:
        ShardsError: no such key, or the shards cannot be read.
    """
    manifests = shards.manifests(folder)
    classes = next(iter(manifests.values()))["classes"]
    tiles, written = [], []
    for key, parts in _chosen(folder, manifests, keys, count):
        image, mask = decoded(key, parts)
        picture = overlay(image, mask, classes)
        tiles.append((_caption(key, mask, classes), picture))
        written.append(save_picture(with_legend(picture, mask, classes, key), out / f"{key}.png"))
    synthetic = any(m["synthetic"] for m in manifests.values())
    name = folder.resolve().name
    title = f"{name}: {len(tiles)} samples{' (generated data)' if synthetic else ''}"
    written.append(save_picture(contact_sheet(tiles, title), out / "contact-sheet.png"))
    return written


def decoded(key: str, parts: Mapping[str, bytes]) -> tuple[Image.Image, NDArray[np.uint8]]:
    """The image and the mask, uint8 (H, W), of a sample's members."""
    try:
        image = Image.open(io.BytesIO(parts["jpg"])).convert("RGB")
        return image, np.asarray(Image.open(io.BytesIO(parts["seg.png"])))
    except (*UNDECODABLE, KeyError) as error:
        raise ShardsError(
            "a sample cannot be decoded", where=key, found=error, advice=stored.CHECK
        ) from error


def _caption(key: str, mask: NDArray[np.uint8], classes: Classes) -> str:
    names = [text.rpartition(" ")[0].rpartition(" ")[0] for _, text in shares(mask, classes)]
    shown = ", ".join(name for name in names if name != "ignored") or "background only"
    text = f"{key.partition('_')[2]}  {shown}"
    return text if len(text) <= 52 else text[:50] + "…"


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Write a picture as PNG, whole or not at all, its folder made if need be; returns the path.

    Raises:
        OutputError: it cannot be written.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    with shards.explained(path.parent, "the picture"):
        path.parent.mkdir(parents=True, exist_ok=True)
        shards.write_file(path, buffer.getvalue())
    return path


def _chosen(
    folder: Path, manifests: Mapping[str, Any], keys: Sequence[str], count: int
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples to show, read by their offsets."""
    places: dict[str, stored.Row] = {}
    firsts: list[str] = []
    for manifest in manifests.values():
        for split in manifest["splits"].values():
            rows = [
                row for shard in split["shards"] for row in stored.index(folder / shard["name"])
            ]
            places |= {row.key: row for row in rows}
            firsts += [row.key for row in rows[:count]]
    for key in keys or firsts:
        if key not in places:
            example = next(iter(places), "none")
            raise ShardsError(
                f"there is no sample {key!r}",
                where=folder,
                expected=f"one of {len(places):,} keys, such as {example}",
                advice="leave the keys away to see the first samples",
            )
        yield key, places[key].members()
