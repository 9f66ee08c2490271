"""Learning from one global batch: forward, loss, backward, update."""

from dataclasses import dataclass

import torch
from torch import Tensor

from segtrain.batches import Batch
from segtrain.devices import autocast
from segtrain.metrics import confusion
from segtrain.optimizer import pixel_loss, set_learning_rate
from segtrain.predictor import Predictor


@dataclass(frozen=True)
class Learnt:
    """What one global batch gave, on the device and without gradient.

    Attributes:
        loss: float32 scalar in nats: the sum over the batch's valid pixels by their number; 0
            where none is valid.
        valid: int64 scalar: the number of valid pixels.
        confmat: int64 `(C, C)` of the predictions before the update, rows targets; None where it
            was not asked for.
    """

    loss: Tensor
    valid: Tensor
    confmat: Tensor | None


@dataclass
class Learner:
    """What learns: a net with its optimiser.

    A step is `gradients`, then `update`: in between, the loss can be looked at before it moves a
    weight.

    Attributes:
        predictor: The net in training mode, its preprocessing and device.
        optimizer: The optimiser of its weights.
    """

    predictor: Predictor
    optimizer: torch.optim.Optimizer

    @property
    def device(self) -> torch.device:
        """Where it learns."""
        return self.predictor.device

    def gradients(self, batch: Batch, *, judge: bool = False) -> Learnt:
        """Replace the gradients of all weights by those of one global batch.

        Args:
            batch: The batch, anywhere.
            judge: Whether to count its confusion matrix, too.
        """
        image = batch.image.to(self.device, non_blocking=True)  # (N, 3, H, W)
        target = batch.target.to(self.device, non_blocking=True)  # (N, H, W)
        with autocast(self.device):
            logits = self.predictor.model(self.predictor.preprocessing.normalise(image))
        loss_sum, valid = pixel_loss(logits, target)
        loss = loss_sum / valid.clamp(min=1)  # 0, with gradient 0, where no pixel is valid
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        seen = logits.detach()
        confmat = confusion(seen.argmax(1), target, seen.shape[1]) if judge else None
        return Learnt(loss.detach(), valid, confmat)

    def update(self, rate: float) -> None:
        """Move the weights along their gradients.

        Args:
            rate: The learning rate; each group of weights has its own factor on it.
        """
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
