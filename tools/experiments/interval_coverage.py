"""How often intervals of the mean IoU hold the truth, by simulation, for several methods.

    .venv/bin/python tools/experiments/interval_coverage.py [--repeats N] [--masks FOLDER]

A population of images is made whose mean IoU is known; samples of n images are drawn from it, an
interval is made of each by each method, and it is counted how many hold the population's figure.
Images show one to four of VOC's 20 classes as often as VOC 2012's val does (442 of 1,449 images
show a person, 60 a sheep), of log-normal sizes; the net finds an object well, badly or not at all,
calls part of what it misses by another class, and sees things that are not there. With --masks, the
targets are the pixel counts of real masks, VOC's `SegmentationClass` as it is, and only the
predictions are made. A second net, slightly better and with errors of its own, gives the paired
differences. Prints a table in Markdown.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain import intervals
from segtrain.intervals import mean_iou
from segtrain.metrics import ImageCounts

# images of VOC 2012 val that show each class, aeroplane to tvmonitor, roughly
SHOWN = [90, 68, 115, 65, 76, 87, 145, 131, 149, 66, 64, 128, 79, 78, 442, 84, 60, 77, 73, 75]
SIZE = 21
PIXELS = 180_000  # of an image
POPULATION = 12_000
SAMPLES = (25, 50, 100, 200, 400)
Z = NormalDist()

Floats = NDArray[np.float64]
Ends = tuple[float, float]


@dataclass(frozen=True)
class Population:
    """Counts of two nets on the same images, and what all of them together say."""

    first: ImageCounts
    second: ImageCounts

    def sample(self, chosen: NDArray[np.int64]) -> "Population":
        """The images of these numbers."""
        return Population(take(self.first, chosen), take(self.second, chosen))


def take(counts: ImageCounts, chosen: NDArray[np.int64]) -> ImageCounts:
    """Counts of some images."""
    return ImageCounts((), *(array[chosen] for array in counts.arrays))


def generated_targets(rng: np.random.Generator) -> NDArray[np.int64]:
    """Pixels of each class in each image, `(POPULATION, SIZE)`."""
    share = np.array(SHOWN) / sum(SHOWN)
    targets = np.zeros((POPULATION, SIZE), np.int64)
    for row in targets:
        number = 1 + rng.choice(4, p=[0.62, 0.26, 0.09, 0.03])
        classes = 1 + rng.choice(SIZE - 1, number, replace=False, p=share)
        parts = np.exp(rng.normal(np.log(0.1), 1.1, number)).clip(0, 0.8)
        row[classes] = PIXELS * parts / max(1, parts.sum() / 0.9)
        row[0] = PIXELS - row.sum()
    return targets


def real_targets(folder: Path) -> NDArray[np.int64]:
    """Pixels of each class in each mask of a folder of VOC's palette PNGs."""
    rows = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as mask:
            rows.append(np.bincount(np.asarray(mask).ravel(), minlength=256)[:SIZE])
    return np.array(rows, np.int64)


def predicted(targets: NDArray[np.int64], rng: np.random.Generator, quality: float) -> Population:
    """Two nets' results on these targets; `quality` is about the skill at the middle class."""
    skill = rng.uniform(quality - 0.25, min(0.97, quality + 0.2), SIZE)
    similar = rng.permutation(SIZE)
    shape = targets.shape
    found = rng.beta(8 * skill, 8 * (1 - skill), shape)
    found *= rng.random(shape) >= (1 - skill) / 2  # not seen at all
    better = (found + rng.normal(0.015, 0.08, shape) * (found > 0)).clip(0, 1)
    taken = rng.random(shape) * (rng.random(shape) < 0.5)  # of what is missed, by another class
    more = rng.gamma(1, 0.1 + 0.3 * (1 - skill), shape) * targets  # around what is found
    seen = (rng.random(len(targets)) < 0.15) * rng.beta(1, 20, len(targets))  # where nothing is
    what = rng.integers(1, SIZE, len(targets))
    return Population(
        *(count(targets, rate, taken, more, seen, what, similar) for rate in (found, better))
    )


def count(
    targets: NDArray[np.int64], found: Floats, taken: Floats, more: Floats, seen: Floats,
    what: NDArray[np.int64], similar: NDArray[np.int64],
) -> ImageCounts:  # fmt: skip
    """One net's counts of the things drawn by `predicted`."""
    rows = np.arange(len(targets))
    true = (targets * found).astype(np.int64)
    missed = targets - true
    missed[:, 0] = 0
    wrong = (missed * taken).astype(np.int64)
    extra = (0.5 * more).astype(np.int64)
    extra[rows, what] += (seen * targets[:, 0] / 2).astype(np.int64)
    extra[:, 0] = 0
    extra[extra.sum(1) > targets[:, 0]] = 0  # there is not that much background
    true[:, 0] = targets[:, 0] - extra.sum(1)
    preds = true + extra
    preds[:, similar] += wrong
    preds[:, 0] = true[:, 0] + (missed - wrong).sum(1)
    return ImageCounts((), true, targets, preds)


def figure(population: Population, *, difference: bool) -> float:
    """The first net's mean IoU, or what the second has more."""
    both = [
        float(mean_iou(c.true.sum(0).astype(float), c.union.sum(0).astype(float)))
        for c in (population.first, population.second)
    ]
    return both[1] - both[0] if difference else both[0]


def boot_of(sample: Population, *, difference: bool) -> Floats:
    """The figure of each resample."""
    counts = intervals.paired(sample.first, sample.second)

    def statistic(sums: Floats) -> Floats:
        parts = np.split(sums, 4, axis=-1)
        ours = mean_iou(parts[0], parts[1])
        return mean_iou(parts[2], parts[3]) - ours if difference else ours

    return intervals.resampled(counts, statistic)


def percentile(_: Population, boot: Floats, **__: bool) -> Ends:
    """The plain percentile interval."""
    low, high = np.quantile(boot, [0.025, 0.975])
    return float(low), float(high)


def bias_corrected(sample: Population, boot: Floats, *, difference: bool) -> Ends:
    """Efron's BC: percentiles moved by where the estimate lies among the resamples."""
    below = float((boot < figure(sample, difference=difference)).mean())
    shift = 2 * Z.inv_cdf(min(max(below, 1 / len(boot)), 1 - 1 / len(boot)))
    levels = [Z.cdf(shift + Z.inv_cdf(level)) for level in (0.025, 0.975)]
    low, high = np.quantile(boot, levels)
    return float(low), float(high)


def ours(sample: Population, _: Floats, *, difference: bool) -> Ends:
    """What segtrain prints."""
    found = (
        intervals.mean_iou_difference(sample.first, sample.second)
        if difference
        else intervals.mean_iou_interval(sample.first)
    )
    return (found.low, found.high) if found else (float("nan"), float("nan"))


METHODS: dict[str, Callable[..., Ends]] = {
    "percentile": percentile,
    "BC": bias_corrected,
    "segtrain": ours,
}


def row(population: Population, images: int, repeats: int, *, difference: bool) -> str:
    """One row of the table: bias and deviation of the figure, coverage and width by method."""
    rng = np.random.default_rng(images)
    truth = figure(population, difference=difference)
    found, held, width = [], dict.fromkeys(METHODS, 0), dict.fromkeys(METHODS, 0.0)
    for _ in range(repeats):
        sample = population.sample(rng.integers(0, len(population.first.true), images))
        found.append(figure(sample, difference=difference))
        boot = boot_of(sample, difference=difference)
        for name, method in METHODS.items():
            low, high = method(sample, boot, difference=difference)
            held[name] += low <= truth <= high
            width[name] += 100 * (high - low)
    cells = [f"{100 * held[m] / repeats:.0f} % ({width[m] / repeats:.1f})" for m in METHODS]
    bias = 100 * (np.mean(found) - truth)
    head = [f"{100 * truth:.1f}", str(images), f"{bias:+.1f}", f"{100 * np.std(found):.1f}"]
    return "| " + " | ".join([*head, *cells]) + " |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--masks", type=Path)
    given = parser.parse_args()
    make = partial(real_targets, given.masks) if given.masks else None
    names = " | ".join(METHODS)
    for difference in (False, True):
        print(f"\n| truth | images | bias | deviation | {names} |")
        print("| ---: " * (4 + len(METHODS)) + "|")
        for quality, seed in ((0.8, 1), (0.65, 2), (0.35, 3)):
            rng = np.random.default_rng(seed)
            population = predicted(make() if make else generated_targets(rng), rng, quality)
            for images in SAMPLES:
                print(row(population, images, given.repeats, difference=difference), flush=True)


if __name__ == "__main__":
    main()
