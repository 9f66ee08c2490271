#!/usr/bin/env python3
"""Draw the live view of a run as it stood at a line of its log, as an SVG.

    python tools/live_view.py runs/fcn8s --out docs/images/live-view.svg

Takes the run's config.json and log.jsonl; the view is the one that `segtrain run` shows.
"""

import argparse
import io
import re
from pathlib import Path
from typing import Any

from rich.console import Console

from segtrain.log_files import read_lines
from segtrain.pace import Pace, Plan
from segtrain.runs import RunFolder
from segtrain.training_view import View


def view_at(run: Path, step: int) -> View:
    """The view of a run after the last line of its log that is not past a step."""
    config = RunFolder(run).config()
    lines = [line for line in read_lines(run / "log.jsonl") if line["step"] <= step]
    if not lines:
        raise SystemExit(f"{run}: its log has no line up to step {step:,}")
    judged = next((line["val"] for line in reversed(lines) if "val" in line), {})
    images = sum(val["images"] for val in judged.values())
    whole = sum(val.get("official_images") or val["images"] for val in judged.values())
    plan = Plan(config.steps, config.batch, config.val_every, images, whole)
    view = View(f"FCN-{config.variant}  {run}", plan, lines[0]["loss_floors"], doing="training")
    for line in lines:
        view.note(line)
    view.step = lines[-1]["step"]
    view.pace.image = seconds_of_an_image(lines, view.pace, images)
    return view


def seconds_of_an_image(lines: list[dict[str, Any]], pace: Pace, images: int) -> float | None:
    """What a validation image took: the time of its line beyond that of the steps."""
    for before, line in zip(lines[-2::-1], lines[:0:-1], strict=True):
        if "val" in before and images:
            steps = line["step"] - before["step"]
            beyond = line["seconds"] - before["seconds"] - steps * (pace.step or 0.0)
            return max(0.0, beyond) / images
    return None


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--out", type=Path, required=True, help="the SVG")
    parser.add_argument("--step", type=int, default=10**9, help="how it stood then (default: now)")
    parser.add_argument("--width", type=int, default=80, help="columns (default: 80)")
    given = parser.parse_args()
    console = Console(
        record=True, force_terminal=True, width=given.width, height=24, file=io.StringIO(),
        legacy_windows=False,
    )  # fmt: skip
    console.print(view_at(given.run, given.step))
    svg = console.export_svg(title="segtrain run")
    fonts = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)  # they lie on other servers
    given.out.write_text(fonts, "utf-8")


if __name__ == "__main__":
    main()
