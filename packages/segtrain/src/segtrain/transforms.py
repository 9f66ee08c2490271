"""Training transforms: one box and one flip per sample, drawn from (seed, epoch, sample).

The part of the sample that the box shows is a window of whole stored pixels. The image's window is
resampled once, with antialiasing; the mask's once, by the nearest rule; both to the same size, so
that they stay aligned exactly. Then both are flipped: flipping first would give other mask pixels
at even ratios.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from segtrain.manifests import IGNORE_INDEX
from segtrain.options.data import Fit

Mask = NDArray[np.uint8]
Pixels = NDArray[np.uint8]
SAMPLING = 1  # apart from the numbers that draw the box


class Window(NamedTuple):
    """Rows `y0..y1-1` and columns `x0..x1-1` of a stored sample."""

    y0: int
    y1: int
    x0: int
    x1: int


@dataclass(frozen=True)
class Box:
    """What is cut out of one sample: the sample is scaled, then a rectangle is cut from it.

    Attributes:
        width, height: Size of the scaled sample in pixels, 1 or more; each axis has its own factor.
        left, top: Corner of the rectangle in the scaled sample; negative where the rectangle
            begins outside of it.
        cut_width, cut_height: Size of the rectangle in pixels.
        flip: Whether the rectangle is mirrored left to right at the end.
    """

    width: int
    height: int
    left: int
    top: int
    cut_width: int
    cut_height: int
    flip: bool

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width of the rectangle's part that lies in the scaled sample, in pixels."""
        x0, x1 = visible(self.left, self.width, self.cut_width)
        y0, y1 = visible(self.top, self.height, self.cut_height)
        return y1 - y0, x1 - x0

    def window(self, size: tuple[int, int]) -> Window:
        """What the rectangle shows of the stored sample.

        Args:
            size: Width and height of the stored sample in pixels.
        """
        rows = visible(self.top, self.height, self.cut_height)
        columns = visible(self.left, self.width, self.cut_width)
        return Window(
            *whole_pixels(*rows, self.height, size[1]), *whole_pixels(*columns, self.width, size[0])
        )


@dataclass(frozen=True)
class Augmentation:
    """The distribution that boxes are drawn from.

    Attributes:
        crop: Side of the training square in pixels; not used by `native`.
        scale_min, scale_max: Range of the random scale of `crop`, drawn uniformly in its
            logarithm, so that a half is as likely as a double. 1 keeps the stored size.
        flip: Whether half of the samples are mirrored.
        fit: `crop`: a square of the scaled sample; `squash`: the whole sample as a square, each
            axis by its own factor; `native`: the whole sample at its stored size.
        jitter: The box is moved by up to so many pixels along each axis, uniformly (Long et al.,
            CVPR 2015, section 4.3: 32, the coarsest cell). At least a pixel stays in it.
        kept: Probability with which each pixel's loss counts; the others become void (Long et al.,
            sections 3.4 and 4.3).
    """

    crop: int
    scale_min: float = 0.5
    scale_max: float = 2.0
    flip: bool = True
    fit: Fit = "crop"
    jitter: int = 0
    kept: float = 1.0

    def draw(self, size: tuple[int, int], seed: int, epoch: int, sample: int) -> Box:
        """Draw the box of one sample; the same arguments always give the same box.

        Args:
            size: Width and height of the stored sample in pixels.
            seed: The run's seed.
            epoch: The epoch that draws the sample.
            sample: The sample's number in its set.
        """
        rng = np.random.default_rng([seed, epoch, sample])
        scale = float(np.exp(rng.uniform(np.log(self.scale_min), np.log(self.scale_max))))
        width, height = self.scaled(size, scale)
        cut_width, cut_height = (width, height) if self.fit == "native" else (self.crop, self.crop)
        left = offset(rng, width, cut_width)
        top = offset(rng, height, cut_height)
        mirrored = bool(rng.integers(2)) and self.flip
        if self.jitter:
            left = self.moved(rng, left, width, cut_width)
            top = self.moved(rng, top, height, cut_height)
        return Box(width, height, left, top, cut_width, cut_height, mirrored)

    def scaled(self, size: tuple[int, int], scale: float) -> tuple[int, int]:
        """Width and height of the scaled sample."""
        if self.fit == "squash":
            return self.crop, self.crop
        if self.fit == "native":
            return size
        width, height = (max(1, round(side * scale)) for side in size)
        return width, height

    def moved(self, rng: np.random.Generator, begin: int, side: int, cut: int) -> int:
        """Where the rectangle begins along one axis after the jitter."""
        shifted = begin + int(rng.integers(-self.jitter, self.jitter + 1))
        return min(max(shifted, 1 - cut), side - 1)

    def cut(
        self, image: Image.Image, mask: Mask, seed: int, epoch: int, sample: int
    ) -> tuple[Pixels, Mask]:
        """Image and mask of one sample as training sees them: a pure function of the arguments.

        Args:
            image: RGB, as stored.
            mask: uint8 `(H, W)`.
            seed: The run's seed.
            epoch: The epoch that draws the sample.
            sample: The sample's number in its set.

        Returns:
            uint8 `(h, w, 3)` and uint8 `(h, w)`.
        """
        cut = Cut(self, seed, epoch, sample)
        cut.rows(image.size)
        pixels, target = blank(cut.box)
        cut.put(image, mask, pixels, target)
        return pixels, target

    def leave_out(self, target: Mask, seed: int, epoch: int, sample: int) -> None:
        """Make those pixels of a cut mask void, in place, whose loss does not count."""
        if self.kept < 1:
            rng = np.random.default_rng([seed, epoch, sample, SAMPLING])
            target[rng.random(target.shape, np.float32) >= self.kept] = IGNORE_INDEX


class Cut:
    """The cut of one sample: its box is drawn when the size is known, before anything is decoded.

    Args:
        augmentation: How its box is drawn.
        seed: The run's seed.
        epoch: The epoch that draws the sample.
        sample: The sample's number in its set.

    Attributes:
        box: What is cut, once `rows` was asked.
        window: Its window, likewise.
    """

    box: Box
    window: Window

    def __init__(self, augmentation: Augmentation, seed: int, epoch: int, sample: int) -> None:
        self.augmentation = augmentation
        self.place = seed, epoch, sample

    def rows(self, size: tuple[int, int]) -> int:
        """Draw the box of a sample of this width and height; how many upper rows it takes."""
        self.box = self.augmentation.draw(size, *self.place)
        self.window = self.box.window(size)
        return self.window.y1

    def put(self, image: Image.Image, mask: Mask, pixels: Pixels, target: Mask) -> None:
        """Cut image and mask.

        Args:
            image: RGB, as stored, or its upper rows.
            mask: uint8 `(H, W)`, likewise.
            pixels: Where the image's cut is put: uint8 `(h, w, 3)`.
            target: Where the mask's is put: uint8 `(h, w)`.
        """
        cut_image(image, self.window, self.box, pixels)
        cut_mask(mask, self.window, self.box, target)
        self.augmentation.leave_out(target, *self.place)


def blank(box: Box) -> tuple[Pixels, Mask]:
    """Room for a box's cut: uint8 `(cut_height, cut_width, 3)` and `(cut_height, cut_width)`."""
    shape = box.cut_height, box.cut_width
    return np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8)


def offset(rng: np.random.Generator, side: int, cut: int) -> int:
    """Where a rectangle begins along one axis; anywhere that wastes no pixel."""
    slack = side - cut
    return int(rng.integers(min(0, slack), max(0, slack) + 1))


def nearest(start: int, stop: int, n_src: int, n_dst: int) -> NDArray[np.int64]:
    """Source indices of outputs `start..stop-1` when `n_src` pixels are scaled to `n_dst`.

    The nearest rule over pixel centres, in integers: output i lies at (i + 1/2) * n_src / n_dst.
    """
    return ((2 * np.arange(start, stop, dtype=np.int64) + 1) * n_src) // (2 * n_dst)


def visible(begin: int, side: int, cut: int) -> tuple[int, int]:
    """The part `first..last-1` of the scaled side that lies within the rectangle."""
    return max(0, begin), min(side, begin + cut)


def whole_pixels(first: int, last: int, side: int, stored: int) -> tuple[int, int]:
    """The stored pixels of one axis that its visible part shows, and one past the last of them.

    Whole pixels, so that no kernel has to begin within one: each end is at most half a stored
    pixel off, and the visible part is that much larger or smaller than drawn. The whole axis, and
    any part at scale 1, are exact.

    Args:
        first: Where the visible part begins on the scaled axis.
        last: One past its last pixel there.
        side: Pixels of the scaled axis.
        stored: Pixels of the stored axis.
    """
    begin, end = ((2 * at * stored + side) // (2 * side) for at in (first, last))
    if begin == end:  # less than a pixel is seen
        begin = (first + last) * stored // (2 * side)
    return begin, max(end, begin + 1)


def cut_mask(mask: Mask, window: Window, box: Box, out: Mask) -> None:
    """Scale and cut a mask by the nearest rule, then flip it; 255 outside of it.

    Args:
        mask: uint8 `(H, W)`; of rows below the window there may be fewer than stored.
        window: What to cut.
        box: Whose window it is.
        out: Where to put it: uint8 `(cut_height, cut_width)`.
    """
    y0, y1, x0, x1 = window
    height, width = box.shown
    rows = nearest(0, height, y1 - y0, height) + y0
    columns = nearest(0, width, x1 - x0, width) + x0
    part = mask[rows].take(columns[::-1] if box.flip else columns, axis=1)
    place(part, box, IGNORE_INDEX, out)


def cut_image(image: Image.Image, window: Window, box: Box, out: Pixels) -> None:
    """Scale (antialiased) and cut an image, then flip it; 0 outside of it.

    Args:
        image: RGB; of rows below the window there may be fewer than stored.
        window: What to cut.
        box: Whose window it is.
        out: Where to put it: uint8 `(cut_height, cut_width, 3)`.
    """
    y0, y1, x0, x1 = window
    pixels = np.asarray(image)[None, y0:y1, x0:x1].copy()  # torch takes no memory that is read-only
    part = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # channels_last, which is resampled fastest
    if part.shape[2:] != box.shown:
        part = interpolate(part, box.shown, mode="bilinear", antialias=True)
    if box.flip:
        part = part.flip(3)
    place(part[0].permute(1, 2, 0).numpy(), box, 0, out)


def place(part: Pixels, box: Box, fill: int, out: Pixels) -> None:
    """Put what is seen, flipped already, where it lies in the box; `fill` around it."""
    height, width = part.shape[:2]
    if (height, width) != out.shape[:2]:
        out.fill(fill)
    x, y = max(0, -box.left), max(0, -box.top)
    if box.flip:
        x = box.cut_width - x - width
    out[y : y + height, x : x + width] = part
