"""Which charts the page has: of one run, or of several over one another."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from segtrain.report.curves import Chart, Floor, Trace, chart, points_of
from segtrain.report.record import RunRecord
from segtrain.report.shapes import is_number

SMOOTH = 100  # lines of a log from which a curve of the loss gets a running mean
PART = 50  # of its lines that the running mean goes over: one in so many

Offset = tuple[float, float, float]
Value = Callable[[Mapping[str, Any]], Any]


def charts_of(runs: Sequence[RunRecord], offsets: Sequence[Offset]) -> list[Chart]:
    """The charts of some runs.

    Args:
        runs: The runs; one alone has its data sets in one chart, several have a chart for each.
        offsets: Steps, images and hours before each run's first, where they are stages of one.
    """
    found = [loss_chart(runs, offsets), *iou_charts(runs, offsets)]
    plain: list[tuple[str, str, Value, str]] = [
        ("train", "Mean IoU of single training batches, %",
         lambda line: percent(line.get("train_iou")),
         "Of the line's step, before its update: a few crops, and so a rough figure."),
        ("lr", "Learning rate", lambda line: line.get("lr"),
         "Before each group's factor."),
        ("grad", "Gradient norm", lambda line: line.get("grad_norm"),
         "Euclidean norm of the gradient of the line's step, before it is clipped."),
        ("rate", "Training images per second", lambda line: line.get("images_per_second"),
         "Over all GPUs, without validations and saving."),
        ("wait", "Time spent waiting for data, %", lambda line: percent(line.get("data_wait")),
         "Of the time of the steps. From about 10 % on, more --workers or smaller images help."),
        ("mfu", "MFU, %", lambda line: percent(line.get("mfu")),
         "Share of the GPUs' dense bfloat16 peak."),
        ("memory", "Peak memory, GB", lambda line: scaled(line.get("peak_memory"), 1e-9),
         "The most that tensors took of a GPU, or a process of the machine."),
    ]  # fmt: skip
    for key, title, value, note in plain:
        traces = [
            Trace(run.name, number, points_of(run, value, offset))
            for number, (run, offset) in enumerate(zip(runs, offsets, strict=True))
        ]
        found.append(chart(key, title, traces, note=note))
    return [one for one in found if one is not None]


def percent(value: Any) -> float | None:  # noqa: ANN401 - of the log
    """A share of the log in per cent; NaN where it is no number, None where there is none."""
    return scaled(value, 100)


def scaled(value: Any, factor: float) -> float | None:  # noqa: ANN401 - of the log
    """A value of the log in another unit; NaN where it is no number, None where there is none."""
    if value is None:
        return None
    return float(value) * factor if is_number(value) else math.nan


def loss_chart(runs: Sequence[RunRecord], offsets: Sequence[Offset]) -> Chart | None:
    """The training loss with the levels at which nothing was learnt."""
    traces = []
    long = max(len(run.lines) for run in runs) >= SMOOTH
    for number, (run, offset) in enumerate(zip(runs, offsets, strict=True)):
        points = points_of(run, lambda line: line.get("loss"), offset)
        traces.append(Trace(run.name, number, points, faint=long))
        if long:
            traces.append(Trace(f"{run.name}, running mean", number, running_mean(points)))
    floors = {
        (words, round(run.floors[name], 6)): None
        for run in runs
        for name, words in (("uniform", "ln C: scores of zero"), ("prior", "class prior"))
        if is_number(run.floors.get(name))
    }
    note = (
        "Mean over the steps since the line before. At ln C a net puts out zeros; at the class "
        "prior's entropy it knows only how frequent the classes are. A net that learns is below "
        "both."
    )
    if any(run.config.loss_reduction == "sum" for run in runs):
        note += " Where --loss-reduction is sum, this is the mean of the same loss."
    levels = [Floor(words, level) for words, level in floors]
    return chart("loss", "Training loss, nats per pixel", traces, levels, note=note)


def running_mean(
    points: list[tuple[float, float, float, float]],
) -> list[tuple[float, float, float, float]]:
    """The mean of the last lines at each line; values that are not finite are left out."""
    width = max(5, len(points) // PART)
    found = []
    for i, (step, images, hours, _) in enumerate(points):
        near = [p[3] for p in points[max(0, i - width + 1) : i + 1] if math.isfinite(p[3])]
        found.append((step, images, hours, sum(near) / len(near) if near else math.nan))
    return found


def iou_charts(runs: Sequence[RunRecord], offsets: Sequence[Offset]) -> Iterator[Chart | None]:
    """The mean IoU of the validations with the floor of all background."""
    note = (
        "Bars are 95 % intervals over the choice of images; they say nothing of training with "
        "another seed."
    )
    if len(runs) == 1:
        run = runs[0]
        traces = [
            iou_trace(run, name, name, number, offsets[0])
            for number, name in enumerate(run.datasets)
        ]
        floors = [floor_of(run, name, number) for number, name in enumerate(run.datasets)]
        title = "Mean IoU of the validations, %"
        yield chart("iou", title, traces, [f for f in floors if f], note=note)
        return
    names = list(dict.fromkeys(name for run in runs for name in run.datasets))
    for place, name in enumerate(names):
        traces, levels = [], dict[float, Floor]()
        for number, (run, offset) in enumerate(zip(runs, offsets, strict=True)):
            if name in run.datasets:
                traces.append(iou_trace(run, name, run.name, number, offset))
                floor = floor_of(run, name, None)
                levels |= {round(floor.level, 4): floor} if floor else {}
        title = f"Mean IoU on {name}, %"
        yield chart(f"iou{place}", title, traces, levels.values(), note=note)


def iou_trace(run: RunRecord, dataset: str, name: str, number: int, offset: Offset) -> Trace:
    """The validations on one data set, with their intervals where all have one."""

    def found(line: Mapping[str, Any]) -> Any:  # noqa: ANN401 - of the log
        return (line.get("val") or {}).get(dataset)

    points = points_of(run, lambda line: percent((found(line) or {}).get("mean_iou")), offset)
    ends = [found(line).get("mean_iou_interval") for line in run.lines if found(line)]
    whole = [e for e in ends if e]
    pairs = [(100 * e["low"], 100 * e["high"]) for e in whole] if len(whole) == len(points) else []
    return Trace(name, number, points, marks=True, ends=pairs)


def floor_of(run: RunRecord, dataset: str, number: int | None) -> Floor | None:
    """The mean IoU of all background on the images of the validations on the way."""
    levels = [line["val"][dataset].get("all_background_iou") for line in run.validations
              if dataset in line["val"]]  # fmt: skip
    known = [level for level in levels if is_number(level)]
    return Floor(f"all background, {dataset}", 100 * known[-1], number) if known else None
