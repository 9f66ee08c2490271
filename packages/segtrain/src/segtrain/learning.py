"""Learning from one global batch: forward, loss, backward, update."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from segtrain.averaging import WeightAverage
from segtrain.batches import Batch
from segtrain.config import known
from segtrain.devices import autocast
from segtrain.loss import Criterion
from segtrain.metrics import confusion
from segtrain.optimizer import set_learning_rate
from segtrain.predictor import Predictor


@dataclass(frozen=True)
class Learnt:
    """What one global batch gave, on the device and without gradient.

    Attributes:
        loss: float32 scalar in nats: the sum over the batch's valid pixels by their weight; 0
            where none is valid.
        valid: int64 scalar, the number of valid pixels; float32, the sum of their weights, where
            classes weigh differently.
        confmat: int64 `(C, C)` of the predictions before the update, rows targets; None where it
            was not asked for.
        grad_norm: float32 scalar: Euclidean norm of the gradient before it was clipped; None where
            it was neither clipped nor asked for.
    """

    loss: Tensor
    valid: Tensor
    confmat: Tensor | None
    grad_norm: Tensor | None


@dataclass
class Learner:
    """What learns: a net with its optimiser.

    A step is `gradients`, then `update`: in between, the loss can be looked at before it moves a
    weight.

    Attributes:
        predictor: The net in training mode, its preprocessing and device.
        optimizer: The optimiser of its weights.
        accumulate: Parts of each batch that are computed one after the other, at most its images.
        clip: Largest Euclidean norm of a step's gradient; None clips nothing.
        criterion: What it minimises.
        average: The running average of its weights, None where none is kept.
    """

    predictor: Predictor
    optimizer: torch.optim.Optimizer
    accumulate: int = 1
    clip: float | None = None
    criterion: Criterion = field(default_factory=Criterion)
    average: WeightAverage | None = None

    @property
    def judged(self) -> Predictor:
        """The net as it is judged and kept: the average of its weights where there is one."""
        if self.average is None:
            return self.predictor
        return replace(self.predictor, model=self.average.model)

    @property
    def device(self) -> torch.device:
        """Where it learns."""
        return self.predictor.device

    def gradients(self, batch: Batch, *, judge: bool = False) -> Learnt:
        """Replace the gradients of all weights by those of one global batch.

        The loss is the sum over the valid pixels of the whole batch by their weight, however it is
        cut: the pixels are weighed first, then each part's sum is divided by that.

        Args:
            batch: The batch, anywhere.
            judge: Whether to count its confusion matrix and measure its gradient, too.
        """
        target = batch.target.to(self.device, non_blocking=True)  # (N, H, W)
        valid = self.criterion.weight(target)
        self.optimizer.zero_grad(set_to_none=True)
        parts = [self.learn_part(*part, valid, judge=judge) for part in self.parts(batch, target)]
        losses, matrices = zip(*parts, strict=True)
        return Learnt(
            loss=torch.stack(losses).sum(),
            valid=valid,
            confmat=torch.stack(matrices).sum(0) if judge else None,
            grad_norm=self.clip_gradient(judge=judge),
        )

    def parts(self, batch: Batch, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and targets of each part, on the device; their sizes differ by one at most."""
        count = len(target)
        ends = [count * i // self.accumulate for i in range(self.accumulate + 1)]
        for part in map(slice, ends[:-1], ends[1:]):
            yield batch.image[part].to(self.device, non_blocking=True), target[part]

    def learn_part(
        self, image: Tensor, target: Tensor, valid: Tensor, *, judge: bool
    ) -> tuple[Tensor, Tensor]:
        """Add the gradients of a part of a global batch.

        Args:
            image: uint8 `(N, 3, H, W)` on the device.
            target: uint8 `(N, H, W)` on the device.
            valid: scalar: weight of the valid pixels of the whole batch.
            judge: Whether to count its confusion matrix, too.

        Returns:
            Its share of the loss, float32 scalar; its confusion matrix, int64 `(C, C)`, or empty.
        """
        with autocast(self.device):
            logits = self.predictor.model(self.predictor.preprocessing.normalise(image))
        total = self.criterion.total(logits, target)
        torch.autograd.backward(self.criterion.objective(total, valid))
        loss = self.criterion.mean(total.detach(), valid)
        if not judge:
            return loss, target.new_empty(0)
        seen = logits.detach()
        return loss, confusion(seen.argmax(1), target, seen.shape[1])

    def clip_gradient(self, *, judge: bool) -> Tensor | None:
        """Shorten the gradient where it is too long; its norm before, if it was measured."""
        if self.clip is None and not judge:
            return None
        weights = [p for p in self.predictor.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([known(p.grad) for p in weights])
        if self.clip is not None:
            nn.utils.clip_grads_with_norm_(weights, self.clip, norm)
        return norm

    def update(self, rate: float) -> None:
        """Move the weights along their gradients, and their average after them.

        Args:
            rate: The learning rate; each group of weights has its own factor on it.
        """
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.predictor.model)
