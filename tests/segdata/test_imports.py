"""What importing costs: each command brings only what it needs."""

import subprocess
import sys

FORBIDDEN = "{'torch', 'webdataset', 'torchvision'}"


def run(code: str) -> str:
    """The output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_no_module_brings_torch() -> None:
    """Importing every module of segdata brings neither torch nor webdataset."""
    code = f"""
import importlib, pkgutil, sys, segdata
names = [m.name for m in pkgutil.walk_packages(segdata.__path__, "segdata.")]
for name in names:
    importlib.import_module(name)
print(len(names) > 15, sorted({FORBIDDEN} & set(sys.modules)))
"""
    assert run(code) == "True []"


def test_help_starts_without_the_heavy_libraries() -> None:
    """The help of every command is printed without numpy, Pillow, pycocotools, httpx or torch."""
    code = f"""
import sys
from typer.main import get_command
from typer.testing import CliRunner
from segdata.cli import app
names = sorted(get_command(app).commands)
runner = CliRunner()
for arguments in ([], *([name] for name in names)):
    result = runner.invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0 and "Usage: " in result.output, result.output
heavy = {FORBIDDEN} | {{"numpy", "PIL", "pycocotools", "msgspec", "filelock", "jinja2", "httpx"}}
print(*names, sorted(heavy & set(sys.modules)))
"""
    expected = (
        "build-coco build-folder build-voc check-leaks fetch info report show split toy "
        "verify-masks"
    )
    assert run(code) == f"{expected} []"


def test_the_module_is_the_command() -> None:
    """`python -m segdata` is the command line."""
    done = subprocess.run(
        [sys.executable, "-m", "segdata", "--version"], capture_output=True, text=True, check=True
    )
    from segdata import __version__

    assert done.stdout == f"segdata {__version__}\n"
