"""Build both packages as wheels and try them in empty environments, as a release does.

    python3 tools/dev.py env && .venv/bin/python tools/check_wheels.py

segdata is installed without torch and has to make, build, verify and show generated data. segtrain
is installed beside nothing of segdata and has to train on those shards, evaluate and predict.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = [sys.executable, "-m", "uv"]


def call(*command: str | Path, cwd: Path | None = None) -> None:
    """Run one step; its failure ends the check."""
    print("$", *(str(part) for part in command), flush=True)
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


def installed(folder: Path, wheel: Path) -> Path:
    """The programs of a new environment that holds the wheel and what it requires, no more."""
    call(*UV, "venv", "--quiet", "--python", sys.executable, folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    call(*UV, "pip", "install", "--quiet", "--python", programs / "python", wheel)
    return programs


def wheel_of(package: str, folder: Path) -> Path:
    """The wheel of one of our packages, built from a source distribution of it."""
    call(sys.executable, "-m", "build", "--quiet", "--outdir", folder, ROOT / "packages" / package)
    (wheel,) = folder.glob(f"{package}-*.whl")
    return wheel


def check_segdata(programs: Path, work: Path) -> None:
    """Everything that a data machine does, without torch."""
    call(programs / "python", "-c", "import importlib.util as u; assert not u.find_spec('torch')")
    segdata = programs / "segdata"
    call(segdata, "--version")
    call(segdata, "toy", "--out", "toy", "--images", "100", cwd=work)
    call(segdata, "build-coco", "--data", "toy", cwd=work)
    call(segdata, "build-voc", "--data", "toy", cwd=work)
    call(segdata, "verify-masks", "--data", "toy", cwd=work)
    call(segdata, "show", "shards", cwd=work)
    call(segdata, "report", "shards", cwd=work)


def check_segtrain(programs: Path, work: Path) -> None:
    """Everything that a GPU machine does, without segdata."""
    call(programs / "python", "-c", "import importlib.util as u; assert not u.find_spec('segdata')")
    segtrain = programs / "segtrain"
    call(segtrain, "--version")
    thin = ["--width", "0.125", "--crop", "64", "--batch", "2", "--steps", "2"]
    call(segtrain, "run", "--shards", "shards", "--out", "runs/check", *thin, cwd=work)
    call(segtrain, "eval", "runs/check", "--shards", "shards", cwd=work)
    photo = next((work / "preview").glob("*.png"))
    call(segtrain, "predict", "runs/check", photo, "--out", "predicted", cwd=work)


def main() -> int:
    """Build, install, try."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        check_segdata(installed(work / "data", wheel_of("segdata", work / "dist")), work)
        check_segtrain(installed(work / "gpu", wheel_of("segtrain", work / "dist")), work)
    print("Both wheels work in empty environments.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
