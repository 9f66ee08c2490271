"""Two nets on the same images: paired differences, and which images make them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segtrain.checkpoint import Checkpoint, check_classes, find_checkpoint, load_checkpoint
from segtrain.errors import CheckpointError
from segtrain.evaluate import (
    SetResult,
    Watcher,
    evaluate_set,
    rates,
    set_result,
    write_picture,
)
from segtrain.intervals import Interval, iou_differences, mean_iou, mean_iou_difference
from segtrain.overlays import Judged, comparison
from segtrain.places import Places
from segtrain.predictor import Predictor, Views, load_predictor
from segtrain.remote.ahead import Fetching
from segtrain.remote.cache import Cache
from segtrain.samples import load
from segtrain.sampleset import SampleSet
from segtrain.shards import open_shards

NAMES = ("A", "B")


class Net(NamedTuple):
    """One of the two: where it came from, what was read, and the net."""

    path: Path
    checkpoint: Checkpoint
    predictor: Predictor

    def words(self) -> str:
        """What it is: file, variant, step."""
        title = self.checkpoint.train_config.title
        return f"{self.path}: {title}, step {self.checkpoint.step:,}"


class ImagePair(NamedTuple):
    """One image: its number and key, and its own mean IoU by A and by B, 0..1."""

    number: int
    key: str
    first: float
    second: float

    @property
    def difference(self) -> float:
        """B less A."""
        return self.second - self.first


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two nets on one data set.

    Attributes:
        samples: What both were judged on.
        first: A's result.
        second: B's.
    """

    samples: SampleSet
    first: SetResult
    second: SetResult

    @property
    def difference(self) -> float:
        """B's mean IoU less A's."""
        return self.second.scores.mean_iou - self.first.scores.mean_iou

    @cached_property
    def interval(self) -> Interval | None:
        """Of the difference, over the choice of images; None where they are too few for one."""
        return mean_iou_difference(self.first.counted.images, self.second.counted.images)

    @cached_property
    def class_intervals(self) -> list[Interval | None]:
        """The same of each class's IoU; None for classes that too few images show."""
        return iou_differences(self.first.counted.images, self.second.counted.images)

    @cached_property
    def images(self) -> list[ImagePair]:
        """Each image by itself: the mean over the classes of its truth and prediction."""
        counts = [r.counted.images for r in (self.first, self.second)]
        first, second = (mean_iou(c.true.astype(float), c.union.astype(float)) for c in counts)
        keys = counts[0].keys
        return [
            ImagePair(n, key, float(a), float(b))
            for n, (key, a, b) in enumerate(zip(keys, first, second, strict=True))
        ]

    @property
    def wins(self) -> tuple[int, int, int]:
        """Images that A has better, that B has better, that both have alike."""
        found = [pair.difference for pair in self.images]
        ours, theirs = sum(d < 0 for d in found), sum(d > 0 for d in found)
        return ours, theirs, len(found) - ours - theirs

    def most_different(self, count: int) -> list[ImagePair]:
        """The images whose own mean IoU differs most, those first; none that both have alike."""
        ordered = sorted(self.images, key=lambda pair: -abs(pair.difference))
        return [pair for pair in ordered[:count] if pair.difference]

    @property
    def same(self) -> bool:
        """Whether both have the same counts in every image."""
        counts = [r.counted.images.arrays for r in (self.first, self.second)]
        return all(np.array_equal(a, b) for a, b in zip(*counts, strict=True))

    def verdict(self) -> str:
        """`A`, `B`, `same`, or empty where these images do not tell."""
        if self.same:
            return "same"
        if self.interval is None or self.interval.low <= 0 <= self.interval.high:
            return ""
        return "B" if self.interval.low > 0 else "A"

    def plain(self) -> dict[str, Any]:
        """The comparison as plain types, for JSON; rates are 0..1, differences B less A."""
        first, second = self.first.scores, self.second.scores
        by_class = zip(self.first.classes, first.iou, second.iou, self.class_intervals, strict=True)
        return {
            "split": self.first.split,
            "images": self.first.images,
            "official_images": self.first.official,
            "synthetic": self.first.synthetic,
            "resized_targets": self.first.resized,
            "a": rates(first),
            "b": rates(second),
            "mean_iou_difference": self.difference,
            "interval": self.interval.plain() if self.interval else None,
            "better": self.verdict() or None,
            "images_better": dict(zip(("a", "b", "alike"), self.wins, strict=True)),
            "classes": [
                {
                    "id": i,
                    "name": known.name,
                    "a": a,
                    "b": b,
                    "interval": ends.plain() if ends else None,
                }
                for i, (known, a, b, ends) in enumerate(by_class)
            ],
            "by_image": [
                {"key": pair.key, "a": pair.first, "b": pair.second} for pair in self.images
            ],
        }


def load_net(run: Path, device: str, views: Views) -> Net:
    """The net of a run or checkpoint.

    Raises:
        CheckpointError: If there is none, or it is damaged.
    """
    path = find_checkpoint(run)
    checkpoint = load_checkpoint(path)
    return Net(path, checkpoint, load_predictor(checkpoint, path, device, views))


def compare_runs(
    runs: tuple[Path, Path],
    shards: Places,
    split: str,
    device: str,
    start: Callable[[str, int], Watcher],
    *,
    views: Views,
    batch: int = 1,
    cache: Cache | None = None,
    fetching: Fetching = lambda *_: None,
) -> tuple[tuple[Net, Net], list[Comparison]]:
    """Judge two nets on the same images of every data set.

    Args:
        runs: Two runs' folders (their best.pt, else last.pt) or checkpoints.
        shards: One shards directory or several.
        split: `train`, `val`, or the name of a view.
        device: `auto`, `cpu`, `cuda` or `mps`.
        start: Called with each net's and data set's name and number of images; gives its watcher.
        views: In which forms both see an image.
        batch: Images that are predicted at once; the result does not depend on it.
        cache: Where shards of URLs are copied to; by default the user's cache folder.
        fetching: How people follow the fetching of the first shards, where they lie at URLs.

    Raises:
        CheckpointError: If one is missing or damaged, or their classes differ.
        ShardsError: If the shards are missing or damaged, or of other classes.
    """
    first, second = (load_net(run, device, views) for run in runs)
    refuse_other_classes(first, second)
    nets = (first, second)
    return nets, compare_nets(
        nets, shards, split, start, batch=batch, cache=cache, fetching=fetching
    )


def compare_nets(
    nets: tuple[Net, Net],
    shards: Places,
    split: str,
    start: Callable[[str, int], Watcher],
    *,
    names: tuple[str, str] = NAMES,
    batch: int = 1,
    cache: Cache | None = None,
    fetching: Fetching = lambda *_: None,
) -> list[Comparison]:
    """Judge two nets of the same classes; arguments as of `compare_runs`.

    Args:
        nets: The nets.
        shards: One shards directory or several.
        split: `train`, `val`, or the name of a view.
        start: Called with each net's and data set's name and number of images; gives its watcher.
        names: What the two are called.
        batch: Images that are predicted at once.
        cache: Where shards of URLs are copied to.
        fetching: How people follow the fetching of the first shards.

    Raises:
        CheckpointError: If the shards are of other classes.
        ShardsError: If the shards are missing or damaged.
    """
    directory = open_shards(shards, cache)
    check_classes(nets[0].checkpoint, directory.classes, nets[0].path)
    found = []
    for samples in directory.sets(split):
        results = []
        for name, net in zip(names, nets, strict=True):
            watch = start(f"{name} {samples.datasets[0]}", len(samples))
            numbers = range(len(samples))
            counted = evaluate_set(net.predictor, samples, numbers, watch, batch, fetching)
            results.append(set_result(samples, split, counted))
        found.append(Comparison(samples, *results))
    return found


def refuse_other_classes(first: Net, second: Net) -> None:
    """Refuse two nets whose ids mean different things.

    Raises:
        CheckpointError: With the first difference.
    """
    ours, theirs = ([c.name for c in net.predictor.classes] for net in (first, second))
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        what = f"{len(ours)} and {len(theirs)} classes"
    else:
        i = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if len(set(pair)) > 1)
        what = f"different classes: number {i} is {ours[i]!r} and {theirs[i]!r}"
    raise CheckpointError(
        f"{first.path} and {second.path}: have {what}; only nets of the same classes can be "
        "compared"
    )


def difference_sheet(found: Comparison, nets: Sequence[Net], count: int) -> Image.Image | None:
    """The images that differ most: photo, truth, and both predictions; None where all are alike.

    Raises:
        SampleError: If one cannot be read.
    """
    pairs = found.most_different(count)
    if not pairs:
        return None
    rows = []
    for pair in pairs:
        _, image, mask = load(found.samples, pair.number)
        ids = tuple(as_ids(net.predictor, image) for net in nets)
        words = f"{pair.key}   IoU {100 * pair.first:.1f} by A, {100 * pair.second:.1f} by B"
        rows.append(Judged(words, image, mask, ids))
    title = f"{found.first.dataset} {found.first.split}: the images that differ most"
    return comparison(rows, found.first.classes, title, NAMES)


def write_sheets(
    folder: Path, found: Sequence[Comparison], nets: Sequence[Net], count: int
) -> None:
    """Write `differences-DATASET-SPLIT.png` for each data set on which the nets differ.

    Raises:
        RunError: If one cannot be written.
        SampleError: If an image cannot be read.
    """
    for compared in found:
        sheet = difference_sheet(compared, nets, count)
        if sheet:
            name = f"differences-{compared.first.dataset}-{compared.first.split}.png"
            write_picture(folder / name, sheet)


def as_ids(predictor: Predictor, image: Image.Image) -> NDArray[np.uint8]:
    """A prediction, uint8 `(H, W)`."""
    return predictor.predict(image).to("cpu", torch.uint8).numpy()


def plain_comparisons(
    nets: Sequence[Net], views: Views, found: Sequence[Comparison]
) -> dict[str, Any]:
    """Everything about a comparison as plain types, for JSON."""
    described = [
        {
            "checkpoint": net.path.as_posix(),
            "model": net.checkpoint.train_config.title,
            "step": net.checkpoint.step,
        }
        for net in nets
    ]
    return {
        "format": "segtrain-compare/1",
        "a": described[0],
        "b": described[1],
        "views": views.plain(),
        "statistics": views.statistics,
        "datasets": {c.first.dataset: c.plain() for c in found},
    }
