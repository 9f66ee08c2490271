"""Where the toy's objects stand: meadow, street, sea, sky and room, all of it background."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segdata.toy.drawings import Color

Rng = np.random.Generator


@dataclass(frozen=True)
class Theme:
    """A kind of place.

    Attributes:
        paint: draws it onto a canvas, given the row of the horizon.
        horizon: the lowest and highest share of the height that lies above the horizon.
        inhabitants: COCO's names of the classes that are found there.
        others: the same for objects that VOC does not know.
    """

    paint: Callable[[Image.Image, int, Rng], None]
    horizon: tuple[float, float]
    inhabitants: tuple[str, ...]
    others: tuple[str, ...]


def _wash(canvas: Image.Image, top: int, bottom: int, upper: Color, lower: Color, rng: Rng) -> None:
    """A soft cloudy gradient over the rows top..bottom, its colours drawn near the given ones."""
    height, width = max(bottom - top, 1), canvas.width
    tint = rng.normal(0, 7, 3)
    ends = np.array([upper, lower], float) + tint
    rows = np.linspace(0, 1, 10)[:, None, None]
    grid = ends[0] * (1 - rows) + ends[1] * rows + rng.normal(0, 4, (10, 14, 1))
    small = Image.fromarray(np.clip(grid, 0, 255).astype(np.uint8))
    canvas.paste(small.resize((width, height), Image.Resampling.BICUBIC), (0, top))


def _shade(color: Color, by: float) -> Color:
    """The colour, lighter (by > 1) or darker."""
    red, green, blue = (min(255, max(0, round(c * by))) for c in color)
    return red, green, blue


def _cloud(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, color: Color) -> None:
    for dx, dy, k in ((-1.3, 0.2, 0.6), (-0.5, -0.2, 0.9), (0.4, -0.1, 1.0), (1.3, 0.25, 0.55)):
        cx, cy, rr = x + dx * r, y + dy * r, k * r
        draw.ellipse((cx - rr, cy - 0.6 * rr, cx + rr, cy + 0.6 * rr), fill=color)


def _heavens(canvas: Image.Image, horizon: int, rng: Rng, clouds: int) -> None:
    """Sky with a sun now and then, and clouds."""
    looks: tuple[tuple[Color, Color], ...] = (
        ((108, 172, 226), (214, 234, 244)),
        ((132, 150, 206), (248, 216, 196)),
        ((148, 184, 206), (226, 230, 226)),
        ((92, 158, 210), (182, 222, 226)),
    )
    upper, lower = looks[rng.integers(len(looks))]
    _wash(canvas, 0, max(horizon, 1), upper, lower, rng)
    draw = ImageDraw.Draw(canvas)
    width, unit = canvas.width, min(canvas.size)
    if rng.random() < 0.5:
        x, y, r = rng.random() * width, rng.random() * 0.5 * horizon, 0.07 * unit
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 238, 170))
    for _ in range(rng.integers(clouds + 1)):
        x, y = rng.random() * width, rng.random() * 0.8 * horizon
        _cloud(
            draw,
            x,
            y,
            unit * rng.uniform(0.05, 0.12),
            _shade((246, 248, 250), rng.uniform(0.93, 1)),
        )


def _hills(canvas: Image.Image, horizon: int, color: Color, height: float, rng: Rng) -> None:
    """A rolling ridge that stands on the horizon."""
    width = canvas.width
    xs = np.linspace(0, width, 40)
    waves = np.sin(xs / width * rng.uniform(4, 9) + rng.uniform(0, 6))
    waves += 0.5 * np.sin(xs / width * rng.uniform(10, 16) + rng.uniform(0, 6))
    ys = horizon - height * (0.55 + 0.3 * waves)
    ridge = [*zip(xs.tolist(), ys.tolist(), strict=True), (width, horizon + 1), (0, horizon + 1)]
    ImageDraw.Draw(canvas).polygon(ridge, fill=color)


def _scatter(canvas: Image.Image, top: int, count: int, rng: Rng) -> NDArray[np.float64]:
    """Positions (count, 2) below `top`, thinner towards it, sorted from far to near."""
    depth = np.sort(rng.random(count) ** 0.7)
    return np.stack([rng.random(count) * canvas.width, top + depth * (canvas.height - top)], 1)


def _meadow(canvas: Image.Image, horizon: int, rng: Rng) -> None:
    _heavens(canvas, horizon, rng, 4)
    unit = min(canvas.size)
    greens: tuple[Color, ...] = ((128, 176, 92), (150, 182, 98), (168, 176, 104), (112, 164, 104))
    green = greens[rng.integers(len(greens))]
    _hills(canvas, horizon, _shade(green, 0.82), 0.16 * unit, rng)
    _wash(canvas, horizon, canvas.height, _shade(green, 1.08), _shade(green, 0.8), rng)
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(4)):  # bushes
        x, r = rng.random() * canvas.width, unit * rng.uniform(0.03, 0.08)
        _cloud(draw, x, horizon, r, _shade(green, 0.66))
    blade = unit / 60
    for x, y in _scatter(canvas, horizon, 140, rng).tolist():
        color = _shade(green, rng.uniform(0.7, 1.2))
        draw.line((x, y, x + blade * rng.uniform(-0.5, 0.5), y - blade * 1.6), color, 2)
    petals: tuple[Color, ...] = ((250, 246, 236), (246, 214, 90), (232, 130, 150))
    petal = petals[rng.integers(len(petals))]
    for x, y in _scatter(canvas, horizon, int(rng.integers(22)), rng).tolist():
        r = blade * 0.7
        draw.ellipse((x - r, y - r, x + r, y + r), fill=petal)


def _street(canvas: Image.Image, horizon: int, rng: Rng) -> None:
    _heavens(canvas, horizon, rng, 3)
    draw = ImageDraw.Draw(canvas)
    width, height, unit = *canvas.size, min(canvas.size)
    walls: tuple[Color, ...] = (
        (206, 176, 154), (186, 150, 136), (200, 196, 186), (168, 176, 188), (216, 200, 164),
    )  # fmt: skip
    x = -rng.random() * 0.1 * unit
    while x < width:
        wide, tall = unit * rng.uniform(0.16, 0.34), unit * rng.uniform(0.2, 0.5)
        wall = walls[rng.integers(len(walls))]
        draw.rectangle(
            (x, horizon - tall, x + wide, horizon), fill=_shade(wall, rng.uniform(0.85, 1.05))
        )
        _windows(draw, (x, horizon - tall, wide, tall), unit, _shade(wall, rng.choice([0.6, 1.2])))
        x += wide
    kerb = horizon + 0.05 * unit
    _wash(canvas, round(kerb), height, (150, 150, 154), (116, 116, 122), rng)
    draw.rectangle((0, horizon, width, kerb), fill=(196, 192, 184))
    lane, dash = horizon + 0.62 * (height - horizon), 0.16 * unit
    for i in range(int(width / dash) + 1):
        draw.rectangle(
            (i * dash, lane, i * dash + 0.5 * dash, lane + unit / 60), fill=(226, 222, 206)
        )


def _windows(
    draw: ImageDraw.ImageDraw, house: tuple[float, float, float, float], unit: int, color: Color
) -> None:
    """A grid of windows on the house (x, y, width, height)."""
    x, y, wide, tall = house
    step = 0.075 * unit
    for i in range(int(wide / step)):
        for j in range(int(tall / step)):
            left, top = x + (i + 0.3) * step, y + (j + 0.35) * step
            draw.rectangle((left, top, left + 0.45 * step, top + 0.5 * step), fill=color)


def _sea(canvas: Image.Image, horizon: int, rng: Rng) -> None:
    _heavens(canvas, horizon, rng, 5)
    waters: tuple[Color, ...] = ((74, 142, 178), (70, 150, 160), (90, 130, 176))
    water = waters[rng.integers(len(waters))]
    unit = min(canvas.size)
    if rng.random() < 0.5:
        _hills(canvas, horizon, (138, 156, 168), 0.12 * unit, rng)
    _wash(canvas, horizon, canvas.height, _shade(water, 1.15), _shade(water, 0.8), rng)
    draw = ImageDraw.Draw(canvas)
    for x, y in _scatter(canvas, horizon, 60, rng).tolist():
        wide = unit * rng.uniform(0.02, 0.06)
        draw.arc((x - wide, y - wide / 2, x + wide, y + wide / 2), 200, 340, _shade(water, 1.35), 3)


def _sky(canvas: Image.Image, horizon: int, rng: Rng) -> None:
    _heavens(canvas, canvas.height, rng, 9)
    _hills(canvas, canvas.height, (124, 160, 118), canvas.height - horizon, rng)


def _room(canvas: Image.Image, horizon: int, rng: Rng) -> None:
    papers: tuple[Color, ...] = (
        (214, 206, 190), (188, 204, 196), (222, 196, 180), (196, 200, 216), (230, 218, 178),
    )  # fmt: skip
    paper = papers[rng.integers(len(papers))]
    width, height, unit = *canvas.size, min(canvas.size)
    _wash(canvas, 0, horizon, paper, _shade(paper, 0.9), rng)
    draw = ImageDraw.Draw(canvas)
    _wallpaper(draw, (width, horizon), unit, _shade(paper, rng.choice([0.94, 1.05])), rng)
    for _ in range(rng.integers(1, 3)):
        _picture(draw, rng.random() * width, horizon * rng.uniform(0.1, 0.4), unit, rng)
    _wash(canvas, horizon, height, (190, 148, 108), (158, 116, 82), rng)
    for k in np.linspace(0, 1, 6)[1:] ** 1.6:  # boards, wider towards us
        y = horizon + k * (height - horizon)
        draw.line((0, y, width, y), (138, 100, 70), 3)
    draw.rectangle((0, horizon - unit / 45, width, horizon), fill=(240, 236, 226))
    if rng.random() < 0.5:  # a rug
        x, y = rng.random() * width, horizon + 0.6 * (height - horizon)
        color = _shade((150, 160, 170), rng.uniform(0.7, 1.1))
        draw.ellipse((x - 0.4 * unit, y - 0.09 * unit, x + 0.4 * unit, y + 0.09 * unit), fill=color)


def _wallpaper(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], unit: int, color: Color, rng: Rng
) -> None:
    """Faint stripes or dots over the wall of `size` (width, height)."""
    step, (width, height) = unit / 9, size
    if rng.random() < 0.5:
        for i in range(int(width / step) + 1):
            draw.rectangle((i * step, 0, i * step + 0.4 * step, height), fill=color)
        return
    for i in range(int(width / step) + 1):
        for j in range(int(height / step) + 1):
            x, y, r = (i + 0.5 * (j % 2)) * step, j * step, 0.14 * step
            draw.ellipse((x - r, y - r, x + r, y + r), fill=color)


def _picture(draw: ImageDraw.ImageDraw, x: float, y: float, unit: int, rng: Rng) -> None:
    """A framed landscape on the wall, or the view from a window."""
    wide, tall, edge = unit * rng.uniform(0.18, 0.3), unit * rng.uniform(0.16, 0.24), unit / 50
    draw.rectangle((x - edge, y - edge, x + wide + edge, y + tall + edge), fill=(244, 240, 230))
    draw.rectangle((x, y, x + wide, y + tall), fill=(180, 212, 228))
    draw.rectangle((x, y + 0.62 * tall, x + wide, y + tall), fill=(150, 182, 130))


THEMES: Mapping[str, Theme] = {
    "meadow": Theme(
        _meadow, (0.3, 0.48),
        ("cow", "horse", "sheep", "dog", "person", "bicycle", "bird", "cat", "train"),
        ("kite", "sports ball", "umbrella", "apple"),
    ),
    "street": Theme(
        _street, (0.4, 0.55),
        ("bus", "car", "motorcycle", "bicycle", "person", "train", "dog", "potted plant"),
        ("umbrella", "clock", "sports ball"),
    ),
    "sea": Theme(_sea, (0.35, 0.5), ("boat", "bird", "airplane"), ("kite",)),
    "sky": Theme(_sky, (0.84, 0.95), ("airplane", "bird"), ("kite",)),
    "room": Theme(
        _room, (0.5, 0.64),
        ("couch", "chair", "dining table", "tv", "bottle", "potted plant", "cat", "person", "dog"),
        ("clock", "apple", "umbrella"),
    ),
}  # fmt: skip
FLIERS: tuple[str, ...] = ("airplane", "kite", "clock")  # a clock hangs on a wall
