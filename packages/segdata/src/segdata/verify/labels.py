"""Label policies, the fit and the nearest rule, stated a second time.

A label policy says what a pixel is when annotations overlap, and which images are kept. Each is
written here from its definition, apart from the builder's own painting code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
IGNORE = 255
POLICIES = {
    "voc": 1,
    "segdata": 1,
    "torchvision": 1,
    "gluoncv": 1,
    "folder": 1,
}  # name: version implemented


@dataclass(frozen=True)
class Labels:
    """The `labels` entry of a manifest.

    Attributes:
        policy: `voc`, `segdata`, `torchvision` or `gluoncv`.
        min_area: images with at most so many pixels of the chosen classes are left out, where the
            policy leaves images out at all.
        void_border: distance in pixels around every outline that becomes 255; 0 for none.
    """

    policy: str
    min_area: float
    void_border: int


@dataclass(frozen=True)
class Region:
    """One annotation of a chosen class.

    Attributes:
        class_id: 1…C.
        crowd: whether it is one.
        area: its `area` in the JSON.
        pixels: bool (h, w), of a rectangle of the image that holds them all.
        top: the rectangle's first row.
        left: the rectangle's first column.
    """

    class_id: int
    crowd: bool
    area: float
    pixels: NDArray[np.bool_]
    top: int = 0
    left: int = 0

    @cached_property
    def size(self) -> int:
        """The number of its pixels."""
        return int(np.count_nonzero(self.pixels))

    def within(self, image: NDArray[T]) -> NDArray[T]:
        """The view of an array (H, W) that its rectangle covers."""
        height, width = self.pixels.shape
        return image[self.top : self.top + height, self.left : self.left + width]


@dataclass(frozen=True)
class Labelled:
    """A labelled image at source size.

    Attributes:
        mask: uint8 (H, W): 0 background, 1…C, 255 ignore; void border drawn.
        crowds: bool (H, W), the pixels under any crowd region.
        labelled: number of pixels of a class 1…C before the void border, which decides nothing
            about which images are kept.
    """

    mask: NDArray[np.uint8]
    crowds: NDArray[np.bool_]
    labelled: int


def label(regions: Sequence[Region], height: int, width: int, labels: Labels) -> Labelled:
    """Label an image's pixels by a policy.

    Args:
        regions: the annotations of the chosen classes in file order.
        height: rows of the source image.
        width: columns of the source image.
        labels: the policy and its void border.
    """
    mask = np.zeros((height, width), dtype=np.uint8)
    crowds = np.zeros((height, width), dtype=bool)
    for index in _lowest_first(regions, labels.policy):
        region = regions[index]
        np.copyto(region.within(mask), _value(region, labels.policy), where=region.pixels)
        if region.crowd:
            region.within(crowds)[region.pixels] = True
    if labels.policy == "torchvision":
        # `target[masks.sum(0) > 1] = 255` in torchvision's references/segmentation/coco_utils.py
        mask[_shared(regions, height, width)] = IGNORE
    labelled = np.count_nonzero((mask != 0) & (mask != IGNORE))
    if labels.void_border:
        mask[border(_owners(regions, height, width, labels), labels.void_border)] = IGNORE
    return Labelled(mask=mask, crowds=crowds, labelled=int(labelled))


def _shared(regions: Sequence[Region], height: int, width: int) -> NDArray[np.bool_]:
    """Pixels under more than one region, bool (H, W)."""
    layers = np.zeros((height, width), dtype=np.int32)
    for region in regions:
        region.within(layers)[...] += region.pixels
    return layers > 1


def _owners(
    regions: Sequence[Region], height: int, width: int, labels: Labels
) -> NDArray[np.int32]:
    """Whose region lies on top, int32 (H, W): 0 nobody's, else 1 and its index in file order."""
    owner = np.zeros((height, width), dtype=np.int32)
    for index in _lowest_first(regions, labels.policy):
        np.copyto(regions[index].within(owner), index + 1, where=regions[index].pixels)
    return owner


def _lowest_first(regions: Sequence[Region], policy: str) -> list[int]:
    """Indices in the order of painting: the last painted lies on top."""
    indices = list(range(len(regions)))
    if policy == "gluoncv":  # the first instance keeps a pixel, so it goes on last
        return indices[::-1]
    if policy == "segdata":  # crowds below all; then large before small, ties in file order
        sizes = [0 if r.crowd else r.size for r in regions]
        return sorted(indices, key=lambda i: (not regions[i].crowd, -sizes[i]))
    return indices


def _value(region: Region, policy: str) -> int:
    """What a region's own pixels become: the other policies know no crowds."""
    return IGNORE if policy == "segdata" and region.crowd else region.class_id


def border(owner: NDArray[np.int32], distance: int) -> NDArray[np.bool_]:
    """Pixels with a pixel of another owner within a Chebyshev distance, bool (H, W).

    A window holds two owners exactly where two of its direct neighbours differ; the neighbours
    that differ are counted per window by a summed-area table.
    """
    height, width = owner.shape
    top, bottom = _window(height, distance)
    left, right = _window(width, distance)
    rows = _summed(owner[1:] != owner[:-1])  # pair i lies between rows i and i + 1
    columns = _summed(owner[:, 1:] != owner[:, :-1])
    across_rows = _count(rows, top, bottom - 1, left, right)
    across_columns = _count(columns, top, bottom, left, right - 1)
    return (across_rows + across_columns) > 0


def _window(length: int, distance: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and one past the last index within `distance` of each index, cut at the ends."""
    index = np.arange(length)
    return np.maximum(index - distance, 0), np.minimum(index + distance + 1, length)


def _summed(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Summed-area table with a leading row and column of zeros, int64 (H + 1, W + 1)."""
    table = np.zeros((flags.shape[0] + 1, flags.shape[1] + 1), dtype=np.int64)
    np.cumsum(np.cumsum(flags, axis=0), axis=1, out=table[1:, 1:])
    return table


def _count(
    table: NDArray[np.int64],
    top: NDArray[np.intp],
    bottom: NDArray[np.intp],
    left: NDArray[np.intp],
    right: NDArray[np.intp],
) -> NDArray[np.int64]:
    """Flags within [top, bottom) and [left, right) around each pixel, int64 (H, W)."""
    below, above = table[bottom], table[top]
    return below[:, right] - below[:, left] - above[:, right] + above[:, left]


def keeps(
    areas: Sequence[float], labelled: Labelled | None, split: str, labels: Labels
) -> bool | None:
    """Whether a policy keeps an image.

    Args:
        areas: JSON `area` of every annotation of the chosen classes, crowds included.
        labelled: the labelled image, or None while it has not been painted.
        split: `train` or `val`.
        labels: the policy and its smallest area.

    Returns:
        None where the answer needs the labelled image and it was not given.
    """
    if labels.policy == "gluoncv":  # painted pixels, in both splits: its `_preprocess`
        return None if labelled is None else labelled.labelled > labels.min_area
    if labels.policy in ("voc", "folder") or split != "train":
        return True
    # overlaps count twice: torchvision's `_has_valid_annotation`
    if math.fsum(areas) <= labels.min_area:
        return False
    if labels.policy == "torchvision":
        return True
    return None if labelled is None else labelled.labelled > 0


def fitted(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width after the longest side was brought down to `size` (0: left as it is)."""
    long, short = max(height, width), min(height, width)
    if size == 0 or long <= size:
        return height, width
    other = max(1, (2 * short * size + long) // (2 * long))
    return (size, other) if height == long else (other, size)


def nearest(mask: NDArray[T], height: int, width: int) -> NDArray[T]:
    """The mask at another size: each pixel takes the source pixel that holds its centre.

    Row i reads source row ((2i + 1) · source rows) // (2 · rows), columns alike, in integers.
    """
    if mask.shape == (height, width):
        return mask
    rows = (2 * np.arange(height) + 1) * mask.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * mask.shape[1] // (2 * width)
    resized: NDArray[T] = mask[rows].take(columns, axis=1)
    return resized
