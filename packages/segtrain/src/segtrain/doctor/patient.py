"""What is examined: a net as a run would start with it, its optimiser, data and options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from segtrain import learning
from segtrain.capacity import with_batch
from segtrain.checkpoint import (
    Checkpoint,
    check_classes,
    find_checkpoint,
    load_checkpoint,
    load_state,
)
from segtrain.config import TrainConfig
from segtrain.data import Data, open_data
from segtrain.learning import Learner
from segtrain.models.weights import WeightsReport
from segtrain.predictor import Predictor
from segtrain.preprocessing import Preprocessing
from segtrain.ranks import Ranks
from segtrain.schedules import with_decay_steps
from segtrain.starts import initial_predictor, make_predictor, new_config
from segtrain.terminal import print_note

MakeLearner = Callable[[TrainConfig, Predictor, Data], Learner]


def make_learner(config: TrainConfig, predictor: Predictor, data: Data) -> Learner:
    """What learns, by a configuration and its data, in one process."""
    return learning.make_learner(config, predictor, data.class_weights, Ranks())


@dataclass
class Patient:
    """What is examined; the doctor changes nothing of it.

    Attributes:
        config: The options, resolved.
        data: The data of the run.
        predictor: The net on its device, weights loaded, and its preprocessing.
        report: What became of the weights of `--weights` or `--init`; None from scratch.
        origin: The checkpoint that `--init` names; None without.
        checkpoint: The checkpoint that is examined itself; None where a new run is.
        make_learner: Makes what learns, of a copy of the net.
    """

    config: TrainConfig
    data: Data
    predictor: Predictor
    report: WeightsReport | None = None
    origin: Checkpoint | None = None
    checkpoint: Checkpoint | None = None
    make_learner: MakeLearner = make_learner

    @property
    def model(self) -> nn.Module:
        """The net."""
        return self.predictor.model

    @property
    def trained(self) -> bool:
        """Whether the net is one that has been trained already."""
        return self.checkpoint is not None


def admit(given: Mapping[str, Any], checkpoint: Path | None = None) -> Patient:
    """The patient that these options make, exactly as a run would start.

    Args:
        given: Options of a run that were given, by field of `TrainConfig`.
        checkpoint: A run's folder or a checkpoint whose net is examined; its own options hold
            where none are given.

    Raises:
        SegtrainError: See its tree; what a run would refuse is refused here as well.
    """
    if checkpoint is not None:
        return admit_checkpoint(given, find_checkpoint(checkpoint))
    config, origin = new_config(given)
    data = open_data(config)
    config = with_batch(config, len(data.shards.classes), Ranks(), print_note)
    config = with_decay_steps(config, len(data.order))
    predictor, report = initial_predictor(config, data.shards.classes, origin)
    return settled(Patient(config, data, predictor, report, origin))


def admit_checkpoint(given: Mapping[str, Any], path: Path) -> Patient:
    """The net of a checkpoint with its own options, but for those that are given."""
    saved = load_checkpoint(path)
    config = TrainConfig.from_plain(saved.config | dict(given)).resolved()
    data = open_data(config)
    check_classes(saved, data.shards.classes, path)
    preprocessing = Preprocessing.from_fingerprint(saved.preprocessing)
    predictor = make_predictor(config, data.shards.classes, preprocessing)
    load_state(predictor.model, saved.model, path)
    return settled(Patient(config, data, predictor, checkpoint=saved))


def settled(patient: Patient) -> Patient:
    """The patient with its net where it will be examined, and in training mode.

    Its copies are not compiled: that would take longer than all that they are for.
    """
    patient.config = replace(patient.config, compile=False)
    model = patient.predictor.model
    model.placed(patient.predictor.device).train()
    return patient
