"""The documentation is complete, and what it links to and names is there."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@cache
def help_of(*words: str) -> str:
    """What `PROGRAM COMMAND --help` prints."""
    call = [sys.executable, "-m", *words, "--help"]
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout


def commands(program: str) -> list[str]:
    """The commands that a program's help lists."""
    listed = help_of(program).split("─ Commands ")[1]
    return re.findall(r"^│ ([a-z-]+)  ", listed, re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, by GitHub's rule."""
    text = FENCE.sub("", page.read_text("utf-8"))
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", head)).lower() for head in heads)
    return {head.replace(" ", "-") for head in plain}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link of a page is a file of the repository, its anchor a heading there."""
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_found() -> None:
    """Each page of the documentation is linked from another one."""
    linked = set()
    for page in PAGES:
        for link in LINK.findall(page.read_text("utf-8")):
            linked.add((page.parent / link.partition("#")[0]).resolve())
    assert set(DOCS.rglob("*.md")) <= linked


@pytest.mark.parametrize("program", ["segdata", "segtrain"])
def test_every_command_has_a_page(program: str) -> None:
    """docs/README.md lists each command of both programs once, with a link to a page."""
    table = (DOCS / "README.md").read_text("utf-8")
    listed = re.findall(rf"^\| `{program} ([a-z-]+)` \| .*\]\(.*\.md\)", table, re.MULTILINE)
    assert sorted(listed) == sorted(commands(program))


@pytest.mark.parametrize("page", sorted((DOCS / "commands").glob("*.md")), ids=lambda p: p.stem)
def test_a_page_names_options_that_exist(page: Path) -> None:
    """The options in the first block of a command's page are options of that command."""
    block = FENCE.findall(page.read_text("utf-8"))[0]
    shown = re.findall(r"^(segdata|segtrain) ([a-z-]+)(.*)$", block, re.MULTILINE)
    assert shown
    for program, command, rest in shown:
        for option in re.findall(r"--[a-z][a-z-]*", rest):
            assert option in help_of(program, command), f"{program} {command} has no {option}"
