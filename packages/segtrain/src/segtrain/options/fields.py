"""What an option is: a dataclass field with its panel, its help and its range."""

import math
import operator
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field
from typing import Any

from segtrain.errors import UsageError


def about(
    panel: str, help_text: str, words: Mapping[str, int] | None = None, **bounds: float
) -> dict[str, Any]:
    """What the command line knows of a field.

    Args:
        panel: The panel of `--help` that shows it.
        help_text: What it is: unit, range, consequence.
        words: Words that may stand for numbers, such as `auto`.
        **bounds: `min`, `max` (inclusive) or `above`, `below` (exclusive).
    """
    return {"panel": panel, "help": help_text, "bounds": bounds, "words": dict(words or {})}


def number_or_word(words: Mapping[str, int]) -> Callable[[str], int]:
    """What reads a whole number or one of the words that stand for some.

    The reader raises ValueError for anything else.
    """

    def read(text: object) -> int:
        if isinstance(text, int):  # a default
            return text
        if text in words:
            return words[str(text)]
        try:
            return int(str(text))
        except ValueError:
            known = " or ".join(words)
            raise ValueError(f"{text} is neither a whole number nor {known}") from None

    return read


def flag(name: str) -> str:
    """The command line's name of a field: `val_every` is `--val-every`."""
    return "--" + name.replace("_", "-")


def check_bounds(option: "Field[Any]", value: object) -> None:
    """Refuse a value outside its field's range.

    Raises:
        UsageError: With the option, the value and the range.
    """
    tests: dict[str, tuple[str, Callable[[float, float], bool]]] = {
        "min": ("at least", operator.ge),
        "max": ("at most", operator.le),
        "above": ("above", operator.gt),
        "below": ("below", operator.lt),
    }
    if not isinstance(value, int | float):
        return
    for bound, limit in option.metadata["bounds"].items():
        words, holds = tests[bound]
        if not (abs(value) <= sys.float_info.max and holds(value, limit)):
            raise UsageError(f"{flag(option.name)} must be {words} {limit:g}, not {value}")


def numbers(name: str, text: str, count: int, such: str) -> tuple[float, ...]:
    """The positive numbers of an option such as `--skip-scales 0.01,0.0001`.

    Args:
        name: The field.
        text: What was given.
        count: How many there must be.
        such: An example, for the message.

    Raises:
        UsageError: If they are not so many, not numbers, or not above 0.
    """
    words = {2: "two", 3: "three"}.get(count, str(count))
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count or not all(math.isfinite(n) and n > 0 for n in found):
        raise UsageError(
            f"{flag(name)} takes {words} numbers above 0, such as {such}, not {text!r}"
        )
    return found
