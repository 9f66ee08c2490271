"""Several runs beside each other: results, paired differences, and the options that differ."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from segtrain.config import TrainConfig
from segtrain.counts_files import Kept
from segtrain.intervals import Interval, mean_iou_difference
from segtrain.options.fields import flag
from segtrain.recipe_tables import words
from segtrain.report.record import RunRecord
from segtrain.report.shapes import is_number
from segtrain.runs import quoted
from segtrain.terminal import ends_words, percent, points

WHERE = ("out", "live", "watch")  # differ between any two runs and say nothing


def result_rows(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """A row for each run and data set: the newest results, with intervals."""
    rows = []
    for number, run in enumerate(runs):
        step, results = run.newest
        for dataset, found in results.items():
            rows.append(
                {
                    "run": run.name,
                    "number": number,
                    "dataset": dataset,
                    "step": step,
                    "whole": bool(run.final),
                    "found": found,
                }
            )
    order = {name: i for i, name in enumerate(dict.fromkeys(row["dataset"] for row in rows))}
    return sorted(rows, key=lambda row: (order[row["dataset"]], row["number"]))


def option_differences(runs: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """The options in which runs differ, with the value of each run."""
    found = []
    for known in fields(TrainConfig):
        values = [words(getattr(run.config, known.name)) for run in runs]
        if known.name not in WHERE and len(set(values)) > 1:
            found.append((flag(known.name), values))
    return found


def other_differences(runs: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """What else tells runs apart: shards, commits, versions."""
    kinds: dict[str, Callable[[RunRecord], str]] = {
        "shards": lambda run: ", ".join(
            f"{name} {str(value)[:8]}" for name, value in sorted(run.plain["manifests"].items())
        ),
        "commit": lambda run: str(run.plain.get("commit") or "-")[:12],
        "torch": lambda run: str((run.plain.get("versions") or {}).get("torch", "-")),
        "processes": lambda run: str(run.plain.get("ranks", "-")),
    }
    rows = [(name, [value(run) for run in runs]) for name, value in kinds.items()]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def pairs_of(runs: Sequence[RunRecord], *, stages: bool) -> list[tuple[RunRecord, RunRecord]]:
    """Which runs are compared: each with the first, a stage with the one before."""
    return [(runs[i - 1] if stages else runs[0], runs[i]) for i in range(1, len(runs))]


def paired_rows(runs: Sequence[RunRecord], *, stages: bool) -> list[dict[str, Any]]:
    """The paired differences of the mean IoU, or why there is none."""
    rows = []
    for first, second in pairs_of(runs, stages=stages):
        shared = [name for name in first.newest[1] if name in second.newest[1]]
        rows += [
            {"a": first.name, "b": second.name, "dataset": name} | difference(first, second, name)
            for name in shared
        ]
    return rows


def difference(first: RunRecord, second: RunRecord, dataset: str) -> dict[str, Any]:
    """B's mean IoU less A's on the images that both were judged on."""
    kept = [run.kept.get(dataset) for run in (first, second)]
    command = f"segtrain compare {quoted(first.folder.path)} {quoted(second.folder.path)}"
    if not kept[0] or not kept[1]:
        lacking = (first if not kept[0] else second).name
        return {"words": f"{lacking} kept no counts of its validations", "command": command}
    a, b = kept[0][-1], kept[1][-1]
    ours, theirs = a.result.counted.images, b.result.counted.images
    if [c.name for c in a.result.classes] != [c.name for c in b.result.classes]:
        return {"words": "their classes differ", "command": ""}
    if sorted(ours.keys) != sorted(theirs.keys) or len(set(ours.keys)) < len(ours.keys):
        return {"words": "they were judged on different images", "command": command}
    place = {key: i for i, key in enumerate(theirs.keys)}
    aligned = theirs.taken(np.array([place[key] for key in ours.keys], np.intp))
    if not (ours.targets == aligned.targets).all():
        return {"words": "the truth of the same images differs", "command": command}
    arrays = zip(ours.arrays, aligned.arrays, strict=True)
    same = all(np.array_equal(x, y) for x, y in arrays)
    return {"command": ""} | told(a, b, mean_iou_difference(ours, aligned), same=same)


def told(a: Kept, b: Kept, ends: Interval | None, *, same: bool) -> dict[str, Any]:
    """A difference with its interval and what it says."""
    gain = b.result.scores.mean_iou - a.result.scores.mean_iou
    if same:
        words = "both predict the same"
    elif ends is None:
        words = "too few images to tell"
    elif ends.low <= 0 <= ends.high:
        words = "these images do not tell"
    else:
        words = "B is better" if ends.low > 0 else "A is better"
    return {
        "images": a.result.images,
        "steps": (a.step, b.step),
        "ious": (percent(a.result.scores.mean_iou), percent(b.result.scores.mean_iou)),
        "gain": points(gain),
        "ends": ends_words(ends),
        "words": words,
    }


def class_table(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Each class's IoU by run, for each data set that two or more kept counts of."""
    found = []
    names = list(dict.fromkeys(name for run in runs for name in run.kept))
    first = [known.name for known in runs[0].classes]
    for name in names:
        having = [(i, run.kept[name][-1]) for i, run in enumerate(runs)
                  if run.kept.get(name) and [c.name for c in run.classes] == first]  # fmt: skip
        if len(having) < 2:
            continue
        ious = [one.result.scores.iou for _, one in having]
        rows = [
            (i, known, [values[i] for values in ious])
            for i, known in enumerate(runs[0].classes)
            if any(is_number(values[i]) for values in ious)
        ]
        heads = [(number, runs[number].name) for number, _ in having]
        found.append({"dataset": name, "heads": heads, "rows": rows})
    return found
