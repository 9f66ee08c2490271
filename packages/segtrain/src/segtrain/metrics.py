"""The four FCN metrics, from one confusion matrix over a whole set (Long et al., section 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segtrain.manifests import IGNORE_INDEX


def confusion(pred: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Count pixels by target and prediction, on the device where they are.

    Args:
        pred: Class ids of any integer type, any shape; below `num_classes`.
        target: Class ids of any integer type, the same shape; 255 is left out.
        num_classes: C.

    Returns:
        int64 `(C, C)`; entry (t, p) counts the pixels of target t that were predicted as p.
    """
    # void is counted like a class, behind the others, and cut off: that takes fewer passes over
    # the pixels than picking the others out
    pairs = target.flatten().int() * num_classes + pred.flatten().int()
    counts = torch.bincount(pairs, minlength=(IGNORE_INDEX + 1) * num_classes)[: num_classes**2]
    return counts.view(num_classes, num_classes)  # (C, C)


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """What is kept of each image's confusion matrix: enough for every metric of any of them.

    Attributes:
        keys: The n images.
        true: int64 `(n, C)`: pixels of each class that were predicted as it.
        targets: int64 `(n, C)`: labelled pixels of each class.
        preds: int64 `(n, C)`: labelled pixels that were predicted as each class.
    """

    keys: tuple[str, ...]
    true: NDArray[np.int64]
    targets: NDArray[np.int64]
    preds: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """int64 `(n, C)`: labelled pixels that are of each class in truth or prediction."""
        return self.targets + self.preds - self.true

    def __add__(self, other: "ImageCounts") -> "ImageCounts":
        """These images, then the others."""
        parts = zip(self.arrays, other.arrays, strict=True)
        return ImageCounts(self.keys + other.keys, *(np.concatenate(pair) for pair in parts))

    def taken(self, order: NDArray[np.intp]) -> "ImageCounts":
        """The images at these positions, in this order."""
        keys = tuple(self.keys[i] for i in order)
        return ImageCounts(keys, *(values[order] for values in self.arrays))

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """`true`, `targets` and `preds`."""
        return self.true, self.targets, self.preds

    @classmethod
    def of(cls, keys: Sequence[str], margins: Sequence[Tensor], num_classes: int) -> Self:
        """The counts of some images.

        Args:
            keys: Of n images.
            margins: int64 `(3, C)` of each, from `margins`.
            num_classes: C.
        """
        none = torch.zeros(0, 3, num_classes, dtype=torch.int64)
        stacked = (torch.stack(list(margins)) if margins else none).cpu().numpy()  # (n, 3, C)
        return cls(tuple(keys), stacked[:, 0], stacked[:, 1], stacked[:, 2])


def margins(confmat: Tensor) -> Tensor:
    """Diagonal, row sums and column sums of a confusion matrix, int64 `(3, C)`, where it is."""
    return torch.stack([confmat.diag(), confmat.sum(1), confmat.sum(0)])


@dataclass(frozen=True)
class Scores:
    """What one confusion matrix says; all rates are 0..1.

    Attributes:
        pixel_accuracy: Correct pixels / labelled pixels.
        mean_accuracy: Mean of the accuracies of the classes that the targets hold.
        mean_iou: Mean of the IoUs of the classes whose union is not empty.
        frequency_weighted_iou: IoUs weighted by the classes' share of labelled pixels.
        iou: By class: TP / (TP + FP + FN), None where the union is empty.
        accuracy: By class: TP / (TP + FN), None where the targets hold none of it.
        target_pixels: By class: labelled pixels.
        left_out: Number of classes with an empty union, which no mean includes.
    """

    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    frequency_weighted_iou: float
    iou: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    target_pixels: tuple[int, ...]
    left_out: int

    @property
    def present(self) -> int:
        """Number of classes with a labelled pixel."""
        return sum(n > 0 for n in self.target_pixels)


def ratio(part: Tensor, whole: Tensor) -> float:
    """The quotient of two sums; 0 where the whole is 0."""
    return float(part) / float(whole) if float(whole) else 0.0


def scores(confmat: Tensor) -> Scores:
    """The metrics of a confusion matrix.

    Args:
        confmat: int64 `(C, C)`, rows targets; may be all zero, then every rate is 0.
    """
    m = confmat.detach().cpu().double()
    true, targets, preds = m.diag(), m.sum(1), m.sum(0)  # (C,) each
    union = targets + preds - true
    in_union, in_targets = union > 0, targets > 0
    iou, accuracy = true / union, true / targets  # NaN where a class is absent; left out below
    return Scores(
        pixel_accuracy=ratio(true.sum(), targets.sum()),
        mean_accuracy=ratio(accuracy[in_targets].sum(), in_targets.sum()),
        mean_iou=ratio(iou[in_union].sum(), in_union.sum()),
        frequency_weighted_iou=ratio((targets * iou)[in_targets].sum(), targets.sum()),
        iou=known(iou, in_union),
        accuracy=known(accuracy, in_targets),
        target_pixels=tuple(int(n) for n in targets),
        left_out=int((~in_union).sum()),
    )


def known(values: Tensor, present: Tensor) -> tuple[float | None, ...]:
    """Values by class, None where the class is absent."""
    return tuple(float(v) if p else None for v, p in zip(values, present, strict=True))


def all_background(confmat: Tensor) -> Scores:
    """The scores of predicting background everywhere, on the same targets: the floor.

    Args:
        confmat: int64 `(C, C)` of any predictions; only its row sums matter.
    """
    floor = torch.zeros_like(confmat)
    floor[:, 0] = confmat.sum(1)
    return scores(floor)


def prior_entropy(pixels: Tensor) -> float:
    """Entropy in nats of the class distribution: the loss of a net that learnt only its last bias.

    Args:
        pixels: Pixels by class, `(C,)`, void left out; at least one pixel.
    """
    share = pixels.double() / pixels.sum()
    return float(-(share[share > 0] * share[share > 0].log()).sum())
