"""Configurations as TOML files: options by the names of the command line, one a line."""

import dataclasses
import difflib
import math
import re
import tomllib
import typing
from collections.abc import Container
from pathlib import Path
from typing import Any, Literal

from segtrain.config import TrainConfig
from segtrain.errors import UsageError
from segtrain.options.kinds import kinds


def field_types(name: str) -> tuple[Any, ...]:
    """The types that a field takes; a Literal's words count as one type, None is left out."""
    return tuple(kind for kind in kinds(TrainConfig, name) if kind is not type(None))


def expected(kind: object) -> str:
    """What a type takes, in words."""
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(word) for word in typing.get_args(kind))
    words: dict[object, str] = {
        int: "a whole number", float: "a number", bool: "true or false", str: "a text in quotes",
        Path: "a path in quotes", tuple[str, ...]: "a text in quotes or a list of them",
    }  # fmt: skip
    return words[kind]


def converted(value: object, kind: Any) -> tuple[bool, Any]:  # noqa: ANN401 - types, values
    """Whether a value of TOML is of a type, and the value as that."""
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind), value
    if kind is Path:
        return isinstance(value, str), Path(value) if isinstance(value, str) else None
    if kind == tuple[str, ...]:
        found = value if isinstance(value, list) else [value]
        return all(isinstance(word, str) for word in found), tuple(found)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return True, float(value)
    return type(value) is kind, value


def line_of(text: str, key: str) -> int:
    """The line of a top-level key, 1 for the first."""
    pattern = re.compile(rf"""\s*(\[\s*)?["']?{re.escape(key)}["']?\s*[=\].]""")
    lines = text.splitlines()
    return next((n for n, line in enumerate(lines, 1) if pattern.match(line)), 1)


def near_miss(word: str, names: typing.Iterable[str]) -> str:
    """A suggestion for a mistyped name, empty where none is near."""
    close = difflib.get_close_matches(word, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def option(key: str, value: object, where: str) -> tuple[str, Any]:
    """A field of `TrainConfig` and its value from one entry of a file.

    Raises:
        UsageError: If there is no such option, or it does not take such a value.
    """
    names = [f.name for f in dataclasses.fields(TrainConfig)]
    name = key.replace("-", "_")
    if name not in names:
        shown = [n.replace("_", "-") if "-" in key else n for n in names]
        hint = near_miss(key, shown) or "; `segtrain run --help` lists them"
        raise UsageError(f"{where}: there is no option {key}{hint}")
    words: dict[str, int] = TrainConfig.__dataclass_fields__[name].metadata["words"]
    given = words.get(value, value) if isinstance(value, str) else value
    for kind in field_types(name):
        fits, found = converted(given, kind)
        if fits:
            return name, found
    wanted = " or ".join(expected(kind) for kind in field_types(name))
    close = near_miss(value, words_of(name)) if isinstance(value, str) else ""
    raise UsageError(f"{where}: {key} must be {wanted}, not {shown_value(value)}{close}")


def words_of(name: str) -> list[str]:
    """The words that a field of a few words takes, none for others."""
    literals = (k for k in field_types(name) if typing.get_origin(k) is Literal)
    return [str(word) for kind in literals for word in typing.get_args(kind)]


def read_toml(path: Path) -> dict[str, Any]:
    """The options that a TOML file gives, by field of `TrainConfig`.

    Args:
        path: The file: `lr = 0.05`, one option a line; `val-every` and `val_every` are the same.

    Raises:
        UsageError: If it cannot be read, is no TOML, or holds an unknown option or a value of
            another kind; with the line.
    """
    try:
        text = path.read_text("utf-8")
        plain = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # tomllib's, and that of bytes that are no UTF-8
        raise UsageError(
            f"{path}: is no TOML: {error}; write one option a line, such as lr = 0.05"
        ) from error
    found: dict[str, Any] = {}
    for key, value in plain.items():
        where = f"{path}, line {line_of(text, key)}"
        name, typed = option(key, value, where)
        if name in found:
            raise UsageError(f"{where}: {key} is there twice; leave one of them out")
        found[name] = typed
    return found


def shown_value(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown_value, value))}]"
    text = value.as_posix() if isinstance(value, Path) else str(value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    control = {ord(c): f"\\u{ord(c):04x}" for c in map(chr, [*range(32), 127])}
    return f'"{escaped.translate(control)}"'


def toml_text(
    config: TrainConfig, notes: typing.Mapping[str, str], derived: Container[str] = ()
) -> str:
    """A file that gives this configuration, panel by panel; what is None is left out.

    What follows from other options is a comment, so that it still follows when they are changed.

    Args:
        config: The configuration.
        notes: Remarks on options, by field.
        derived: Fields whose values follow from others.
    """
    panels: dict[str, list[str]] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if value is not None:
            comment = f.name in derived
            note = "follows from the others" if comment else notes.get(f.name, "")
            line = f"{'# ' * comment}{f.name} = {shown_value(value)}{f'  # {note}' * bool(note)}"
            panels.setdefault(f.metadata["panel"], []).append(line)
    return "\n\n".join("\n".join([f"# {name}", *lines]) for name, lines in panels.items()) + "\n"
