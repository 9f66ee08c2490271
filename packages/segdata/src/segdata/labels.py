"""Label policies: how the regions of one image become one mask, and which images are kept.

Two objects may claim one pixel, and a crowd is no object: known tools decide both differently, so a
policy has a name and a version, and the manifest records them. Masks are uint8 (H, W): 0
background, 1..C class ids, 255 ignore.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
IGNORE = 255
MIN_AREA = 1000


class Region(Protocol):
    """An annotated object or crowd, not yet rasterised."""

    @property
    def class_id(self) -> int:
        """Class id, 1..C."""

    @property
    def crowd(self) -> bool:
        """Whether it outlines a group that nobody separated into objects."""

    @property
    def area(self) -> int:
        """Rasterised pixels."""

    def pixels(self) -> NDArray[np.bool_]:
        """Its pixels, bool (H, W)."""

    def columns(self) -> tuple[int, NDArray[np.bool_]]:
        """A column, and its pixels from there on, bool (H, n); none lie outside of these."""


@dataclass(frozen=True, slots=True)
class Painted:
    """What a policy makes of the regions of one image.

    The arrays lie in memory column by column, as the rasteriser's do: painting is four times as
    fast then.

    Attributes:
        mask: uint8 (H, W), ids; 0 where no region is.
        owners: int32 (H, W): 0 background, else 1 + the index of the region on top; None where
            nobody asks whose a pixel is, which saves two thirds of the painting.
    """

    mask: Mask
    owners: NDArray[np.int32] | None

    @classmethod
    def blank(cls, height: int, width: int, *, owned: bool) -> "Painted":
        """Background everywhere."""
        shape = (height, width)
        owners = np.zeros(shape, np.int32, "F") if owned else None
        return cls(np.zeros(shape, np.uint8, "F"), owners)

    def put(self, pixels: NDArray[np.bool_], value: int, owner: int, first: int = 0) -> None:
        """Paint `value`, which is not 0, where `pixels` is true.

        Args:
            pixels: bool (H, n), of the columns from `first` on.
            value: an id.
            owner: 1 + the index of the region.
            first: 0 where they are of the whole mask.
        """
        here = slice(first, first + pixels.shape[1])
        np.copyto(self.mask[:, here], np.uint8(value), where=pixels)
        if self.owners is not None:
            np.copyto(self.owners[:, here], np.int32(owner), where=pixels)


Painter = Callable[[Sequence[Region], Painted], None]
"""Paints the regions of one image onto a blank."""


def paint_segdata(regions: Sequence[Region], painted: Painted) -> None:
    """Our policy, version 1: crowds become 255, then the smaller object lies on the larger.

    Objects are painted from the largest to the smallest by rasterised pixels; of two of equal size
    the later in file order lies on top. A small thing in front of a large one (a bottle on a
    table) keeps its pixels, and nothing depends on the order in which somebody drew.
    """
    numbered = list(enumerate(regions, 1))
    for owner, region in numbered:
        if region.crowd:
            painted.put(region.pixels(), IGNORE, owner)
    objects = [(owner, region) for owner, region in numbered if not region.crowd]
    for owner, region in sorted(objects, key=lambda pair: -pair[1].area):  # a stable sort
        first, pixels = region.columns()
        painted.put(pixels, region.class_id, owner, first)


def paint_torchvision(regions: Sequence[Region], painted: Painted) -> None:
    """The policy of torchvision's segmentation reference, version 1.

    Crowds count as objects of their class; a pixel under two or more regions becomes 255, even if
    both are of one class (`references/segmentation/coco_utils.py`, `ConvertCocoPolysToMask`).
    """
    for owner, region in enumerate(regions, 1):
        pixels = region.pixels()
        shared = pixels & (painted.mask > 0)
        painted.put(pixels, region.class_id, owner)
        painted.mask[shared] = IGNORE


def paint_gluoncv(regions: Sequence[Region], painted: Painted) -> None:
    """The policy of GluonCV's COCO segmentation, version 1.

    Crowds count as objects of their class; the first region in file order keeps a pixel
    (`gluoncv/data/mscoco/segmentation.py`, `_gen_seg_mask`).
    """
    for owner, region in enumerate(regions, 1):
        painted.put(region.pixels() & (painted.mask == 0), region.class_id, owner)


PAINTERS: dict[str, Painter] = {
    "segdata": paint_segdata,
    "torchvision": paint_torchvision,
    "gluoncv": paint_gluoncv,
}


def void_border(mask: Mask, owners: NDArray[np.int32], distance: int) -> Mask:
    """The mask with 255 along every outline, as VOC draws it, uint8 (H, W).

    A pixel becomes 255 where a pixel of another owner lies within `distance` rows and columns
    (Chebyshev distance), on both sides of the outline: VOC's own border of about five pixels is a
    distance of 2.
    """
    lowest = _window(owners, distance, np.minimum)
    highest = _window(owners, distance, np.maximum)
    return np.where(lowest != highest, np.uint8(IGNORE), mask)


def _window(values: NDArray[np.int32], distance: int, pick: "np.ufunc") -> NDArray[np.int32]:
    """The lowest or highest value of the square window around each pixel, int32 (H, W)."""
    for axis in (0, 1):
        padded = np.pad(
            values, [(distance, distance) if a == axis else (0, 0) for a in (0, 1)], "edge"
        )
        views = np.lib.stride_tricks.sliding_window_view(padded, 2 * distance + 1, axis=axis)
        values = pick.reduce(views, axis=-1)
    return values


@dataclass(frozen=True)
class LabelPolicy:
    """A named way to label and to choose images.

    Attributes:
        name: `segdata`, `torchvision` or `gluoncv`.
        min_area: pixels that the objects of a kept image must exceed in sum.
        border: distance of the void border, pixels; 0 draws none.
    """

    name: str = "segdata"
    min_area: int = MIN_AREA
    border: int = 0
    version: int = 1

    def paint(self, regions: Sequence[Region], height: int, width: int) -> Painted:
        """The regions of one image, painted by this policy; owners only for a void border."""
        painted = Painted.blank(height, width, owned=self.border > 0)
        PAINTERS[self.name](regions, painted)
        return painted

    def finish(self, painted: Painted) -> Mask:
        """The mask with its void border, uint8 (H, W)."""
        if painted.owners is None:
            return painted.mask
        return void_border(painted.mask, painted.owners, self.border)

    def rejects_annotations(self, split: str, areas: float, objects: int) -> str | None:
        """Why an image is left out, as far as its annotations tell; None if they do not.

        Args:
            split: physical split.
            areas: sum of the JSON `area` of its annotations of chosen classes, crowds included.
            objects: number of those annotations that are no crowds.
        """
        if self.name == "gluoncv" or split != "train":
            return None
        if areas <= self.min_area:
            return f"objects of at most {self.min_area} px"
        return "crowds only" if self.name == "segdata" and not objects else None

    def needs_pixels(self, split: str) -> bool:
        """Whether only the painted mask can tell which images are kept."""
        del split  # GluonCV filters both
        return self.name == "gluoncv"

    def rejects_mask(self, split: str, mask: Mask) -> str | None:
        """Why an image is left out, by its mask at source size before any void border."""
        labelled = int(np.count_nonzero(mask + np.uint8(1) > 1))  # 255 becomes 0
        if self.name == "gluoncv" and labelled <= self.min_area:
            return f"objects of at most {self.min_area} px"
        if self.name == "segdata" and split == "train" and not labelled:
            return "no labelled pixel"
        return None

    def record(self) -> dict[str, object]:
        """The manifest's `labels`."""
        return {
            "policy": self.name,
            "version": self.version,
            "min_area": self.min_area,
            "void_border": self.border,
        }
