"""One drawing, painted: scaled, turned, textured and shaded, with its exact silhouette."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segdata.toy.drawings import COAT, TONES, Color, Drawing
from segdata.toy.shapes import Points
from segdata.toy.textures import PATTERNS, Field

SCALE = 3  # canvas pixels per image pixel: odd, so that an image pixel has a canvas pixel as centre

_SKINS: tuple[Color, ...] = (
    (250, 214, 184), (236, 188, 150), (196, 140, 102), (142, 94, 66), (100, 66, 48),
)  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """How a drawing is laid onto the canvas.

    Attributes:
        x: middle of its frame, canvas pixels.
        y: middle of its frame, canvas pixels.
        wide: canvas pixels per drawing unit along the drawing's own x; negative when mirrored.
        tall: the same along its y.
        angle: turn, radians.
    """

    x: float
    y: float
    wide: float
    tall: float
    angle: float

    def apply(self, outline: Points, drawing: Drawing) -> Points:
        """Drawing units to canvas pixels, float64 (N, 2)."""
        x0, y0, x1, y1 = drawing.frame
        scaled = (outline - [(x0 + x1) / 2, (y0 + y1) / 2]) * [self.wide, self.tall]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.asarray(scaled @ np.array([[cos, sin], [-sin, cos]]) + [self.x, self.y])

    def undo(self, shape: tuple[int, int], left: int, top: int) -> tuple[Field, Field]:
        """Object coordinates in image pixels, two float32 arrays of `shape`, of a canvas patch."""
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        x, y = (x + left - self.x) / SCALE, (y + top - self.y) / SCALE
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return x * cos + y * sin, y * cos - x * sin


@dataclass(frozen=True)
class Sprite:
    """A painted object.

    Attributes:
        drawing: what it shows.
        patch: RGB picture of its bounding box.
        shape: greyscale picture of the same size, 255 where the object is, else 0.
        left: column of the patch on the canvas.
        top: row of the patch on the canvas.
    """

    drawing: Drawing
    patch: Image.Image
    shape: Image.Image
    left: int
    top: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Bounding box on the canvas: left, top, right, bottom."""
        return self.left, self.top, self.left + self.patch.width, self.top + self.patch.height

    def silhouette(self, width: int, height: int) -> NDArray[np.bool_]:
        """The whole object on a canvas of that size, whatever hides it: bool (height, width)."""
        canvas = Image.new("L", (width, height))
        canvas.paste(self.shape, (self.left, self.top))
        return np.asarray(canvas) > 0


def paint(drawing: Drawing, pose: Pose, grain: float, rng: np.random.Generator) -> Sprite:
    """Paint a drawing.

    Args:
        drawing: what to paint.
        pose: where and how large.
        grain: factor on the wavelengths of its pattern; 1 for images of usual size.
        rng: draws its colours and the details of its pattern.
    """
    outlines = [pose.apply(outline, drawing) for outline, _ in drawing.parts]
    every = np.concatenate(outlines)
    left, top = (int(n) for n in np.floor(every.min(0)) - 1)
    right, bottom = (int(n) for n in np.ceil(every.max(0)) + 2)
    size = right - left, bottom - top
    base, mark = _colors(drawing, rng)
    tones = {**TONES, "base": base, "mark": mark, "skin": _SKINS[rng.integers(len(_SKINS))]}
    coat = _coat(drawing, pose, (left, top, *size), grain, (base, mark), rng)
    patch, shape = Image.new("RGB", size), Image.new("L", size)
    line = max(2, round(0.8 * grain * SCALE))
    for outline, (_, tone) in zip(outlines, drawing.parts, strict=True):
        corners = [(float(x), float(y)) for x, y in outline - [left, top]]
        ImageDraw.Draw(shape).polygon(corners, fill=255)
        _fill(patch, corners, coat if tone == COAT else tones[tone], line)
    return Sprite(drawing, _lit(patch, rng), shape, left, top)


def _fill(
    patch: Image.Image, corners: list[tuple[float, float]], tone: Image.Image | Color, line: int
) -> None:
    """Fill a polygon with a colour or a texture and draw its outline in ink."""
    draw = ImageDraw.Draw(patch)
    if isinstance(tone, Image.Image):
        stencil = Image.new("1", patch.size)
        ImageDraw.Draw(stencil).polygon(corners, fill=1)
        patch.paste(tone, (0, 0), stencil)
    else:
        draw.polygon(corners, fill=tone)
    draw.line([*corners, corners[0]], fill=TONES["ink"], width=line)


def _colors(drawing: Drawing, rng: np.random.Generator) -> tuple[Color, Color]:
    """One of the coat's colour ways, each channel moved a little."""
    pair = np.array(drawing.colors[rng.integers(len(drawing.colors))], float)
    pair = np.clip(pair + rng.normal(0, 9, (2, 3)), 0, 255)
    (r0, g0, b0), (r1, g1, b1) = pair.astype(int).tolist()
    return (r0, g0, b0), (r1, g1, b1)


def _coat(
    drawing: Drawing,
    pose: Pose,
    frame: tuple[int, int, int, int],
    grain: float,
    colors: tuple[Color, Color],
    rng: np.random.Generator,
) -> Image.Image:
    """The drawing's pattern over its whole bounding box (left, top, width, height)."""
    left, top, width, height = frame
    u, v = pose.undo((height, width), left, top)
    strength = rng.uniform(0.85, 1.15)
    wavelength = np.float32(grain * rng.uniform(0.85, 1.2))
    field = PATTERNS[drawing.pattern](u / wavelength, v / wavelength, rng)
    steps = np.linspace(0, min(strength, 1), 256)[:, None]
    ramp = np.array(colors[0]) * (1 - steps) + np.array(colors[1]) * steps
    index = np.clip(field * 255, 0, 255).astype(np.uint8)
    return Image.fromarray(ramp.astype(np.uint8)[index])


def _lit(patch: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light from above: brighter at the top, darker towards the feet."""
    light = np.linspace(1.08, rng.uniform(0.74, 0.88), patch.height, dtype=np.float32)
    pixels = np.asarray(patch, np.float32) * light[:, None, None]
    return Image.fromarray(np.minimum(pixels, 255).astype(np.uint8))
