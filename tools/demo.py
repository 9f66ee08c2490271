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
from typing import Any

BIN = Path(sys.executable).parent
# An eighth of VGG16's channels: thin enough for two processor cores, and it learns.
TRAINING = shlex.split(
    "--width 0.125 --norm batch --crop 128 --batch 8 --steps 1000 --val-every 500"
)


def run(*command: str | Path) -> None:
    """Show a command as a user would type it, then run it; its failure ends the demo."""
    words = [str(part) for part in command]
    line = f"$ {shlex.join(words)}"
    print(f"\n\033[1m{line}\033[0m" if sys.stdout.isatty() else f"\n{line}", flush=True)
    program = BIN / (words[0] + (".exe" if os.name == "nt" else ""))
    done = subprocess.run([str(program), *words[1:]], check=False)
    if done.returncode:
        print(f"The demo stops here: {words[0]} {words[1]} ended with exit code {done.returncode}.")
        raise SystemExit(done.returncode)


def photo_from(toy: Path, out: Path) -> Path:
    """The liveliest picture that the net was not trained on, as a file of its own."""
    with zipfile.ZipFile(toy / "annotations_trainval2017.zip") as archive:
        instances = json.loads(archive.read("annotations/instances_val2017.json"))
    kinds: dict[int, set[int]] = {}
    for annotation in instances["annotations"]:
        kinds.setdefault(annotation["image_id"], set()).add(annotation["category_id"])
    usual = [image for image in instances["images"] if max(image["width"], image["height"]) < 400]
    chosen = max(usual, key=lambda image: len(kinds.get(image["id"], ())))
    photo = out / "photo.jpg"
    with zipfile.ZipFile(toy / "val2017.zip") as archive:
        photo.write_bytes(archive.read(f"val2017/{chosen['file_name']}"))
    return photo


def summarise(out: Path, figures: dict[str, Any], seconds: float) -> None:
    """Print what was made and where it lies."""
    info = json.loads((out / "shards" / "info.json").read_text())
    built = ", ".join(f"{s['samples']:,} {name}" for name, s in info["splits"].items())
    rows = [("built", f"{built} images of generated data ({' and '.join(info['datasets'])})")]
    for name, scores in figures["datasets"].items():
        reached, floor = 100 * scores["mean_iou"], 100 * scores["all_background"]["mean_iou"]
        rows.append((f"{name} val", f"mIoU {reached:.1f} %  (all background: {floor:.1f} %)"))
    overlay = next(iter(sorted((out / "prediction").glob("*overlay*"))))
    rows += [
        ("look at", str(overlay)),
        ("", str(out / "preview" / "contact-sheet.png")),
        ("", str(out / "report.html")),
        ("", str(out / "run" / "pictures")),
        ("log", str(out / "run" / "log.jsonl")),
        ("checkpoint", str(out / "run" / "best.pt")),
        ("time", f"{seconds:.0f} s"),
    ]
    width = max(len(label) for label, _ in rows)
    print("\n" + "\n".join(f"  {label:{width}}  {text}" for label, text in rows))


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
    run("segdata", "report", shards, "-o", out / "report.html")
    run("segtrain", "run", "--shards", shards, "--out", training, "--variant", "8s", *TRAINING)
    figures = out / "eval.json"
    run("segtrain", "eval", training, "--shards", shards, "--split", "val", "--json", figures)
    photo = given.photo or photo_from(toy, out)
    run("segtrain", "predict", training, photo, "--out", prediction)
    summarise(out, json.loads(figures.read_text()), time.monotonic() - begin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
