"""What is done when numbers stop being finite: keep the step, find the layer, tell both."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from segtrain.batches import Batch
from segtrain.checkpoint import load_checkpoint
from segtrain.config import TrainConfig
from segtrain.devices import describe, set_rng_state
from segtrain.errors import CheckpointError, NonFiniteError, RunError
from segtrain.learning import Learner
from segtrain.nonfinite import Capture, named_keys
from segtrain.runs import RunFolder, quoted
from segtrain.tracing import broken_weight, watched

STAYED = "taken once more, the step stayed finite"


@dataclass(frozen=True)
class Taken:
    """A step as it can be taken again.

    Attributes:
        number: The step, 1 is the first.
        batch: Its batch.
        rng: States of torch's random numbers before it.
    """

    number: int
    batch: Batch
    rng: dict[str, Tensor]


@dataclass(frozen=True)
class Finding:
    """What one rank finds of its part of a bad step.

    Attributes:
        keys: Keys of its part.
        where: Where numbers broke, in words.
        kept: What was kept, in words.
        located: Whether they broke in its part.
    """

    keys: list[str]
    where: str
    kept: str
    located: bool


@dataclass(frozen=True)
class Case:
    """A run whose numbers broke.

    Attributes:
        config: Its configuration.
        folder: Its folder.
        learner: What learns.
        identity: As in its checkpoints.
        found: What was found, in words.
        taken: The step at which it was.
        before: The step before, where this session took it.
    """

    config: TrainConfig
    folder: RunFolder
    learner: Learner
    identity: Mapping[str, Any]
    found: str
    taken: Taken
    before: Taken | None

    def error(self) -> NonFiniteError:
        """Keep the guilty step, look for the layer where it began, and tell all of it.

        Every rank does this with its own part of the batch; the first that finds a layer is told.
        """
        mine = self.finding()
        ranks = self.learner.ranks.gather(mine)
        keys = named_keys(key for finding in ranks for key in finding.keys)
        told = next((finding for finding in ranks if finding.located), mine)
        last = self.folder.last
        saved = f"{last} is from before" if last.exists() else "no checkpoint was written yet"
        origin = f", from it by --init {quoted(last)} with another --out" if last.exists() else ""
        return NonFiniteError(
            f"step {self.taken.number:,}: {self.found}; keys of its batch: {keys}; {told.where}; "
            f"{told.kept}; {saved}; start again with a lower --lr than {self.config.lr:g}, a "
            f"longer --warmup, --clip 1 or a --norm{origin}"
        )

    def finding(self) -> "Finding":
        """What this rank finds."""
        model = self.learner.predictor.model
        updated = self.taken is self.before
        # running statistics count only after the update: the forward pass itself spoils them
        weight = broken_weight((model.state_dict() if updated else dict(model.named_parameters()))
                               .items())  # fmt: skip
        guilty = self.before if weight and self.before else self.taken
        kept = self.keep(guilty, exact=guilty is not self.before)
        if weight and guilty is self.before:
            where = f"weights were spoilt by the update of step {guilty.number:,}, first {weight}"
        else:
            where = f"{weight} was so before the step already" if weight else self.traced()
        return Finding(guilty.batch.keys, where or STAYED, kept, bool(where))

    def keep(self, guilty: Taken, *, exact: bool) -> str:
        """Write the step into the run's folder; what was written, in words."""
        model, step = self.weights(guilty, exact=exact)
        capture = Capture(
            step=guilty.number,
            found=self.found,
            batch=guilty.batch,
            model=model,
            model_step=step,
            rng=guilty.rng,
            config=self.config.plain(),
            identity=dict(self.identity),
            device=describe(self.learner.device),
        )
        try:
            path = capture.save(self.folder.path, self.learner.ranks.rank)
        except RunError as error:
            return f"the step could not be kept: {error}"
        age = "" if capture.exact else f", but with the weights after step {step:,}"
        return f"`segtrain replay {quoted(path)}` takes step {guilty.number:,} again{age}"

    def weights(self, guilty: Taken, *, exact: bool) -> tuple[dict[str, Tensor], int]:
        """The net before a step where it is still known, else the newest there is, and its step."""
        if not exact:
            try:
                saved = load_checkpoint(self.folder.last)
            except CheckpointError:
                pass
            else:
                return saved.model, saved.step
        state = self.learner.predictor.model.state_dict()
        found = {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
        return found, guilty.number - exact

    def traced(self) -> str:
        """Take the step again with an eye on every layer; where it began, in words."""
        set_rng_state(self.taken.rng, self.learner.device)
        open_net = replace(self.learner, compiled=None)  # a compiled net cannot be looked into
        try:
            with watched(open_net.predictor.model) as trace:
                open_net.gradients(self.taken.batch)
        except RuntimeError as error:  # such as a full memory
            return f"the layer could not be looked for ({str(error).splitlines()[0]})"
        return trace.origin()
