"""Balance: class weights, entropy and floors, against oracles that go pixel by pixel."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdata import balance

masks = st.lists(
    st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 255]), min_size=1, max_size=12),
    min_size=1,
    max_size=6,
)
"""Images as flat lists of ids, of three classes and background; a class may be absent."""
counts = st.lists(st.integers(0, 10**9), min_size=2, max_size=9)


def counted(images: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Pixels of classes 0..3, and labelled pixels of the images that show each."""
    pixels = [sum(image.count(c) for image in images) for c in range(4)]
    present = [sum(len([p for p in i if p != 255]) for i in images if c in i) for c in range(4)]
    return pixels, present


@given(masks)
def test_median_frequency_is_the_papers(images: Sequence[Sequence[int]]) -> None:
    """A weight is the median of the frequencies over the class's own; absent ones are 1."""
    frequency = {}
    for c in range(4):
        showing = [[p for p in image if p != 255] for image in images if c in image]
        if showing:
            pixels = sum(image.count(c) for image in showing)
            frequency[c] = Fraction(pixels, sum(map(len, showing)))
    ordered = sorted(frequency.values())
    n = len(ordered)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else Fraction(0)
    found = balance.median_frequency(*counted(images))
    for c in range(4):
        assert found[c] == pytest.approx(float(middle / frequency[c]) if c in frequency else 1.0)


def test_median_frequency_by_hand() -> None:
    """Background 90 of 120, a class 10 of 20, a class 20 of 40: medians and ratios by hand."""
    assert balance.median_frequency([90, 10, 20], [120, 20, 40]) == [0.5 / 0.75, 1.0, 1.0]


@given(counts)
def test_inverse_log_is_the_papers(pixels: Sequence[int]) -> None:
    """`w = 1 / ln(1.02 + p)`: e to the power of 1/w gives back the share, within its bounds."""
    total = sum(pixels)
    for n, weight in zip(pixels, balance.inverse_log(pixels), strict=True):
        share = Fraction(n, total) if total else 0
        assert math.exp(1 / weight) - 1.02 == pytest.approx(float(share), abs=1e-12)
        assert 1.4 < weight < 50.5


@given(counts)
def test_entropy_is_the_loss_of_the_prior(pixels: Sequence[int]) -> None:
    """The entropy is the mean cross entropy over all pixels of scores that equal the prior."""
    total = sum(pixels)
    found = balance.prior_entropy(pixels)
    if not total:
        assert found == 0
        return
    with np.errstate(divide="ignore"):
        scores = np.log(np.array(pixels, np.float64) / total)
    losses = [n * -s for n, s in zip(pixels, scores, strict=True) if n]
    assert found == pytest.approx(sum(losses) / total, abs=1e-12)
    assert -1e-12 <= found <= math.log(len(pixels)) + 1e-12


def test_entropy_of_equal_classes() -> None:
    """21 equally frequent classes have ln 21, one class alone has nothing to tell."""
    assert balance.prior_entropy([7] * 21) == pytest.approx(3.0445, abs=5e-5)
    assert balance.prior_entropy([9, 0, 0]) == 0


@given(masks)
def test_the_floor_is_the_metric_of_background(images: Sequence[Sequence[int]]) -> None:
    """Pixel accuracy and mean IoU of background everywhere, from each pixel's target and guess."""
    targets = [p for image in images for p in image if p != 255]
    found = balance.all_background(counted(images)[0])
    if not targets:
        assert found == balance.Floor(0, 0, 0)
        return
    ious = []
    for c in range(4):
        union = [p for p in targets if p == c or c == 0]  # the guess is 0 everywhere
        hit = [p for p in union if p == c == 0]
        if union:
            ious.append(len(hit) / len(union))
    assert found.pixel_accuracy == pytest.approx(targets.count(0) / len(targets))
    assert found.mean_iou == pytest.approx(sum(ious) / len(ious))
    assert found.classes == len(ious)


def test_the_floor_of_voc() -> None:
    """With 73.3 % background among 21 present classes the floor is the field's 3.49 %."""
    pixels = [7330, *([133] * 19), 143]
    assert balance.all_background(pixels).mean_iou == pytest.approx(0.0349, abs=5e-5)
