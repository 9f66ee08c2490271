"""What README shows is true: its snippets run, and its commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = """
values = set(numpy.unique(ids).tolist())
assert ids.ndim == 2 and ids.dtype == numpy.uint8, (ids.shape, ids.dtype)
assert values <= {*range(21), 255} and len(values) > 1, values
"""
README = Path(__file__).parent.parent / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
COMMANDS = re.findall(
    r"^(segdata|segtrain) ([a-z-]+) ?(.*?)(?:  .*)?$", README.read_text("utf-8"), re.MULTILINE
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `shards/`, two train shards of VOC and one of val."""
    folder = tmp_path_factory.mktemp("readme")
    for command in (
        "toy --out toy --images 100",
        "build-voc --data toy --shard-samples 24 --workers 1",
    ):
        call = [sys.executable, "-m", "segdata", *command.split()]
        subprocess.run(call, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_run(folder: Path, number: int) -> None:
    """Each Python snippet of README reads the shards, and gets ids of VOC as uint8."""
    name = "target" if "target" in SNIPPETS[number] else "sample['seg.png']"
    code = f"{SNIPPETS[number]}\nimport numpy\nids = numpy.asarray({name})\n{CHECK}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_there_are_snippets_and_commands() -> None:
    """README shows how to read the shards in three ways, and all the commands."""
    assert len(SNIPPETS) == 3
    shown = {(program, command) for program, command, _ in COMMANDS}
    assert shown >= {("segdata", c) for c in ("build-coco", "build-voc", "verify-masks", "show")}
    assert shown >= {("segtrain", c) for c in ("run", "eval", "predict")}


def test_options_shown_exist() -> None:
    """Every option that README's commands use is one of that command."""
    helps: dict[tuple[str, str], str] = {}
    for program, command, rest in COMMANDS:
        if (program, command) not in helps:
            call = [sys.executable, "-m", program, command, "--help"]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            helps[program, command] = done.stdout
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in helps[program, command], f"{program} {command} has no {option}"
