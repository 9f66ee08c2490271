"""Weights of the classes in the loss, by what the training masks hold or by a file.

The formulas are those of `segdata info`; FCN's authors found none necessary (CVPR 2015, section
4.3, "Class balancing").
"""

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.errors import UsageError
from segtrain.manifests import ClassInfo
from segtrain.samples import load_mask
from segtrain.sampleset import SampleSet

NONE = "none"
MEDIAN_FREQUENCY = "median-frequency"
INVERSE_LOG = "inverse-log"
ENET_C = 1.02
ABSENT = 1.0  # median frequency of a class without pixels: it weighs nothing in a mean anyway
DECODERS = 4  # threads; Pillow's decoders let others run


@dataclass(frozen=True)
class Census:
    """Pixels of the training masks, void left out.

    Attributes:
        pixels: Of each class, `(C,)`; float where data sets are mixed.
        present: Labelled pixels of the images in which each class occurs, `(C,)`.
    """

    pixels: NDArray[np.float64]
    present: NDArray[np.float64]


def census(samples: SampleSet, shares: Sequence[float] | None = None) -> Census:
    """Count every training mask.

    Args:
        samples: The training samples.
        shares: How often each sample is drawn, `(N,)`, for mixed data sets; None is 1 for all.
    """
    size = len(samples.classes)

    def counts(number: int) -> NDArray[np.int64]:
        return np.bincount(load_mask(samples, number).ravel(), minlength=256)[:size]

    pixels, present = np.zeros(size), np.zeros(size)
    with ThreadPoolExecutor(DECODERS) as pool:
        for number, found in enumerate(pool.map(counts, range(len(samples)))):
            share = 1.0 if shares is None else shares[number]
            pixels += share * found
            present += share * found.sum() * (found > 0)
    return Census(pixels, present)


def median_frequency(counted: Census) -> list[float]:
    """Median frequency balancing: `median(freq) / freq(c)`.

    `freq(c)` is the number of pixels of class c by that of labelled pixels of all images in which
    it occurs (Eigen and Fergus, arXiv:1411.4734); the median is over the classes that occur. A
    class without pixels has weight 1.
    """
    pairs = zip(counted.pixels.tolist(), counted.present.tolist(), strict=True)
    frequencies = [n / of if n else 0.0 for n, of in pairs]
    known = [frequency for frequency in frequencies if frequency]
    middle = median(known) if known else 0.0
    return [middle / frequency if frequency else ABSENT for frequency in frequencies]


def inverse_log(pixels: Sequence[float]) -> list[float]:
    """ENet's weights: `1 / ln(1.02 + p)`, p a class's share of the labelled pixels, 1.42 to 50.5.

    (Paszke et al., arXiv:1606.02147, section 5.2.)
    """
    total = sum(pixels)
    return [1 / math.log(ENET_C + (n / total if total else 0.0)) for n in pixels]


def read_weights(path: Path, classes: Sequence[ClassInfo]) -> list[float]:
    """Weights from a JSON file: a list by class id, or numbers by class name.

    Raises:
        UsageError: If it cannot be read, or names other classes, or holds other than finite
            numbers from 0 up, not all 0.
    """
    try:
        plain = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"--class-weights {path}: cannot be read: {error.strerror or error}; give none, "
            f"{MEDIAN_FREQUENCY}, {INVERSE_LOG} or a JSON file"
        ) from error
    except ValueError as error:
        raise UsageError(f"--class-weights {path}: is no JSON: {error}") from error
    names = [c.name for c in classes]
    values = by_name(path, plain, names) if isinstance(plain, dict) else plain
    if not isinstance(values, list) or len(values) != len(names):
        found = f"{len(values)} entries" if isinstance(values, list) else "something else"
        raise UsageError(
            f"--class-weights {path}: must hold {len(names)} numbers, by class name or as a list "
            f"from {names[0]} to {names[-1]}; found {found}"
        )
    for name, value in zip(names, values, strict=True):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            raise UsageError(
                f"--class-weights {path}: {name} has {value!r}; weights are numbers from 0 up"
            )
    if not any(values):
        raise UsageError(f"--class-weights {path}: all weights are 0, so nothing would be learnt")
    return [float(value) for value in values]


def by_name(path: Path, plain: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """The values of a JSON object in the order of the classes.

    Raises:
        UsageError: If a class is missing or unknown.
    """
    for known, found, word in ((plain, names, "misses"), (names, plain, "names an unknown class")):
        odd = [name for name in found if name not in known]
        if odd:
            raise UsageError(
                f"--class-weights {path}: {word} {odd[0]}; it must name each of the shards' "
                f"{len(names)} classes once"
            )
    return [plain[name] for name in names]


def class_weights(
    choice: str,
    samples: SampleSet,
    shares: Sequence[float] | None = None,
    pixels: NDArray[np.float64] | None = None,
) -> list[float] | None:
    """The weights that `--class-weights` names, by class id; None for `none`.

    Args:
        choice: `none`, `median-frequency`, `inverse-log` or a path.
        samples: The training samples.
        shares: How often each sample is drawn, for mixed data sets.
        pixels: Mask pixels by class as they are drawn, void last, where they are known; else every
            mask is counted.

    Raises:
        UsageError: If a file does not fit.
        SampleError: If a mask cannot be read.
    """
    if choice == NONE:
        return None
    if choice == MEDIAN_FREQUENCY:
        return median_frequency(census(samples, shares))
    if choice == INVERSE_LOG:
        counted = census(samples, shares).pixels if pixels is None else pixels
        return inverse_log(counted[: len(samples.classes)].tolist())
    return read_weights(Path(choice), samples.classes)
