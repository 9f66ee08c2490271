"""The training loop: steps, validations, checkpoints, and the way back into a run that stopped."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtrain.batches import Batch, is_lost_worker
from segtrain.checkpoint import Checkpoint, save_checkpoint
from segtrain.config import TrainConfig, known
from segtrain.devices import rng_state
from segtrain.errors import (
    InterruptedRunError,
    NonFiniteError,
    RunError,
    SegtrainError,
)
from segtrain.evaluate import SetResult
from segtrain.interruption import Interruption, StopRequested
from segtrain.learning import Learner, Learnt
from segtrain.logs import RunLog
from segtrain.metrics import scores
from segtrain.overlays import comparison
from segtrain.predictor import Predictor
from segtrain.runs import RunFolder
from segtrain.sampler import SampleOrder
from segtrain.schedules import learning_rate
from segtrain.training_display import TrainDisplay
from segtrain.validation import Validated, ValidationSet, summary, validate

KEYS_SHOWN = 8  # keys of a bad batch that an error names


@dataclass
class Meter:
    """Sums over the interval since the last log line.

    Attributes:
        loss: Sum of the steps' losses.
        steps: Steps.
        void_steps: Steps whose batch had no valid pixel.
        train_iou: Mean IoU of the interval's last batch; None before it is known.
        grad_norm: Norm of the gradient of the interval's last batch, before it was clipped.
        seconds: Time spent on steps.
        waited: Part of it spent waiting for data.
    """

    loss: float = 0.0
    steps: int = 0
    void_steps: int = 0
    train_iou: float | None = None
    grad_norm: float | None = None
    seconds: float = 0.0
    waited: float = 0.0


@dataclass
class Step:
    """A step whose loss has not been looked at yet: on a GPU that happens one step later."""

    number: int
    keys: list[str]
    loss: Tensor
    valid: Tensor


@dataclass
class Trainer:
    """A run under way.

    Attributes:
        config: Its configuration, resolved.
        folder: Its folder.
        learner: The net, its device, preprocessing and optimiser.
        val_sets: What to validate on, the primary first; empty where it never validates.
        identity: Fields that every checkpoint of the run repeats: classes, manifests, commit, ...
        floors: Losses at which nothing was learnt.
        display: Where people follow it.
        order: The order of the training images.
        step: Steps taken.
        due: Whether the log line and validation of `step` are still to be made.
        best: The best validation so far.
        log: Its log.
        worked: Seconds of work before this session.
        began: When this session began, by `time.perf_counter`.
    """

    config: TrainConfig
    folder: RunFolder
    learner: Learner
    val_sets: list[ValidationSet]
    identity: dict[str, Any]
    floors: dict[str, float]
    display: TrainDisplay
    order: SampleOrder
    step: int = 0
    due: bool = False
    best: dict[str, Any] | None = None
    meter: Meter = field(default_factory=Meter)
    unchecked: Step | None = None
    log: RunLog = field(init=False)
    worked: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds of work on the run, over all its sessions."""
        return self.worked + time.perf_counter() - self.began

    @property
    def predictor(self) -> Predictor:
        """The net that learns."""
        return self.learner.predictor

    def run(self, stream: Iterator[Batch], stop: Interruption) -> None:
        """Take the remaining steps.

        Args:
            stream: The batches from the run's position on.
            stop: Asked after each step and each validation image.

        Raises:
            InterruptedRunError: After a signal, when everything is saved.
            NonFiniteError: If the loss became NaN or infinite; the last checkpoint stays.
            SegtrainError: If a sample cannot be read (everything is saved first) or a file cannot
                be written.
        """
        try:
            self.take_steps(stream, stop)
        except StopRequested:
            raise self.interrupted(stop) from None
        except RuntimeError as error:
            told = self.broken_step(error)
            if told is None:
                raise
            raise told from error
        except RunError:
            raise  # nothing more can be written, or the net is spoilt: last.pt stays as it is
        except SegtrainError as error:
            if stop.number:  # the same signal ended a worker
                raise self.interrupted(stop) from error
            self.save()
            resume = f"; everything up to step {self.step:,} is saved"
            raise type(error)(f"{error}{resume}: `{self.folder.resume_command}`") from error

    def take_steps(self, stream: Iterator[Batch], stop: Interruption) -> None:
        """Step, report and save until the run is at its end.

        Raises:
            StopRequested: After a signal; the state is that of a whole step.
        """
        if self.due:  # the signal that stopped the run came during its validation
            self.report(stop)
        while self.step < self.config.steps:
            self.advance(stream)
            self.display.advance(self.step)
            stop.check()
            if self.due:
                self.report(stop)
            if self.is_kept(self.step):
                self.keep()
            elif self.step % self.config.save_every == 0:
                self.save()
        self.save()

    def broken_step(self, error: RuntimeError) -> RunError | None:
        """The user's error for one of torch's that came in the middle of a step, None for others.

        The net may be half-way through the step: it is not saved, last.pt stays as it is.
        """
        at = f"step {self.step + 1:,}"
        if isinstance(error, torch.OutOfMemoryError):
            return RunError(
                f"{at}: the memory of {self.predictor.device} is full; use a smaller --batch, "
                "--crop or --width"
            )
        if is_lost_worker(error):
            return RunError(
                f"{at}: a data worker was ended from outside ({error}); if memory ran out, use "
                f"fewer --workers; go on with `{self.folder.resume_command}`"
            )
        return None

    def interrupted(self, stop: Interruption) -> InterruptedRunError:
        """Save, and say how to go on."""
        self.save()
        unwritten = self.log.unwritten()
        return InterruptedRunError(
            f"stopped at step {self.step:,} of {self.config.steps:,}, "
            f"{f'but {unwritten}' if unwritten else 'everything is saved'}; go on with "
            f"`{self.folder.resume_command}`",
            stop.number,
        )

    def advance(self, stream: Iterator[Batch]) -> None:
        """Take one step and note its time."""
        began = time.perf_counter()
        self.display.doing("waiting for data")
        batch = next(stream)
        self.display.doing("training")
        waited = time.perf_counter() - began
        learnt = self.learn(batch)
        self.step += 1
        self.due = learnt.confmat is not None
        if learnt.confmat is not None:
            self.check_loss()
            self.meter.train_iou = scores(learnt.confmat).mean_iou
            self.meter.grad_norm = float(known(learnt.grad_norm))
        self.meter.steps += 1
        self.meter.waited += waited
        self.meter.seconds += time.perf_counter() - began

    def learn(self, batch: Batch) -> Learnt:
        """One optimiser step on one global batch; where its line is due, it is judged, too.

        Raises:
            NonFiniteError: If the loss is NaN or infinite; on a GPU, if that of the step before is.
        """
        number = self.step + 1
        learnt = self.learner.gradients(batch, judge=self.is_due(number))
        self.check_loss()
        self.unchecked = Step(number, batch.keys, learnt.loss, learnt.valid)
        if self.learner.device.type == "cpu":
            self.check_loss()  # before it can spoil a weight; elsewhere that would hold up the GPU
        self.learner.update(learning_rate(self.step, self.config))
        return learnt

    def check_loss(self) -> None:
        """Look at the loss that is waiting, if one is, and add it up.

        Raises:
            NonFiniteError: If it is NaN or infinite.
        """
        waiting, self.unchecked = self.unchecked, None
        if waiting is None:
            return
        loss = float(waiting.loss)
        if not np.isfinite(loss):
            keys = ", ".join(waiting.keys[:KEYS_SHOWN])
            more = f" and {len(waiting.keys) - KEYS_SHOWN} more" * (len(waiting.keys) > KEYS_SHOWN)
            saved = f"{self.folder.last} is from before" if self.folder.last.exists() else ""
            raise NonFiniteError(
                f"step {waiting.number:,}: the loss became {loss}; keys of its batch: "
                f"{keys}{more}; {saved or 'no checkpoint was written yet'}; start again with a "
                f"lower --lr than {self.config.lr:g}, a longer --warmup, or a --norm"
            )
        self.meter.loss += loss
        self.meter.void_steps += float(waiting.valid) == 0

    def is_due(self, step: int) -> bool:
        """Whether a log line belongs to a step."""
        config = self.config
        return step == config.steps or step % config.log_every == 0 or self.validates(step)

    def validates(self, step: int) -> bool:
        """Whether a validation belongs to a step."""
        every = self.config.val_every
        return bool(every) and (step == self.config.steps or step % every == 0)

    def report(self, stop: Interruption) -> None:
        """Write the log line of this step, with a validation where one is due.

        Raises:
            StopRequested: After a signal during the validation; nothing was written then.
        """
        line = self.log_line()
        if self.validates(self.step):
            line |= self.validation(stop)
        self.log.write(line)
        self.display.report(line)
        self.meter, self.due = Meter(), False

    def log_line(self) -> dict[str, Any]:
        """What the interval that ends here was like."""
        meter, config = self.meter, self.config
        seconds, drawn = max(meter.seconds, 1e-9), self.step * config.batch
        epochs = self.order.epochs(drawn)
        return {
            "step": self.step,
            "epoch": round(drawn / len(self.order), 4),
            **({"epochs": epochs} if epochs else {}),
            "loss": meter.loss / max(1, meter.steps),
            "loss_floors": self.floors,
            "train_iou": meter.train_iou,
            "grad_norm": meter.grad_norm,
            "lr": learning_rate(self.step - 1, config),
            "images_per_second": round(meter.steps * config.batch / seconds, 3),
            "data_wait": round(meter.waited / seconds, 4),
            "void_batches": meter.void_steps,
            "seconds": round(self.seconds, 3),
        }

    def validation(self, stop: Interruption) -> dict[str, Any]:
        """Validate on every data set; the primary one may give a new best.pt."""
        last = self.step == self.config.steps

        def progress(name: str, done: int, total: int) -> None:
            self.display.validating(name, done, total)
            stop.check()

        found = [
            validate(self.learner.judged, chosen, self.config.pictures, progress, full=last)
            for chosen in self.val_sets
        ]
        for validated in found:
            self.draw(validated)
        self.keep_best(found[0].result)
        line: dict[str, Any] = {
            "val_iou": found[0].result.scores.mean_iou,
            "val": {v.result.dataset: summary(v.result) for v in found},
        }
        if last:
            finals = [v.full or v.result for v in found]
            line["final"] = {r.dataset: summary(r) for r in finals}
        return line

    def draw(self, validated: Validated) -> None:
        """Write the pictures of one data set's validation."""
        if validated.judged:
            name = validated.result.dataset
            title = f"{name} val, step {self.step:,}"
            sheet = comparison(validated.judged, self.predictor.classes, title)
            self.log.picture(self.step, name, sheet, self.folder.picture(self.step, name))

    def keep_best(self, result: SetResult) -> None:
        """Write best.pt if this result on the primary data set is the best so far."""
        iou = result.scores.mean_iou
        if self.best is None or iou > self.best["mean_iou"]:
            self.best = {
                "step": self.step,
                "dataset": result.dataset,
                "images": result.images,
                "mean_iou": iou,
            }
            self.or_save(lambda: save_checkpoint(self.folder.best, self.checkpoint(training=False)))

    def save(self) -> None:
        """Write last.pt, after the lines of the log that belong to it.

        Raises:
            NonFiniteError: If the last step's loss turns out to be NaN or infinite.
            RunError: If it cannot be written; the one before it is kept.
        """
        self.check_loss()
        self.display.doing("saving last.pt")
        self.log.sync()
        self.folder.save(self.checkpoint(training=True))

    def is_kept(self, step: int) -> bool:
        """Whether the checkpoint of a step is kept beside last.pt."""
        every = self.config.keep_every
        return bool(every) and step % every == 0

    def keep(self) -> None:
        """Write last.pt, and keep it under the name of its step.

        Raises:
            NonFiniteError, RunError: As `save`.
        """
        self.save()
        stuck: list[Path] = []
        self.or_save(lambda: stuck.extend(self.folder.keep(self.step, self.config.keep)))
        for old in stuck:
            self.log.tell(f"{old}: is older than the {self.config.keep} kept and cannot be removed")

    def or_save(self, write: Callable[[], object]) -> None:
        """Write a file beside last.pt; where that fails, save before the run stops.

        Raises:
            RunError: If it could not be written; last.pt is that of this step if there was room.
        """
        try:
            write()
        except RunError as error:
            self.save()
            raise RunError(
                f"{error}; everything up to step {self.step:,} is saved: "
                f"`{self.folder.resume_command}`"
            ) from error

    def checkpoint(self, *, training: bool) -> Checkpoint:
        """The run as it stands; without `training`, only what judging and predicting need."""
        judged, average = self.learner.judged.model, self.learner.average
        meter = {k: v for k, v in asdict(self.meter).items() if v is not None}
        return Checkpoint(
            config=self.config.plain(),
            step=self.step,
            batches=self.step,
            model=(self.predictor.model if training else judged).state_dict(),
            average=judged.state_dict() if training and average else None,
            optimizer=self.learner.optimizer.state_dict() if training else None,
            rng=rng_state(self.predictor.device) if training else None,
            meter=meter if training else {},
            due=self.due,
            best=self.best,
            seconds=self.seconds if training else 0.0,
            threads=torch.get_num_threads(),
            **self.identity,
        )
