"""Learning from one global batch: forward, loss, backward, update."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segtrain.averaging import WeightAverage
from segtrain.batches import Batch
from segtrain.config import TrainConfig, known
from segtrain.devices import autocast, moved, tuned
from segtrain.errors import UsageError
from segtrain.loss import Criterion
from segtrain.metrics import confusion
from segtrain.models.net import Heads, Net
from segtrain.optimizer import make_optimizer, set_learning_rate
from segtrain.predictor import Predictor
from segtrain.ranks import Ranks
from segtrain.readout import Readout
from segtrain.tracing import all_finite

# images (N, 3, H, W) to the logits (N, C, H, W) of all heads, the net's own first
Forward = Callable[[Tensor], tuple[Tensor, ...]]


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
        early: What this rank knows before its gradients are done: `valid`, then each part's share
            of the loss.
    """

    loss: Tensor
    valid: Tensor
    confmat: Tensor | None
    grad_norm: Tensor | None
    early: tuple[Readout, ...]

    def early_figures(self) -> tuple[float, float]:
        """Loss and weight of the valid pixels, of a rank that is alone.

        On a GPU they are here before the gradients are: looking at them holds nothing up.
        """
        valid, *shares = (float(readout.read()) for readout in self.early)
        return sum(shares), valid

    def figures(self) -> tuple[float, float]:
        """Loss and weight of the valid pixels, of all ranks; waits for the device."""
        return float(self.loss), float(self.valid)


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
        ranks: The processes that learn together, each from its part of a global batch.
        shared: The net wrapped so that the ranks share gradients; None where there is one rank.
        compiled: The net, wrapped or not, as torch compiles it; None where it does not.
        steady: Whether all batches are of one size.
    """

    predictor: Predictor
    optimizer: torch.optim.Optimizer
    accumulate: int = 1
    clip: float | None = None
    criterion: Criterion = field(default_factory=Criterion)
    average: WeightAverage | None = None
    ranks: Ranks = field(default_factory=Ranks)
    shared: DistributedDataParallel | None = None
    compiled: Forward | None = None
    steady: bool = True

    @property
    def judged(self) -> Predictor:
        """The net as it is judged and kept: the average of its weights where there is one."""
        if self.average is None:
            return self.predictor
        return replace(self.predictor, model=self.average.model)

    @property
    def net(self) -> Forward:
        """The net in the form that trains."""
        forms: list[Forward | None] = [self.compiled, self.shared, self.predictor.model.all_logits]
        return next(form for form in forms if form is not None)

    @property
    def device(self) -> torch.device:
        """Where it learns."""
        return self.predictor.device

    def gradients(self, batch: Batch, *, judge: bool = False) -> Learnt:
        """Replace the gradients of all weights by those of one global batch.

        The loss is the sum over the valid pixels of the whole batch by their weight, however it is
        cut: the pixels are weighed first, then each part's sum is divided by that.

        Args:
            batch: The batch, anywhere; of several ranks each has its part of it.
            judge: Whether to count its confusion matrix and measure its gradient, too.
        """
        with tuned(self.device, steady=self.steady):
            return self.learn_batch(batch, judge=judge)

    def learn_batch(self, batch: Batch, *, judge: bool) -> Learnt:
        """`gradients`, under the settings that suit the net."""
        target = moved(batch.target, self.device)  # (N, H, W)
        valid = self.ranks.sum(self.criterion.weight(target))
        weighed = Readout.of(valid)
        self.optimizer.zero_grad(set_to_none=True)
        learnt = []
        for i, part in enumerate(self.parts(batch, target), start=1):
            with self.gradients_stay(until_last=i < self.accumulate):
                learnt.append(self.learn_part(*part, valid, judge=judge))
        losses, matrices, early = zip(*learnt, strict=True)
        return Learnt(
            loss=self.ranks.sum(torch.stack(losses).sum()),
            valid=valid,
            confmat=self.ranks.sum(torch.stack(matrices).sum(0)) if judge else None,
            grad_norm=self.clip_gradient(judge=judge),
            early=(weighed, *early),
        )

    def gradients_stay(self, *, until_last: bool) -> AbstractContextManager[None]:
        """Within it a part's gradients stay on their rank; those of the last are summed up."""
        if until_last and self.shared is not None:
            return self.shared.no_sync()
        return nullcontext()

    def parts(self, batch: Batch, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and targets of each part, on the device; their sizes differ by one at most."""
        count = len(target)
        ends = [count * i // self.accumulate for i in range(self.accumulate + 1)]
        for part in map(slice, ends[:-1], ends[1:]):
            yield moved(batch.image[part], self.device), target[part]

    def learn_part(
        self, image: Tensor, target: Tensor, valid: Tensor, *, judge: bool
    ) -> tuple[Tensor, Tensor, Readout]:
        """Add the gradients of a part of a global batch.

        Args:
            image: uint8 `(N, 3, H, W)` on the device.
            target: uint8 `(N, H, W)` on the device.
            valid: scalar: weight of the valid pixels of the whole batch.
            judge: Whether to count its confusion matrix, too.

        Returns:
            Its share of the loss of the net's own logits, float32 scalar; its confusion matrix,
            int64 `(C, C)`, or empty; that share, readable before its gradients are there.
        """
        with autocast(self.device, self.predictor.precision):
            logits, *others = self.net(self.predictor.preprocessing.normalise(image))
        total = self.criterion.total(logits, target)
        auxiliary = sum(self.criterion.total(scores, target) for scores in others)
        weighed = total + self.predictor.model.auxiliary_weight * auxiliary
        objective = self.criterion.objective(weighed, valid)
        loss = self.criterion.mean(total.detach(), valid)
        early = Readout.of(loss)
        torch.autograd.backward(objective * self.ranks.world)  # gradients of ranks are averaged
        if not judge:
            return loss, target.new_empty(0), early
        seen = logits.detach()
        return loss, confusion(seen.argmax(1), target, seen.shape[1]), early

    def finite_gradients(self) -> bool:
        """Whether all gradients are finite; waits for the device."""
        weights = self.predictor.model.parameters()
        return all_finite([weight.grad for weight in weights if weight.grad is not None])

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


def make_learner(
    config: TrainConfig, predictor: Predictor, weights: Sequence[float] | None, ranks: Ranks
) -> Learner:
    """What learns by a configuration; the net moves to its device here.

    Of several ranks all start with the weights of rank 0.

    Args:
        config: The run's configuration, resolved.
        predictor: The net, anywhere, and the kind of device that it shall learn on.
        weights: By which a pixel of each class counts; None is 1 for all.
        ranks: The processes that learn together.
    """
    device = ranks.device(predictor.device)
    model = shared_statistics(predictor.model, ranks)
    model = model.placed(device).train()
    shared = shared_gradients(model, device, ranks)  # gives all ranks the weights of rank 0
    return Learner(
        replace(predictor, model=model, device=device),
        make_optimizer(model, config),
        config.accumulate,
        config.clip,
        Criterion.of(config.loss_reduction, weights, device),
        ranks=ranks,
        shared=shared,
        compiled=compiled(Heads(model) if shared is None else shared) if config.compile else None,
        steady=config.fit != "native",
        average=WeightAverage(model, config.ema) if config.ema else None,
    )


def check_norm(norm: str, device: torch.device, ranks: Ranks) -> None:
    """Refuse batch norm where its statistics cannot be taken over all ranks.

    Raises:
        UsageError: On a CPU, where torch has no such layer.
    """
    if norm == "batch" and not ranks.alone and device.type != "cuda":
        raise UsageError(
            f"--norm batch with {ranks.world} ranks needs GPUs: on a CPU torch cannot take its "
            "statistics over all of them; use --norm group, or one process"
        )


def shared_statistics(model: Net, ranks: Ranks) -> Net:
    """The net with batch norms that take their statistics over all ranks."""
    if ranks.alone:
        return model
    convert = nn.SyncBatchNorm.convert_sync_batchnorm
    shared: Net = convert(model)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return shared


def compiled(net: nn.Module) -> Forward:
    """The net as torch compiles it at its first steps; its weights and their names stay."""
    return torch.compile(net, dynamic=False)


def shared_gradients(
    model: Net, device: torch.device, ranks: Ranks
) -> DistributedDataParallel | None:
    """The net wrapped so that backward averages gradients over the ranks; alone, nothing."""
    if ranks.alone:
        return None
    return DistributedDataParallel(
        Heads(model),
        device_ids=[device.index] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
    )
