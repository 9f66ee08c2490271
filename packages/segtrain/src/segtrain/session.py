"""Starting and resuming a run: everything that must be right before the first step."""

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch

from segtrain import __version__
from segtrain.averaging import WeightAverage
from segtrain.batches import Batch, BatchDataset, batches
from segtrain.checkpoint import (
    Checkpoint,
    check_classes,
    find_checkpoint,
    load_checkpoint,
    load_state,
    plain_classes,
    source_commit,
)
from segtrain.config import NET, TrainConfig, changed, inherited, known
from segtrain.data import Data, open_data
from segtrain.devices import choose_device, describe, set_rng_state
from segtrain.errors import CheckpointError, InterruptedRunError, RunError
from segtrain.event_files import check_installed
from segtrain.interruption import Interruption
from segtrain.learning import Learner
from segtrain.log_files import read_lines
from segtrain.logs import open_log
from segtrain.loss import Criterion
from segtrain.manifests import ClassInfo
from segtrain.models.counts import weight_words
from segtrain.models.weights import WeightsReport
from segtrain.optimizer import make_optimizer
from segtrain.options.fields import flag
from segtrain.pace import Plan
from segtrain.predictor import Predictor
from segtrain.preprocessing import Preprocessing
from segtrain.recipes import configure, words_of_differences
from segtrain.runs import RunFolder
from segtrain.starts import initial_predictor, make_predictor
from segtrain.summary import Outcome, print_outcome
from segtrain.terminal import print_note
from segtrain.train import Meter, Trainer
from segtrain.training_display import TrainDisplay, training_display
from segtrain.training_view import View
from segtrain.validation import floors

MOST_WORKERS = 16


def new_config(given: Mapping[str, Any]) -> tuple[TrainConfig, Checkpoint | None]:
    """The configuration of a new run, and the checkpoint that `--init` names.

    Raises:
        UsageError: If options are out of range or cannot be meant together.
        CheckpointError: If `--init` names none.
    """
    config = configure(given)
    if config.init is None:
        return config.resolved(), None
    origin = load_checkpoint(find_checkpoint(config.init))
    return inherited(config, given, origin.config).resolved(), origin


def make_trainer(
    config: TrainConfig, data: Data, predictor: Predictor, display: TrainDisplay
) -> Trainer:
    """A trainer at step 0; the net moves to its device here."""
    model = predictor.model.to(predictor.device).to(memory_format=torch.channels_last).train()
    return Trainer(
        config=config,
        folder=RunFolder(known(config.out)),
        learner=make_learner(config, replace(predictor, model=model), data),
        val_sets=data.val_sets,
        identity=identity(predictor, data),
        floors=floors(len(predictor.classes), data.pixels),
        display=display,
        order=data.order,
    )


def make_learner(config: TrainConfig, predictor: Predictor, data: Data) -> Learner:
    """What learns: the net with its optimiser, its loss and the average of its weights."""
    model = predictor.model
    return Learner(
        predictor,
        make_optimizer(model, config),
        config.accumulate,
        config.clip,
        Criterion.of(config.loss_reduction, data.class_weights, predictor.device),
        WeightAverage(model, config.ema) if config.ema else None,
    )


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
    config, origin = new_config(given)
    folder = RunFolder(known(config.out))
    folder.refuse_existing()
    check_tensorboard(config)
    data = open_data(config)
    predictor, report = initial_predictor(config, data.shards.classes, origin)
    with training_display(view_of(config, data), live=config.live) as display:
        trainer = make_trainer(config, data, predictor, display)
        facts = trainer.identity | {"weights": report.plain() if report else None}
        folder.create(config, facts)
        announce(trainer, data, report)
        return go(trainer, data)


def check_tensorboard(config: TrainConfig) -> None:
    """Refuse to start a run whose event files could not be written.

    Raises:
        RunError: If TensorBoard's library is wanted and missing.
    """
    if config.tensorboard:
        check_installed()


def resume(given: Mapping[str, Any]) -> Outcome:
    """Go on with a run where its last checkpoint stands.

    Args:
        given: Options that were given, by field of `TrainConfig`; `out` names the run.

    Raises:
        SegtrainError: If there is no such run, if its shards have changed, or if an option would
            change what it computes.
    """
    folder = RunFolder(known(TrainConfig(**given).resolved().out))
    config = replace(changed(folder.config(), given), out=folder.path)
    check_tensorboard(config)
    folder.clean()
    saved = folder.checkpoint()
    data = open_data(config, saved)
    if saved is None:
        return restart(config, folder, data)
    check_resumable(saved, config, data, folder)
    preprocessing = Preprocessing.from_fingerprint(saved.preprocessing)
    predictor = make_predictor(
        keep_threads(config, saved, given), data.shards.classes, preprocessing
    )
    load_state(predictor.model, saved.model, folder.last)
    with training_display(view_of(config, data), live=config.live) as display:
        trainer = make_trainer(config, data, predictor, display)
        restore(trainer, saved)
        if trainer.step == config.steps and not trainer.due:
            display.line(f"{folder.path}: is finished, all {config.steps:,} steps", important=True)
            lines = read_lines(folder.log_file)
            return Outcome(folder, config, trainer.step, saved.seconds, trainer.best, lines)
        display.line(f"resuming {folder.path} after step {saved.step:,}", important=True)
        announce(trainer, data, None)
        return go(trainer, data)


def restart(config: TrainConfig, folder: RunFolder, data: Data) -> Outcome:
    """Train a run that was stopped before its first checkpoint; it starts at step 0 again."""
    origin = load_checkpoint(find_checkpoint(config.init)) if config.init else None
    predictor, report = initial_predictor(config, data.shards.classes, origin)
    with training_display(view_of(config, data), live=config.live) as display:
        trainer = make_trainer(config, data, predictor, display)
        display.line(f"{folder.path}: has no checkpoint yet, starts at step 0", important=True)
        announce(trainer, data, report)
        return go(trainer, data)


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


def keep_threads(config: TrainConfig, saved: Checkpoint, given: Mapping[str, Any]) -> TrainConfig:
    """Use the checkpoint's number of threads on a CPU, for only then results repeat exactly."""
    if choose_device(config.device).type != "cpu" or "threads" in given:
        return config
    if saved.threads <= (os.cpu_count() or 1):
        return replace(config, threads=saved.threads)
    print_note(
        f"the run had {saved.threads} threads and this machine has {os.cpu_count()} cores: losses "
        "will agree, but not bit for bit"
    )
    return config


def restore(trainer: Trainer, saved: Checkpoint) -> None:
    """Put a trainer where a checkpoint stands."""
    learner = trainer.learner
    learner.optimizer.load_state_dict(known(saved.optimizer))
    if learner.average is not None:
        learner.average.restore(known(saved.average), saved.step)
    trainer.step, trainer.due, trainer.best = saved.step, saved.due, saved.best
    trainer.worked = saved.seconds
    counts = {
        "steps": int(saved.meter.get("steps", 0)),
        "void_steps": int(saved.meter.get("void_steps", 0)),
    }
    trainer.meter = Meter(**(saved.meter | counts))  # type: ignore[arg-type]  # counts are whole
    set_rng_state(known(saved.rng), trainer.predictor.device)


def go(trainer: Trainer, data: Data) -> Outcome:
    """Train to the end, from wherever the trainer stands.

    Raises:
        SegtrainError: As `Trainer.run`; after a signal, where the run stands is told first.
        RunError: If lines of the log could not be written.
    """
    config = trainer.config
    trainer.log = open_log(
        trainer.folder.path,
        step=trainer.step,
        due=trainer.due,
        datasets=[chosen.name for chosen in data.val_sets],
        csv=config.csv,
        tensorboard=config.tensorboard,
        tell=trainer.display.note,
    )
    try:
        with Interruption() as stop, closing(stream_of(trainer, data)) as stream:
            trainer.display.begin(trainer.step, trainer.log.lines, stop)
            trainer.run(stream, stop)
    except InterruptedRunError:
        trainer.display.close()
        print_outcome(outcome_of(trainer))
        raise
    if unwritten := trainer.log.unwritten():
        raise RunError(f"{unwritten}; the net is trained and saved: {trainer.folder.last}")
    return outcome_of(trainer)


def stream_of(trainer: Trainer, data: Data) -> Generator[Batch, None, None]:
    """The batches that are still to be learnt."""
    config, device = trainer.config, trainer.predictor.device
    dataset = BatchDataset(
        data.train,
        data.order,
        data.augmentation,
        config.batch,
    )
    workers = default_workers(device) if config.workers is None else config.workers
    return batches(dataset, trainer.step, config.steps, workers, pin=device.type == "cuda")


def outcome_of(trainer: Trainer) -> Outcome:
    """Where a run stands."""
    return Outcome(
        trainer.folder,
        trainer.config,
        trainer.step,
        trainer.seconds,
        trainer.best,
        trainer.log.lines,
    )


def view_of(config: TrainConfig, data: Data) -> View:
    """What the live view knows before the run begins."""
    plan = Plan(
        steps=config.steps,
        batch=config.batch,
        val_every=config.val_every,
        first=sum(len(chosen.first) for chosen in data.val_sets),
        whole=sum(len(chosen.samples) for chosen in data.val_sets),
    )
    title = f"FCN-{config.variant}  {config.out}"
    return View(title, plan, floors(len(data.shards.classes), known(data.train.pixels)))


def default_workers(device: torch.device) -> int:
    """One process per core to feed a GPU; none on a CPU, whose cores the net itself needs."""
    return min(MOST_WORKERS, os.cpu_count() or 1) if device.type != "cpu" else 0


def recipe_lines(
    config: TrainConfig, classes: Sequence[ClassInfo], weights: Sequence[float] | None
) -> Iterator[str]:
    """What a run is trained by: its recipe and what differs from the default one."""
    if config.recipe is not None:
        yield f"recipe: {config.recipe}{words_of_differences(config)}"
    if config.ema:
        yield (
            f"weights: validation, best.pt, eval and predict use their running average, decay "
            f"{config.ema:g}"
        )
    if weights is not None:
        pairs = zip(classes, weights, strict=True)
        yield "class weights: " + ", ".join(f"{c.name} {weight:.3g}" for c, weight in pairs)


def announce(trainer: Trainer, data: Data, report: WeightsReport | None) -> None:
    """Say what is trained on what, and what the figures must be compared with."""
    config, show = trainer.config, trainer.display.line
    for line in data.lines():
        show(line)
    show(
        f"net: FCN-{config.variant} on {config.trunk}, width {config.width:g}, norm {config.norm}, "
        f"{weight_words(trainer.predictor.model)}; {describe(trainer.predictor.device)}"
    )
    for line in report.lines() if report else []:
        show(line)
    known = ", ".join(f"{name} {loss:.3f}" for name, loss in trainer.floors.items())
    for line in recipe_lines(config, trainer.predictor.classes, data.class_weights):
        show(line)
    show(f"losses of a net that has learnt nothing: {known}")
    show(f"run: {trainer.folder.path}, {config.steps:,} steps of {config.batch} images")
