"""One net by running and by batch statistics on the same images: the gap between the two."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from segtrain.compare import Comparison, Net, compare_nets, load_net
from segtrain.evaluate import Watcher, plain_results
from segtrain.places import Places
from segtrain.predictor import Views
from segtrain.remote.ahead import Fetching
from segtrain.remote.cache import Cache
from segtrain.terminal import coverage, difference_tables, ends_words, points, print_line

NAMES = ("running", "batch")


def evaluate_both(
    run: Path,
    shards: Places,
    split: str,
    device: str,
    start: Callable[[str, int], Watcher],
    *,
    views: Views,
    batch: int = 1,
    cache: Cache | None = None,
    fetching: Fetching = lambda *_: None,
) -> tuple[Net, list[Comparison]]:
    """Judge a run's net by running and by batch statistics; arguments as of `evaluate_run`.

    Returns:
        The net, and for each data set a comparison whose first is by running statistics, whose
        second by batch statistics.

    Raises:
        CheckpointError: If there is no checkpoint, or it does not fit.
        ShardsError: If the shards are missing or damaged.
        SampleError: If an image cannot be read, or is too small for statistics of its own.
        UsageError: If the net has no batch norm that was trained.
    """
    by_batch = load_net(run, device, replace(views, statistics="batch"))
    ordinary = replace(by_batch.predictor, views=replace(views, statistics="running"))
    running = by_batch._replace(predictor=ordinary)
    nets = (running, by_batch)
    found = compare_nets(
        nets, shards, split, start, names=NAMES, batch=batch, cache=cache, fetching=fetching
    )
    return running, found


def plain_gap(found: Comparison) -> dict[str, Any]:
    """The gap on one data set as plain types, for JSON; differences are batch less running."""
    plain = found.plain()
    images = plain["images_better"]
    return {
        "mean_iou_difference": plain["mean_iou_difference"],
        "interval": plain["interval"],
        "better": {"A": "running", "B": "batch"}.get(found.verdict(), plain["better"]),
        "images_better": {"running": images["a"], "batch": images["b"], "alike": images["alike"]},
        "classes": [
            {
                "id": known["id"],
                "name": known["name"],
                "running": known["a"],
                "batch": known["b"],
                "interval": known["interval"],
            }
            for known in plain["classes"]
        ],
    }


def plain_both(net: Net, found: list[Comparison], views: Views) -> dict[str, Any]:
    """Everything about both evaluations as plain types, for JSON.

    Each data set has what `plain_results` says of it by running statistics, and beside it
    `batch_statistics`, the same by batch statistics, and `statistics_gap`.
    """
    plain = plain_results(net.path, net.checkpoint, [c.first for c in found], views)
    plain["statistics"] = "both"
    for compared in found:
        plain["datasets"][compared.first.dataset] |= {
            "batch_statistics": compared.second.plain(),
            "statistics_gap": plain_gap(compared),
        }
    return plain


def meaning(found: Comparison) -> str:
    """What the gap says of the net, in a sentence."""
    verdict = found.verdict()
    if verdict == "same":
        return "the running statistics serve as well as each image's own"
    if found.interval is None:
        return "from 25 images on there is an interval that tells whether the gap is real"
    if verdict == "B":
        return (
            "the net lives on the statistics of its batches, and the running ones, which "
            "evaluation uses, do not fit it: batches were too small, the run too short for the "
            "norms' momentum, or the weights (or their average) moved on since"
        )
    if verdict == "A":
        return (
            "what evaluation uses serves it better than an image's own statistics, which are those "
            "of fewer pixels than a batch has"
        )
    return "the running statistics stand for what the net saw in training"


def gap_words(found: Comparison) -> str:
    """How far the two are apart on these images, and what it means."""
    images, verdict = coverage(found.first), found.verdict()
    if verdict == "same":
        return f"running and batch statistics predict the same on {images}: {meaning(found)}"
    difference = f"batch less running is {points(found.difference)} points of mean IoU"
    if found.interval is None:
        return f"{images} are too few to tell: {difference}; {meaning(found)}"
    level = f"{100 * found.interval.level:.0f} % interval {ends_words(found.interval)}"
    told = {
        "A": "running statistics are better",
        "B": "batch statistics are better",
    }.get(verdict, f"{images} show no gap")
    return f"{told}: {difference}, {level} over the choice of images; {meaning(found)}"


def print_gap(found: Comparison) -> None:
    """Both statistics on one data set: metrics, classes, and what the gap says."""
    difference_tables(found, NAMES)
    running, batch, alike = found.wins
    print_line(f"images: running better on {running:,}, batch on {batch:,}, alike on {alike:,}")
    print_line(gap_words(found), "bold")
