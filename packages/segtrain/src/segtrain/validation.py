"""Validation during training: fixed images of each data set, judged apart."""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from segtrain.config import known
from segtrain.errors import SegtrainError
from segtrain.evaluate import Counted, SetResult, evaluate_set, rates, set_result
from segtrain.interruption import Interruption
from segtrain.manifests import FIXED_VIEW
from segtrain.metrics import prior_entropy
from segtrain.overlays import Judged
from segtrain.predictor import Predictor
from segtrain.ranks import Ranks
from segtrain.samples import Decoded
from segtrain.sampleset import SampleSet
from segtrain.shards import Shards

Progress = Callable[[str, int, int], None]  # data set, images done, images in all
Watcher = Callable[[int, Decoded, torch.Tensor], None]  # position, sample, prediction (H, W)
TOGETHER = 8  # images of a rank between two looks at the others


@dataclass
class ValidationSet:
    """The validation split of one data set.

    Attributes:
        split: Name of the split or view.
        samples: All of its samples.
        first: Numbers of the samples of the validations on the way.
        rest: Numbers of all the others.
    """

    split: str
    samples: SampleSet
    first: list[int]
    rest: list[int]

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.samples.datasets[0]

    def drawn(self, count: int) -> list[int]:
        """Positions in `first` of the images to draw, spread evenly."""
        return [len(self.first) * i // count for i in range(count)] if count else []


@dataclass(frozen=True)
class Company:
    """Who judges together, and what may stop them.

    Attributes:
        ranks: The processes.
        stop: The signals of this one.
    """

    ranks: Ranks
    stop: Interruption


@dataclass(frozen=True)
class Validated:
    """What one validation of one data set gave.

    Attributes:
        result: On the images of the validations on the way.
        full: On all images; None where the rest was not judged.
        judged: Images to draw.
    """

    result: SetResult
    full: SetResult | None
    judged: list[Judged]


def split_first(
    samples: SampleSet, view: tuple[str, ...] | None, count: int, split: str = "val"
) -> ValidationSet:
    """Choose the images of the validations on the way.

    Args:
        samples: The validation split.
        view: Keys of the manifest's `val100`, None where it has none.
        count: How many; 0 is all. 100 of val are those of `val100`, other counts the first in
            order, which the build has shuffled. Those of a named subset, whose order may be any,
            are drawn at random, the same each time.
        split: Name of the split or view.
    """
    everything = range(len(samples))
    if count == 0 or count >= len(samples):
        first = list(everything)
    elif split != "val":
        first = sorted(np.random.default_rng(0).permutation(len(samples))[:count].tolist())
    elif view is not None and count == len(view):
        wanted = set(view)
        first = [n for n in everything if samples.key(n) in wanted]
    else:
        first = list(everything[:count])
    chosen = set(first)
    return ValidationSet(split, samples, first, [n for n in everything if n not in chosen])


def validation_sets(shards: Shards, count: int, split: str = "val") -> list[ValidationSet]:
    """The validation sets of all data sets; the first is primary and picks best.pt.

    Raises:
        ShardsError: If no data set has such a split.
    """
    return [
        split_first(s, shards.view_keys(s.datasets[0], FIXED_VIEW), count, split)
        for s in shards.sets(split)
    ]


def validate(
    predictor: Predictor,
    chosen: ValidationSet,
    pictures: int,
    progress: Progress,
    company: Company,
    *,
    full: bool,
) -> Validated:
    """Judge the images of a validation, and with `full` all of them in the same pass.

    Args:
        predictor: The net.
        chosen: What to judge.
        pictures: How many images to keep for drawing.
        progress: Called after each image.
        company: Who else judges, and what may stop it.
        full: Whether to judge the rest as well.

    Raises:
        SampleError: If a sample cannot be read.
        StopRequested: After a signal.
    """
    judged: list[tuple[int, Judged]] = []
    drawn = set(chosen.drawn(min(pictures, len(chosen.first))))
    total = len(chosen.first) + len(chosen.rest) * full

    def watch(position: int, sample: Decoded, pred: torch.Tensor) -> None:
        if position in drawn:
            ids = pred.to("cpu", torch.uint8).numpy()
            judged.append((position, Judged(sample.key, sample.image, sample.mask, (ids,))))
        progress(chosen.name, position + 1, total)

    def later(position: int, _: Decoded, __: torch.Tensor) -> None:
        progress(chosen.name, len(chosen.first) + position + 1, total)

    counted = count(predictor, chosen.samples, chosen.first, watch, company)
    result = set_result(chosen.samples, chosen.split, counted)
    everyone = [pair for part in company.ranks.gather(judged) for pair in part]
    shown = [one for _, one in sorted(everyone, key=lambda pair: pair[0])]
    if not full:
        return Validated(result, None, shown)
    counted = counted + count(predictor, chosen.samples, chosen.rest, later, company)
    return Validated(result, set_result(chosen.samples, chosen.split, counted), shown)


def count(
    predictor: Predictor, samples: SampleSet, numbers: list[int], watch: Watcher, company: Company
) -> Counted:
    """Predict and count images, each on one of the ranks; the result is that of one process.

    Args:
        predictor: The net.
        samples: The samples.
        numbers: Which of them, each once; they are dealt to the ranks one by one.
        watch: Called after each image of this rank with its position in `numbers`.
        company: Who else judges, and what may stop it.

    Raises:
        SampleError: If a sample cannot be read, on whichever rank.
        StopRequested: After a signal, to whichever rank.
    """
    ranks, stop = company.ranks, company.stop
    shortest = len(numbers) // ranks.world  # as many images as every rank has
    error: SegtrainError | None = None
    counted: Counted | None = None

    def watched(done: int, sample: Decoded, pred: torch.Tensor) -> None:
        watch(ranks.rank + (done - 1) * ranks.world, sample, pred)
        if ranks.alone or (done <= shortest and done % TOGETHER == 0):
            ranks.meet(stop)

    try:
        counted = evaluate_set(predictor, samples, numbers[ranks.rank :: ranks.world], watched)
    except SegtrainError as caught:
        if caught.shared:  # all ranks have met over it
            raise
        error = caught
    ranks.meet(stop, error)
    return dealt_back(ranks.gather(known(counted)))


def dealt_back(parts: list[Counted]) -> Counted:
    """The counts of all images in their order, from those that were dealt out one by one."""
    total = functools.reduce(operator.add, parts)
    sizes = [len(part.images.keys) for part in parts]
    places = [rank + np.arange(size) * len(parts) for rank, size in enumerate(sizes)]
    order = np.argsort(np.concatenate(places))
    return Counted(total.confmat, total.images.taken(order))


def summary(result: SetResult) -> dict[str, Any]:
    """A validation result for the log."""
    return {
        "images": result.images,
        "official_images": 0 if result.synthetic else result.official,
        **rates(result.scores),
        "mean_iou_interval": result.interval.plain() if result.interval else None,
        "classes_present": result.scores.present,
        "all_background_iou": result.floor.mean_iou,
        "resized_targets": result.resized,
    }


def floors(num_classes: int, pixels: np.ndarray | None) -> dict[str, float]:
    """The losses at which a net has learnt nothing, in nats.

    Args:
        num_classes: C.
        pixels: Pixels by class, void last, `(C + 1,)`; None where they are not known.

    Returns:
        `uniform`: ln C, the loss of a net that puts out zeros; `prior`: the entropy of the class
        distribution, where a net stalls that learns only its last bias.
    """
    floor = {"uniform": float(np.log(num_classes))}
    if pixels is None:
        return floor
    counts = torch.from_numpy(np.asarray(pixels[:num_classes], np.float64))
    if float(counts.sum()) > 0:
        floor["prior"] = prior_entropy(counts)
    return floor
