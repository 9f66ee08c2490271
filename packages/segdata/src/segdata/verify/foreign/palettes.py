"""What is known of the classes: how many, their colours, and what luminance makes of those."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from segdata.errors import UsageError
from segdata.verify.voc import VOC_CLASSES

IGNORE = 255
MOST = 254  # classes
Color = tuple[int, int, int]
HINT = "voc, a number of classes, or a manifest of segdata"


@dataclass(frozen=True)
class Classes:
    """The classes that masks should hold.

    Attributes:
        count: C, ids 1…C are classes; None where nothing was said.
        names: by id.
        colors: by id, VOC's where nothing was said; they name colours and luminances.
        gaps: ids up to C that no class has.
    """

    count: int | None
    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, Color] = field(default_factory=dict)
    gaps: frozenset[int] = frozenset()


def interleaved(index: int) -> Color:
    """VOC's colour of an index: its bits dealt out to red, green, blue from the top bit down."""
    planes = [0, 0, 0]
    for bit in range(8):
        planes[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return planes[0], planes[1], planes[2]


def luminance(color: Color) -> int:
    """What Pillow's `convert("L")` makes of a colour: ITU-R 601-2 in 16-bit fixed point."""
    red, green, blue = color
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


VOC_COLORS: Mapping[int, Color] = {i: interleaved(i) for i in (*range(21), IGNORE)}


def parse_classes(text: str | None) -> Classes:
    """Read the option `--classes`, but for class files, which `segdata.labelmap` reads.

    Raises:
        UsageError: it is neither `voc`, nor a number, nor a manifest of segdata.
    """
    if text is None:
        return Classes(None, {}, VOC_COLORS)
    if text == "voc":
        return Classes(20, dict(enumerate(("background", *VOC_CLASSES))), VOC_COLORS)
    if text.isdecimal():
        if not 1 <= int(text) <= MOST:
            raise UsageError("--classes is out of range", expected=f"1 to {MOST}", found=text)
        return Classes(int(text), {}, VOC_COLORS)
    path = Path(text)
    try:
        return _from_file(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "the class file cannot be read",
            where=path,
            expected=HINT,
            found=getattr(error, "strerror", None) or error,
        ) from error


def _from_file(text: str) -> Classes:
    record = json.loads(text)
    rows = record["classes"] if isinstance(record, dict) else record
    parsed = [(int(r["id"]), str(r["name"]), tuple(r.get("color") or ())) for r in rows]
    ids = [i for i, _, _ in parsed if i != IGNORE]
    if not ids or not all(0 <= i <= MOST for i in ids) or len(set(ids)) < len(ids):
        raise ValueError(f"ids {sorted(ids)[:5]}… instead of different ones of 0 to {MOST}")
    given = {i: (int(c[0]), int(c[1]), int(c[2])) for i, _, c in parsed if len(c) == 3}
    colors = {0: (0, 0, 0), **given} if given else dict(VOC_COLORS)
    return Classes(max(ids), {i: name for i, name, _ in parsed}, colors)


def listed_classes(entries: Iterable[tuple[str, Sequence[int], Sequence[Color]]]) -> Classes:
    """Classes that masks of somebody's own hold.

    Args:
        entries: name, ids and colours of each, background and what is ignored among them. A class
            may have several of both; colours beyond its ids get numbers that no class has.
    """
    rows = list(entries)
    names = {i: name for name, ids, _ in rows for i in ids}
    free = iter([i for i in range(1, IGNORE) if i not in names])
    colors = {
        i: color for _, ids, some in rows for color, i in zip(some, chain(ids, free), strict=False)
    }
    numbered = any(i not in (0, IGNORE) for i in names)
    if not numbered:  # masks of colours alone
        of = {color: name for name, _, some in rows for color in some}
        names |= {i: of[color] for i, color in colors.items()}
    count = max((i for i in names if i <= MOST), default=0)
    gaps = frozenset(range(count + 1)) - names.keys()
    coloured = any(i not in (0, IGNORE) for i in colors)
    return Classes(count, names, colors if coloured else dict(VOC_COLORS), gaps)
