"""Policies, void border, fit and nearest rule against pixel-by-pixel definitions."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segdata.labels import LabelPolicy
from segdata.verify.labels import Labels, Region, border, fitted, keeps, label, nearest

SHAPE = (5, 7)


@st.composite
def annotations(draw: st.DrawFn) -> list[Region]:
    """Up to six rectangles, some of equal size, some crowds."""
    regions = []
    for _ in range(draw(st.integers(0, 6))):
        y, x = draw(st.integers(0, 4)), draw(st.integers(0, 6))
        height, width = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        pixels = np.zeros(SHAPE, dtype=bool)
        pixels[y : y + height, x : x + width] = True
        regions.append(Region(draw(st.integers(1, 4)), draw(st.booleans()), 10.0, pixels))
    return regions


def by_definition(regions: list[Region], policy: str) -> NDArray[np.uint8]:
    """Each pixel from the list of the annotations that cover it."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for place in np.ndindex(SHAPE):
        here = [(i, r) for i, r in enumerate(regions) if r.pixels[place]]
        objects = [(int(r.pixels.sum()), -i, r.class_id) for i, r in here if not r.crowd]
        if policy == "segdata" and here:
            mask[place] = min(objects)[2] if objects else 255
        elif policy == "torchvision" and here:
            mask[place] = here[0][1].class_id if len(here) == 1 else 255
        elif policy == "gluoncv" and here:
            mask[place] = here[0][1].class_id
    return mask


@pytest.mark.parametrize("policy", ["segdata", "torchvision", "gluoncv"])
@given(regions=annotations())
def test_policy_is_its_definition(policy: str, regions: list[Region]) -> None:
    """Each policy gives every pixel what its definition says, and the crowds' pixels apart."""
    labelled = label(regions, *SHAPE, Labels(policy, 0, 0))
    expected = by_definition(regions, policy)
    np.testing.assert_array_equal(labelled.mask, expected)
    crowds = [region.pixels for region in regions if region.crowd]
    np.testing.assert_array_equal(labelled.crowds, np.any([np.zeros(SHAPE), *crowds], axis=0))
    assert labelled.labelled == ((expected > 0) & (expected < 255)).sum()


@dataclass(frozen=True)
class Drawn:
    """A region as the builder takes it."""

    class_id: int
    crowd: bool
    area: int
    mask: NDArray[np.bool_]

    def pixels(self) -> NDArray[np.bool_]:
        return self.mask

    def columns(self) -> tuple[int, NDArray[np.bool_]]:
        first, *_ = [*np.flatnonzero(self.mask.any(axis=0)), 0]
        return int(first), self.mask[:, first:]


@pytest.mark.parametrize("policy", ["segdata", "torchvision", "gluoncv"])
@given(regions=annotations(), distance=st.integers(0, 3))
def test_builder_labels_alike(policy: str, regions: list[Region], distance: int) -> None:
    """The builder's own painter gives the same mask, void border included, for any regions."""
    builder = LabelPolicy(policy, border=distance)
    drawn = [Drawn(r.class_id, r.crowd, int(r.pixels.sum()), r.pixels) for r in regions]
    found = builder.finish(builder.paint(drawn, *SHAPE))
    expected = label(regions, *SHAPE, Labels(policy, 0, distance)).mask
    np.testing.assert_array_equal(found, expected)


@given(
    owner=st.lists(st.integers(0, 2), min_size=35, max_size=35),
    distance=st.integers(1, 8),
)
def test_border_is_its_definition(owner: list[int], distance: int) -> None:
    """A pixel is on the border exactly where the square around it holds a second owner."""
    owners = np.array(owner, dtype=np.int32).reshape(SHAPE)
    expected = np.zeros(SHAPE, dtype=bool)
    for y, x in np.ndindex(SHAPE):
        rows = slice(max(y - distance, 0), y + distance + 1)
        columns = slice(max(x - distance, 0), x + distance + 1)
        expected[y, x] = (owners[rows, columns] != owners[y, x]).any()
    np.testing.assert_array_equal(border(owners, distance), expected)


def test_border_in_a_mask() -> None:
    """Both sides of an outline become 255, also between two objects of one class."""
    left, right = np.zeros((4, 8), dtype=bool), np.zeros((4, 8), dtype=bool)
    left[:, :3], right[:, 3:6] = True, True
    regions = [Region(1, False, 12, left), Region(1, False, 12, right)]
    labelled = label(regions, 4, 8, Labels("segdata", 0, 1))
    assert labelled.mask[0].tolist() == [1, 1, 255, 255, 1, 255, 255, 0]
    assert labelled.labelled == 24  # the border decides nothing about which images are kept


@given(source=st.integers(1, 3000), target=st.integers(1, 600))
def test_nearest_takes_the_pixel_under_the_centre(source: int, target: int) -> None:
    """Each row reads the source row whose extent holds the row's centre, in exact fractions."""
    mask = np.arange(source, dtype=np.int64)[:, None]
    found = nearest(mask, target, 1)[:, 0]
    for row in {0, target // 2, target - 1}:
        centre = Fraction(2 * row + 1, 2) * Fraction(source, target)
        assert found[row] <= centre < found[row] + 1


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), size=st.integers(1, 700))
def test_fit_is_the_nearest_size(height: int, width: int, size: int) -> None:
    """The longest side becomes the size, the other the nearest integer to the same ratio."""
    found = fitted(height, width, size)
    if max(height, width) <= size:
        assert found == (height, width)
        return
    assert max(found) == size
    exact = Fraction(min(height, width) * size, max(height, width))
    assert min(found) == 1 or abs(min(found) - exact) <= Fraction(1, 2)
    assert (found[0] >= found[1]) == (height >= width) or found[0] == found[1]
    assert fitted(height, width, 0) == (height, width)


@pytest.mark.parametrize(
    ("policy", "split", "areas", "labelled", "kept"),
    [
        ("segdata", "train", [600.0, 400.0], 900, False),  # not above 1000
        ("segdata", "train", [600.0, 400.5], 900, True),
        ("segdata", "train", [5000.0], 0, False),  # crowds alone
        ("segdata", "val", [], 0, True),
        ("torchvision", "train", [600.0, 400.0], 900, False),
        ("torchvision", "train", [600.0, 400.5], 0, True),
        ("torchvision", "val", [], 0, True),
        ("gluoncv", "train", [1.0], 1001, True),
        ("gluoncv", "train", [5000.0], 1000, False),
        ("gluoncv", "val", [5000.0], 1000, False),
        ("voc", "train", [], 0, True),
    ],
)
def test_which_images_are_kept(
    policy: str, split: str, areas: list[float], labelled: int, kept: bool
) -> None:
    """Each policy keeps an image by its own filter, strictly above the smallest area."""
    labels = Labels(policy, 1000, 0)
    pixels = np.arange(40 * 50).reshape(40, 50) < labelled
    painted = label([Region(1, False, 0, pixels)], 40, 50, labels)
    assert keeps(areas, painted, split, labels) is kept
