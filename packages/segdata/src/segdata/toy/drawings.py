"""Twenty-five little drawings: VOC's 20 classes, and five objects that VOC does not know.

A drawing is a list of parts, painted in order. The union of its parts is the object: that is
what its mask and its polygons show.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segdata.toy.shapes import Points, blob, box, disc, limb, poly, star

Color = tuple[int, int, int]
Part = tuple[Points, str]

COAT = "coat"
TONES: Mapping[str, Color] = {
    "ink": (44, 38, 46), "white": (246, 244, 238), "glass": (176, 216, 236), "tyre": (52, 50, 56),
    "metal": (186, 192, 202), "wood": (150, 102, 62), "leg": (112, 78, 52),
    "lamp": (255, 222, 120),
    "red": (206, 62, 54), "pink": (240, 160, 158), "beak": (244, 170, 54), "night": (40, 48, 66),
    "cream": (244, 228, 196), "clay": (202, 106, 66), "green": (78, 140, 74),
    "denim": (66, 92, 146),
    "dark": (88, 66, 56), "yellow": (250, 206, 72), "blue": (74, 130, 200),
}  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """One object to draw.

    Attributes:
        name: COCO's name of the class.
        pattern: name of the coat's pattern in `textures`.
        colors: colour ways of the coat, each a pair (where the pattern is 0, where it is 1).
        parts: (outline, tone) in painting order. A tone is `coat`, `base` or `mark` (the pair's
            plain colours), `skin`, or a name of `TONES`.
        size: its usual longest side against other drawings.
        tilt: largest turn to either side, degrees.
    """

    name: str
    pattern: str
    colors: tuple[tuple[Color, Color], ...]
    parts: tuple[Part, ...]
    size: float = 1.0
    tilt: float = 4.0

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """Bounding box (x0, y0, x1, y1) of all parts, in drawing units."""
        every = np.concatenate([outline for outline, _ in self.parts])
        return (*every.min(0).tolist(), *every.max(0).tolist())


def _legs(tone: str, top: float, foot: float, width: float, *xs: float) -> tuple[Part, ...]:
    """Upright legs from `top` to `foot`, one at each x."""
    return tuple((limb(x, top, x, foot, width), tone) for x in xs)


def _wheel(x: float, y: float, r: float, hub: str = "metal") -> tuple[Part, ...]:
    return (disc(x, y, r), "tyre"), (disc(x, y, r * 0.5), hub)


def _eye(x: float, y: float, r: float = 1.8) -> Part:
    return disc(x, y, r), "ink"


def _row(tone: str, y0: float, y1: float, width: float, *xs: float) -> tuple[Part, ...]:
    """Equal boxes side by side: windows, keys, lights."""
    return tuple((box(x, y0, x + width, y1), tone) for x in xs)


_VEHICLES = (
    Drawing(
        "airplane", "rivets",
        (((226, 232, 240), (120, 150, 190)), ((240, 238, 232), (196, 96, 84)),
         ((206, 222, 236), (84, 104, 150))),
        (
            (poly("58,44 70,44 52,20 43,20"), "mark"),
            (poly("6,22 17,22 29,46 9,50"), "mark"),
            (blob("5,47 20,43 60,40 84,42 97,50 90,58 60,60 22,57"), COAT),
            (poly("85,43 93,46 95,49 85,49"), "glass"),
            *(((disc(x, 47, 2)), "night") for x in (34, 42, 50, 58, 66, 74)),
            (limb(44, 68, 54, 68, 8), "metal"),
            (poly("46,53 66,53 38,84 27,84"), COAT),
            (poly("6,51 20,51 8,62 0,62"), "mark"),
        ),
        tilt=18,
    ),
    Drawing(
        "bicycle", "spokes",
        (((232, 226, 196), (96, 100, 104)), ((222, 230, 222), (84, 96, 100))),
        (
            *((disc(x, 66, 22), "tyre") for x in (22, 78)),
            *((disc(x, 66, 18.5), COAT) for x in (22, 78)),
            (poly("22,66 38,36 66,34 50,67"), COAT),
            (limb(22, 66, 38, 36, 5), "red"), (limb(38, 36, 66, 34, 5), "red"),
            (limb(66, 34, 50, 66, 5), "red"), (limb(50, 66, 22, 66, 5), "red"),
            (limb(50, 66, 35, 28, 5), "red"), (limb(78, 66, 63, 24, 5), "metal"),
            (limb(63, 24, 74, 20, 5), "ink"), (limb(27, 27, 43, 27, 6), "ink"),
            (disc(50, 66, 6), "metal"),
        ),
    ),
    Drawing(
        "boat", "planks",
        (((196, 112, 70), (116, 60, 44)), ((220, 160, 92), (138, 82, 46)),
         ((178, 84, 70), (240, 226, 204))),
        (
            (blob("50,8 66,30 84,62 50,68"), "white"),
            (poly("50,12 50,70 18,62"), "cream"),
            (poly("52,36 68,36 74,46 52,46"), "red"), (limb(50, 6, 50, 72, 3), "wood"),
            (poly("50,4 50,12 62,8"), "red"),
            (blob("6,66 50,70 95,64 84,88 50,92 18,88"), COAT),
            (limb(7, 68, 94, 67, 4), "white"),
        ),
        tilt=7,
    ),
    Drawing(
        "bus", "livery",
        (((226, 70, 54), (252, 212, 80)), ((238, 176, 46), (198, 70, 44)),
         ((216, 62, 84), (248, 236, 214))),
        (
            (poly("4,24 9,20 94,20 97,26 98,76 3,76"), COAT),
            *_row("glass", 27, 40, 13, 8, 24, 40, 56),
            (box(74, 26, 84, 74), "white"), (box(76, 29, 82, 72), "glass"),
            (box(87, 27, 97, 50), "glass"),
            *_row("glass", 47, 59, 13, 8, 24, 40, 56),
            (box(93, 62, 98, 68), "lamp"),
            *_wheel(24, 76, 9), *_wheel(66, 76, 9),
        ),
        1.3,
    ),
    Drawing(
        "car", "lacquer",
        (((48, 110, 206), (196, 226, 250)), ((40, 156, 168), (208, 244, 240)),
         ((96, 80, 190), (220, 212, 250))),
        (
            (blob("24,46 34,28 48,25 64,27 78,46 50,50"), COAT),
            (poly("30,45 37,32 49,30 49,45"), "glass"),
            (poly("52,30 63,32 72,45 52,45"), "glass"),
            (blob("3,56 12,46 50,43 84,46 97,55 97,68 50,72 4,69"), COAT),
            (disc(93, 56, 3.5), "lamp"), (box(2, 55, 7, 61), "red"),
            (limb(50, 52, 56, 52, 2), "ink"),
            *_wheel(24, 69, 10.5), *_wheel(75, 69, 10.5),
        ),
        1.1,
    ),
    Drawing(
        "motorcycle", "weave",
        (((70, 72, 84), (168, 174, 190)), ((84, 62, 66), (190, 150, 140))),
        (
            *_wheel(20, 68, 18), *_wheel(80, 68, 18),
            (limb(80, 68, 64, 26, 5), "metal"),
            (limb(64, 27, 54, 22, 4), "ink"),
            (blob("28,56 44,50 64,50 66,64 54,74 36,74"), COAT),
            (limb(8, 74, 48, 74, 6), "metal"),
            (blob("44,38 60,30 72,38 64,52 48,52"), COAT),
            (blob("14,42 30,38 48,44 46,54 24,54"), "ink"),
            (disc(71, 33, 6), "lamp"),
        ),
    ),
    Drawing(
        "train", "slats",
        (((60, 122, 92), (226, 232, 206)), ((84, 104, 62), (236, 222, 176)),
         ((46, 106, 118), (222, 232, 226))),
        (
            (box(2, 30, 96, 72), COAT),
            (poly("60,18 98,18 100,24 100,30 58,30"), "mark"),
            (box(64, 30, 98, 72), COAT),
            *_row("glass", 35, 48, 12, 67, 83), *_row("glass", 36, 47, 9, 26, 38, 50),
            (poly("8,12 22,12 19,30 11,30"), "ink"),
            (disc(3, 46, 5), "lamp"),
            (poly("0,72 98,72 98,79 6,79"), "red"),
            *(part for x in (16, 34, 52, 76, 90) for part in _wheel(x, 80, 7, "red")),
        ),
        1.4,
    ),
)  # fmt: skip

_ANIMALS = (
    Drawing(
        "bird", "feathers",
        (((72, 168, 226), (238, 244, 250)), ((240, 132, 96), (252, 232, 200)),
         ((120, 190, 96), (240, 246, 196))),
        (
            (limb(46, 76, 44, 95, 3), "beak"), (limb(56, 76, 56, 95, 3), "beak"),
            (poly("30,56 2,50 4,62 28,72"), "base"),
            (blob("24,56 48,36 72,42 80,58 66,78 42,80"), COAT),
            (disc(74, 32, 17), COAT),
            (poly("89,28 100,34 89,39"), "beak"),
            (blob("36,50 56,48 58,62 34,72 22,68"), "base"),
            (disc(79, 28, 4.5), "white"), _eye(80, 28, 2.4),
        ),
        0.95, 12,
    ),
    Drawing(
        "cat", "tabby",
        (((244, 166, 82), (176, 92, 34)), ((186, 178, 172), (104, 98, 98)),
         ((232, 190, 130), (140, 94, 52))),
        (
            (blob("62,86 84,88 92,66 84,48 78,52 84,66 78,78 62,76"), COAT),
            (blob("46,40 66,58 74,84 64,97 30,97 20,84 30,58"), COAT),
            (poly("24,30 24,2 46,16"), COAT), (poly("72,30 70,2 50,16"), COAT),
            (blob("48,12 68,18 76,34 66,50 48,54 30,50 20,34 28,18"), COAT),
            (disc(48, 42, 9, 7), "white"), (poly("44,38 52,38 48,43"), "pink"),
            (disc(37, 30, 4.6), "yellow"), (disc(59, 30, 4.6), "yellow"),
            _eye(37, 30, 2.3), _eye(59, 30, 2.3),
            (disc(36, 94, 9, 5), "white"), (disc(58, 94, 9, 5), "white"),
        ),
        0.85,
    ),
    Drawing(
        "cow", "patches",
        (((248, 246, 240), (50, 46, 50)), ((244, 236, 224), (112, 70, 48))),
        (
            *_legs("white", 66, 92, 8, 22, 34, 60, 70), *_legs("ink", 90, 94, 8, 22, 34, 60, 70),
            (limb(9, 42, 5, 66, 3), "dark"),
            (blob("8,42 30,32 62,34 78,40 78,64 60,74 26,74 10,66"), COAT),
            (blob("30,72 46,72 42,82 33,81"), "pink"),
            (poly("75,26 70,12 80,22"), "cream"), (poly("92,26 98,13 88,22"), "cream"),
            (blob("68,26 76,31 70,35 62,30"), "ink"),
            (blob("72,28 84,21 95,28 97,48 92,58 80,58 72,46"), COAT),
            (disc(88, 53, 9, 7), "pink"), _eye(80, 36), _eye(91, 36),
        ),
        1.1,
    ),
    Drawing(
        "dog", "spots",
        (((240, 214, 168), (128, 76, 44)), ((250, 238, 214), (92, 62, 48)),
         ((226, 178, 120), (110, 58, 34))),
        (
            (blob("8,54 2,34 8,32 16,46 22,56 14,62"), COAT),
            *_legs(COAT, 64, 90, 9, 20, 31, 58, 68),
            (blob("12,52 34,46 60,46 76,48 76,66 60,76 24,76 12,68"), COAT),
            (blob("58,28 72,16 86,22 98,34 98,44 84,50 76,60 60,54"), COAT),
            (blob("60,18 70,20 72,40 64,50 56,42"), "mark"),
            (disc(97, 34, 4.5), "ink"), _eye(82, 29, 2.4),
            (limb(64, 57, 77, 53, 4), "red"), (blob("86,47 93,46 92,56 88,56"), "pink"),
        ),
        0.9,
    ),
    Drawing(
        "horse", "hair",
        (((168, 92, 52), (108, 50, 30)), ((140, 76, 50), (84, 44, 34)),
         ((190, 114, 66), (126, 66, 38))),
        (
            (blob("10,42 2,52 2,76 8,80 12,60 16,48"), "ink"),
            *_legs(COAT, 58, 92, 7, 18, 28, 58, 67), *_legs("ink", 92, 95, 7, 18, 28, 58, 67),
            (blob("10,44 30,38 56,40 72,36 74,56 58,66 26,66 12,60"), COAT),
            (blob("54,44 66,16 76,8 84,20 76,36 74,54"), COAT),
            (poly("72,12 74,0 80,10"), COAT),
            (blob("70,10 82,8 98,30 96,38 88,38 74,26"), COAT),
            (blob("52,40 58,18 70,4 76,8 68,22 60,42"), "ink"),
            _eye(82, 18, 2.2), (disc(94, 33, 2), "ink"),
        ),
        1.1,
    ),
    Drawing(
        "person", "hoops",
        (((240, 240, 236), (196, 48, 56)), ((244, 240, 226), (44, 78, 150)),
         ((250, 226, 120), (60, 62, 84))),
        (
            (limb(36, 60, 34, 92, 11), "denim"), (limb(50, 60, 53, 92, 11), "denim"),
            (limb(34, 95, 28, 95, 7), "ink"), (limb(53, 95, 59, 95, 7), "ink"),
            (limb(30, 34, 20, 58, 8), COAT), (limb(56, 34, 68, 20, 8), COAT),
            (disc(19, 61, 4.6), "skin"), (disc(70, 16, 4.6), "skin"),
            (blob("30,28 56,28 58,44 56,64 30,64 28,44"), COAT),
            (disc(43, 15, 12), "skin"),
            (blob("31,13 34,3 46,0 55,6 55,12 44,9 36,12"), "dark"),
            _eye(39, 15, 1.6), _eye(48, 15, 1.6), (limb(40, 20.5, 47, 20.5, 2), "red"),
        ),
        1.2,
    ),
    Drawing(
        "sheep", "wool",
        (((252, 250, 242), (196, 188, 176)), ((244, 234, 214), (186, 170, 144))),
        (
            *_legs("night", 66, 90, 7, 28, 38, 58, 67),
            (blob("10,44 13,35 22,33 27,26 37,27 44,22 53,26 62,23 69,30 77,33 78,41 84,48 81,56 "
                  "82,64 74,68 68,75 59,73 51,78 43,74 34,77 27,72 17,71 14,63 7,58 11,51"), COAT),
            (blob("74,36 88,34 97,44 94,58 84,62 74,54"), "night"),
            (blob("66,40 76,40 76,46 66,48"), "night"),
            (blob("70,28 80,24 90,30 88,38 78,40 70,36"), COAT),
            (disc(88, 45, 3), "white"), _eye(89, 45, 1.6),
        ),
        0.95,
    ),
)  # fmt: skip

_HOUSEHOLD = (
    Drawing(
        "bottle", "glassy",
        (((38, 112, 70), (156, 214, 160)), ((150, 86, 32), (240, 190, 110)),
         ((46, 112, 96), (170, 226, 204))),
        (
            (box(43, 2, 57, 10), "red"),
            (blob("43,9 50,8 57,9 58,24 70,38 72,60 71,95 50,98 29,95 28,60 30,38 42,24"), COAT),
            (box(29, 52, 71, 78), "cream"), (star(50, 65, 9, 4, 5), "red"),
        ),
        0.85,
    ),
    Drawing(
        "chair", "grain",
        (((206, 146, 86), (138, 84, 44)), ((226, 178, 112), (160, 104, 56))),
        (
            (box(28, 10, 72, 60), "red"), (box(22, 4, 32, 62), COAT), (box(68, 4, 78, 62), COAT),
            (box(20, 4, 80, 18), COAT), (box(30, 25, 70, 34), COAT), (box(30, 40, 70, 48), COAT),
            (box(26, 58, 33, 90), COAT), (box(67, 58, 74, 90), COAT),
            (box(14, 60, 24, 97), COAT), (box(76, 60, 86, 97), COAT),
            (poly("22,52 78,52 90,66 10,66"), "red"), (box(10, 64, 90, 70), COAT),
        ),
        0.95, 3,
    ),
    Drawing(
        "dining table", "gingham",
        (((250, 246, 238), (214, 66, 70)), ((250, 248, 240), (60, 112, 184)),
         ((250, 246, 232), (74, 150, 96))),
        (
            (box(14, 52, 21, 90), "leg"), (box(79, 52, 86, 90), "leg"),
            (box(24, 50, 29, 80), "leg"), (box(71, 50, 76, 80), "leg"),
            (poly("16,36 84,36 97,52 3,52"), COAT),
            (poly("3,52 97,52 95,64 84,68 72,64 61,68 50,64 39,68 28,64 16,68 5,64"), COAT),
            (disc(34, 43, 11, 4), "white"), (disc(66, 44, 9, 3.4), "white"),
            (poly("45,26 56,26 54,42 47,42"), "blue"), (disc(50.5, 23, 5), "red"),
        ),
        1.15, 2,
    ),
    Drawing(
        "potted plant", "leaves",
        (((58, 150, 66), (150, 214, 96)), ((46, 128, 84), (136, 204, 140))),
        (
            (blob("50,62 20,58 4,36 24,34 44,50"), COAT),
            (blob("50,62 80,58 96,36 76,34 56,50"), COAT),
            (blob("50,60 30,36 26,10 44,22 54,46"), COAT),
            (blob("50,60 70,38 76,12 58,20 48,46"), COAT),
            (blob("50,62 40,34 50,4 60,34"), COAT),
            (poly("30,66 70,66 64,97 36,97"), "clay"), (box(26, 60, 74, 69), "clay"),
        ),
        0.85,
    ),
    Drawing(
        "couch", "quilt",
        (((84, 44, 108), (178, 118, 204)), ((120, 36, 76), (224, 112, 150)),
         ((66, 50, 120), (150, 136, 224))),
        (
            *_legs("leg", 78, 84, 6, 14, 86),
            (blob("14,30 30,22 50,24 70,22 86,30 88,60 50,64 12,60"), COAT),
            (blob("14,56 50,52 86,56 88,66 50,68 12,66"), "mark"), (box(8, 62, 92, 79), COAT),
            (blob("2,48 10,42 18,48 19,78 3,79"), COAT),
            (blob("98,48 90,42 82,48 81,78 97,79"), COAT),
        ),
        1.25, 2,
    ),
    Drawing(
        "tv", "screen",
        (((52, 110, 196), (150, 232, 246)), ((44, 150, 150), (206, 250, 196)),
         ((90, 74, 190), (240, 170, 230))),
        (
            (limb(34, 18, 24, 3, 3), "metal"), (limb(62, 18, 74, 3, 3), "metal"),
            (box(18, 82, 26, 94), "ink"), (box(74, 82, 82, 94), "ink"),
            (box(4, 17, 96, 84), "night"),
            (box(11, 24, 76, 77), COAT),
            (disc(86, 36, 5), "metal"), (disc(86, 50, 5), "metal"),
            (box(81, 60, 91, 63), "metal"), (box(81, 67, 91, 70), "metal"),
        ),
        0.9, 2,
    ),
)  # fmt: skip

_OTHERS = (
    Drawing(
        "kite", "plain", (((238, 92, 120), (250, 150, 160)), ((90, 170, 230), (150, 210, 246))),
        (
            (limb(50, 76, 64, 98, 2), "ink"), (poly("60,84 70,86 62,92"), "yellow"),
            (poly("50,2 76,34 50,78 24,34"), COAT),
            (poly("50,2 76,34 50,34"), "yellow"), (poly("24,34 50,34 50,78"), "blue"),
        ),
        0.7, 25,
    ),
    Drawing(
        "umbrella", "gores", (((250, 240, 220), (226, 84, 70)), ((254, 226, 120), (70, 150, 190))),
        (
            (limb(50, 20, 50, 90, 4), "wood"), (limb(50, 91, 40, 91, 4), "wood"),
            (blob("3,48 12,24 34,9 50,6 66,9 88,24 97,48 82,42 66,48 50,42 34,48 18,42"), COAT),
        ),
        0.9, 10,
    ),
    Drawing(
        "apple", "plain", (((206, 44, 46), (244, 110, 80)), ((150, 196, 70), (206, 226, 110))),
        (
            (limb(50, 26, 56, 8, 5), "dark"), (blob("56,18 72,6 84,10 72,22"), "green"),
            (blob("50,26 70,20 90,36 86,70 66,94 50,90 34,94 14,70 10,36 30,20"), COAT),
            (disc(30, 44, 6, 9), "white"),
        ),
        0.45,
    ),
    Drawing(
        "clock", "plain", (((250, 248, 240), (226, 222, 210)),),
        (
            (disc(50, 50, 46), "wood"), (disc(50, 50, 38), COAT),
            *((disc(50 + 31 * x, 50 + 31 * y, 3), "ink") for x, y in
              ((0, 1), (0, -1), (1, 0), (-1, 0), (0.5, 0.87), (-0.5, 0.87), (0.5, -0.87),
               (-0.5, -0.87), (0.87, 0.5), (-0.87, 0.5), (0.87, -0.5), (-0.87, -0.5))),
            (limb(50, 50, 50, 26, 4), "ink"), (limb(50, 50, 66, 58, 4), "red"),
        ),
        0.5, 15,
    ),
    Drawing(
        "sports ball", "gores",
        (((252, 250, 244), (66, 140, 214)), ((252, 250, 244), (230, 90, 60))),
        ((disc(50, 50, 47), COAT), (disc(50, 10, 8, 5), "yellow")),
        0.45, 40,
    ),
)  # fmt: skip

DRAWINGS: Mapping[str, Drawing] = {
    d.name: d for d in (*_VEHICLES, *_ANIMALS, *_HOUSEHOLD, *_OTHERS)
}
OTHERS: tuple[str, ...] = tuple(d.name for d in _OTHERS)
