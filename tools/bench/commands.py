"""What checking costs beside building, and how soon the commands answer.

    .venv/bin/python tools/bench/commands.py --voc FOLDER --coco FOLDER [--repeats 5]

FOLDER holds the official archives, or a sample of them. By turns, in fresh processes,
on one core: a build (COCO encoded anew at 512 pixels, VOC passed through), `verify-masks` of its
result against itself (integrity) and against its source (content, which includes the former), and
`--help`.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import measuring
from measuring import Run

KINDS = {"voc": "build-voc", "coco": "build-coco"}


def command(*words: object) -> Run:
    """One run of a command of ours."""
    return measuring.measure([sys.executable, "-m", *map(str, words)])


def subjects_of(kind: str, data: Path, folder: Path) -> dict[str, Callable[[], Run]]:
    """The build of one kind and both levels of verification of its result."""
    kept = folder / kind
    number = iter(range(1000))

    def build() -> Run:
        out = kept if not kept.exists() else folder / f"{kind}{next(number)}"
        sizes = ("--size", 512, "--val-size", 512, "--workers", 1)
        return command("segdata", KINDS[kind], "--data", data, "--out", out, *sizes)

    def check(*more: object) -> Callable[[], Run]:
        words = ("segdata", "verify-masks", kept, "--workers", 1, "--pictures", 0, *more)
        return lambda: command(*words)

    return {
        f"{kind}: build": build,
        f"{kind}: integrity": check("--level", "integrity"),
        f"{kind}: content": check("--data", data),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--voc", type=Path, default=Path("data"))
    parser.add_argument("--coco", type=Path, default=Path("data"))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print(measuring.header("pillow", "numpy", "pycocotools"))
    with tempfile.TemporaryDirectory() as temporary:
        subjects = {
            "segdata --help": lambda: command("segdata", "--help"),
            "segtrain --help": lambda: command("segtrain", "--help"),
        }
        for kind in KINDS:
            subjects |= subjects_of(kind, getattr(given, kind), Path(temporary))
        runs = measuring.take_turns(subjects, given.repeats)
    start = measuring.medians(runs["segdata --help"])
    print(
        "subject            wall s (min-max)     CPU s   of its build, start taken off: wall  CPU"
    )
    for name, of in runs.items():
        median = measuring.medians(of)
        low, high = (pick(run.wall for run in of) for pick in (min, max))
        line = f"{name:18} {median.wall:6.2f} ({low:.2f}-{high:.2f})".ljust(40)
        line += f"{median.cpu:6.2f}"
        if ":" in name:
            base = measuring.medians(runs[f"{name.partition(':')[0]}: build"])
            wall, cpu = (
                (getattr(median, field) - getattr(start, field))
                / (getattr(base, field) - getattr(start, field))
                for field in ("wall", "cpu")
            )
            line += f"   {wall:.2f}  {cpu:.2f}"
        print(line)


if __name__ == "__main__":
    main()
