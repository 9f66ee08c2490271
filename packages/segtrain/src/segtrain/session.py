"""Starting and resuming a run: everything that must be right before the first step."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from segtrain import __version__
from segtrain.announcement import announce, view_of
from segtrain.capacity import with_batch
from segtrain.checkpoint import (
    Checkpoint,
    check_classes,
    find_checkpoint,
    load_checkpoint,
    load_state,
    plain_classes,
    source_commit,
)
from segtrain.config import NET, TrainConfig, changed, known
from segtrain.data import Data, open_data
from segtrain.devices import check_precision, choose_device, numbers, set_rng_state
from segtrain.doctor.vigil import vigil_of
from segtrain.errors import CheckpointError, InterruptedRunError, RunError
from segtrain.event_files import check_installed
from segtrain.interruption import Interruption
from segtrain.learning import check_norm, make_learner
from segtrain.log_files import read_lines
from segtrain.logs import RunLog, open_log
from segtrain.meter import Meter
from segtrain.models.counts import count_training_macs
from segtrain.models.weights import WeightsReport
from segtrain.occasions import is_kept
from segtrain.optimizer import restore_optimizer
from segtrain.options.fields import flag
from segtrain.options.training import AUTO
from segtrain.predictor import Predictor
from segtrain.preprocessing import Preprocessing
from segtrain.provenance import data_facts, session_facts
from segtrain.ranks import Ranks, check_batch, joined
from segtrain.recipes import folder_of
from segtrain.remaining import remaining_batches
from segtrain.runs import RunFolder
from segtrain.schedules import with_decay_steps
from segtrain.session_record import FILE as SESSIONS
from segtrain.session_record import SessionRecord, recorded
from segtrain.starts import initial_predictor, make_predictor, new_config
from segtrain.summary import Outcome, print_outcome
from segtrain.terminal import print_note
from segtrain.throughput import Gauge, device_peak
from segtrain.train import Trainer
from segtrain.training_display import TrainDisplay, training_display
from segtrain.validation import floors
from segtrain.watching import Watched, read_photos, resume_watching


def make_trainer(
    config: TrainConfig, data: Data, predictor: Predictor, display: TrainDisplay, ranks: Ranks
) -> Trainer:
    """A trainer at step 0; the net moves to its device here."""
    learner = make_learner(config, predictor, data.class_weights, ranks)
    return Trainer(
        config=config,
        folder=RunFolder(known(config.out)),
        learner=learner,
        vigil=vigil_of(config.dead_layers, learner.predictor.model, display.note),
        val_sets=data.val_sets,
        identity=identity(predictor, data),
        floors=floors(len(predictor.classes), data.pixels),
        display=display,
        order=data.order,
        gauge=gauge_of(config, predictor, ranks),
    )


def gauge_of(config: TrainConfig, predictor: Predictor, ranks: Ranks) -> Gauge:
    """What relates the run's images per second to the hardware."""
    device = ranks.device(predictor.device)
    flops = None
    if config.fit != "native":
        flops = 2 * count_training_macs(predictor.model, config.crop, config.crop)
    return Gauge(device, ranks, flops, device_peak(device, numbers(device, config.precision)))


def identity(predictor: Predictor, data: Data) -> dict[str, Any]:
    """What every checkpoint of the run repeats."""
    return {
        "classes": plain_classes(predictor.classes),
        "preprocessing": predictor.preprocessing.fingerprint(),
        "manifests": data.shards.hashes,
        "synthetic": data.train.synthetic,
        "class_weights": data.class_weights,
        "commit": source_commit(),
        "versions": {"segtrain": __version__, "torch": str(torch.__version__)},
    }


def start(given: Mapping[str, Any]) -> Outcome:
    """Start a new run and train it to its end.

    Args:
        given: Options that were given, by field of `TrainConfig`.

    Raises:
        SegtrainError: See its tree; nothing is written before data, net and weights are in order.
    """
    with joined(lambda: str(given.get("device", "auto"))) as ranks, ExitStack() as held:
        with ranks.together():
            config, origin = new_config(given)
            folder = RunFolder(known(config.out))
            if ranks.main:
                folder.refuse_existing()
            check_possible(config, ranks)
            watched = read_photos(config.watch or ()) if ranks.main else []
            data = open_data(config)
        config = with_batch(config, len(data.shards.classes), ranks, print_note)
        with ranks.together():
            config = with_decay_steps(config, len(data.order))
        predictor, report = ranks.in_turn(
            lambda: initial_predictor(config, data.shards.classes, origin)
        )
        with ranks.together():
            if ranks.main:
                facts = {
                    "weights": report.plain() if report else None,
                    "ranks": ranks.world,
                    "data": data_facts(data),
                }
                held.enter_context(folder.held())
                folder.refuse_existing()  # another may have begun there meanwhile
                folder.create(config, identity(predictor, data) | facts)
                keep_watched(folder, watched)
        with shown(config, data, ranks) as display:
            trainer = make_trainer(config, data, predictor, display, ranks)
            trainer.watched = watched
            announce(trainer, data, report)
            return go(trainer, data)


def keep_watched(folder: RunFolder, watched: list[Watched]) -> None:
    """Keep the photos that a run watches, and the list of them where it changed.

    Raises:
        RunError: If that cannot be written.
    """
    if watched or folder.watch.listed():
        folder.watch.keep(watched)


def shown(config: TrainConfig, data: Data, ranks: Ranks) -> AbstractContextManager[TrainDisplay]:
    """The display of a run; that of rank 0 stands for all."""
    return training_display(view_of(config, data), live=config.live, silent=not ranks.main)


def check_possible(config: TrainConfig, ranks: Ranks) -> None:
    """Refuse to start a run that these processes could not go through with.

    Raises:
        RunError: If TensorBoard's library is wanted and missing.
        UsageError: If the ranks cannot train together so.
    """
    if config.batch != AUTO:
        check_batch(ranks, config.batch, config.accumulate)
    check_norm(known(config.norm), choose_device(config.device), ranks)
    check_precision(choose_device(config.device), config.precision)
    if config.tensorboard:
        check_installed()


def resume(given: Mapping[str, Any], init: Path | None = None) -> Outcome:
    """Go on with a run where its last checkpoint stands.

    Args:
        given: Options that were given, by field of `TrainConfig`; `out` names the run.
        init: Where the checkpoint of `--init` lies now; None where it was.

    Raises:
        SegtrainError: If there is no such run, if its shards have changed, or if an option would
            change what it computes.
    """
    folder = RunFolder(folder_of(given))
    with (
        joined(lambda: str(given.get("device") or folder.config().device)) as ranks,
        ExitStack() as held,
    ):
        with ranks.together():
            renewed = changed(folder.config(), given)
            config = replace(renewed, out=folder.path, init=init or renewed.init)
            check_possible(config, ranks)
            if ranks.main:
                held.enter_context(folder.held())
            watched = again_watched(folder, config, given) if ranks.main else []
            saved = folder.checkpoint()
            data = open_data(config, saved)
            if saved is not None:
                check_resumable(saved, config, data, folder)
                config = keep_threads(config, saved, given, ranks)
        predictor, report = ranks.in_turn(lambda: resumed_predictor(config, saved, data, folder))
        if ranks.main:
            folder.clean()
            keep_watched(folder, watched)
        with shown(config, data, ranks) as display:
            trainer = make_trainer(config, data, predictor, display, ranks)
            trainer.watched = watched
            if saved is not None:
                restore(trainer, saved)
            if saved is not None and trainer.step == config.steps and not trainer.due:
                display.line(f"{folder.path}: is finished, all {config.steps:,} steps")
                if ranks.main and is_kept(config, saved.step):
                    folder.mend(saved.step, config.keep)
                lines = read_lines(folder.log_file)
                done = Outcome(folder, config, trainer.step, saved.seconds, trainer.best, lines)
                return replace(done, quiet=not ranks.main)
            display.line(resuming(folder, saved))
            announce(trainer, data, report)
            return go(trainer, data)


def again_watched(
    folder: RunFolder, config: TrainConfig, given: Mapping[str, Any]
) -> list[Watched]:
    """The photos that a resumed run watches.

    Raises:
        PhotoError: If one that is new to the run cannot be read.
        RunError: If the list of those that it keeps is damaged.
    """
    now = config.watch if "watch" in given else None
    return resume_watching(folder.watch, now, folder.config().watch, print_note)


def resumed_predictor(
    config: TrainConfig, saved: Checkpoint | None, data: Data, folder: RunFolder
) -> tuple[Predictor, WeightsReport | None]:
    """The net of a resumed run: that of its checkpoint, or where it has none that of its start."""
    classes = data.shards.classes
    if saved is None:
        origin = load_checkpoint(find_checkpoint(config.init)) if config.init else None
        return initial_predictor(config, classes, origin)
    preprocessing = Preprocessing.from_fingerprint(saved.preprocessing)
    predictor = make_predictor(config, classes, preprocessing)
    load_state(predictor.model, saved.model, folder.last)
    return predictor, None


def resuming(folder: RunFolder, saved: Checkpoint | None) -> str:
    """Where a resumed run begins, for people."""
    if saved is None:
        return f"{folder.path}: has no checkpoint yet, starts at step 0"
    return f"resuming {folder.path} after step {saved.step:,}"


def check_resumable(saved: Checkpoint, config: TrainConfig, data: Data, folder: RunFolder) -> None:
    """Refuse a checkpoint that does not belong to this configuration or these shards.

    Raises:
        CheckpointError: If it does not.
    """
    check_classes(saved, data.shards.classes, folder.last)
    theirs = saved.train_config
    for name in NET:
        if getattr(theirs, name) != getattr(config, name):
            raise CheckpointError(
                f"{folder.last}: is of {flag(name)} {getattr(theirs, name)}, but "
                f"{folder.config_file} says {getattr(config, name)}; put back the checkpoint of "
                "this run"
            )
    if saved.optimizer is None or saved.rng is None:
        raise CheckpointError(
            f"{folder.last}: holds a net only, no state of training; start a new run from it with "
            f"--init {folder.last} and another --out"
        )
    ours = data.shards.hashes
    different = [
        n for n in sorted({*saved.manifests, *ours}) if saved.manifests.get(n) != ours.get(n)
    ]
    if different:
        raise CheckpointError(
            f"{data.shards.where}: has changed since the run began ({', '.join(different)}), so "
            f"its order of samples cannot go on; bring back the old shards, or start a new run "
            f"with --init {folder.path} and another --out"
        )


def keep_threads(
    config: TrainConfig, saved: Checkpoint, given: Mapping[str, Any], ranks: Ranks
) -> TrainConfig:
    """Use the checkpoint's number of threads on a CPU, for only then results repeat exactly."""
    if choose_device(config.device).type != "cpu" or "threads" in given:
        return config
    if saved.threads <= (os.cpu_count() or 1):
        return replace(config, threads=saved.threads)
    if ranks.main:
        print_note(
            f"the run had {saved.threads} threads and this machine has {os.cpu_count()} cores: "
            "losses will agree, but not bit for bit"
        )
    return config


# what a state of training that was damaged or made by hand was seen to raise
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RuntimeError)


def restore(trainer: Trainer, saved: Checkpoint) -> None:
    """Put a trainer where a checkpoint stands.

    Raises:
        CheckpointError: If its state of training is damaged.
    """
    try:
        restore_state(trainer, saved)
    except DAMAGE as error:
        path = trainer.folder.last
        raise CheckpointError(
            f"{path}: its state of training is damaged ({error}): {trainer.folder.way_back(path)}"
        ) from error


def restore_state(trainer: Trainer, saved: Checkpoint) -> None:
    """`restore`, with whatever a damaged checkpoint makes torch raise."""
    learner = trainer.learner
    restore_optimizer(learner.optimizer, known(saved.optimizer))
    if learner.average is not None:
        learner.average.restore(known(saved.average), saved.step)
    trainer.step, trainer.due, trainer.best = saved.step, saved.due, saved.best
    trainer.worked = saved.seconds
    trainer.meter = Meter.from_plain(saved.meter)
    set_rng_state(known(saved.rng), trainer.predictor.device)


def go(trainer: Trainer, data: Data) -> Outcome:
    """Train to the end, from wherever the trainer stands.

    Raises:
        SegtrainError: As `Trainer.run`; after a signal, where the run stands is told first.
        RunError: If lines of the log could not be written.
    """
    trainer.order_from = None if data.streams is None else trainer.step
    relayed = trainer.ranks.launched
    with trainer.ranks.together():
        if trainer.ranks.main:
            trainer.log = log_of(trainer, data)
    try:
        with (
            kept_record(trainer),
            Interruption(relayed=relayed) as stop,
            closing(remaining_batches(trainer, data, stop)) as stream,
        ):
            trainer.display.begin(trainer.step, lines_of(trainer), stop)
            trainer.run(stream, stop)
    except InterruptedRunError:
        trainer.display.close()
        if trainer.ranks.main:
            print_outcome(outcome_of(trainer))
        raise
    if unwritten := trainer.unwritten():
        raise RunError(f"{unwritten}; the net is trained and saved: {trainer.folder.last}")
    return outcome_of(trainer)


def kept_record(trainer: Trainer) -> AbstractContextManager[None]:
    """The session in the run's record, which rank 0 keeps; what the vigil tells goes there, too."""
    if not trainer.ranks.main:
        return nullcontext()
    record = SessionRecord(trainer.folder.path / SESSIONS, trainer.log)
    if trainer.vigil is not None:
        told = trainer.vigil.tell

        def tell(words: str) -> None:
            told(words)
            record.add("note", trainer.step, words=words)

        trainer.vigil.tell = tell
    return recorded(record, trainer, session_facts(trainer))


def log_of(trainer: Trainer, data: Data) -> RunLog:
    """The log of a run, open where the trainer stands.

    Raises:
        RunError: If it cannot be written.
    """
    return open_log(
        trainer.folder.path,
        step=trainer.step,
        due=trainer.due,
        datasets=[chosen.name for chosen in data.val_sets],
        mixed=list(trainer.order.epochs(0)),
        csv=trainer.config.csv,
        tensorboard=trainer.config.tensorboard,
        tell=trainer.display.note,
    )


def lines_of(trainer: Trainer) -> list[dict[str, Any]]:
    """The lines of a run's log so far; rank 0 alone has them."""
    return trainer.log.lines if trainer.ranks.main else []


def outcome_of(trainer: Trainer) -> Outcome:
    """Where a run stands."""
    return Outcome(
        trainer.folder,
        trainer.config,
        trainer.step,
        trainer.seconds,
        trainer.best,
        lines_of(trainer),
        quiet=not trainer.ranks.main,
    )
