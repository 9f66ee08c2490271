"""Tests of segtrain.doctor.edges: borders of masks against the edges of images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segtrain.doctor import edges

MASKS = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(2, 30)), elements=st.sampled_from(
    [0, 1, 2, 255]))  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(mask=MASKS)
def test_borders_lie_in_the_middle_between_classes(mask: np.ndarray) -> None:
    """Every row's next labelled pixels of other classes, walked one by one."""
    expected = []
    for row, line in enumerate(mask.tolist()):
        last: int | None = None
        for x, label in enumerate(line):
            if label == 255:
                continue
            if last is not None and line[last] != label and x - last - 1 <= edges.GAP:
                expected.append((row, last + x))
            last = x
    found = edges.borders(mask)
    assert list(zip(found[0].tolist(), found[1].tolist(), strict=True)) == expected


def scene(seed: int, shift: tuple[int, int] = (0, 0), void: int = 0) -> tuple[np.ndarray, ...]:
    """A noisy image of bright boxes, and a mask of them that lies `shift` (x, y) pixels off."""
    rng = np.random.default_rng(seed)
    grey = rng.normal(90, 10, (120, 140))
    mask = np.zeros(grey.shape, np.uint8)
    for label in (1, 2):
        y, x = rng.integers(20, 50, 2) + np.array([0, 40 * (label - 1)])
        high, wide = rng.integers(25, 40, 2)
        grey[y : y + high, x : x + wide] += 70
        y, x = y + shift[1], x + shift[0]
        mask[y - void : y + high + void, x - void : x + wide + void] = 255 if void else label
        mask[y + void : y + high - void, x + void : x + wide - void] = label
    return grey.clip(0, 255).astype(np.uint8), mask


def fits(shift: tuple[int, int], void: int = 0, count: int = 14) -> tuple[edges.Fit, edges.Fit]:
    """The fits along x and y of some scenes."""
    pairs = [scene(seed, shift, void) for seed in range(count)]
    along_x = [edges.profile(grey, mask) for grey, mask in pairs]
    along_y = [edges.profile(grey.T, mask.T) for grey, mask in pairs]
    found = [edges.fit([p for p in some if p is not None]) for some in (along_x, along_y)]
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


@pytest.mark.parametrize("shift", [(0, 0), (2, 0), (-3, 2), (0, -2)])
@pytest.mark.parametrize("void", [0, 2])
def test_a_shift_is_found_along_its_axis(shift: tuple[int, int], void: int) -> None:
    """To a third of a pixel, with and without a void border; only beyond a pixel is it one."""
    for found, true in zip(fits(shift, void), shift, strict=True):
        assert found.shift == pytest.approx(true, abs=0.34)
        assert found.shifted is (abs(true) > 1)
        assert found.follows


def test_masks_of_other_images_follow_none() -> None:
    """The profile is flat, at every shift."""
    pairs = [(scene(seed)[0], scene(seed + 100)[1]) for seed in range(40)]
    profiles = [edges.profile(grey, mask) for grey, mask in pairs]
    found = edges.fit([p for p in profiles if p is not None])
    assert found is not None
    assert not found.follows


def test_too_few_borders_give_nothing() -> None:
    """An image without borders has no profile, nor has one without edges; few have no fit."""
    grey, mask = scene(0)
    assert edges.profile(grey, np.zeros_like(mask)) is None
    assert edges.profile(np.full_like(grey, 7), mask) is None
    assert edges.fit([np.ones(2 * edges.REACH + 1)] * (edges.IMAGES - 1)) is None
