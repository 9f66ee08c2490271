"""The main job from end to end on generated data, each command printed before it runs.

    python3 tools/dev.py demo [--out demo] [--photo FILE]

Makes a small data set, builds shards of both kinds, checks every mask, trains an FCN-8s from
random weights, evaluates it and predicts a photo. On two processor cores it takes under five
minutes; a GPU is used where there is one.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
TRAINING = ["--width", "0.125", "--norm", "batch", "--crop", "128", "--batch", "8"]
PHOTO_MEMBER = 3  # which image of the validation zip is predicted, a lively one


def run(*command: str | Path) -> None:
    """Show a command as a user would type it, then run it; its failure ends the demo."""
    words = [str(part) for part in command]
    print(f"\n\033[1m$ {shlex.join(words)}\033[0m" if sys.stdout.isatty() else f"\n$ {shlex.join(words)}")
    sys.stdout.flush()
    program = BIN / (words[0] + (".exe" if os.name == "nt" else ""))
    done = subprocess.run([str(program), *words[1:]], check=False)
    if done.returncode:
        print(f"The demo stops here: {words[0]} {words[1]} ended with exit code {done.returncode}.")
        raise SystemExit(done.returncode)


def photo_from(toy: Path, out: Path) -> Path:
    """A picture that the net was not trained on, as a file of its own."""
    with zipfile.ZipFile(toy / "val2017.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        photo = out / "photo.jpg"
        photo.write_bytes(archive.read(names[PHOTO_MEMBER]))
    return photo


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the whole path and sum it up."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for everything")
    parser.add_argument("--photo", type=Path, help="a photo of your own to predict")
    given = parser.parse_args(arguments)
    out = given.out
    toy, shards, training, prediction = (out / p for p in ("toy", "shards", "run", "prediction"))
    out.mkdir(parents=True, exist_ok=True)
    for made in (shards, training, prediction, out / "preview"):  # of an earlier demo
        shutil.rmtree(made, ignore_errors=True)

    begin = time.monotonic()
    run("segdata", "toy", "--out", toy)
    run("segdata", "build-coco", "--data", toy, "--classes", "voc", "--out", shards)
    run("segdata", "build-voc", "--data", toy, "--out", shards)
    run("segdata", "verify-masks", shards, "--data", toy)
    run("segdata", "show", shards, "--out", out / "preview")
    run("segtrain", "run", "--shards", shards, "--out", training, "--variant", "8s", *TRAINING)
    figures = out / "eval.json"
    run("segtrain", "eval", training, "--shards", shards, "--split", "val", "--json", figures)
    photo = given.photo or photo_from(toy, out)
    run("segtrain", "predict", training, photo, "--out", prediction)
    summarise(out, json.loads(figures.read_text()), time.monotonic() - begin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
