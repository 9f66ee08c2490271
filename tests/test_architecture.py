"""What the architecture pages say of the packages is true of their code."""

import ast
import re
from collections.abc import Collection
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("segdata", "segtrain")
OUTSIDE = {"__main__"}  # only starts the command line


def rows(package: str) -> list[list[str]]:
    """The modules of each row of a page's first table, from the ground up."""
    page = (ROOT / "docs" / "architecture" / f"{package}.md").read_text("utf-8")
    table = page.split("| --- | --- |\n")[1].split("\n\n")[0]
    return [re.findall(r"`(\w+)`", line.split("|")[2]) for line in table.splitlines()]


def modules(package: str) -> dict[str, Path]:
    """The files of a package by the dotted names of their modules, those of packages included."""
    source = ROOT / "packages" / package / "src"
    found = {}
    for path in (source / package).rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(path: Path, known: Collection[str]) -> set[str]:
    """The modules, of those known, that a file imports, at its top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & set(known) or {str(node.module)}
    return found & set(known)


def imports(package: str) -> dict[str, set[str]]:
    """What each module of a package imports of the others."""
    known = modules(package)
    return {n: imported(p, known) - {n, package} for n, p in known.items() if n != package}


def top_imports(package: str) -> dict[str, set[str]]:
    """The same of what stands in the package itself: modules, and subpackages as wholes."""
    found: dict[str, set[str]] = {}
    for name, used in imports(package).items():
        own = name.split(".")[1]
        if own not in OUTSIDE:
            found.setdefault(own, set()).update({u.split(".")[1] for u in used} - {own})
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_names_every_module_once(package: str) -> None:
    """Each module of the package stands in one row of its page, and nothing else does."""
    named = sorted(name for row in rows(package) for name in row)
    assert named == sorted(top_imports(package))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    """No module imports from a row below its own."""
    place = {name: number for number, row in enumerate(rows(package)) for name in row}
    up = [
        (name, used)
        for name, all_used in top_imports(package).items()
        for used in all_used
        if place[used] > place[name]
    ]
    assert not up


def test_segtrain_has_no_circles() -> None:
    """No module of segtrain imports itself by way of others, in whatever rows they stand."""
    left = imports("segtrain")
    while free := {name for name, used in left.items() if not used & left.keys()}:
        left = {name: used for name, used in left.items() if name not in free}
    assert not left


def test_the_verifier_shares_no_rule_with_the_builder() -> None:
    """segdata.verify imports neither masks nor images nor labels, whose rules it checks."""
    assert not top_imports("segdata")["verify"] & {"masks", "images", "labels"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_fits_a_screen(package: str) -> None:
    """An architecture page stays short enough to be read at once, and its files exist."""
    page = (ROOT / "docs" / "architecture" / f"{package}.md").read_text("utf-8")
    assert len(page.splitlines()) <= 60
    source = ROOT / "packages" / package / "src" / package
    for folder in re.findall(r"`([a-z_]+(?:/[a-z_]+)*)/`", page):
        assert (source / folder).is_dir()
