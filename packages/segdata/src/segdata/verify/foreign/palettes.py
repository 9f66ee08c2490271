"""What is known of the classes: how many, their colours, and what luminance makes of those."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segdata.errors import UsageError
from segdata.verify.voc import VOC_CLASSES

IGNORE = 255
MOST = 254  # classes
Color = tuple[int, int, int]
HINT = "voc, a number of classes, or a file of lines `name` or `id name red green blue`"


@dataclass(frozen=True)
class Classes:
    """The classes that masks should hold.

    Attributes:
        count: C, ids 1…C are classes; None where nothing was said.
        names: by id.
        colors: by id, VOC's where nothing was said; they name colours and luminances.
    """

    count: int | None
    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, Color] = field(default_factory=dict)


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
    """Read the option `--classes`.

    Raises:
        UsageError: it is neither `voc`, nor a number, nor a readable file of classes.
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
    if not path.is_file():
        raise UsageError("--classes names no file", expected=HINT, found=text)
    try:
        return _from_file(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "a file of classes cannot be read", where=path, expected=HINT, found=error
        ) from error


def _from_file(text: str) -> Classes:
    if text.lstrip().startswith(("{", "[")):
        record = json.loads(text)
        rows = record["classes"] if isinstance(record, dict) else record
        parsed = [(int(r["id"]), str(r["name"]), tuple(r.get("color") or ())) for r in rows]
    else:
        lines = [line.split("#")[0].replace(",", " ").split() for line in text.splitlines()]
        kept = [fields for fields in lines if fields]
        if not kept:
            raise ValueError("it names no class")
        first = 0 if kept[0][0] in ("background", "__background__") else 1
        parsed = [_row(fields, number) for number, fields in enumerate(kept, first)]
    ids = [i for i, _, _ in parsed if i != IGNORE]
    if not ids or not all(0 <= i <= MOST for i in ids) or len(set(ids)) < len(ids):
        raise ValueError(f"ids {sorted(ids)[:5]}… instead of different ones of 0 to {MOST}")
    given = {i: (int(c[0]), int(c[1]), int(c[2])) for i, _, c in parsed if len(c) == 3}
    colors = {0: (0, 0, 0), **given} if given else dict(VOC_COLORS)
    return Classes(max(ids), {i: name for i, name, _ in parsed}, colors)


def _row(fields: Sequence[str], number: int) -> tuple[int, str, tuple[int, ...]]:
    """Id, name and colour of a line; the id may be left out, and so may the colour."""
    rest = list(fields)
    if len(rest) > 1 and rest[0].isdecimal():
        number = int(rest.pop(0))
    color: tuple[int, ...] = ()
    if len(rest) >= 4 and all(part.isdecimal() for part in rest[-3:]):
        color = tuple(int(part) for part in rest[-3:])
        rest = rest[:-3]
    return number, " ".join(rest), color
