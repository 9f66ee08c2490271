"""docs/training-errors.md quotes what segtrain says."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import segtrain

PAGE = Path(__file__).parents[2] / "docs" / "training-errors.md"
GAP = "\0"
ROWS = re.findall(r"^\| `(.+?)` \| (.+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)


def texts(node: ast.AST) -> Iterator[str]:
    """The texts of a piece of source, with a gap where something is filled in."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else GAP for part in inner.values
            )
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


@cache
def said() -> str:
    """Everything that segtrain's source could say, a line each."""
    sources = sorted(Path(segtrain.__file__).parent.rglob("*.py"))
    found = (text for path in sources for text in texts(ast.parse(path.read_text("utf-8"))))
    return "\n".join(text.replace("\n", " ") for text in found)


@pytest.mark.parametrize("quoted", [row[0] for row in ROWS])
def test_each_error_is_one_that_is_said(quoted: str) -> None:
    """A line of the page, with what is filled in left open, stands in one text of the source."""
    parts = map(re.escape, re.split(r"<[^<>]+>", quoted))
    assert re.search(".*".join(parts), said())


def test_every_line_is_looked_at() -> None:
    """The page has its lines, each error once."""
    lines = re.findall(r"^\| `", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len({row[0] for row in ROWS}) == len(ROWS) == len(lines) >= 45
