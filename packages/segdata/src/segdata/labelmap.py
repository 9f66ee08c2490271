"""Label maps: which class each id or colour of somebody's masks becomes, read from a class file.

A class file is TOML, CSV (`id,name,color`), or plain text with a name a line; the page of
`segdata build-folder` describes all three. Several source ids may become one class. What a map does
not name is an error when a mask holds it: nothing becomes background by silence.
"""

import csv
import io
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata.classes import IGNORE, MAX_CLASSES, VOC_NAMES, ClassSet, voc_color
from segdata.errors import UsageError

IDS = 1 << 16  # masks hold at most 16 bits a pixel
BACKGROUND = 0
RESERVED = ("background", "ignore")
UNKNOWN = -1
VOID_COLOR = (224, 224, 192)  # VOC's
FIELDS = {"name", "ids", "colors", "color"}
TABLE = '[[classes]] with name = "…"'
TABLES = {"background", "ignore", "classes"}

Color = tuple[int, int, int]
"""Red, green, blue, each 0..255."""


@dataclass(frozen=True)
class Entry:
    """What becomes one class: source ids 0..65535 and colours; None where the file gives none."""

    ids: tuple[int, ...] | None = None
    colors: tuple[Color, ...] | None = None


@dataclass(frozen=True)
class LabelMap:
    """From source ids and colours to ours: 0 background, 1..C classes, 255 ignore.

    Attributes:
        names: of the classes, in the order of our ids.
        classes: an entry for each name.
        background: what becomes 0.
        ignore: what becomes 255.
        shown: the colour that pictures draw each class in.
        implied: whether `ignore` is the default and not the file's own words.
    """

    names: tuple[str, ...]
    classes: tuple[Entry, ...]
    background: Entry
    ignore: Entry
    shown: tuple[Color, ...]
    implied: bool = False

    @property
    def class_set(self) -> ClassSet:
        """The classes as a build takes them."""
        return ClassSet(self.names, self.shown)

    @cached_property
    def ids(self) -> Mapping[int, int] | None:
        """Our id of each source id; None where a class has none, so index masks cannot be read."""
        if any(entry.ids is None for entry in self.classes):
            return None
        return {i: ours for ours, entry in self._numbered() for i in entry.ids or ()}

    @cached_property
    def colors(self) -> Mapping[Color, int] | None:
        """Our id of each source colour; None where a class has none."""
        if any(entry.colors is None for entry in self.classes):
            return None
        return {color: ours for ours, entry in self._numbered() for color in entry.colors or ()}

    def _numbered(self) -> Iterable[tuple[int, Entry]]:
        return [(BACKGROUND, self.background), (IGNORE, self.ignore), *enumerate(self.classes, 1)]

    @cached_property
    def id_table(self) -> NDArray[np.int16]:
        """Our id of each source id, -1 where it is unknown, int16 (65536,)."""
        table = np.full(IDS, UNKNOWN, np.int16)
        for source, ours in (self.ids or {}).items():
            table[source] = ours
        return table

    @cached_property
    def color_table(self) -> NDArray[np.int16]:
        """Our id of each red·65536 + green·256 + blue, -1 where unknown, int16 (2^24,): 34 MB."""
        table = np.full(1 << 24, UNKNOWN, np.int16)
        for (red, green, blue), ours in (self.colors or {}).items():
            table[red << 16 | green << 8 | blue] = ours
        return table

    def __getstate__(self) -> dict[str, object]:
        """What travels to workers: not the tables, which they make faster than they read them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def record(self) -> dict[str, object]:
        """The map as the manifest has it."""
        return {
            "background": _recorded(self.background),
            "ignore": _recorded(self.ignore),
            "classes": {n: _recorded(e) for n, e in zip(self.names, self.classes, strict=True)},
        }


def _recorded(entry: Entry) -> dict[str, object]:
    found: dict[str, object] = {}
    if entry.ids is not None:
        found["ids"] = list(entry.ids)
    if entry.colors is not None:
        found["colors"] = [hex_color(color) for color in entry.colors]
    return found


def hex_color(color: Color) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def voc_map() -> LabelMap:
    """VOC's own ids and colours."""
    shown = tuple(voc_color(i) for i in range(1, len(VOC_NAMES) + 1))
    return LabelMap(
        VOC_NAMES,
        tuple(Entry((i,), (color,)) for i, color in enumerate(shown, 1)),
        Entry((BACKGROUND,), (voc_color(BACKGROUND),)),
        Entry((IGNORE,), (VOID_COLOR,)),
        shown,
    )


def read_label_map(text: str) -> LabelMap:
    """The label map that `--classes` names: `voc`, or a class file.

    Raises:
        UsageError: the file is missing, or says what cannot be.
    """
    if text.strip().lower() == "voc":
        return voc_map()
    path = Path(text)
    try:
        content = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "the class file cannot be read",
            where=path,
            expected="'voc', or a file: TOML, CSV, or plain text with a class name a line",
            found=getattr(error, "strerror", None) or error,
        ) from error
    return _Reader(path).read(content)


class _Reader:
    """Reads a class file; every refusal names it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refusal(self, what: str, **parts: Any) -> UsageError:  # noqa: ANN401 - an error's parts
        return UsageError(what, where=self.path, **parts)

    def read(self, content: str) -> LabelMap:
        suffix = self.path.suffix.lower()
        if suffix == ".toml":
            plain = self._toml(content)
        elif suffix == ".csv":
            plain = self._csv(content)
        elif suffix in ("", ".txt", ".names"):
            plain = self._lines(content)
        else:
            raise self.refusal(
                "the class file is of an unknown kind", expected=".toml, .csv or .txt", found=suffix
            )
        return self._label_map(plain)

    def _toml(self, content: str) -> dict[str, Any]:
        try:
            plain = tomllib.loads(content)
        except tomllib.TOMLDecodeError as error:
            raise self.refusal("the class file is no TOML", found=error) from error
        if unknown := sorted(plain.keys() - TABLES):
            raise self.refusal(
                "the class file holds an unknown entry",
                expected=", ".join(sorted(TABLES)),
                found=", ".join(unknown),
                advice="write `background` and `ignore` above the first [[classes]]",
            )
        rows = plain.get("classes", [])
        if not isinstance(rows, list):
            raise self.refusal("`classes` is no list", expected=TABLE, found=rows)
        return plain | {"classes": [{"name": r} if isinstance(r, str) else r for r in rows]}

    def _lines(self, content: str) -> dict[str, Any]:
        lines = [line.strip() for line in content.splitlines()]
        names = [line for line in lines if line and not line.startswith("#")]
        return {"classes": [{"name": n} for n in names[names[:1] == ["background"] :]]}

    def _csv(self, content: str) -> dict[str, Any]:
        """Rows that share a name are one class; `background` and `ignore` are what they say."""
        found = csv.DictReader(io.StringIO(content), skipinitialspace=True)
        columns = [str(c).strip().lower() for c in found.fieldnames or ()]
        found.fieldnames = columns
        if "name" not in columns or not set(columns) <= {"id", "name", "color"}:
            raise self.refusal(
                "the class file has other columns",
                expected="a first line `id,name,color`, of which id or color may be absent",
                found=",".join(columns),
            )
        plain: dict[str, Any] = {}
        rows: dict[str, dict[str, Any]] = {}
        for row in found:
            cells = {k: (v or "").strip() for k, v in row.items() if k and not isinstance(v, list)}
            self._add_csv_row(cells, plain, rows)
        return plain | {"classes": list(rows.values())}

    def _add_csv_row(
        self, cells: Mapping[str, str], plain: dict[str, Any], rows: dict[str, dict[str, Any]]
    ) -> None:
        if not any(cells.values()):
            return
        name, number, color = cells["name"], cells.get("id", ""), cells.get("color", "")
        if number and not number.isdecimal():
            raise self.refusal("an id is no number", expected="0 to 65535", found=repr(number))
        if name.lower() in RESERVED:
            plain.setdefault(name.lower(), []).extend(
                [*([int(number)] if number else []), *([color] if color else [])]
            )
            return
        row = rows.setdefault(name, {"name": name})
        if number:
            row.setdefault("ids", []).append(int(number))
        if color:
            row.setdefault("colors", []).append(color)

    def _label_map(self, plain: Mapping[str, Any]) -> LabelMap:
        rows = [self._row(row) for row in plain["classes"]]
        names = self._names([str(row["name"]) for row in rows])
        entries = [self._entry(row) for row in rows]
        if all(entry.ids is None and "colors" not in row and "color" not in row
               for row, entry in zip(rows, entries, strict=True)):  # fmt: skip
            entries = [Entry((i,), None) for i in range(1, len(entries) + 1)]
        shown = tuple(
            self._color(row["color"]) if "color" in row else (entry.colors or (voc_color(i),))[0]
            for i, (row, entry) in enumerate(zip(rows, entries, strict=True), 1)
        )
        taken = _Taken([*zip(names, entries, strict=True)])
        background = self._values(plain, "background", taken, [BACKGROUND, "#000000"])
        ignore = self._values(plain, "ignore", taken, [IGNORE])
        label_map = LabelMap(
            names, tuple(entries), background, ignore, shown, implied="ignore" not in plain
        )
        self._refuse_twice([("background", background), ("ignore", ignore), *taken.entries])
        return label_map

    def _row(self, row: object) -> dict[str, Any]:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise self.refusal("a class has no name", expected=TABLE, found=row)
        if unknown := sorted(row.keys() - FIELDS):
            raise self.refusal(
                f"the class {row['name']!r} holds an unknown entry",
                expected=", ".join(sorted(FIELDS)),
                found=", ".join(unknown),
            )
        return row

    def _names(self, given: Sequence[str]) -> tuple[str, ...]:
        names = tuple(" ".join(name.split()) for name in given)
        if not 1 <= len(names) <= MAX_CLASSES:
            raise self.refusal(
                "the class file holds no class" if not names else "there are too many classes",
                expected=f"1 to {MAX_CLASSES}, besides background and ignore",
                found=len(names),
            )
        if bad := [name for name in names if not name.isprintable() or not name]:
            raise self.refusal(
                "a class has no usable name", expected="printable letters", found=repr(bad[0])
            )
        if bad := [name for name in names if name.lower() in RESERVED]:
            raise self.refusal(
                f"{bad[0]!r} is no class: it is always there",
                expected=f"{bad[0].lower()} = [ids and colours] above the classes",
            )
        lowered = [name.lower() for name in names]
        if repeated := sorted({n for n in lowered if lowered.count(n) > 1}):
            raise self.refusal(
                "a class is named more than once",
                found=", ".join(repeated),
                advice="give a class all its ids and colours in one place",
            )
        return names

    def _entry(self, row: Mapping[str, Any]) -> Entry:
        ids = None
        if "ids" in row:
            ids = tuple(self._id(value) for value in self._list(row["ids"]))
        colors = None
        if "colors" in row:
            colors = tuple(self._color(value) for value in self._list(row["colors"]))
        elif "color" in row:
            colors = (self._color(row["color"]),)
        return Entry(ids, colors)

    def _values(
        self, plain: Mapping[str, Any], name: str, taken: "_Taken", default: Sequence[object]
    ) -> Entry:
        """The entry of `background` or `ignore`: a list of ids and colours together."""
        values = self._list(plain[name]) if name in plain else taken.free(default)
        ids = tuple(self._id(v) for v in values if isinstance(v, int))
        return Entry(ids, tuple(self._color(v) for v in values if not isinstance(v, int)))

    def _list(self, value: object) -> list[Any]:
        if not isinstance(value, list):
            raise self.refusal("ids and colours are lists", expected="[7, 8]", found=value)
        return value

    def _id(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < IDS:
            raise self.refusal("a source id is out of range", expected="0 to 65535", found=value)
        return value

    def _color(self, value: object) -> Color:
        parts: object = value
        if isinstance(value, str) and len(value) == 7 and value.startswith("#"):
            try:
                parts = list(bytes.fromhex(value[1:]))
            except ValueError:
                parts = value
        if isinstance(parts, list) and [*map(type, parts)] == [int] * 3:
            red, green, blue = parts
            if min(parts) >= 0 and max(parts) <= 255:
                return red, green, blue
        raise self.refusal(
            "a colour cannot be read", expected='"#rrggbb" or [red, green, blue]', found=repr(value)
        )

    def _refuse_twice(self, entries: Sequence[tuple[str, Entry]]) -> None:
        owners: dict[object, str] = {}
        for name, entry in entries:
            for value in [*(entry.ids or ()), *map(hex_color, entry.colors or ())]:
                if value in owners:
                    kind = "id" if isinstance(value, int) else "colour"
                    raise self.refusal(
                        f"the {kind} {value} is named twice",
                        found=f"under {owners[value]} and under {name}",
                        advice="an id or colour becomes one class; several may become the same",
                    )
                owners[value] = name


@dataclass(frozen=True)
class _Taken:
    """What the classes claim, so that defaults leave it to them."""

    entries: Sequence[tuple[str, Entry]]

    def free(self, values: Sequence[object]) -> list[object]:
        """Those values that no class claims."""
        claimed: set[object] = set()
        for _, entry in self.entries:
            claimed.update(entry.ids or ())
            claimed.update(hex_color(color) for color in entry.colors or ())
        return [value for value in values if value not in claimed]
