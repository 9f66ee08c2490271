"""Whether the doctor is quiet where nothing is wrong: every recipe, thin, over several seeds.

Each recipe is examined as a run of it would start, but thin, from random weights where it wants
ImageNet's, and on small crops. The later stages of `heavy` and `light` start, by --init, from a
32s that this script trains for some steps first.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from segtrain.doctor.examination import Examination, Plan
from segtrain.doctor.findings import Finding
from segtrain.doctor.patient import admit
from segtrain.doctor.report import examined
from segtrain.session import start

SETUPS: dict[str, dict[str, Any]] = {
    "modern": {},
    "modern, 16s, no norm": {"variant": "16s", "norm": "none"},
    "scratch": {"recipe": "scratch"},
    "scratch, 32s": {"recipe": "scratch", "variant": "32s"},
    "journal": {"recipe": "journal"},
    "light": {"recipe": "light"},
    "heavy, at once": {"recipe": "heavy"},
    "heavy, 32s": {"recipe": "heavy", "variant": "32s"},
    "heavy, 16s from 32s": {"recipe": "heavy", "variant": "16s", "init": "32s"},
    "heavy, 8s from 32s": {"recipe": "heavy", "variant": "8s", "init": "32s"},
}
COLUMNS = ["set-up", "seeds", "fatal", "warnings", "notes", "not examined"]


def thin(setup: Mapping[str, Any], given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The options of one examination."""
    options = {
        "shards": given.shards,
        "trunk": given.trunk,
        "width": given.width,
        "weights": "none",
        "device": given.device,
        "workers": 0,
        "seed": seed,
        "val_every": 0,
    }
    options |= {k: v for k, v in setup.items() if k != "init"}
    if setup.get("recipe") != "heavy":
        options["crop"] = given.crop
    if setup.get("recipe") == "light":
        options["batch"] = given.batch  # 20 whole images take long on two cores
    return options


def origin(setup: Mapping[str, Any], options: Mapping[str, Any], folder: Path, steps: int) -> Path:
    """The 32s that a later stage starts from, trained for some steps of its recipe."""
    out = folder / f"{setup['recipe']}-{options['seed']}"
    if not (out / "last.pt").exists():
        changed = {"variant": "32s", "out": out, "steps": steps, "log_every": steps}
        start(dict(options) | changed)
    return out


def examinations(given: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[Any]]]:
    """Name and reports of each set-up."""
    plan = Plan(given.batches, given.steps, given.overfit, given.rate_steps)
    for name, setup in SETUPS.items():
        reports = []
        for seed in range(given.seeds):
            options = thin(setup, given, seed)
            if "init" in setup:
                options["init"] = origin(setup, options, folder, given.stage)
                for taken_over in ("trunk", "width", "weights"):
                    del options[taken_over]
            reports.append(examined(Examination(admit(options), plan=plan)))
        yield name, reports


def named(found: list[Finding]) -> str:
    """Rules and how often they spoke: `learning-rate (3)`; `-` for none."""
    counts = Counter(finding.rule for finding in found)
    return ", ".join(f"{rule} ({count})" for rule, count in sorted(counts.items())) or "-"


def main() -> None:
    """Examine every set-up and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=Path, default=Path("shards"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trunk", default="vgg16")
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8, help="of light, instead of 20")
    parser.add_argument("--stage", type=int, default=50, help="steps of the 32s before 16s and 8s")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    plan = Plan()
    for name in ("batches", "steps", "overfit", "rate_steps"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(plan, name))
    given = parser.parse_args()
    torch.set_num_threads(1)  # nets this thin are faster on one
    print(*COLUMNS, sep="\t")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, reports in examinations(given, Path(folder)):
            by_severity = [
                named([f for r in reports for f in r.findings if f.severity == severity])
                for severity in ("fatal", "warning", "note")
            ]
            skipped = ", ".join(sorted({title for r in reports for title in r.unexamined}))
            rows.append([name, str(len(reports)), *by_severity, skipped])
            print(*rows[-1], sep="\t", flush=True)
    if given.markdown:
        lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
        given.markdown.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


if __name__ == "__main__":
    main()
