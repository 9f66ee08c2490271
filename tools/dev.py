#!/usr/bin/env python3
"""From a fresh clone to a working checkout: makes the environment and runs the main jobs.

    python3 tools/dev.py demo     generate data, build shards, verify, train, evaluate, predict
    python3 tools/dev.py test     all tests (more pytest arguments may follow)
    python3 tools/dev.py lint     ruff and mypy
    python3 tools/dev.py env      only make or update the environment in .venv

It needs Python 3.11 or newer with venv, and nothing else: no uv, no activated environment, no
shell. The environment is made once and kept as long as the packages' requirements stay the same.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this may have an older one
    sys.exit("This needs Python 3.11 or newer, not %d.%d." % sys.version_info[:2])  # noqa: UP031 - old Pythons read it

import argparse
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "dev-stamp.txt"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
MOST_PROCESSES = 4  # of tests: each needs up to 2 GB
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("packages/*/pyproject.toml"))]


class DevError(Exception):
    """Something that the person at the keyboard can put right; its text says how."""


def say(text: str) -> None:
    """Print one line at once, so that it stands above what a child process prints."""
    print(text, flush=True)


def call(*command: str | Path, **variables: str) -> None:
    """Run a command of ours in the repository; its failure ends this script with its exit code.

    `variables` are added to its environment where they are not set.
    """
    environment = variables | dict(os.environ)
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.returncode)


def wanted_stamp() -> str:
    """What the environment must have been made from: the requirements and this Python."""
    digest = hashlib.sha256(repr((sys.version, str(ROOT))).encode())
    for project in PROJECTS:
        digest.update(project.read_bytes())
    return digest.hexdigest()


def make_venv() -> None:
    """Make an empty environment with pip, or say what this Python lacks for it."""
    say(f"Making the environment in {VENV.relative_to(ROOT)} (once; with torch about 6 GB).")
    if VENV.exists():
        shutil.rmtree(VENV)
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise DevError(
            f"{sys.executable} could not make a virtual environment:\n{made.stdout}{made.stderr}\n"
            "On Debian and Ubuntu install it with: apt install python3-venv"
        )


def find_uv() -> list[str | Path]:
    """The installer to use: uv from the PATH, else one put into the environment by pip."""
    if found := shutil.which("uv"):
        return [found]
    if subprocess.run([PYTHON, "-c", "import uv"], capture_output=True, check=False).returncode:
        call(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv")
    return [PYTHON, "-m", "uv"]


def make_environment() -> None:
    """Make or update .venv: both packages, editable, and the tools of the dev group."""
    stamp = wanted_stamp()
    if STAMP.exists() and STAMP.read_text() == stamp:
        return
    STAMP.unlink(missing_ok=True)
    if not PYTHON.exists() or sys.version not in venv_version():
        make_venv()
    say("Installing segdata, segtrain and the development tools ...")
    begin = time.monotonic()
    packages = [part for p in PROJECTS[1:] for part in ("-e", str(p.parent))]
    call(*find_uv(), "pip", "install", "--quiet", "--python", PYTHON, *packages, "--group", "dev")
    STAMP.write_text(stamp)
    say(f"The environment is ready ({time.monotonic() - begin:.0f} s).")


def venv_version() -> str:
    """The version text of the Python in .venv, empty if it does not start."""
    shown = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.version)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout


def test(arguments: Sequence[str]) -> None:
    """Run the tests in some processes; tests/conftest.py says which where, and on what archives.

    Torch gets one thread in each: several fight for the cores, and the nets of tests are thin.
    """
    several = ["-n", str(min(MOST_PROCESSES, os.cpu_count() or 1)), "--dist", "loadscope"]
    call(PYTHON, "-m", "pytest", *several, *arguments, OMP_NUM_THREADS="1")


def lint() -> None:
    """Check style and types of everything that is committed."""
    call(PYTHON, "-m", "ruff", "check", ".")
    call(PYTHON, "-m", "ruff", "format", "--check", ".")
    call(PYTHON, "-m", "mypy")


def main() -> int:
    """Parse the command line and run one job."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", choices=["demo", "test", "lint", "env"])
    given, rest = parser.parse_known_args()
    if rest and given.job in ("lint", "env"):
        parser.error(f"{given.job} takes no further arguments: {' '.join(rest)}")
    try:
        make_environment()
        if given.job == "demo":
            call(PYTHON, ROOT / "tools" / "demo.py", *rest)
        elif given.job == "test":
            test(rest)
        elif given.job == "lint":
            lint()
    except DevError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
