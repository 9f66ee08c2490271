"""Every error that a user can meet stands in docs/errors.md and in a test that provokes it.

A headline is what a constructor of the tree in `segdata.errors` gets first; it is read from the
source, without running it. A filled-in part is `<>` here, and `<with its meaning>` on the page.
"""

import ast
import importlib
import itertools
import pkgutil
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import segdata
from segdata.errors import SegdataError

Function = ast.FunctionDef | ast.AsyncFunctionDef
SOURCE = Path(segdata.__path__[0])
TESTS = Path(__file__).parent
PAGE = TESTS.parent.parent / "docs" / "errors.md"
GAP = "<>"
ELSEWHERE = {
    f"the disk is full: {GAP} is not whole": "fetch/test_fetch.py",
    "the engine dask needs packages that are not installed": "test_cluster.py",
}
"""Headlines that are met in processes of their own, and the test that reads them there."""


def builders() -> set[str]:
    """The names of the tree's classes, wherever they are defined."""
    for module in pkgutil.walk_packages(segdata.__path__, "segdata."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, left = set[str](), [SegdataError]
    while left:
        kind = left.pop()
        found.add(kind.__name__)
        left += kind.__subclasses__()
    return found


def texts(node: ast.expr) -> list[str]:
    """What an expression of text can be: one of several where it is conditional."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp():
            return [*texts(node.body), *texts(node.orelse)]
        case ast.BinOp(op=ast.Add()):
            return ["".join(p) for p in itertools.product(texts(node.left), texts(node.right))]
        case ast.JoinedStr():
            return ["".join(p) for p in itertools.product(*map(texts, node.values))]
        case ast.FormattedValue(conversion=114):  # !r, of a text
            return [f"'{GAP}'"]
        case ast.FormattedValue():
            return [GAP]
    raise ValueError(f"no text: {ast.unparse(node)}, line {node.lineno}")


@dataclass(frozen=True)
class Module:
    """A source file, and what builds errors in it."""

    path: Path
    kinds: set[str]

    def headlines(self) -> Iterator[str]:
        """What its errors begin with. A function that hands its argument on is a builder, too."""
        tree = ast.parse(self.path.read_text("utf-8"))
        helpers, handed = set[str](), set[ast.Call]()
        for function in ast.walk(tree):
            if isinstance(function, Function):
                names = {argument.arg for argument in function.args.args}
                for call in calls(function, self.kinds):
                    if isinstance(call.args[0], ast.Name) and call.args[0].id in names:
                        helpers.add(function.name)
                        handed.add(call)
        for call in calls(tree, self.kinds | helpers):
            again = getattr(call.args[0], "attr", "") == "what"  # of an error that is told again
            if call not in handed and not again:
                yield from texts(call.args[0])


def calls(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    """The calls of functions or methods of these names that have an argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = node.func
            name = getattr(called, "id", None) or getattr(called, "attr", None)
            if name in names:
                yield node


def fitting(message: str, headlines: set[str]) -> str:
    """The headline that a message has, the most definite one where several fit; "" for none."""
    fit = [h for h in headlines if re.fullmatch(".+".join(map(re.escape, h.split(GAP))), message)]
    return max(fit, key=lambda text: len(text.replace(GAP, "")), default="")


@pytest.fixture(scope="module")
def headlines() -> set[str]:
    """The headlines of every error of segdata."""
    kinds = builders()
    return {text for path in SOURCE.rglob("*.py") for text in Module(path, kinds).headlines()}


def test_the_page_names_every_error(headlines: set[str]) -> None:
    """docs/errors.md has a line for each headline, once, with a meaning and a remedy, and no other.

    Where what is filled in matters, a headline may have several lines.
    """
    rows = re.findall(
        r"^\| (`+) ?(.+?) ?\1 \| (.+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    shown = [text for _, text, _, _ in rows]
    assert sorted(shown) == sorted(set(shown))
    assert {re.sub(r"<[^<>]+>", GAP, text) for text in shown} == headlines
    assert headlines > {"the disk is full", f"{GAP} was not found"}


def test_getting_started_tells_real_errors(headlines: set[str]) -> None:
    """The errors that newcomers meet are told there as they are printed."""
    told = re.findall(r"`error: (.+?)`", PAGE.with_name("getting-started.md").read_text("utf-8"))
    assert len(told) >= 5
    assert [text for text in told if not fitting(text, headlines)] == []


@pytest.mark.skipif(sys.platform == "win32", reason="some of the tests need POSIX' signals, limits")
def test_every_error_is_provoked(
    request: pytest.FixtureRequest, headlines: set[str], errors_met: set[str]
) -> None:
    """In a run of all these tests segdata's own code raises each of its errors at least once."""
    run = {item.path for item in request.session.items}
    if request.config.getoption("keyword") or not run >= set(TESTS.rglob("test_*.py")):
        pytest.skip("only a run of all tests of segdata can tell")
    met = {found for message in errors_met if (found := fitting(message, headlines))}
    assert headlines - met - ELSEWHERE.keys() == set()
    assert ELSEWHERE.keys() <= headlines


@pytest.mark.parametrize("headline", ELSEWHERE)
def test_errors_of_other_processes_are_asserted(headline: str) -> None:
    """What this process cannot note stands in the test that is named for it."""
    text = (TESTS / ELSEWHERE[headline]).read_text("utf-8")
    assert all(part in text for part in headline.split(GAP))
