"""Balance: class weights, the entropy of the class prior, and what predicting background scores.

All of it follows from pixel counts. `pixels` are always those of the classes 0..C, background
first; void is left out everywhere, because no loss and no metric looks at it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

ENET_C = 1.02
ABSENT = 1.0  # median frequency of a class without pixels


def median_frequency(pixels: Sequence[int], present: Sequence[int]) -> list[float]:
    """Median frequency balancing: `median(freq) / freq(c)`.

    `freq(c)` is the number of pixels of class c divided by the number of labelled pixels of all
    images in which c has a pixel; the median is taken over the classes that have pixels. (Eigen
    and Fergus, arXiv:1411.4734, section 6.3.2 on semantic labels; so too in SegNet,
    arXiv:1511.00561.)

    A class without pixels has no frequency. Its weight is 1, that of a class of median frequency:
    in the split itself it weighs nothing anyway, and unlike 0 it leaves the weighted mean of a
    loss defined for an image of another split that shows nothing else.

    Args:
        pixels: of each class.
        present: labelled pixels of the images in which each class occurs.
    """
    frequencies = [n / of if n else 0.0 for n, of in zip(pixels, present, strict=True)]
    known = [frequency for frequency in frequencies if frequency]
    middle = median(known) if known else 0.0
    return [middle / frequency if frequency else ABSENT for frequency in frequencies]


def inverse_log(pixels: Sequence[int]) -> list[float]:
    """ENet's weights: `1 / ln(1.02 + p)`, p the class's share of the labelled pixels.

    They lie between 1.42 (p = 1) and 50.50 (p = 0: a class without pixels). (Paszke et al.,
    arXiv:1606.02147, section 5.2, with its c = 1.02.)
    """
    return [1 / math.log(ENET_C + share) for share in shares(pixels)]


def shares(pixels: Sequence[int]) -> list[float]:
    """Each class's share of the labelled pixels, 0..1; all 0 where nothing is labelled."""
    total = sum(pixels)
    return [n / total if total else 0.0 for n in pixels]


def prior_entropy(pixels: Sequence[int]) -> float:
    """Entropy of the class prior in nats: `-sum(p ln p)`.

    The mean cross entropy of a net whose output is the class frequencies whatever it sees: where
    a training stalls that learns nothing but its last bias.
    """
    return -sum(share * math.log(share) for share in shares(pixels) if share) or 0.0


@dataclass(frozen=True)
class Floor:
    """What the prediction of background everywhere scores.

    Attributes:
        pixel_accuracy: 0..1.
        mean_iou: 0..1, the mean over `classes`.
        classes: classes of non-empty union, which are those that have pixels, and background.
    """

    pixel_accuracy: float
    mean_iou: float
    classes: int


def all_background(pixels: Sequence[int]) -> Floor:
    """The floor of every metric: background predicted everywhere.

    Background's IoU is its share of the labelled pixels, since all others are false positives;
    every other class that has pixels has an IoU of 0, and classes without pixels have an empty
    union and are left out, as everywhere in the metric. All 0 where nothing is labelled.
    """
    if not sum(pixels):
        return Floor(0.0, 0.0, 0)
    background = shares(pixels)[0]
    classes = 1 + sum(1 for n in pixels[1:] if n)
    return Floor(background, background / classes, classes)
