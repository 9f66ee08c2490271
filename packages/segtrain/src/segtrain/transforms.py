"""Training transforms: one box and one flip per sample, drawn from (seed, epoch, sample).

The image is resampled once, with antialiasing; the mask once, by the nearest rule, over the same
box; then both are flipped. Flipping first would give other mask pixels at even ratios.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain.manifests import IGNORE_INDEX

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Box:
    """What is cut out of one sample: the sample is scaled, then a square is cut from it.

    Attributes:
        width, height: Size of the scaled sample in pixels, 1 or more.
        left, top: Corner of the square in the scaled sample; negative where the square begins
            outside of it.
        crop: Side of the square in pixels.
        flip: Whether the square is mirrored left to right at the end.
    """

    width: int
    height: int
    left: int
    top: int
    crop: int
    flip: bool


@dataclass(frozen=True)
class Augmentation:
    """The distribution that boxes are drawn from.

    Attributes:
        crop: Side of the training square in pixels.
        scale_min, scale_max: Range of the random scale, drawn uniformly in its logarithm, so that
            a half is as likely as a double. 1 keeps the stored size.
        flip: Whether half of the samples are mirrored.
    """

    crop: int
    scale_min: float = 0.5
    scale_max: float = 2.0
    flip: bool = True

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
        width, height = (max(1, round(side * scale)) for side in size)
        left = self.offset(rng, width)
        top = self.offset(rng, height)
        mirrored = bool(rng.integers(2)) and self.flip
        return Box(width, height, left, top, self.crop, mirrored)

    def offset(self, rng: np.random.Generator, side: int) -> int:
        """Where the square begins along one axis; anywhere that wastes no pixel."""
        slack = side - self.crop
        return int(rng.integers(min(0, slack), max(0, slack) + 1))


def nearest(start: int, stop: int, n_src: int, n_dst: int) -> NDArray[np.int64]:
    """Source indices of outputs `start..stop-1` when `n_src` pixels are scaled to `n_dst`.

    The nearest rule over pixel centres, in integers: output i lies at (i + 1/2) * n_src / n_dst.
    """
    return ((2 * np.arange(start, stop, dtype=np.int64) + 1) * n_src) // (2 * n_dst)


def visible(offset: int, side: int, crop: int) -> tuple[int, int]:
    """The part `first..last-1` of the scaled side that lies within the square."""
    return max(0, offset), min(side, offset + crop)


def cut_mask(mask: Mask, box: Box) -> Mask:
    """Scale and cut a mask by the nearest rule; 255 outside of it.

    Args:
        mask: uint8 `(H, W)`.
        box: What to cut.

    Returns:
        uint8 `(crop, crop)`, not flipped yet.
    """
    out = np.full((box.crop, box.crop), IGNORE_INDEX, np.uint8)
    x0, x1 = visible(box.left, box.width, box.crop)
    y0, y1 = visible(box.top, box.height, box.crop)
    rows = nearest(y0, y1, mask.shape[0], box.height)
    columns = nearest(x0, x1, mask.shape[1], box.width)
    out[y0 - box.top : y1 - box.top, x0 - box.left : x1 - box.left] = mask[rows[:, None], columns]
    return out


def cut_image(image: Image.Image, box: Box) -> NDArray[np.uint8]:
    """Scale (antialiased) and cut an image; 0 outside of it.

    Args:
        image: RGB.
        box: What to cut.

    Returns:
        uint8 `(crop, crop, 3)`, not flipped yet.
    """
    out = np.zeros((box.crop, box.crop, 3), np.uint8)
    x0, x1 = visible(box.left, box.width, box.crop)
    y0, y1 = visible(box.top, box.height, box.crop)
    source = (
        x0 * image.width / box.width,
        y0 * image.height / box.height,
        x1 * image.width / box.width,
        y1 * image.height / box.height,
    )
    part = image.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=source)
    out[y0 - box.top : y1 - box.top, x0 - box.left : x1 - box.left] = np.asarray(part)
    return out


def apply(image: Image.Image, mask: Mask, box: Box) -> tuple[NDArray[np.uint8], Mask]:
    """Cut image and mask by one box, then flip both where it says so.

    Returns:
        uint8 `(crop, crop, 3)` and uint8 `(crop, crop)`.
    """
    pixels, target = cut_image(image, box), cut_mask(mask, box)
    if box.flip:
        return pixels[:, ::-1], target[:, ::-1]
    return pixels, target
