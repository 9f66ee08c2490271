#!/usr/bin/env python3
"""Whether both packages install without a compiler on every system that we name.

    .venv/bin/python tools/check_platforms.py [--extras]

For each system and Python version the installer resolves all requirements from ready-made wheels
alone, as if it ran there. It needs a package registry and prints one line for each combination; the
exit code is 1 if one of them would have to compile something.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYSTEMS = {
    "Windows, x86-64": "windows",
    "macOS, Apple silicon": "aarch64-apple-darwin",
    "macOS, Intel": "x86_64-apple-darwin",
    "Linux, x86-64": "linux",
    "Linux, 64-bit ARM": "aarch64-unknown-linux-gnu",
}
PYTHONS = ("3.11", "3.12", "3.13")
# PyTorch itself ended its wheels for Intel Macs with version 2.2.
WITHOUT_TORCH = {"macOS, Intel"}


def requirements(package: str, *, extras: bool) -> list[str]:
    """What a package requires, of its extras too if wished."""
    text = (ROOT / "packages" / package / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    found: list[str] = list(project["dependencies"])
    for extra in project.get("optional-dependencies", {}).values() if extras else ():
        found += extra
    return found


def problem(wanted: list[str], system: str, python: str) -> str:
    """Why the requirements cannot be met from wheels; empty if they can."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-build"]
    command += ["--python-platform", SYSTEMS[system], "--python-version", python, "-"]
    done = subprocess.run(
        command, input="\n".join(wanted), capture_output=True, text=True, check=False
    )
    return done.stderr.strip() if done.returncode else ""


def main() -> int:
    """Check every combination."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extras", action="store_true", help="with all optional requirements")
    extras = parser.parse_args().extras
    failed = False
    for package in ("segdata", "segtrain"):
        wanted = requirements(package, extras=extras)
        for system in SYSTEMS:
            if package == "segtrain" and system in WITHOUT_TORCH:
                print(f"{package}  {system}  not supported: torch has no wheels for it")
                continue
            for python in PYTHONS:
                found = problem(wanted, system, python)
                failed |= bool(found)
                print(f"{package}  {system}  Python {python}  {found or 'wheels only'}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
