"""Judging a net: one confusion matrix per data set, at the masks' own size (Long et al. 5)."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
    load_state,
    write_beside,
)
from segtrain.devices import autocast, choose_device
from segtrain.errors import RunError
from segtrain.intervals import Interval, mean_iou_interval
from segtrain.manifests import ClassInfo
from segtrain.metrics import ImageCounts, Scores, all_background, confusion, margins, scores
from segtrain.models import build
from segtrain.models.fcn import FCN
from segtrain.preprocessing import Preprocessing
from segtrain.samples import Decoded, load
from segtrain.shards import SampleSet, open_shards

DECODERS = 4  # threads that decode ahead; Pillow's decoders let other threads run

# called after each image with the number of images done, the sample and the prediction (H, W)
Watcher = Callable[[int, Decoded, Tensor], None]


@dataclass(frozen=True)
class Predictor:
    """A net that is ready to predict.

    Attributes:
        model: The net, in evaluation mode while predicting.
        preprocessing: What its input wants.
        device: Where it is.
        classes: Its classes in the order of their ids.
    """

    model: FCN
    preprocessing: Preprocessing
    device: torch.device
    classes: tuple[ClassInfo, ...]

    @torch.inference_mode()
    def logits(self, image: Image.Image) -> Tensor:
        """Scores of one RGB image: float32 `(C, H, W)` on the device."""
        pixels = torch.from_numpy(np.array(image)).to(self.device)  # (H, W, 3)
        nchw = pixels.permute(2, 0, 1)[None]  # (1, 3, H, W), channels_last
        with autocast(self.device):
            logits: Tensor = self.model(self.preprocessing.normalise(nchw))  # (1, C, H, W)
        return logits[0].float()

    def predict(self, image: Image.Image) -> Tensor:
        """Class ids of one RGB image: int64 `(H, W)` on the device."""
        return self.logits(image).argmax(0)


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
        by_class = zip(self.classes, found.iou, found.accuracy, found.target_pixels, strict=True)
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
                {"id": i, "name": c.name, "iou": iou, "accuracy": acc, "target_pixels": pixels}
                for i, (c, iou, acc, pixels) in enumerate(by_class)
            ],
            "confusion": self.confmat.tolist(),
        }


def rates(found: Scores) -> dict[str, float]:
    """The four metrics by name."""
    names = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
    return {name: asdict(found)[name] for name in names}


def decoded_ahead(samples: SampleSet, numbers: Sequence[int]) -> Iterator[Decoded]:
    """Samples in the order of `numbers`, decoded by threads a few images ahead.

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


def evaluate_set(
    predictor: Predictor, samples: SampleSet, numbers: Sequence[int], watch: Watcher
) -> Counted:
    """Predict images one by one at their own size and count.

    Args:
        predictor: The net.
        samples: The samples.
        numbers: Which of them, each once.
        watch: Called after each image.

    Raises:
        SampleError: If a sample cannot be read.
    """
    training = predictor.model.training
    predictor.model.eval()
    size = len(predictor.classes)
    confmat = torch.zeros(size, size, dtype=torch.int64, device=predictor.device)
    keys, by_image = [], []
    try:
        for done, sample in enumerate(decoded_ahead(samples, numbers), 1):
            pred = predictor.predict(sample.image)  # (H, W)
            target = torch.tensor(sample.mask, device=predictor.device)  # (H, W)
            alone = confusion(pred, target, size)  # (C, C)
            confmat += alone
            keys.append(sample.key)
            by_image.append(margins(alone))
            watch(done, sample, pred)
    finally:
        predictor.model.train(training)
    return Counted(confmat.cpu(), ImageCounts.of(keys, by_image, size))


def load_predictor(checkpoint: Checkpoint, path: Path, device: str) -> Predictor:
    """The net of a checkpoint, ready to predict.

    Args:
        checkpoint: What was read.
        path: Where from, for messages.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        CheckpointError: If its weights do not fit its configuration.
    """
    where = choose_device(device)
    model = build(checkpoint.train_config, len(checkpoint.classes))
    load_state(model, checkpoint.model, path)
    preprocessing = Preprocessing.from_fingerprint(checkpoint.preprocessing)
    ready = model.to(where).to(memory_format=torch.channels_last).eval()
    return Predictor(ready, preprocessing, where, checkpoint.class_infos)


def evaluate_run(
    run: Path, shards: Path, split: str, device: str, start: Callable[[str, int], Watcher]
) -> tuple[Path, Checkpoint, list[SetResult]]:
    """Judge a run's net on a split of every data set of a shards directory.

    Args:
        run: A run's folder (its best.pt, else its last.pt) or a checkpoint.
        shards: The shards directory.
        split: `train`, `val`, or the name of a view.
        device: `auto`, `cpu`, `cuda` or `mps`.
        start: Called with each data set's name and number of images; gives its watcher.

    Returns:
        The checkpoint's path, the checkpoint, and a result per data set.

    Raises:
        CheckpointError: If there is no checkpoint, or it does not fit.
        ShardsError: If the shards are missing or damaged.
    """
    path = find_checkpoint(run)
    checkpoint = load_checkpoint(path)
    directory = open_shards(shards)
    check_classes(checkpoint, directory.classes, path)
    sets = directory.sets(split)
    predictor = load_predictor(checkpoint, path, device)
    results = []
    for samples in sets:
        watch = start(samples.datasets[0], len(samples))
        counted = evaluate_set(predictor, samples, range(len(samples)), watch)
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


def plain_results(path: Path, checkpoint: Checkpoint, results: list[SetResult]) -> dict[str, Any]:
    """Everything about an evaluation as plain types, for JSON."""
    return {
        "format": "segtrain-eval/1",
        "checkpoint": path.as_posix(),
        "variant": checkpoint.config["variant"],
        "step": checkpoint.step,
        "datasets": {result.dataset: result.plain() for result in results},
    }


def check_writable(path: Path) -> None:
    """Refuse a result file that could not be written, before the work is done.

    Raises:
        RunError: If its folder is missing or it is a folder itself.
    """
    if not path.parent.is_dir():
        raise RunError(f"{path}: there is no folder {path.parent}; make it, or name another file")
    if path.is_dir():
        raise RunError(f"{path}: is a folder; name a file in it")


def write_results(path: Path, plain: dict[str, Any]) -> None:
    """Write an evaluation as JSON, whole or not at all.

    Raises:
        RunError: If it cannot be written.
    """
    text = json.dumps(plain, indent=2) + "\n"
    write_beside(path, lambda part: part.write_text(text, "utf-8"))
