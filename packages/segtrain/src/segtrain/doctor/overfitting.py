"""Whether the net can learn a handful of images by heart."""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segtrain.doctor.examination import Examination, still
from segtrain.loss import pixel_loss
from segtrain.manifests import IGNORE_INDEX
from segtrain.metrics import prior_entropy

IMAGES = 4
RATE = 1e-3  # of Adam, which needs no search for a rate
ENOUGH = 0.5  # of the entropy of the images' own labels: no constant prediction comes near
POOR = 0.05  # nats: labels of less entropy are almost one class


@dataclass(frozen=True)
class Overfit:
    """What became of it.

    Attributes:
        entropy: Of the class shares in the images' labels, nats: the least loss of a net that
            predicts the same everywhere.
        losses: Of each step.
    """

    entropy: float
    losses: list[float]

    @property
    def learnt(self) -> bool:
        """Whether the images were learnt."""
        return min(self.losses) < ENOUGH * self.entropy


def overfitting(exam: Examination) -> Overfit | None:
    """Train a copy by Adam on the few images with the richest labels, with nothing random.

    Returns:
        None where all labels are almost of one class.
    """
    image, target = richest(exam)
    counts = torch.bincount(target[target != IGNORE_INDEX].long())
    entropy = prior_entropy(counts) if int(counts.sum()) else 0.0
    if entropy < POOR:
        return None
    model = copy.deepcopy(exam.patient.model)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=RATE)
    losses: list[float] = []
    with still(model):
        for step in range(exam.plan.overfit):
            exam.progress("learning a few images by heart", step, exam.plan.overfit)
            total, valid = pixel_loss(model(image), target)
            loss = total / valid
            losses.append(float(loss.detach()))
            if losses[-1] < ENOUGH * entropy:
                break
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return Overfit(entropy, losses)


def richest(exam: Examination) -> tuple[Tensor, Tensor]:
    """Inputs and targets of the images whose labels have the highest entropy."""
    pairs = [pair for batch in exam.batches for pair in zip(*exam.inputs(batch), strict=True)]
    chosen = sorted(pairs, key=lambda pair: label_entropy(pair[1]), reverse=True)[:IMAGES]
    height, width = (max(mask.shape[side] for _, mask in chosen) for side in (0, 1))
    padded = [
        (F.pad(image, room(mask, height, width)),
         F.pad(mask, room(mask, height, width), value=IGNORE_INDEX))
        for image, mask in chosen
    ]  # fmt: skip
    image, target = (torch.stack(parts) for parts in zip(*padded, strict=True))
    return image, target


def label_entropy(mask: Tensor) -> float:
    """Entropy of the class shares of a mask, nats; -1 where all is void."""
    counts = torch.bincount(mask[mask != IGNORE_INDEX].flatten().long())
    return prior_entropy(counts) if int(counts.sum()) else -1.0


def room(mask: Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    """What `F.pad` must add to a mask, or an image of its size, to fill this size."""
    return 0, width - mask.shape[1], 0, height - mask.shape[0]
