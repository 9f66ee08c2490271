"""Tests of segtrain.intervals: definitions, and coverage by simulation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segtrain.intervals import (
    FEWEST,
    corrected,
    intervals_of,
    mean_iou,
    mean_iou_interval,
    multiplicities,
    resampled,
)
from segtrain.metrics import ImageCounts, confusion, margins, scores

CLASSES = 9


def counts_of(arrays: list[np.ndarray]) -> ImageCounts:
    """Counts of images of the given `true`, `targets` and `preds`."""
    return ImageCounts(tuple(str(i) for i in range(len(arrays[0]))), *arrays)


def population(size: int, seed: int) -> list[np.ndarray]:
    """Images of one to three classes, rare and common, that a net finds well, badly or not at all.

    Returns `true`, `targets` and `preds`, int64 `(size, CLASSES)` each.
    """
    rng = np.random.default_rng(seed)
    share = 0.6 ** np.arange(CLASSES - 1)
    number = rng.choice([1, 2, 3], size, p=[0.65, 0.25, 0.1])
    keys = rng.gumbel(np.log(share / share.sum()), 1, (size, CLASSES - 1))
    rank = np.argsort(np.argsort(-keys, 1), 1)  # a draw without replacement, by Gumbel's maxima
    shown = rank < number[:, None]
    targets = np.zeros((size, CLASSES), np.int64)
    targets[:, 1:] = shown * np.exp(rng.normal(8, 1, shown.shape)).clip(50, 60_000)
    targets[:, 0] = 200_000 - targets.sum(1).clip(0, 190_000)
    skill = rng.uniform(0.4, 0.95, CLASSES)
    found = rng.beta(6 * skill, 6 * (1 - skill), targets.shape)
    found *= rng.random(targets.shape) < 0.5 + skill / 2
    found[:, 0] = 1
    true = (targets * found).astype(np.int64)
    preds = true.copy()
    missed = (targets - true).sum(1)
    preds[np.arange(size), rng.integers(0, CLASSES, size)] += missed
    return [true, targets, preds]


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5))
def test_the_metric_of_sums_is_that_of_the_matrix(images: list[list[int]]) -> None:
    """Of any images, with classes absent from some or all, it is the mean IoU of `scores`."""
    confmats = [confusion(torch.tensor(i[:3]), torch.tensor(i[3:]), 5) for i in images]
    counts = ImageCounts.of([str(i) for i in range(len(images))], [margins(m) for m in confmats], 5)
    found = mean_iou(counts.true.sum(0).astype(float), counts.union.sum(0).astype(float))
    expected = scores(torch.stack(confmats).sum(0)).mean_iou
    assert float(found) == pytest.approx(expected)


def test_resamples_draw_as_many_images_as_there_are() -> None:
    """Each resample has n images; over many, each image comes as often as any, and once on average.

    The variance of a multiplicity is that of a draw with replacement, 1 - 1/n.
    """
    drawn = np.concatenate(list(multiplicities(40, 20_000)))
    assert (drawn.sum(1) == 40).all()
    assert np.abs(drawn.mean(0) - 1).max() < 0.04
    assert drawn.var() == pytest.approx(1 - 1 / 40, rel=0.02)


def test_a_resample_is_a_plain_loop_over_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums by multiplicity equal those of copied images, in however many pieces."""
    monkeypatch.setattr("segtrain.intervals.CHUNK", 70)
    counts = np.random.default_rng(1).integers(0, 99, (10, 4)).astype(float)
    found = resampled(counts, lambda sums: sums, 25)
    times = np.concatenate(list(multiplicities(10, 25)))
    assert found.shape == (25, 4)
    for row, drawn in zip(found, times, strict=True):
        copies = np.repeat(np.arange(10), drawn.astype(int))
        np.testing.assert_array_equal(row, counts[copies].sum(0))


def test_of_a_mean_it_is_the_textbook_interval() -> None:
    """For the mean of many normal figures, unbiased, it is mean -+ 1.96 standard errors."""
    values = np.random.default_rng(2).normal(0.5, 0.1, (500, 1))
    counts = np.hstack([values, np.ones_like(values)])
    found = intervals_of(counts, lambda sums: sums[..., :1] / sums[..., 1:], -9, 9)
    assert found is not None
    error = values.std(ddof=1) / np.sqrt(500)
    assert found[0].low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert found[0].high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_bias_is_taken_off_and_the_jackknife_widens() -> None:
    """Resamples that lie 0.1 low move the interval up by 0.1; a wider jackknife widens it."""
    spread = np.linspace(-0.1, 0.1, 2001)[:, None]
    narrow = np.full((50, 1), 0.5)
    low, high = corrected(np.array([0.5]), 0.4 + spread, narrow, level=0.9)
    assert (low[0], high[0]) == pytest.approx((0.51, 0.69))
    left_out = 0.5 + np.array([-1, 1] * 25)[:, None] * 2 * spread.std() / 7  # error: 2 deviations
    low, high = corrected(np.array([0.5]), 0.4 + spread, left_out, level=0.9)
    assert (low[0], high[0]) == pytest.approx((0.42, 0.78))


@pytest.mark.parametrize("images", [50, 100])
def test_intervals_cover_what_they_promise(images: int) -> None:
    """Of 95 % intervals on samples of a known population, 90 to 99 % hold its mean IoU.

    The plain percentile interval holds it less often, in the same samples.
    """
    arrays = population(20_000, 0)
    truth = mean_iou(*(a.sum(0).astype(float) for a in (arrays[0], counts_of(arrays).union)))
    rng = np.random.default_rng(images)
    held = plain = 0
    for _ in range(200):
        chosen = rng.integers(0, 20_000, images)
        sample = counts_of([a[chosen] for a in arrays])
        found = mean_iou_interval(sample)
        assert found is not None
        held += found.low <= truth <= found.high
        both = np.hstack([sample.true, sample.union]).astype(float)
        boot = resampled(both, lambda s: mean_iou(s[..., :CLASSES], s[..., CLASSES:]), 300)
        low, high = np.quantile(boot, [0.025, 0.975])
        plain += low <= truth <= high
    assert 180 <= held <= 199
    assert plain < held


def test_intervals_shrink_repeat_and_stay_within_their_range() -> None:
    """More images give narrower intervals; the same ones the same; none leaves 0..1; few: none."""
    arrays = population(1600, 3)
    widths = []
    for n in (FEWEST, 200, 1600):
        found = mean_iou_interval(counts_of([a[:n] for a in arrays]))
        assert found is not None
        assert 0 <= found.low < found.high <= 1
        assert found == mean_iou_interval(counts_of([a[:n] for a in arrays]))
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert mean_iou_interval(counts_of([a[: FEWEST - 1] for a in arrays])) is None
    perfect = mean_iou_interval(counts_of([arrays[1][:100]] * 3))
    assert perfect is not None
    assert (perfect.low, perfect.high) == (1, 1)
