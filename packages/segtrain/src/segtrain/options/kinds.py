"""Of which kinds the values of options are."""

import types
import typing
from functools import cache
from pathlib import Path
from typing import Any, Literal


@cache
def hints(config: type) -> dict[str, Any]:
    """The annotation of each field of a configuration."""
    return typing.get_type_hints(config)


def kinds(config: type, name: str) -> tuple[Any, ...]:
    """The types that a field takes; a Literal's words count as one type, None as its type."""
    hint = hints(config)[name]
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if union else (hint,)


def is_of(kind: Any, value: object) -> bool:  # noqa: ANN401 - types
    """Whether a value, as JSON or a checkpoint has it, is of one of `kinds`."""
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if kind == tuple[str, ...]:
        each = value if isinstance(value, list | tuple) else [value]
        return bool(each) and all(isinstance(word, str | Path) for word in each)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, (str, Path) if kind is Path else kind)
