"""Training transforms: one box and one flip per sample, drawn from (seed, epoch, sample).

The image is resampled once, with antialiasing; the mask once, by the nearest rule, over the same
box; then both are flipped. Flipping first would give other mask pixels at even ratios.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain.manifests import IGNORE_INDEX
from segtrain.options.data import Fit

Mask = NDArray[np.uint8]
SAMPLING = 1  # apart from the numbers that draw the box


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
    ) -> tuple[NDArray[np.uint8], Mask]:
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
        pixels, target = apply(image, mask, self.draw(image.size, seed, epoch, sample))
        if self.kept < 1:
            rng = np.random.default_rng([seed, epoch, sample, SAMPLING])
            left_out = rng.random(target.shape, np.float32) >= self.kept
            target = np.where(left_out, np.uint8(IGNORE_INDEX), target)
        return pixels, target


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


def cut_mask(mask: Mask, box: Box) -> Mask:
    """Scale and cut a mask by the nearest rule, then flip it; 255 outside of it.

    Args:
        mask: uint8 `(H, W)`.
        box: What to cut.

    Returns:
        uint8 `(cut_height, cut_width)`.
    """
    x0, x1 = visible(box.left, box.width, box.cut_width)
    y0, y1 = visible(box.top, box.height, box.cut_height)
    rows = nearest(y0, y1, mask.shape[0], box.height)
    columns = nearest(x0, x1, mask.shape[1], box.width)
    part = mask[rows].take(columns[::-1] if box.flip else columns, axis=1)
    return placed(part, box, IGNORE_INDEX)


def cut_image(image: Image.Image, box: Box) -> NDArray[np.uint8]:
    """Scale (antialiased) and cut an image, then flip it; 0 outside of it.

    Args:
        image: RGB.
        box: What to cut.

    Returns:
        uint8 `(cut_height, cut_width, 3)`.
    """
    x0, x1 = visible(box.left, box.width, box.cut_width)
    y0, y1 = visible(box.top, box.height, box.cut_height)
    source = (
        x0 * image.width / box.width,
        y0 * image.height / box.height,
        x1 * image.width / box.width,
        y1 * image.height / box.height,
    )
    part = image.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=source)
    if box.flip:  # by Pillow: numpy would copy a mirrored view byte by byte when batches are made
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return placed(np.asarray(part), box, 0)


def placed(part: NDArray[np.uint8], box: Box, fill: int) -> NDArray[np.uint8]:
    """The visible part of a box, flipped already, where it lies in the box; `fill` around it."""
    if part.shape[:2] == (box.cut_height, box.cut_width):
        return part
    out = np.full((box.cut_height, box.cut_width, *part.shape[2:]), fill, np.uint8)
    x, y = max(0, -box.left), max(0, -box.top)
    if box.flip:
        x = box.cut_width - x - part.shape[1]
    out[y : y + part.shape[0], x : x + part.shape[1]] = part
    return out


def apply(image: Image.Image, mask: Mask, box: Box) -> tuple[NDArray[np.uint8], Mask]:
    """Cut image and mask by one box, then flip both where it says so.

    Returns:
        uint8 `(cut_height, cut_width, 3)` and uint8 `(cut_height, cut_width)`.
    """
    return cut_image(image, box), cut_mask(mask, box)
