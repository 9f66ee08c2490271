"""Looking out for numbers that are NaN or infinite before they spoil a net or a checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segtrain.config import TrainConfig
from segtrain.diagnosis import Case, Taken
from segtrain.learning import Learner, Learnt
from segtrain.meter import Meter
from segtrain.runs import RunFolder
from segtrain.tracing import broken_weight


@dataclass
class Guard:
    """What looks at every step's figures, and at the weights before they are kept.

    Attributes:
        config: The run's configuration.
        folder: Its folder, where a bad step is kept.
        learner: What learns.
        identity: As in its checkpoints.
        unseen: The step whose figures have not been looked at yet.
        before: The last step whose update was made.
    """

    config: TrainConfig
    folder: RunFolder
    learner: Learner
    identity: Mapping[str, Any]
    unseen: tuple[Taken, Learnt] | None = None
    before: Taken | None = None

    @property
    def on_cpu(self) -> bool:
        """Whether a look at the gradients holds nothing up."""
        return self.learner.device.type == "cpu"

    def watch(self, taken: Taken, learnt: Learnt, meter: Meter) -> None:
        """Look at a step before its update, so that it cannot spoil a weight.

        Of several GPUs the common loss is known only when all gradients are; to wait for it would
        hold them up, so it is looked at one step later, but for steps whose line is due.

        Args:
            taken: The step.
            learnt: What it gave.
            meter: Takes up its figures once they were looked at.

        Raises:
            NonFiniteError: If loss or gradient is NaN or infinite; on all ranks.
        """
        self.check(meter)
        self.unseen = taken, learnt
        if self.on_cpu or self.learner.ranks.alone or learnt.confmat is not None:
            self.check(meter)

    def check(self, meter: Meter, *, weights: bool = False) -> None:
        """Look at the step that waits for it, if one does.

        On a CPU the gradient is looked at, too; on a GPU, which that would hold up, where a line
        of the log is due.

        Args:
            meter: Takes up its figures.
            weights: Whether to look at all weights as well: before they are judged or kept.

        Raises:
            NonFiniteError: If any of them is NaN or infinite; on all ranks.
        """
        if self.unseen is not None:
            taken, learnt = self.unseen
            self.unseen = None
            loss, valid = self.figures(learnt)
            if not math.isfinite(loss):
                raise self.case(f"the loss became {loss}", taken).error()
            looked = self.on_cpu or learnt.confmat is not None
            if looked and not self.learner.finite_gradients():
                raise self.case("the gradient became NaN or infinite", taken).error()
            meter.loss += loss
            meter.void_steps += valid == 0
        if weights and self.before:
            state = self.learner.predictor.model.state_dict()
            if broken := broken_weight(state.items()):
                raise self.case(f"{broken} became NaN or infinite", self.before).error()

    def figures(self, learnt: Learnt) -> tuple[float, float]:
        """Loss and weight of the valid pixels of all ranks."""
        alone = self.learner.ranks.alone
        return learnt.early_figures() if alone else learnt.figures()

    def case(self, found: str, taken: Taken) -> Case:
        """A step at which numbers broke, to be looked into."""
        return Case(
            self.config, self.folder, self.learner, self.identity, found, taken, self.before
        )
