"""Judging a net: one confusion matrix per data set, at the masks' own size (Long et al. 5)."""

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segtrain.checkpoint import (
    Checkpoint,
    check_classes,
    find_checkpoint,
    load_checkpoint,
)
from segtrain.errors import PhotoError, RunError, SampleError
from segtrain.files import write_beside
from segtrain.intervals import Interval, iou_intervals, mean_iou_interval
from segtrain.manifests import ClassInfo
from segtrain.matrix_picture import matrix_picture
from segtrain.metrics import ImageCounts, Scores, all_background, confusion, margins, scores
from segtrain.places import Places
from segtrain.predictor import Predictor, Size, Views, load_predictor
from segtrain.remote.ahead import Fetching, fetched_ahead
from segtrain.remote.cache import Cache
from segtrain.samples import Decoded, load
from segtrain.sampleset import SampleSet
from segtrain.shards import open_shards

SHARDS_AHEAD = 2  # of those at URLs, beyond those that are being read
DECODERS = 4  # threads that decode ahead; Pillow's decoders let other threads run

STDOUT = Path("-")
WAITING = 8  # batches' worth of images that may wait for others of their size

# called after each image with the number of images done, the sample and the prediction (H, W)
Watcher = Callable[[int, Decoded, Tensor], None]


@dataclass(frozen=True, eq=False)
class Counted:
    """What was counted on some images.

    Attributes:
        confmat: int64 `(C, C)` on the CPU, rows targets, over all of them.
        images: The counts of each image.
    """

    confmat: Tensor
    images: ImageCounts

    def __add__(self, other: "Counted") -> "Counted":
        """What was counted on these images and the others."""
        return Counted(self.confmat + other.confmat, self.images + other.images)


@dataclass(frozen=True, eq=False)
class SetResult:
    """What one data set's confusion matrix was made of.

    Attributes:
        dataset: Name of the data set.
        split: Name of the split or view.
        official: Images of the published split; 0 where there is none.
        synthetic: Whether the data were generated.
        resized: Whether the masks may have been made smaller than their sources.
        classes: The classes in the order of their ids.
        counted: What was counted, over all images and on each.
    """

    dataset: str
    split: str
    official: int
    synthetic: bool
    resized: bool
    classes: tuple[ClassInfo, ...]
    counted: Counted

    @property
    def confmat(self) -> Tensor:
        """int64 `(C, C)`, rows targets."""
        return self.counted.confmat

    @property
    def images(self) -> int:
        """Images that were judged."""
        return len(self.counted.images.keys)

    @property
    def whole(self) -> bool:
        """Whether these are all images of a published split."""
        return self.images == self.official and not self.synthetic

    @cached_property
    def interval(self) -> Interval | None:
        """Of the mean IoU, over the choice of images; None where they are too few for one."""
        return mean_iou_interval(self.counted.images)

    @cached_property
    def class_intervals(self) -> list[Interval | None]:
        """The same of each class's IoU; None for classes that too few images show."""
        return iou_intervals(self.counted.images)

    @property
    def scores(self) -> Scores:
        """The metrics."""
        return scores(self.confmat)

    @property
    def floor(self) -> Scores:
        """The metrics of predicting background everywhere."""
        return all_background(self.confmat)

    def plain(self) -> dict[str, Any]:
        """The result as plain types, for JSON; rates are 0..1."""
        found, floor = self.scores, self.floor
        by_class = zip(
            self.classes, found.iou, self.class_intervals, found.accuracy, found.target_pixels,
            strict=True,
        )  # fmt: skip
        return {
            "dataset": self.dataset,
            "split": self.split,
            "images": self.images,
            "official_images": self.official,
            "synthetic": self.synthetic,
            "resized_targets": self.resized,
            **rates(found),
            "mean_iou_interval": self.interval.plain() if self.interval else None,
            "classes_present": found.present,
            "classes_left_out": found.left_out,
            "all_background": rates(floor),
            "classes": [
                {
                    "id": i,
                    "name": c.name,
                    "iou": iou,
                    "iou_interval": ends.plain() if ends else None,
                    "accuracy": acc,
                    "target_pixels": pixels,
                }
                for i, (c, iou, ends, acc, pixels) in enumerate(by_class)
            ],
            "confusion": self.confmat.tolist(),
        }


def rates(found: Scores) -> dict[str, float]:
    """The four metrics by name."""
    names = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
    return {name: asdict(found)[name] for name in names}


def decoded_ahead(
    samples: SampleSet, numbers: Sequence[int], fetching: Fetching = lambda *_: None
) -> Iterator[Decoded]:
    """Samples in the order of `numbers`, decoded by threads a few images ahead.

    Args:
        samples: The samples.
        numbers: Which of them.
        fetching: How people follow the fetching of the first shards, where they lie at URLs.

    Raises:
        SampleError: If one cannot be read.
        ShardsError: If the first shard at a URL cannot be had.
    """
    stream = decoded_by_threads(samples, numbers)
    if not samples.remote:
        return stream
    shards = np.searchsorted(samples.starts, np.asarray(numbers, np.int64), side="right") - 1
    changes = np.flatnonzero(np.diff(shards, prepend=-1))  # where another shard begins

    def needed(k: int) -> tuple[list[int], list[int]]:
        ahead = k + 2 * DECODERS
        coming = changes[np.searchsorted(changes, ahead) :][:SHARDS_AHEAD]
        return shards[k:ahead].tolist(), shards[coming].tolist()

    return fetched_ahead(stream, samples.shards, needed, 0, fetching)


def decoded_by_threads(
    samples: SampleSet, numbers: Sequence[int]
) -> Generator[Decoded, None, None]:
    """What `decoded_ahead` gives, of shards that are there.

    Raises:
        SampleError: If one cannot be read.
    """
    threads = min(DECODERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(load, samples, n) for n in numbers[: 2 * threads])
        try:
            for number in numbers[2 * threads :]:
                yield waiting.popleft().result()
                waiting.append(pool.submit(load, samples, number))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def grouped(
    stream: Iterable[Decoded], form: Callable[[Size], Hashable], batch: int
) -> Iterator[list[tuple[int, Decoded]]]:
    """Batches of samples of one form, each with its position in the stream.

    With `batch` 1 they come in order. Else samples wait for others of their form; when too many
    do, the form that has the most goes on as it is, and at the end all do.
    """
    waiting: dict[Hashable, list[tuple[int, Decoded]]] = {}
    for position, sample in enumerate(stream):
        key = form(sample.image.size)
        waiting.setdefault(key, []).append((position, sample))
        if len(waiting[key]) == batch:
            yield waiting.pop(key)
        elif sum(map(len, waiting.values())) >= WAITING * batch:
            yield waiting.pop(max(waiting, key=lambda k: len(waiting[k])))
    yield from waiting.values()


def evaluate_set(
    predictor: Predictor,
    samples: SampleSet,
    numbers: Sequence[int],
    watch: Watcher,
    batch: int = 1,
    fetching: Fetching = lambda *_: None,
) -> Counted:
    """Predict images at their own size and count.

    Args:
        predictor: The net.
        samples: The samples.
        numbers: Which of them, each once.
        watch: Called after each image; in the order of `numbers` where `batch` is 1.
        batch: Images that are predicted at once, all of one padded size, so that the result does
            not depend on it.
        fetching: How people follow the fetching of the first shards, where they lie at URLs.

    Raises:
        SampleError: If a sample cannot be read.
    """
    training = predictor.model.training
    predictor.model.eval()
    size, done = len(predictor.classes), 0
    confmat = torch.zeros(size, size, dtype=torch.int64, device=predictor.device)
    found: dict[int, tuple[str, Tensor]] = {}
    try:
        for group in grouped(decoded_ahead(samples, numbers, fetching), predictor.form, batch):
            preds = predicted(predictor, [sample for _, sample in group])
            for (position, sample), pred in zip(group, preds, strict=True):
                target = torch.tensor(sample.mask, device=predictor.device)  # (H, W)
                alone = confusion(pred, target, size)  # (C, C)
                confmat += alone
                found[position] = (sample.key, margins(alone))
                done += 1
                watch(done, sample, pred)
    finally:
        predictor.model.train(training)
    ordered = [found[position] for position in sorted(found)]
    images = ImageCounts.of([k for k, _ in ordered], [m for _, m in ordered], size)
    return Counted(confmat.cpu(), images)


def predicted(predictor: Predictor, samples: Sequence[Decoded]) -> list[Tensor]:
    """Class ids of samples of one form: int64 `(H, W)` each.

    Raises:
        SampleError: If one is too small for statistics of its own.
    """
    try:
        return predictor.predict_batch([sample.image for sample in samples])
    except PhotoError as error:
        key, image, _ = samples[0]  # all are of one padded size
        raise SampleError(f"{key}: has {image.width}x{image.height} pixels; {error}") from error


def evaluate_run(
    run: Path,
    shards: Places,
    split: str,
    device: str,
    start: Callable[[str, int], Watcher],
    *,
    views: Views | None = None,
    batch: int = 1,
    cache: Cache | None = None,
    fetching: Fetching = lambda *_: None,
) -> tuple[Path, Checkpoint, list[SetResult]]:
    """Judge a run's net on a split of every data set.

    Args:
        run: A run's folder (its best.pt, else its last.pt) or a checkpoint.
        shards: One shards directory or several.
        split: `train`, `val`, or the name of a view.
        device: `auto`, `cpu`, `cuda` or `mps`.
        start: Called with each data set's name and number of images; gives its watcher.
        views: In which forms the net sees an image; as it is by default.
        batch: Images that are predicted at once; the result does not depend on it.
        cache: Where shards of URLs are copied to; by default the user's cache folder.
        fetching: How people follow the fetching of the first shards, where they lie at URLs.

    Returns:
        The checkpoint's path, the checkpoint, and a result per data set.

    Raises:
        CheckpointError: If there is no checkpoint, or it does not fit.
        ShardsError: If the shards are missing or damaged.
    """
    path = find_checkpoint(run)
    checkpoint = load_checkpoint(path)
    directory = open_shards(shards, cache)
    check_classes(checkpoint, directory.classes, path)
    sets = directory.sets(split)
    predictor = load_predictor(checkpoint, path, device, views)
    results = []
    for samples in sets:
        watch = start(samples.datasets[0], len(samples))
        counted = evaluate_set(predictor, samples, range(len(samples)), watch, batch, fetching)
        results.append(set_result(samples, split, counted))
    return path, checkpoint, results


def set_result(samples: SampleSet, split: str, counted: Counted) -> SetResult:
    """What was counted, with the facts about the samples."""
    return SetResult(
        dataset=samples.datasets[0],
        split=split,
        official=samples.official,
        synthetic=samples.synthetic,
        resized=samples.resized,
        classes=samples.classes,
        counted=counted,
    )


def plain_results(
    path: Path, checkpoint: Checkpoint, results: list[SetResult], views: Views | None = None
) -> dict[str, Any]:
    """Everything about an evaluation as plain types, for JSON."""
    return {
        "format": "segtrain-eval/1",
        "checkpoint": path.as_posix(),
        "model": checkpoint.train_config.title,
        "step": checkpoint.step,
        "views": (views or Views()).plain(),
        "statistics": (views or Views()).statistics,
        "datasets": {result.dataset: result.plain() for result in results},
    }


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture as PNG, whole or not at all.

    Raises:
        RunError: If it cannot be written.
    """
    write_beside(path, lambda part: picture.save(part, format="PNG"))


def write_matrices(folder: Path, results: Sequence[SetResult], ending: str = "") -> None:
    """Write `confusion-DATASET-SPLIT.png` for each data set, an ending behind its name.

    Raises:
        RunError: If one cannot be written.
    """
    for result in results:
        title = f"{result.dataset} {result.split}, {result.images:,} images"
        picture = matrix_picture(result.confmat.numpy(), result.classes, title)
        write_picture(folder / f"confusion-{result.dataset}-{result.split}{ending}.png", picture)


def check_writable(path: Path) -> None:
    """Refuse a result file that could not be written, before the work is done.

    Raises:
        RunError: If its folder is missing or may not be written, or it is a folder itself.
    """
    if path == STDOUT:
        return
    if not path.parent.is_dir():
        raise RunError(f"{path}: there is no folder {path.parent}; make it, or name another file")
    if path.is_dir():
        raise RunError(f"{path}: is a folder; name a file in it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise RunError(f"{path}: this user may not write into {path.parent}; name another file")


def write_results(path: Path, plain: dict[str, Any]) -> None:
    """Write an evaluation as JSON, whole or not at all; `-` is stdout.

    Raises:
        RunError: If it cannot be written.
    """
    text = json.dumps(plain, indent=2) + "\n"
    if path == STDOUT:
        sys.stdout.write(text)
        return
    write_beside(path, lambda part: part.write_text(text, "utf-8"))
