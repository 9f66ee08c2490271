"""A picture with its truth: objects placed in a background, the smaller before the larger."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdata.classes import VOC_NAME_OF_COCO, VOC_NAMES
from segdata.toy.backgrounds import FLIERS, THEMES
from segdata.toy.drawings import DRAWINGS, OTHERS
from segdata.toy.sprites import SCALE, Pose, Sprite, paint

_USUAL_SIDE = 150  # shorter side, image pixels, at which patterns have their own wavelength
_TRIES = 24
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Plan:
    """What a picture is to show.

    Attributes:
        width: of the image, pixels.
        height: of the image, pixels.
        theme: name of its background.
        names: COCO's names of its objects, the main one first.
        crowd: name of a class that stands in a crowd at the back, if any.
        cut: whether the second object stands before the first and cuts it in two.
        grey: whether it is a greyscale picture.
    """

    width: int
    height: int
    theme: str
    names: tuple[str, ...]
    crowd: str | None = None
    cut: bool = False
    grey: bool = False


@dataclass(frozen=True)
class Thing:
    """One object of a scene, or one crowd.

    Attributes:
        name: COCO's name of its class.
        whole: bool (3H, 3W), the object inside the frame, hidden parts included.
        shown: bool (3H, 3W), what can be seen of it.
        crowd: whether it is a crowd.
    """

    name: str
    whole: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    crowd: bool = False

    @property
    def voc_id(self) -> int:
        """VOC's class id 1..20, or 0 for what VOC does not know."""
        return voc_id(self.name)


@dataclass(frozen=True)
class Scene:
    """A picture and what it shows, from back to front.

    Attributes:
        image: RGB, or greyscale.
        things: its objects, in painting order; the masks are three times as fine as the image.
    """

    image: Image.Image
    things: tuple[Thing, ...]


def voc_id(name: str) -> int:
    """VOC's class id 1..20 of a COCO name, or 0."""
    voc_name = VOC_NAME_OF_COCO.get(name)
    return VOC_NAMES.index(voc_name) + 1 if voc_name else 0


def draw(plan: Plan, rng: np.random.Generator) -> Scene:
    """Paint a plan.

    Larger objects are painted first, so that the smaller stand before them; a crowd is painted
    before all. The canvas is three times as fine as the image, which is its box average.
    """
    size = plan.width * SCALE, plan.height * SCALE
    canvas = Image.new("RGB", size)
    theme = THEMES[plan.theme]
    horizon = round(size[1] * rng.uniform(*theme.horizon))
    theme.paint(canvas, horizon, rng)
    crowd = _crowd(plan, size, horizon, rng)
    objects = _objects(plan, size, horizon, rng)
    wholes = {id(s): s.silhouette(*size) for s in objects}
    objects.sort(key=lambda s: -int(wholes[id(s)].sum()))
    depth = np.zeros((size[1], size[0]), np.uint8)
    for number, sprite in enumerate((*crowd, *objects), 1):
        whole = wholes.get(id(sprite))
        depth[sprite.silhouette(*size) if whole is None else whole] = number
        _paste(canvas, sprite, plan)
    things = [] if not crowd else [_crowd_thing(plan.crowd or "", depth, len(crowd))]
    for number, sprite in enumerate(objects, len(crowd) + 1):
        things.append(Thing(sprite.drawing.name, wholes[id(sprite)], depth == number))
    return Scene(_developed(canvas, plan.grey, rng), tuple(t for t in things if t.shown.any()))


def _crowd_thing(name: str, depth: NDArray[np.uint8], members: int) -> Thing:
    shown = (depth > 0) & (depth <= members)
    return Thing(name, shown, shown, crowd=True)


def _paste(canvas: Image.Image, sprite: Sprite, plan: Plan) -> None:
    """Put a sprite onto the canvas, its shadow on the ground first."""
    if plan.theme in ("meadow", "street", "room") and sprite.drawing.name not in FLIERS:
        left, _, right, bottom = sprite.box
        wide, flat = right - left, max((right - left) // 7, 2)
        dimming = Image.new("L", (wide, flat))
        oval = (np.linspace(-1, 1, wide) ** 2)[None] + (np.linspace(-1, 1, flat) ** 2)[:, None]
        dimming = Image.fromarray((np.clip(1.1 - oval, 0, 0.5) * 190).astype(np.uint8))
        canvas.paste((30, 30, 40), (left, bottom - flat * 2 // 3), dimming)
    canvas.paste(sprite.patch, (sprite.left, sprite.top), sprite.shape)


def _developed(canvas: Image.Image, grey: bool, rng: np.random.Generator) -> Image.Image:
    """The image: each pixel the mean of its nine canvas pixels, with a little noise of light."""
    pixels = np.asarray(canvas.reduce(SCALE), np.float32)
    pixels = pixels * np.float32(rng.uniform(0.9, 1.08))
    pixels += rng.normal(0, 2.5, (*pixels.shape[:2], 1)).astype(np.float32)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return image.convert("L") if grey else image


def _objects(
    plan: Plan, size: tuple[int, int], horizon: int, rng: np.random.Generator
) -> list[Sprite]:
    """Sprites of all objects; one that finds no place is left out, but never the first."""
    if plan.cut:
        return _pair(plan, size, horizon, rng)
    sprites: list[Sprite] = []
    boxes: list[Box] = []
    for i, name in enumerate(plan.names):
        for _ in range(_TRIES):
            pose, frame = _pose(plan, name, i == 0, size, horizon, rng)
            if all(_beside(frame, box, name in OTHERS) for box in boxes):
                break
        else:
            continue
        sprites.append(paint(DRAWINGS[name], pose, _grain(plan), rng))
        boxes.append(frame)
    return sprites


def _grain(plan: Plan) -> float:
    return max(0.7, min(plan.width, plan.height) / _USUAL_SIDE)


def _beside(frame: Box, other: Box, apart: bool) -> bool:
    """Whether two objects may stand like that: hardly overlapping, or the smaller in front.

    The smaller is painted over the larger; were its feet further up, it would seem to stand on it.
    """
    wide = min(frame[2], other[2]) - max(frame[0], other[0])
    tall = min(frame[3], other[3]) - max(frame[1], other[1])
    if wide <= 0 or tall <= 0:
        return True
    small, large = sorted((frame, other), key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
    in_front = small[3] > large[3] - 0.08 * (large[3] - large[1])
    limit = 0.02 if apart else 0.35 if in_front else 0.05
    return wide * tall <= limit * (small[2] - small[0]) * (small[3] - small[1])


def _pose(
    plan: Plan,
    name: str,
    main: bool,
    size: tuple[int, int],
    horizon: int,
    rng: np.random.Generator,
) -> tuple[Pose, Box]:
    """Draw a pose and the box that it covers on the canvas."""
    drawing, (width, height) = DRAWINGS[name], size
    x0, y0, x1, y1 = drawing.frame
    share = rng.uniform(0.55, 0.8) if main else rng.uniform(0.34, 0.54)
    longest = min(share * drawing.size * min(size), 0.96 * max(size))
    scale = longest / max(x1 - x0, y1 - y0)
    stretch = rng.uniform(0.92, 1.09)
    wide, tall = scale * stretch * (x1 - x0), scale / stretch * (y1 - y0)
    over = 0.12 * wide if rng.random() < 0.3 else -0.02 * wide  # some are cut by the frame
    low, high = wide / 2 - over, width - wide / 2 + over
    x = rng.uniform(low, high) if low < high else width / 2
    flies = name in FLIERS or (name == "bird" and plan.theme in ("sky", "sea"))
    if flies:
        floor = max(horizon - 0.1 * tall, 1.02 * tall)
        y = rng.uniform(0.5 * tall, max(floor - 0.5 * tall, 0.51 * tall))
    else:
        near = rng.uniform(0.5, 1) if main else rng.uniform(0.2, 1)
        bottom = horizon + (0.97 * height - horizon) * near
        y = max(bottom, 1.02 * tall) - tall / 2
    mirrored = -1 if rng.random() < 0.5 else 1
    angle = np.deg2rad(rng.uniform(-drawing.tilt, drawing.tilt))
    pose = Pose(x, y, mirrored * scale * stretch, scale / stretch, float(angle))
    return pose, (x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2)


def _pair(
    plan: Plan, size: tuple[int, int], horizon: int, rng: np.random.Generator
) -> list[Sprite]:
    """The first object large, the second before its middle from above its top to below its feet."""
    width, height = size
    back, front = (DRAWINGS[name] for name in plan.names[:2])
    bx0, by0, bx1, by1 = back.frame
    scale = min(0.86 * width / (bx1 - bx0), 0.5 * height / (by1 - by0))
    tall = scale * (by1 - by0)
    foot = min(max(horizon + 0.25 * height, 1.25 * tall), 0.88 * height)
    rear = Pose(width / 2, foot - tall / 2, scale, scale, 0.0)
    fx0, fy0, fx1, fy1 = front.frame
    high = min(1.4 * tall, 0.98 * height)
    thin = min(high / (fy1 - fy0), 0.3 * scale * (bx1 - bx0) / (fx1 - fx0))
    x = width / 2 + rng.uniform(-0.12, 0.12) * scale * (bx1 - bx0)
    y = min(foot - tall / 2, 0.99 * height - high / 2)
    fore = Pose(x, y, thin, high / (fy1 - fy0), 0.0)
    return [paint(back, rear, _grain(plan), rng), paint(front, fore, _grain(plan), rng)]


def _crowd(
    plan: Plan, size: tuple[int, int], horizon: int, rng: np.random.Generator
) -> list[Sprite]:
    """A dozen or more small members of a class, shoulder to shoulder along the horizon."""
    if plan.crowd is None:
        return []
    drawing = DRAWINGS[plan.crowd]
    x0, y0, x1, y1 = drawing.frame
    scale = 0.24 * min(size) / max(x1 - x0, y1 - y0)
    step = 0.62 * scale * (x1 - x0)
    count = max(int(rng.integers(9, 14)), ceil(0.9 * size[0] / step))
    start = rng.uniform(0.05, max(0.06, 1 - count * step / size[0])) * size[0]
    sprites = []
    for i in range(count):
        member = scale * rng.uniform(0.85, 1.1)
        y = horizon + rng.uniform(0.02, 0.06) * size[1] - member * (y1 - y0) / 2
        y = max(y, 0.55 * member * (y1 - y0))
        sign = -1 if rng.random() < 0.5 else 1
        pose = Pose(start + i * step, y, sign * member, member, 0.0)
        sprites.append(paint(drawing, pose, _grain(plan), rng))
    return sprites
