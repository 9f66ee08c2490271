"""Label policies against per-pixel oracles: who owns a pixel, what is void, which images stay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segdata.labels import PAINTERS, LabelPolicy, Painted, void_border


@dataclass(frozen=True)
class Region:
    """An object or a crowd with its pixels at hand."""

    class_id: int
    crowd: bool
    drawn: NDArray[np.bool_]

    @property
    def area(self) -> int:
        return int(self.drawn.sum())

    def pixels(self) -> NDArray[np.bool_]:
        return self.drawn

    def columns(self) -> tuple[int, NDArray[np.bool_]]:
        first = 0 if self.drawn[:, 0].any() else 1
        return first, self.drawn[:, first:]


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Region], int, int]:
    """Up to six overlapping regions of any shape."""
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    region = st.builds(
        Region, st.integers(1, 4), st.booleans(), hnp.arrays(np.bool_, (height, width))
    )
    return draw(st.lists(region, max_size=6)), height, width


Owner = Callable[[Sequence[tuple[int, Region]]], tuple[int, int]]
"""From the regions that cover a pixel, with their numbers from 1, to (id, owner)."""


def segdata_rule(over: Sequence[tuple[int, Region]]) -> tuple[int, int]:
    """The smallest object; of equals the last in the file; without objects a crowd is void."""
    objects = [(region.area, -n, region.class_id) for n, region in over if not region.crowd]
    if objects:
        _, negative, class_id = min(objects)
        return class_id, -negative
    return (255, over[-1][0]) if over else (0, 0)


def torchvision_rule(over: Sequence[tuple[int, Region]]) -> tuple[int, int]:
    """Void where two or more regions meet, whatever they are."""
    if not over:
        return 0, 0
    n, region = over[-1]
    return (255 if len(over) > 1 else region.class_id), n


def gluoncv_rule(over: Sequence[tuple[int, Region]]) -> tuple[int, int]:
    """The first in the file."""
    return (over[0][1].class_id, over[0][0]) if over else (0, 0)


RULES: dict[str, Owner] = {
    "segdata": segdata_rule,
    "torchvision": torchvision_rule,
    "gluoncv": gluoncv_rule,
}


@pytest.mark.parametrize("name", RULES)
@given(scene=scenes())
def test_policies_paint_by_their_rule(name: str, scene: tuple[list[Region], int, int]) -> None:
    """At every pixel id and owner follow from the regions that cover it, by the policy's rule."""
    regions, height, width = scene
    painted = Painted.blank(height, width, owned=True)
    PAINTERS[name](regions, painted)
    assert painted.owners is not None
    for y in range(height):
        for x in range(width):
            over = [(n, r) for n, r in enumerate(regions, 1) if r.drawn[y, x]]
            assert (painted.mask[y, x], painted.owners[y, x]) == RULES[name](over), (y, x)
    assert painted.mask.dtype == np.uint8
    alone = LabelPolicy(name).paint(regions, height, width)
    np.testing.assert_array_equal(alone.mask, painted.mask)


@given(scenes(), st.randoms(use_true_random=False))
def test_file_order_is_only_a_tie_break(
    scene: tuple[list[Region], int, int], random: Random
) -> None:
    """With objects of different sizes, segdata's mask is the same in any file order."""
    regions, height, width = scene
    areas = [r.area for r in regions if not r.crowd]
    if len(set(areas)) < len(areas):
        regions = [r for r in regions if r.crowd]
    shuffled = random.sample(regions, len(regions))
    mask = LabelPolicy().paint(regions, height, width).mask
    np.testing.assert_array_equal(LabelPolicy().paint(shuffled, height, width).mask, mask)


def test_a_bottle_on_a_table_keeps_its_pixels() -> None:
    """The three policies label a bottle before a table as themselves, as void, and as table."""
    table, bottle = np.ones((4, 4), np.bool_), np.zeros((4, 4), np.bool_)
    bottle[1:3, 1] = True
    regions = [Region(11, False, table), Region(5, False, bottle)]
    ids = {name: LabelPolicy(name).paint(regions, 4, 4).mask[1, 1] for name in RULES}
    assert ids == {"segdata": 5, "torchvision": 255, "gluoncv": 11}


@given(
    hnp.arrays(
        np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)
    ),
    st.integers(1, 5),
)
def test_void_border_is_its_definition(owners: NDArray[np.int32], distance: int) -> None:
    """A pixel is void where another owner lies within the distance, by rows and by columns."""
    mask = (owners % 3).astype(np.uint8)
    result = void_border(mask, owners, distance)
    for y in range(owners.shape[0]):
        for x in range(owners.shape[1]):
            near = owners[
                max(0, y - distance) : y + distance + 1, max(0, x - distance) : x + distance + 1
            ]
            expected = 255 if (near != owners[y, x]).any() else mask[y, x]
            assert result[y, x] == expected, (y, x)


def test_touching_objects_of_one_class_have_a_border() -> None:
    """A border lies between two objects of one class as well, as VOC draws it; 0 draws none."""
    left = np.zeros((3, 8), np.bool_)
    left[:, :4] = True
    regions = [Region(15, False, left), Region(15, False, ~left)]
    bordered = LabelPolicy(border=1)
    painted = bordered.paint(regions, 3, 8)
    assert bordered.finish(painted)[0].tolist() == [15, 15, 15, 255, 255, 15, 15, 15]
    assert LabelPolicy().finish(painted)[0].tolist() == [15] * 8


@given(
    st.sampled_from([*RULES]),
    st.sampled_from(["train", "val"]),
    st.floats(0, 3000),
    st.integers(0, 2),
    st.integers(0, 2000),
)
def test_annotation_filter(
    name: str, split: str, areas: float, objects: int, min_area: int
) -> None:
    """By annotations only train images are left out: small in sum, or (segdata) crowds only."""
    left_out = split == "train" and (
        (name in ("segdata", "torchvision") and not areas > min_area)
        or (name == "segdata" and objects == 0)
    )
    reason = LabelPolicy(name, min_area).rejects_annotations(split, areas, objects)
    assert (reason is not None) == left_out


@given(
    st.sampled_from([*RULES]),
    st.sampled_from(["train", "val"]),
    hnp.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 20, 255])),
    st.integers(0, 12),
)
def test_mask_filter(name: str, split: str, mask: NDArray[np.uint8], min_area: int) -> None:
    """By masks gluoncv filters sums in both splits, segdata train images without a label."""
    labelled = sum(v not in (0, 255) for v in mask.ravel().tolist())
    left_out = (name == "gluoncv" and not labelled > min_area) or (
        name == "segdata" and split == "train" and labelled == 0
    )
    reason = LabelPolicy(name, min_area).rejects_mask(split, mask)
    assert (reason is not None) == left_out
    assert LabelPolicy(name).needs_pixels(split) == (name == "gluoncv")


def test_record() -> None:
    """The manifest names policy, version, area and border."""
    assert LabelPolicy("gluoncv", 7, 2).record() == {
        "policy": "gluoncv",
        "version": 1,
        "min_area": 7,
        "void_border": 2,
    }
