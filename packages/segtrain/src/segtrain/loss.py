"""The loss: cross entropy over valid pixels, as a sum and what it is divided by.

Sum and divisor stay apart so that the loss of a global batch is one sum over one number, however
the batch was divided: a mean of means is wrong where the share of void differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segtrain.manifests import IGNORE_INDEX
from segtrain.options.training import Reduction


def pixel_loss(
    logits: Tensor, target: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sum of the cross entropy over valid pixels, and the weight of these pixels.

    Args:
        logits: `(N, C, H, W)`.
        target: uint8 `(N, H, W)`, 255 = ignore.
        weights: float32 `(C,)`, 0 or more, by which a pixel of each class counts; None is 1 for
            all.

    Returns:
        float32 scalar in nats (0 where no pixel is valid), and `pixel_weight` of the target.
    """
    rows = logits.permute(0, 2, 3, 1).flatten(0, 2).float()  # (N * H * W, C); a view of NHWC
    ids = target.flatten().long()  # (N * H * W)
    loss = F.cross_entropy(rows, ids, weights, ignore_index=IGNORE_INDEX, reduction="sum")
    return loss, pixel_weight(target, weights)


def pixel_weight(target: Tensor, weights: Tensor | None = None) -> Tensor:
    """How much the valid pixels of a target weigh together; it needs no net.

    Args:
        target: uint8, 255 = ignore; any shape.
        weights: float32 `(C,)`, or None.

    Returns:
        int64 scalar, the number of valid pixels; with weights float32, the sum of theirs.
    """
    if weights is None:
        return (target != IGNORE_INDEX).sum()
    counts = torch.bincount(target.flatten().long(), minlength=IGNORE_INDEX + 1)[: len(weights)]
    return (counts * weights).sum()


@dataclass(frozen=True)
class Criterion:
    """What is minimised.

    Attributes:
        reduction: `mean`: the sum over the valid pixels of the global batch by their weight;
            `sum`: that sum itself, as the authors' released nets were trained (`normalize: false`
            in their train.prototxt).
        weights: float32 `(C,)` on the net's device, or None.
    """

    reduction: Reduction = "mean"
    weights: Tensor | None = None

    @classmethod
    def of(
        cls, reduction: Reduction, weights: Sequence[float] | None, device: torch.device
    ) -> "Criterion":
        """The criterion with weights by class id, on a device."""
        if weights is None:
            return cls(reduction)
        return cls(reduction, torch.tensor(weights, dtype=torch.float32, device=device))

    def total(self, logits: Tensor, target: Tensor) -> Tensor:
        """The sum over the valid pixels: that of `pixel_loss`, with the classes' weights."""
        return pixel_loss(logits, target, self.weights)[0]

    def weight(self, target: Tensor) -> Tensor:
        """`pixel_weight` of a target with the classes' weights."""
        return pixel_weight(target, self.weights)

    def mean(self, loss: Tensor, weight: Tensor) -> Tensor:
        """Loss of the mean pixel: 0, with gradient 0, where no pixel weighs anything."""
        return loss / torch.where(weight > 0, weight, 1)

    def objective(self, loss: Tensor, weight: Tensor) -> Tensor:
        """What backward starts from.

        Args:
            loss: The sum over the pixels at hand.
            weight: The weight of all valid pixels of the global batch.
        """
        return loss if self.reduction == "sum" else self.mean(loss, weight)
