"""What checking costs beside building, and how soon the commands answer.

    .venv/bin/python tools/bench/commands.py --voc FOLDER --coco FOLDER [--repeats 5] [--few 50]

FOLDER holds the official archives, or a sample of them. By turns, in fresh processes,
on one core: a build (COCO encoded anew at 512 pixels, VOC passed through), `verify-masks` of its
result against itself (integrity) and against its source (content, which includes the former), each
with all images and with a few, and `--help`. "Of its build" is the ratio of whole runs; "at the
margin" that of what the further images take, which leaves out what every run takes, start and
index of the archives.

Then how soon there is something: a build of one sample, and a run of one step of a very narrow net
with two images of validation and its files; beside each the imports that such work cannot do
without, and for the step one of a convolution by torch alone.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import measuring
from measuring import Run

KINDS = {"voc": "build-voc", "coco": "build-coco"}
STEP = """
import torch
net = torch.nn.Conv2d(3, 21, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
net(torch.rand(2, 3, 64, 64)).sum().backward()
optimizer.step()
"""
NARROW = "--steps 1 --device cpu --width 0.05 --crop 64 --batch 2 --val-images 2 --workers 0"
Subjects = dict[str, Callable[[], Run]]


def command(*words: object) -> Run:
    """One run of a command of ours."""
    return measuring.measure([sys.executable, "-m", *map(str, words)])


def script(text: str) -> Run:
    """One run of some lines of Python."""
    return measuring.measure([sys.executable, "-c", text])


def fresh(folder: Path, name: str) -> Callable[[], Path]:
    """Folders that are not there yet, the first of them of that very name."""
    number = iter(range(10_000))
    return lambda: (
        folder / name if not (folder / name).exists() else folder / f"{name}-{next(number)}"
    )


def subjects_of(kind: str, data: Path, folder: Path, limit: int) -> Subjects:
    """The build of one kind and both levels of verification of its result.

    Args:
        kind: of `KINDS`.
        data: holds its archives.
        folder: for what is built.
        limit: images of each split; 0 for all.
    """
    name = f"{kind}, few" if limit else kind
    out = fresh(folder, name)

    def check(*more: object) -> Callable[[], Run]:
        words = ("segdata", "verify-masks", folder / name, "--workers", 1, "--pictures", 0, *more)
        return lambda: command(*words)

    def build() -> Run:
        more = ("--limit", limit) if limit else ()
        sizes = ("--size", 512, "--val-size", 512, "--workers", 1, *more)
        return command("segdata", KINDS[kind], "--data", data, "--out", out(), *sizes)

    return {
        f"{name}: build": build,
        f"{name}: integrity": check("--level", "integrity"),
        f"{name}: content": check("--data", data),
    }


def first_results(data: Path, folder: Path) -> Subjects:
    """The least that a build and a run can do, and what no such work can do without."""
    out, run = fresh(folder, "one"), fresh(folder, "run")

    def build() -> Run:
        words = ("segdata", "build-voc", "--data", data, "--out", out())
        return command(*words, "--limit", 1, "--workers", 1)

    def train() -> Run:
        shards = ("--shards", folder / "voc, few", "--out", run())
        return command("segtrain", "run", *shards, *NARROW.split())

    return {
        "first sample": build,
        "  imports alone": lambda: script("import numpy, PIL.Image, msgspec, typer"),
        "first step": train,
        "  a step of torch": lambda: script(STEP),
    }


def margin(runs: Mapping[str, Sequence[Run]], name: str, field: str) -> float:
    """What all images take beyond a few of them, to what the build of the same takes."""
    kind, _, job = name.partition(": ")

    def further(job: str) -> float:
        whole, few = (measuring.medians(runs[f"{of}: {job}"]) for of in (kind, f"{kind}, few"))
        return float(getattr(whole, field) - getattr(few, field))

    return further(job) / further("build")


def line(runs: Mapping[str, Sequence[Run]], name: str) -> str:
    """A subject's medians; of a check its ratios to the build, too."""
    of = runs[name]
    median = measuring.medians(of)
    low, high = (pick(run.wall for run in of) for pick in (min, max))
    text = f"{name:20} {median.wall:6.2f} ({low:.2f}-{high:.2f})".ljust(42)
    text += f"{median.cpu:6.2f}"
    kind, _, job = name.partition(": ")
    if job not in ("integrity", "content"):
        return text
    build = measuring.medians(runs[f"{kind}: build"])
    text += f"   {median.wall / build.wall:10.2f} {median.cpu / build.cpu:5.2f}"
    if kind in KINDS:
        text += f"   {margin(runs, name, 'wall'):10.2f} {margin(runs, name, 'cpu'):5.2f}"
    return text


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--voc", type=Path, default=Path("data"))
    parser.add_argument("--coco", type=Path, default=Path("data"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--few", type=int, default=50, help="images of each split")
    given = parser.parse_args()
    print(measuring.header("pillow", "numpy", "pycocotools", "typer", "torch"))
    with tempfile.TemporaryDirectory() as temporary:
        subjects: Subjects = {
            "segdata --help": lambda: command("segdata", "--help"),
            "segtrain --help": lambda: command("segtrain", "--help"),
        }
        for kind in KINDS:
            for limit in (given.few, 0):
                subjects |= subjects_of(kind, getattr(given, kind), Path(temporary), limit)
        subjects |= first_results(given.voc, Path(temporary))
        runs = measuring.take_turns(subjects, given.repeats)
    print(
        "subject              wall s (min-max)       CPU s   of its build: wall   CPU"
        "   at the margin: wall   CPU"
    )
    for name in runs:
        print(line(runs, name))


if __name__ == "__main__":
    main()
