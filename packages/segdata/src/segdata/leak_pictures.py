"""Pictures of leaks: two samples that show one photo, side by side for people to judge."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from segdata import shards
from segdata.catalog import Photo
from segdata.leaks import Finding
from segdata.overlays import save_picture

MOST = 100  # pairs that are drawn, leaks first
SIDE = 400, 320  # pixels that a photo of a pair is fitted into
GAP, LINE = 10, 20
PAPER, INK, DIM = (250, 250, 248), (30, 30, 34), (110, 110, 116)
COLORS = {"leak": (190, 30, 40), "warning": (176, 110, 0), "note": (60, 90, 150)}
ON_SHEET = 24


def draw_pairs(
    findings: Sequence[Finding], photos: Sequence[tuple[Photo, Photo]], out: Path
) -> list[Path]:
    """Write a picture of each pair, `001-KIND.png`, and `sheet.png` of the first ones.

    Args:
        findings: what was found; the first `MOST` are drawn.
        photos: the samples of each finding.
        out: the folder.

    Returns:
        The paths, the sheet last; none where there are no findings.

    Raises:
        ShardsError: a shard cannot be read.
        OutputError: the folder cannot be written.
    """
    if not findings:
        return []
    chosen = list(zip(findings, photos, strict=True))[:MOST]
    with shards.explained(out, "the folder of pictures"):
        out.mkdir(parents=True, exist_ok=True)
    written, pictures = [], []
    for number, (finding, pair) in enumerate(chosen, 1):
        picture = _pair(finding, pair)
        written.append(
            save_picture(picture, out / f"{number:03d}-{finding.level}-{finding.kind}.png")
        )
        pictures += [picture] if number <= ON_SHEET else []
    return [*written, save_picture(_sheet(pictures, len(findings)), out / "sheet.png")]


def _pair(finding: Finding, pair: tuple[Photo, Photo]) -> Image.Image:
    """Both photos side by side under a headline, each over its key and place."""
    font, head = ImageFont.load_default(size=13), ImageFont.load_default(size=16)
    picture = Image.new("RGB", (2 * SIDE[0] + 3 * GAP, SIDE[1] + 4 * LINE + 2 * GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    title = f"{finding.level}: {finding.kind}"
    if finding.kind in ("same-photo", "mirrored"):
        title += f"   similarity {finding.similarity:.3f}, correlation {finding.correlation:.3f}"
    draw.text((GAP, GAP), title, COLORS[finding.level], head)
    for number, (photo, place) in enumerate(
        zip(pair, (finding.first, finding.second), strict=True)
    ):
        left, top = GAP + number * (SIDE[0] + GAP), GAP + LINE + 6
        with Image.open(io.BytesIO(photo.read())) as opened:
            size = f"{opened.width} x {opened.height}"
            fitted = ImageOps.contain(opened.convert("RGB"), SIDE)
        corner = left + (SIDE[0] - fitted.width) // 2, top + (SIDE[1] - fitted.height) // 2
        picture.paste(fitted, corner)
        draw.text((left, top + SIDE[1] + 6), f"{place.key}   {size}", INK, font)
        where = _shortened(f"{place.folder}/{place.shard}", font, SIDE[0])
        draw.text((left, top + SIDE[1] + 6 + LINE), where, DIM, font)
    return picture


def _shortened(text: str, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", width: int) -> str:
    """The text without so much of its beginning that the rest fits."""
    shown = text
    while font.getlength(shown) > width:
        shown = "…" + shown[2:]
    return shown


def _sheet(pictures: Sequence[Image.Image], total: int) -> Image.Image:
    """The pairs at half size, two in a row."""
    head = ImageFont.load_default(size=18)
    width, height = pictures[0].width // 2, pictures[0].height // 2
    columns = min(2, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (max(columns * width, 360), 40 + rows * height), PAPER)
    ImageDraw.Draw(sheet).text((GAP, GAP), f"{len(pictures)} of {total:,} findings", INK, head)
    for number, picture in enumerate(pictures):
        place = number % columns * width, 40 + number // columns * height
        sheet.paste(picture.resize((width, height), Image.Resampling.LANCZOS), place)
    return sheet
