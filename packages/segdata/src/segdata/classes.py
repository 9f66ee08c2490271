"""Class sets: which names have which ids, in VOC's and in COCO's own numbering.

Ids, names and colours are the official ones: VOC's from its development kit, COCO's from the
`categories` of its annotation files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segdata.errors import UsageError

IGNORE = 255
MAX_CLASSES = 254  # 0 is background, 255 is ignore

VOC_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip

COCO_CATEGORIES: Mapping[int, str] = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train",
    8: "truck", 9: "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign",
    14: "parking meter", 15: "bench", 16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep",
    21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe", 27: "backpack",
    28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove",
    41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass",
    47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl", 52: "banana", 53: "apple",
    54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog", 59: "pizza",
    60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote",
    76: "keyboard", 77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink",
    82: "refrigerator", 84: "book", 85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear",
    89: "hair drier", 90: "toothbrush",
}  # fmt: skip

COCO_NAME_OF_VOC: Mapping[str, str] = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
} | {name: name for name in VOC_NAMES if name in COCO_CATEGORIES.values()}
VOC_NAME_OF_COCO: Mapping[str, str] = {coco: voc for voc, coco in COCO_NAME_OF_VOC.items()}
COCO_ID_OF_NAME: Mapping[str, int] = {name: i for i, name in COCO_CATEGORIES.items()}


def voc_color(index: int) -> tuple[int, int, int]:
    """Colour of a mask value in VOC's palette, each channel 0..255.

    The three lowest bits of the index become the top bits of red, green and blue, the next three
    the bits below, and so on (VOC development kit, `VOClabelcolormap.m`).
    """
    red = green = blue = 0
    for shift in range(7, -1, -1):
        red |= (index & 1) << shift
        green |= (index >> 1 & 1) << shift
        blue |= (index >> 2 & 1) << shift
        index >>= 3
    return red, green, blue


@dataclass(frozen=True)
class ClassSet:
    """The chosen classes: `names[i]` has the id i + 1; everything else is background, id 0.

    Attributes:
        names: of the classes.
        colors: what pictures draw each in; empty for VOC's colours of the ids.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()

    def __len__(self) -> int:
        """The number C of classes without background."""
        return len(self.names)

    @classmethod
    def parse(cls, text: str) -> "ClassSet":
        """Read `voc`, `coco`, or a comma list of names of either vocabulary.

        In a list a class has VOC's name where VOC has it, whichever name was given, so that a VOC
        and a COCO build of one list agree.

        Raises:
            UsageError: an unknown or repeated name, or no name at all.
        """
        presets = {"voc": VOC_NAMES, "coco": tuple(COCO_CATEGORIES.values())}
        if text.strip().lower() in presets:
            return cls(presets[text.strip().lower()])
        given = [" ".join(part.lower().split()) for part in text.split(",")]
        names = tuple(_canonical(name, text) for name in given)
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise UsageError(
                f"--classes names {', '.join(sorted(repeated))} more than once",
                expected="each class once; VOC's and COCO's name of one class are the same",
                found=text,
            )
        return cls(names)

    @cached_property
    def of_coco(self) -> Mapping[int, int]:
        """Class id by COCO category id, for the chosen classes that COCO has."""
        coco_names = [COCO_NAME_OF_VOC.get(name, name) for name in self.names]
        return {COCO_ID_OF_NAME[n]: i for i, n in enumerate(coco_names, 1) if n in COCO_ID_OF_NAME}

    @cached_property
    def of_voc(self) -> NDArray[np.uint8]:
        """Lookup table, uint8 (256,): from VOC's ids 0..20 and 255 to ours."""
        table = np.zeros(256, np.uint8)
        table[IGNORE] = IGNORE
        for i, name in enumerate(self.names, 1):
            voc_name = VOC_NAME_OF_COCO.get(name, name)
            if voc_name in VOC_NAMES:
                table[VOC_NAMES.index(voc_name) + 1] = i
        return table

    @cached_property
    def unknown_to_voc(self) -> tuple[str, ...]:
        """Chosen classes that VOC does not label: where VOC shows them, they are background."""
        return tuple(n for n in self.names if VOC_NAME_OF_COCO.get(n, n) not in VOC_NAMES)

    def table(self) -> list[dict[str, object]]:
        """The manifest's `classes`: id, name and colour of background and of every class."""
        names = ("background", *self.names)
        colors = self.colors or [voc_color(i) for i in range(1, len(names))]
        rows = zip(names, [voc_color(0), *colors], strict=True)
        return [{"id": i, "name": n, "color": list(color)} for i, (n, color) in enumerate(rows)]


def _canonical(name: str, text: str) -> str:
    """VOC's name of a class where VOC has one, else COCO's."""
    if name in VOC_NAMES:
        return name
    if name in COCO_ID_OF_NAME:
        return VOC_NAME_OF_COCO.get(name, name)
    if not name:
        raise UsageError(
            "--classes holds an empty name", expected="names between commas", found=repr(text)
        )
    known = ", ".join(VOC_NAMES)
    extra = "; background is always there as id 0" if name == "background" else ""
    raise UsageError(
        f"--classes names an unknown class: {name!r}{extra}",
        expected=f"'voc', 'coco', or a comma list of VOC's names ({known}) or COCO's 80 names",
        found=text,
    )
