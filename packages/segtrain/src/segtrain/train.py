"""The training loop: steps, validations, checkpoints, and the way back into a run that stopped."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from segtrain.batches import Batch
from segtrain.breakdowns import explained
from segtrain.checkpoint import Checkpoint, save_checkpoint
from segtrain.config import TrainConfig, known
from segtrain.counts_files import as_file
from segtrain.devices import rng_state
from segtrain.diagnosis import Taken
from segtrain.doctor.vigil import Vigil
from segtrain.errors import InterruptedRunError, RunError, SegtrainError
from segtrain.evaluate import SetResult
from segtrain.guard import Guard
from segtrain.interruption import Interruption, StopRequested
from segtrain.learning import Learner, Learnt
from segtrain.logs import RunLog
from segtrain.meter import Meter
from segtrain.metrics import scores
from segtrain.occasions import is_due, is_kept, validates
from segtrain.overlays import comparison
from segtrain.predictor import Predictor
from segtrain.ranks import Ranks
from segtrain.runs import RunFolder
from segtrain.sampler import SampleOrder
from segtrain.schedules import learning_rate
from segtrain.throughput import Gauge
from segtrain.training_display import TrainDisplay
from segtrain.validation import Company, Validated, ValidationSet, summary, validate
from segtrain.watching import Watched, colored, predictions


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
        gauge: Relates images per second to the hardware.
        order_from: Steps taken where the order of samples began, for a stream; else None.
        vigil: Watches for dead layers; None where nobody shall.
        step: Steps taken.
        due: Whether the log line and validation of `step` are still to be made.
        best: The best validation so far.
        meter: Sums since the last line of the log.
        guard: Looks out for numbers that are NaN or infinite.
        log: Its log; rank 0 alone has it.
        watched: Photos without truth that each validation predicts; rank 0 alone has them.
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
    gauge: Gauge
    order_from: int | None = None
    vigil: Vigil | None = None
    step: int = 0
    due: bool = False
    best: dict[str, Any] | None = None
    meter: Meter = field(default_factory=Meter)
    guard: Guard = field(init=False)
    log: RunLog = field(init=False)
    watched: list[Watched] = field(default_factory=list)
    worked: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.guard = Guard(self.config, self.folder, self.learner, self.identity)

    @property
    def seconds(self) -> float:
        """Seconds of work on the run, over all its sessions."""
        return self.worked + time.perf_counter() - self.began

    @property
    def predictor(self) -> Predictor:
        """The net that learns."""
        return self.learner.predictor

    @property
    def ranks(self) -> Ranks:
        """The processes of the run."""
        return self.learner.ranks

    @property
    def resume_command(self) -> str:
        """The command that goes on with the run, on as many ranks."""
        return self.ranks.launcher + self.folder.resume_command

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
            at, where = f"step {self.step + 1:,}", self.predictor.device
            told = explained(error, at, where, self.resume_command)
            if told is None:
                raise
            raise told from error
        except SegtrainError as error:
            raise self.failed(self.shared(error, stop), stop) from error

    def shared(self, error: SegtrainError, stop: Interruption) -> SegtrainError:
        """An error that befell this rank between two meetings, as all ranks raise it."""
        if not error.shared:
            try:
                self.ranks.meet(stop, error)
            except SegtrainError as told:
                return told
        return error

    def failed(self, error: SegtrainError, stop: Interruption) -> SegtrainError:
        """Save where that makes sense; the error with the way on."""
        if isinstance(error, RunError):
            return error  # nothing more can be written, or the net is spoilt: last.pt stays
        if stop.number:  # the same signal ended a worker
            return self.interrupted(stop)
        self.save()
        resume = f"; everything up to step {self.step:,} is saved"
        return error.saying(f"{error}{resume}: `{self.resume_command}`")

    def take_steps(self, stream: Iterator[Batch], stop: Interruption) -> None:
        """Step, report and save until the run is at its end.

        Raises:
            StopRequested: After a signal; the state is that of a whole step.
        """
        if self.due:  # the signal that stopped the run came during its validation
            self.report(stop)
        if self.step and is_kept(self.config, self.step):  # it stopped before this was done
            self.keep()
        while self.step < self.config.steps:
            self.advance(self.fetch(stream, stop))
            self.display.advance(self.step)
            if self.ranks.alone:
                stop.check()
            if self.due:
                self.report(stop)
            if is_kept(self.config, self.step):
                self.keep()
            elif self.step % self.config.save_every == 0:
                self.save()
        self.save()

    def unwritten(self) -> str:
        """What could not be written of the log, in words; empty for nothing."""
        return self.log.unwritten() if self.ranks.main else ""

    def interrupted(self, stop: Interruption) -> InterruptedRunError:
        """Save, and say how to go on."""
        self.save()
        unwritten = self.unwritten()
        left = " before its validation" if self.due and validates(self.config, self.step) else ""
        return InterruptedRunError(
            f"stopped at step {self.step:,} of {self.config.steps:,}{left}, "
            f"{f'but {unwritten}' if unwritten else 'everything is saved'}; go on with "
            f"`{self.resume_command}`",
            stop.number,
        )

    def fetch(self, stream: Iterator[Batch], stop: Interruption) -> Batch:
        """The next batch, once all ranks have theirs, and note how long that took.

        Raises:
            SampleError: If a sample cannot be read, on whichever rank.
            StopRequested: After a signal, to whichever rank.
        """
        began = time.perf_counter()
        self.display.doing("waiting for data")
        batch, error = None, None
        try:
            batch = next(stream)
        except SegtrainError as caught:
            error = caught
        self.ranks.meet(stop, error)
        self.display.doing("training")
        waited = time.perf_counter() - began
        self.meter.waited += waited
        self.meter.seconds += waited
        return known(batch)

    def advance(self, batch: Batch) -> None:
        """Take one step and note its time."""
        began = time.perf_counter()
        learnt = self.learn(batch)
        self.step += 1
        self.due = learnt.confmat is not None
        if learnt.confmat is not None:
            self.meter.train_iou = scores(learnt.confmat).mean_iou
            self.meter.grad_norm = float(known(learnt.grad_norm))
        self.meter.steps += 1
        self.meter.seconds += time.perf_counter() - began

    def learn(self, batch: Batch) -> Learnt:
        """One optimiser step on one global batch; where its line is due, it is judged, too.

        Raises:
            NonFiniteError: If loss or gradient is NaN or infinite; on several GPUs, if that of the
                step before is.
            DeadNetError: If layers are dead and the run shall stop for it.
        """
        number = self.step + 1
        self.ranks.reseed(self.config.seed, number)
        taken = Taken(number, batch, rng_state(self.learner.device))
        learnt = self.learner.gradients(batch, judge=is_due(self.config, number))
        self.guard.watch(taken, learnt, self.meter)
        if self.vigil is not None:
            self.vigil.look(number, learnt.loss, learnt.valid)
        self.learner.update(learning_rate(self.step, self.config))
        self.guard.before = taken
        return learnt

    def report(self, stop: Interruption) -> None:
        """Write the log line of this step, with a validation where one is due.

        Raises:
            StopRequested: After a signal during the validation; nothing was written then.
        """
        line = self.log_line()
        if validates(self.config, self.step):
            line |= self.validation(stop)
        if self.ranks.main:
            self.log.write(line)
        self.display.report(line)
        self.meter, self.due = Meter(), False

    def log_line(self) -> dict[str, Any]:
        """What the interval that ends here was like."""
        drawn = self.step * self.config.batch
        epochs = self.order.epochs(drawn)
        return {
            "step": self.step,
            "epoch": round(drawn / len(self.order), 4) if len(self.order) else None,
            **({"epochs": epochs} if epochs else {}),
            "loss_floors": self.floors,
            "lr": learning_rate(self.step - 1, self.config),
            **self.meter.line(self.config.batch, self.gauge),
            "seconds": round(self.seconds, 3),
            **({} if self.order_from is None else {"order_from": self.order_from}),
        }

    def validation(self, stop: Interruption) -> dict[str, Any]:
        """Validate on every data set; the primary one may give a new best.pt."""
        self.guard.check(self.meter, weights=True)
        last = self.step == self.config.steps
        company = Company(self.ranks, stop)
        pictures, show = self.config.pictures, self.display.validating
        found = [
            validate(self.learner.judged, chosen, pictures, show, company, full=last)
            for chosen in self.val_sets
        ]
        if self.ranks.main:
            for validated in found:
                self.draw(validated)
                self.keep_counts(validated)
            self.look_at_photos()
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

    def keep_counts(self, validated: Validated) -> None:
        """Keep what was counted, from which `segtrain report` takes classes and comparisons."""
        for step, result in ((self.step, validated.result), (None, validated.full)):
            if result is not None:
                path = self.folder.counts(step, result.dataset)
                self.log.file(path, as_file(result, self.step))

    def look_at_photos(self) -> None:
        """Predict the photos that are watched, by the net as it is judged."""
        found = predictions(self.learner.judged, self.watched)
        for one, ids in zip(self.watched, found, strict=True):
            picture = colored(ids, self.predictor.classes)
            path = self.folder.watch.prediction(one.name, self.step)
            self.log.picture(self.step, f"watch/{one.name}", picture, path)

    def keep_best(self, result: SetResult) -> None:
        """Write best.pt if this result on the primary data set is the best so far."""
        iou = result.scores.mean_iou
        if self.best is None or iou > self.best["mean_iou"]:
            before = self.best
            self.best = {
                "step": self.step,
                "dataset": result.dataset,
                "images": result.images,
                "mean_iou": iou,
            }
            if self.ranks.main:
                self.or_save(lambda: self.write_best(before))

    def write_best(self, before: dict[str, Any] | None) -> None:
        """Write best.pt.

        Args:
            before: The best validation before this one.

        Raises:
            RunError: If it cannot be written; the run then stands as before, and finds it again.
        """
        try:
            save_checkpoint(self.folder.best, self.checkpoint(training=False))
        except RunError:
            self.best = before
            raise

    def save(self) -> None:
        """Write last.pt, after the lines of the log that belong to it.

        Raises:
            NonFiniteError: If the last step or a weight turns out to be NaN or infinite.
            RunError: If it cannot be written; the one before it is kept.
        """
        self.guard.check(self.meter, weights=True)
        if not self.ranks.main:
            return
        self.display.doing("saving last.pt")
        self.log.sync()
        self.folder.save(self.checkpoint(training=True))

    def keep(self) -> None:
        """Write last.pt, and keep it under the name of its step.

        Raises:
            NonFiniteError, RunError: As `save`.
        """
        self.save()
        if not self.ranks.main:
            return
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
                f"{error}; everything up to step {self.step:,} is saved: `{self.resume_command}`"
            ) from error

    def checkpoint(self, *, training: bool) -> Checkpoint:
        """The run as it stands; without `training`, only what judging and predicting need."""
        judged, average = self.learner.judged.model, self.learner.average
        return Checkpoint(
            config=self.config.plain(),
            step=self.step,
            batches=self.step,
            model=(self.predictor.model if training else judged).state_dict(),
            average=judged.state_dict() if training and average else None,
            optimizer=self.learner.optimizer.state_dict() if training else None,
            rng=rng_state(self.predictor.device) if training else None,
            meter=self.meter.plain() if training else {},
            due=self.due,
            best=self.best,
            seconds=self.seconds if training else 0.0,
            threads=torch.get_num_threads(),
            **self.identity,
        )
