"""How far the mean IoU of some images can be trusted: intervals by resampling the images.

The images are drawn anew with replacement, their pixel counts summed, and the metric taken of the
sums. Three facts about the mean IoU decide what is made of the results; docs/intervals.md has the
simulations behind them:

- On few images it is biased, mostly low, and a resample repeats that bias: the interval's centre is
  the estimate less the bias that the resamples show.
- A class that few images show is there or not, well predicted or not, as these few will have it.
  Resampling sees too little of that; leaving each image out in turn (the jackknife, Efron and Stein
  1981) sees more. The interval is widened to the jackknife's standard error where that is larger.
- Below 25 images no method that was tried covers what it promises: there is no interval.

Such an interval speaks of the choice of images. It says nothing of training again by another seed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.metrics import ImageCounts

LEVEL = 0.95
RESAMPLES = 1000
FEWEST = 25  # images below which there is no interval
CHUNK = 2_000_000  # multiplicities held at once
SEED = 0  # the same images always give the same interval

Floats = NDArray[np.float64]
# pixel counts summed over images, (..., columns), to the statistic, (..., K)
Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Interval:
    """An interval of one figure over the choice of images.

    Attributes:
        low, high: Its ends, in the unit of the figure.
        level: How often such intervals are meant to cover the truth, 0..1.
    """

    low: float
    high: float
    level: float = LEVEL

    def plain(self) -> dict[str, Any]:
        """The interval as plain types, for JSON."""
        return {
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "resamples": RESAMPLES,
            "over": "images",
        }


def ious(true: Floats, union: Floats) -> Floats:
    """IoU of each class from sums of pixels; NaN where the union is empty.

    Args:
        true: `(..., C)`: pixels of the class that were predicted as it.
        union: `(..., C)`: pixels of the class in truth or prediction.
    """
    rates: Floats = np.divide(true, union, out=np.full(union.shape, np.nan), where=union > 0)
    return rates


def mean_iou(true: Floats, union: Floats) -> Floats:
    """Mean over the classes whose union is not empty, `(...)`; 0 where all are, as the metric."""
    present = (union > 0).sum(-1)
    mean: Floats = np.nansum(ious(true, union), -1) / np.maximum(present, 1)
    return mean


def multiplicities(images: int, resamples: int, seed: int = SEED) -> Iterator[Floats]:
    """How often each image is in each resample, some resamples at a time.

    Yields:
        float64 `(some, images)` of whole numbers; each row sums to `images`.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // images)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = rng.integers(0, images, (count, images)) + images * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * images)
        yield times.reshape(count, images).astype(np.float64)


def resampled(counts: Floats, statistic: Statistic, resamples: int = RESAMPLES) -> Floats:
    """The statistic of each resample of the images, `(resamples, K)`.

    Sums of whole numbers below 2**53 are exact in float64, so no order of adding changes them.

    Args:
        counts: `(n, columns)`: whole numbers by image.
        statistic: What is made of their sum.
        resamples: How many.
    """
    drawn = multiplicities(len(counts), resamples)
    return np.concatenate([statistic(times @ counts) for times in drawn])


def corrected(estimate: Floats, boot: Floats, left_out: Floats, level: float = LEVEL) -> Floats:
    """Bias-corrected percentile intervals, at least as wide as the jackknife has it.

    Args:
        estimate: `(K,)`: the statistic of all images.
        boot: `(B, K)`: of each resample.
        left_out: `(n, K)`: of all images but one.
        level: What the intervals shall cover, 0..1.

    Returns:
        `(2, K)`: lower and upper ends.
    """
    n = len(left_out)
    mean, spread = boot.mean(0), boot.std(0)
    jackknife = np.sqrt((n - 1) / n * ((left_out - left_out.mean(0)) ** 2).sum(0))
    wider = np.divide(jackknife, spread, out=np.ones_like(spread), where=spread > 0)
    ends = np.quantile(boot, [(1 - level) / 2, (1 + level) / 2], axis=0)
    centre = estimate - (mean - estimate)
    bounds: Floats = centre + (ends - mean) * np.maximum(1, wider)
    return bounds


def intervals_of(
    counts: Floats, statistic: Statistic, lowest: float, highest: float
) -> list[Interval] | None:
    """An interval of each of the K figures that a statistic gives; None below 25 images.

    Args:
        counts: `(n, columns)`: whole numbers by image.
        statistic: What is made of their sums; defined on every resample.
        lowest: The least that a figure can be; no interval goes below.
        highest: The most.
    """
    if len(counts) < FEWEST:
        return None
    total = counts.sum(0)
    boot = resampled(counts, statistic)
    low, high = corrected(statistic(total), boot, statistic(total - counts))
    ends = zip(low.clip(lowest, highest), high.clip(lowest, highest), strict=True)
    return [Interval(float(a), float(b)) for a, b in ends]


def mean_iou_interval(images: ImageCounts) -> Interval | None:
    """The interval of the mean IoU over the choice of images; None below 25 of them."""
    size = images.true.shape[1]
    counts = np.hstack([images.true, images.union]).astype(np.float64)  # (n, 2C)

    def statistic(sums: Floats) -> Floats:
        return mean_iou(sums[..., :size], sums[..., size:])[..., None]

    found = intervals_of(counts, statistic, 0, 1)
    return found[0] if found else None


def iou_intervals(images: ImageCounts) -> list[Interval | None]:
    """The interval of each class's IoU; None for classes that fewer than 25 images show.

    Args:
        images: Counts of the images.
    """
    size = images.true.shape[1]
    known = np.flatnonzero((images.targets > 0).sum(0) >= FEWEST)  # in every resample, in effect
    counts = np.hstack([images.true[:, known], images.union[:, known]]).astype(np.float64)

    def statistic(sums: Floats) -> Floats:
        true, union = np.split(sums, 2, axis=-1)
        return np.nan_to_num(ious(true, union))

    found = intervals_of(counts, statistic, 0, 1) or []
    by_class = dict(zip(known.tolist(), found, strict=True)) if len(known) else {}
    return [by_class.get(c) for c in range(size)]


def paired(first: ImageCounts, second: ImageCounts) -> Floats:
    """What two nets' differences are made of: float64 `(n, 4C)`, true and union of each net.

    Args:
        first: Counts of one net.
        second: Of the other, on the same images in the same order.
    """
    parts = [first.true, first.union, second.true, second.union]
    return np.hstack(parts).astype(np.float64)


def mean_iou_difference(first: ImageCounts, second: ImageCounts) -> Interval | None:
    """The interval of the second net's mean IoU less the first's, both on the same resamples.

    Args:
        first: Counts of one net.
        second: Of the other, on the same images in the same order.
    """

    def statistic(sums: Floats) -> Floats:
        one_true, one_union, two_true, two_union = np.split(sums, 4, axis=-1)
        return (mean_iou(two_true, two_union) - mean_iou(one_true, one_union))[..., None]

    found = intervals_of(paired(first, second), statistic, -1, 1)
    return found[0] if found else None


def iou_differences(first: ImageCounts, second: ImageCounts) -> list[Interval | None]:
    """The same of each class's IoU; None for classes that fewer than 25 images show.

    Args:
        first: Counts of one net.
        second: Of the other, on the same images in the same order.
    """
    size = first.true.shape[1]
    known = np.flatnonzero((first.targets > 0).sum(0) >= FEWEST)  # in every resample, in effect
    columns = np.concatenate([known + part * size for part in range(4)])

    def statistic(sums: Floats) -> Floats:
        one_true, one_union, two_true, two_union = np.split(sums, 4, axis=-1)
        return np.nan_to_num(ious(two_true, two_union) - ious(one_true, one_union))

    found = intervals_of(paired(first, second)[:, columns], statistic, -1, 1) or []
    by_class = dict(zip(known.tolist(), found, strict=True)) if len(known) else {}
    return [by_class.get(c) for c in range(size)]
