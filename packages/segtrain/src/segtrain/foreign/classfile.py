"""Class files: the names of classes, and which values of masks they are.

The forms are those of `segdata build-folder --classes` (TOML, CSV, plain text; its page describes
them), read here for masks that hold ids.
"""

import csv
import io
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from segtrain.errors import UsageError
from segtrain.manifests import IGNORE_INDEX, ClassInfo

MAX_CLASSES = 254  # 0 is background, 255 is ignore
MAX_ID = 65_535
RESERVED = ("background", "ignore")
TABLES = {"background", "ignore", "classes"}
FIELDS = {"name", "ids", "colors", "color"}
VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip

Color = tuple[int, int, int]


def voc_color(index: int) -> Color:
    """The colour of an id in VOC's palette: the bits of the id dealt to red, green and blue."""
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return channels[0], channels[1], channels[2]


@dataclass(frozen=True)
class ClassList:
    """The classes of a data set, and the values that masks hold for each.

    Attributes:
        classes: Background first; their position is the id that a net learns.
        ids: By that id, and by 255 for ignore: the values of masks that become it.
    """

    classes: tuple[ClassInfo, ...]
    ids: Mapping[int, tuple[int, ...]]

    def ignoring(self, value: int) -> "ClassList":
        """The same with one more value of masks that is ignored.

        Raises:
            UsageError: If the class file gives that value to a class.
        """
        for ours, values in self.ids.items():
            if value in values and ours not in (0, IGNORE_INDEX):
                raise UsageError(
                    f"--ignore-index {value}: the class file says that {value} is "
                    f"{self.classes[ours].name}; correct one of them"
                )
        ids = {ours: tuple(v for v in vs if v != value) for ours, vs in self.ids.items()}
        return replace(self, ids=ids | {IGNORE_INDEX: (*ids[IGNORE_INDEX], value)})

    def table(self) -> tuple[int, ...]:
        """Our id of each value of 8 bits, -1 where it is unknown, as a `Layout` has it."""
        ids = [-1] * (IGNORE_INDEX + 1)
        for ours, values in self.ids.items():
            for value in values:
                if value <= IGNORE_INDEX:
                    ids[value] = ours
        return tuple(ids)

    def plain(self) -> list[dict[str, Any]]:
        """The manifest's `classes`."""
        return [{"id": i, "name": c.name, "color": list(c.color)}
                for i, c in enumerate(self.classes)]  # fmt: skip

    def plain_ids(self) -> dict[str, list[int]]:
        """The manifest's `members.ids`: values of 8 bits, for masks have no others."""
        return {str(ours): sorted(v for v in values if v <= IGNORE_INDEX)
                for ours, values in sorted(self.ids.items())}  # fmt: skip


def read_classes(text: str) -> ClassList:
    """The classes that `--classes` names: `voc`, or a class file.

    Raises:
        UsageError: If the file is missing or says what cannot be.
    """
    if text.strip().lower() == "voc":
        return class_list([{"name": name} for name in VOC], {}, Path("voc"))
    path = Path(text)
    try:
        content = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--classes {path}: cannot be read ({reason}); give 'voc' or a file: TOML, CSV, or "
            "plain text with a class name a line"
        ) from error
    readers = {".toml": from_toml, ".csv": from_csv}
    suffix = path.suffix.lower()
    if suffix not in (*readers, "", ".txt", ".names"):
        refuse(path, f"is of the unknown kind {suffix}; rename it to .toml, .csv or .txt")
    plain = readers.get(suffix, from_lines)(content, path)
    return class_list(plain.pop("classes", []), plain, path)


def refuse(path: Path, what: str) -> NoReturn:
    """Refuse a class file.

    Raises:
        UsageError: Always.
    """
    raise UsageError(f"--classes {path}: {what}")


def from_lines(content: str, _: Path) -> dict[str, Any]:
    """A name a line; a first line `background` and lines that begin with # are passed over."""
    lines = [line.strip() for line in content.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    return {"classes": [{"name": n} for n in names[names[:1] == ["background"] :]]}


def from_toml(content: str, path: Path) -> dict[str, Any]:
    """`[[classes]]`, and `background` and `ignore` above them."""
    try:
        plain = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        refuse(path, f"is no TOML: {error}")
    if unknown := sorted(plain.keys() - TABLES):
        refuse(
            path,
            f"holds the unknown entry {', '.join(unknown)}; there are {', '.join(sorted(TABLES))}, "
            "the first and the last but one above the first [[classes]]",
        )
    rows = plain.get("classes", [])
    if not isinstance(rows, list):
        refuse(path, 'classes is no list; write [[classes]] with name = "..."')
    return plain | {"classes": [{"name": r} if isinstance(r, str) else r for r in rows]}


def from_csv(content: str, path: Path) -> dict[str, Any]:
    """`id,name,color`; rows of one name are one class, `background` and `ignore` stand apart."""
    found = csv.DictReader(io.StringIO(content), skipinitialspace=True)
    found.fieldnames = [str(c).strip().lower() for c in found.fieldnames or ()]
    columns = set(found.fieldnames)
    if "name" not in columns or not columns <= {"id", "name", "color"}:
        refuse(path, "has other columns; expected a first line `id,name,color`")
    plain: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = {}
    for row in found:
        cells = {k: (v or "").strip() for k, v in row.items() if k and not isinstance(v, list)}
        if not any(cells.values()):
            continue
        name, number, color = (cells.get(c, "") for c in ("name", "id", "color"))
        if number and not number.isdecimal():
            refuse(path, f"the id {number!r} is no number of 0 to {MAX_ID}")
        values = [int(number)] if number else []
        if name.lower() in RESERVED:
            plain.setdefault(name.lower(), []).extend(values)
            continue
        entry = rows.setdefault(name, {"name": name})
        if values:
            entry.setdefault("ids", []).extend(values)
        if color:
            entry.setdefault("color", color)
    return plain | {"classes": list(rows.values())}


def class_list(rows: list[Any], plain: Mapping[str, Any], path: Path) -> ClassList:
    """The classes of a file's rows, checked.

    Args:
        rows: Of the classes.
        plain: `background` and `ignore`, where the file has them.
        path: Of the file.

    Raises:
        UsageError: If they cannot be.
    """
    names = checked_names(rows, path)
    given = [row.get("ids") for row in rows]
    if all(ids is None for ids in given):
        given = [[i] for i in range(1, len(rows) + 1)]
    for name, ids in zip(names, given, strict=True):
        if ids is None:
            refuse(
                path, f"the class {name!r} has no ids, others have; give each its ids, [] for none"
            )
    entries = {i: checked_ids(ids, path) for i, ids in enumerate(given, 1)}
    taken = {value for ids in entries.values() for value in ids}
    entries[0] = special_ids(plain, "background", 0, taken, path)
    entries[IGNORE_INDEX] = special_ids(plain, "ignore", IGNORE_INDEX, taken, path)
    refuse_twice(entries, path)
    colors = [checked_color(row, i, path) for i, row in enumerate(rows, 1)]
    infos = [ClassInfo(n, c) for n, c in zip(names, colors, strict=True)]
    return ClassList((ClassInfo("background", (0, 0, 0)), *infos), entries)


def checked_names(rows: list[Any], path: Path) -> list[str]:
    """The classes' names, in order.

    Raises:
        UsageError: If one is missing, unusable, reserved or repeated, or the count cannot be.
    """
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            refuse(path, f'a class has no name: {row}; write [[classes]] with name = "..."')
        if unknown := sorted(row.keys() - FIELDS):
            refuse(path, f"the class {row['name']!r} holds the unknown entry {', '.join(unknown)}; "
                         f"there are {', '.join(sorted(FIELDS))}")  # fmt: skip
    names = [" ".join(row["name"].split()) for row in rows]
    if not 1 <= len(names) <= MAX_CLASSES:
        refuse(path, f"holds {len(names)} classes; expected 1 to {MAX_CLASSES} besides background")
    for name in names:
        if not name or not name.isprintable():
            refuse(path, f"a class has the unusable name {name!r}; use printable letters")
        if name.lower() in RESERVED:
            refuse(path, f"{name!r} is no class, it is always there; say which ids it has by "
                         f"{name.lower()} = [...] above the classes")  # fmt: skip
    lowered = [name.lower() for name in names]
    if repeated := sorted({n for n in lowered if lowered.count(n) > 1}):
        refuse(path, f"names {', '.join(repeated)} more than once; give a class all its ids in one "
                     "place")  # fmt: skip
    return names


def checked_ids(values: object, path: Path) -> tuple[int, ...]:
    """A list of ids.

    Raises:
        UsageError: If it is none.
    """
    if not isinstance(values, list):
        refuse(path, f"ids are a list such as [7, 8], not {values!r}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ID:
            refuse(path, f"{value!r} is no id; expected whole numbers of 0 to {MAX_ID}")
    return tuple(values)


def special_ids(
    plain: Mapping[str, Any], name: str, default: int, taken: Iterable[int], path: Path
) -> tuple[int, ...]:
    """The ids of background or ignore: the file's, else the usual one where no class claims it.

    Colours may stand among them; they are for colour masks.
    """
    if name not in plain:
        return () if default in taken else (default,)
    values = plain[name]
    if not isinstance(values, list):
        refuse(path, f"{name} is a list such as [0], not {values!r}")
    return checked_ids([v for v in values if isinstance(v, int)], path)


def refuse_twice(entries: Mapping[int, tuple[int, ...]], path: Path) -> None:
    """Refuse an id that would be two classes.

    Raises:
        UsageError: With the id.
    """
    owners: dict[int, int] = {}
    for ours, values in entries.items():
        for value in values:
            if value in owners:
                refuse(path, f"the id {value} is named twice; an id becomes one class")
            owners[value] = ours


def checked_color(row: Mapping[str, Any], index: int, path: Path) -> Color:
    """What pictures draw a class in: its `color`, its first colour in masks, else VOC's.

    Raises:
        UsageError: If it is no colour.
    """
    listed = row.get("colors")
    value = row.get("color", listed[0] if isinstance(listed, list) and listed else None)
    if value is None:
        return voc_color(index)
    parts: object = value
    if isinstance(value, str) and len(value) == 7 and value.startswith("#"):
        try:
            parts = list(bytes.fromhex(value[1:]))
        except ValueError:
            parts = None
    if isinstance(parts, list) and [*map(type, parts)] == [int] * 3:
        red, green, blue = parts
        if min(parts) >= 0 and max(parts) <= 255:
            return red, green, blue
    refuse(path, f'{value!r} is no colour; expected "#rrggbb" or [red, green, blue]')
