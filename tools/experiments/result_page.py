#!/usr/bin/env python3
"""Write the page of one training run: curves with floors, per-class tables with intervals.

From a run's `log.jsonl` and the JSON of `segtrain eval`, it makes `OUT/curves.svg`
and prints Markdown for the page; text around them is written by hand. `OUT/predictions.png` shows
what the net predicts for images of the fixed validation subset, without the photos, which are not
ours to pass on.

    segtrain eval RUN --shards shards/ --json eval.json
    python tools/experiments/result_page.py RUN eval.json --shards shards/ --out FOLDER
"""

import argparse
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from segtrain.checkpoint import find_checkpoint, load_checkpoint
from segtrain.manifests import FIXED_VIEW
from segtrain.overlays import palette, shares, with_legend
from segtrain.predictor import load_predictor
from segtrain.samples import load
from segtrain.shards import open_shards

WIDTH, HEIGHT = 760, 260  # of one panel, in SVG units
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 28, 40  # margins
INK, GRID = "#333333", "#dddddd"
COLORS = ("#1f5fa8", "#c2571a", "#3c7d3c")
Points = list[tuple[float, float]]


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class Panel:
    """One plot: its axes, lines and floors as SVG.

    Args:
        title: What the y axis shows, with its unit.
        steps: Right end of the x axis.
        top: Upper end of the y axis, whose lower end is 0.
        offset: Where the panel begins, downwards.
    """

    def __init__(self, title: str, steps: int, top: float, offset: int) -> None:
        self.steps, self.top, self.offset = steps, top, offset
        self.parts: list[str] = []
        self.labels: list[tuple[float, str, str]] = []  # y, text, colour
        self.text(LEFT, offset + 16, title, INK, "start", bold=True)
        for i in range(6):
            self.grid(top * i / 5)
        for i in range(5):
            step = steps * i // 4
            self.text(self.x(step), offset + HEIGHT - BOTTOM + 18, f"{step:,}", INK, "middle")

    def x(self, step: float) -> float:
        """A step's place."""
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self.steps

    def y(self, value: float) -> float:
        """A value's place."""
        return self.offset + HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top

    def text(
        self, x: float, y: float, words: str, color: str, anchor: str, *, bold: bool = False
    ) -> None:
        """Write words."""
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}"{weight}>'
            f"{escape(words)}</text>"
        )

    def grid(self, value: float) -> None:
        """A horizontal line of the grid with its number."""
        y = self.y(value)
        self.parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        )
        self.text(LEFT - 6, y + 4, f"{value:.3g}", INK, "end")

    def line(self, points: Points, color: str, label: str) -> None:
        """A curve, labelled at its end."""
        path = " ".join(f"{self.x(a):.1f},{self.y(min(b, self.top)):.1f}" for a, b in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>'
        )
        self.labels.append((self.y(points[-1][1]), label, color))

    def floor(self, value: float, label: str) -> None:
        """A dashed line where a net stands that has learnt nothing."""
        y = self.y(value)
        self.parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{INK}" stroke-dasharray="5 4"/>'
        )
        self.labels.append((y, label, INK))

    def svg(self) -> str:
        """The panel; labels that would touch are pushed apart."""
        last = -math.inf
        for y, label, color in sorted(self.labels):
            last = max(y, last + 14)
            self.text(WIDTH - RIGHT + 8, last + 4, label, color, "start")
        return "\n".join(self.parts)


def ceiling(values: Sequence[float]) -> float:
    """A round number above all values."""
    most = max(values)
    unit = 10 ** math.floor(math.log10(most))
    return next(unit * f for f in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if unit * f >= most)


def curves(log: list[dict[str, Any]]) -> str:
    """Loss and mean IoU over the steps, with the floors drawn in, as SVG."""
    steps = log[-1]["step"]
    floors = log[-1]["loss_floors"]
    losses = [(line["step"], line["loss"]) for line in log]
    loss = Panel("training loss, nats per pixel", steps, ceiling([*floors.values()]) * 1.0, 0)
    loss.line(losses, COLORS[0], f"loss {losses[-1][1]:.2f}")
    loss.floor(floors["uniform"], f"equal scores {floors['uniform']:.2f}")
    if "prior" in floors:
        loss.floor(floors["prior"], f"class prior {floors['prior']:.2f}")
    judged = [line for line in log if "val" in line]
    names = sorted(judged[-1]["val"])
    values = [100 * line["val"][n]["mean_iou"] for line in judged for n in names]
    iou = Panel("validation mean IoU on the way, %", steps, ceiling(values), HEIGHT + 10)
    for name, color in zip(names, COLORS, strict=False):
        points = [(line["step"], 100 * line["val"][name]["mean_iou"]) for line in judged]
        iou.line(points, color, f"{name} {points[-1][1]:.1f}")
    for name in names:
        floor = 100 * judged[-1]["val"][name]["all_background_iou"]
        iou.floor(floor, f"background, {name} {floor:.1f}")
    height = 2 * HEIGHT + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n'
        f"{loss.svg()}\n{iou.svg()}\n</svg>\n"
    )


def predictions(run: Path, directory: Path, each: int, columns: int = 4) -> Image.Image:
    """Predicted masks of `each` images per data set, in flat colours over their keys.

    Args:
        run: The run's folder.
        directory: The shards.
        each: Images of each data set, evenly spread over its fixed validation subset.
        columns: Pictures in a row.
    """
    path = find_checkpoint(run)
    predictor = load_predictor(load_checkpoint(path), path, "cpu")
    colors = palette(predictor.classes)
    cells, seen = [], np.zeros(0, np.uint8)
    for samples in open_shards(directory).sets(FIXED_VIEW):
        for i in range(each):
            found = load(samples, len(samples) * i // each)
            ids = predictor.predict(found.image).to(torch.uint8).numpy()
            seen = np.concatenate([seen, ids.ravel()])
            cells.append((found.key, Image.fromarray(colors[ids])))
    side, line = 240, 24
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * side, rows * (side + line)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (key, picture) in enumerate(cells):
        left, top = i % columns * side, i // columns * (side + line)
        picture.thumbnail((side - 8, side - 8), Image.Resampling.NEAREST)
        sheet.paste(picture, (left + 4, top + 4))
        pen.text((left + 4, top + side), key, fill=INK, font=ImageFont.load_default(13))
    return with_legend(sheet, shares(seen, predictor.classes))


def percent(rate: float | None) -> str:
    """A rate as per cent."""
    return "-" if rate is None else f"{100 * rate:.1f}"


def tables(judged: dict[str, Any]) -> str:
    """Markdown of an evaluation: the metrics of each data set, then each class's IoU."""
    found = judged["datasets"]
    rows = ["| | " + " | ".join(found) + " |", "| --- |" + " --- |" * len(found)]

    def row(name: str, cells: list[str]) -> None:
        rows.append(f"| {name} | " + " | ".join(cells) + " |")

    row("images", [f"{d['images']:,} of {d['official_images']:,}" for d in found.values()])
    for name in ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"):
        cells = [
            f"{percent(d[name])} (all background {percent(d['all_background'][name])})"
            for d in found.values()
        ]
        row(name.replace("_", " ") + ", %", cells)
    ends = [d["mean_iou_interval"] for d in found.values()]
    row("95 % interval of mean IoU", [f"{percent(e['low'])} to {percent(e['high'])}" for e in ends])
    rows += [
        "",
        "| class, IoU in % | " + " | ".join(found) + " |",
        "| --- |" + " --- |" * len(found),
    ]
    names = next(iter(found.values()))["classes"]
    for i, each in enumerate(names):
        row(each["name"], [percent(d["classes"][i]["iou"]) for d in found.values()])
    return "\n".join(rows) + "\n"


def main() -> None:
    """Draw the curves and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    log = read_log(chosen.run / "log.jsonl")
    (chosen.out / "curves.svg").write_text(curves(log), "utf-8")
    predictions(chosen.run, chosen.shards, 6).save(chosen.out / "predictions.png", optimize=True)
    print(tables(json.loads(chosen.evaluation.read_text("utf-8"))))


if __name__ == "__main__":
    main()
