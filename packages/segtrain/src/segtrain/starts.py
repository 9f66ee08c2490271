"""What a run starts with: its configuration and its net, fresh or with the weights of another."""

from collections.abc import Mapping
from typing import Any

import torch

from segtrain.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from segtrain.config import TrainConfig, inherited
from segtrain.devices import choose_device
from segtrain.manifests import ClassInfo
from segtrain.models import build
from segtrain.models.sources import choose_preprocessing, find_source
from segtrain.models.weights import WeightsReport, transplant
from segtrain.predictor import Predictor
from segtrain.preprocessing import Preprocessing
from segtrain.recipes import configure

Classes = tuple[ClassInfo, ...]


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


def make_predictor(
    config: TrainConfig, classes: Classes, preprocessing: Preprocessing
) -> Predictor:
    """The freshly initialised net, its frozen part frozen, and the device where it shall be."""
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    model = build(config, len(classes))
    model.freeze(config.freeze)
    return Predictor(model, preprocessing, device, classes, precision=config.precision)


def initial_predictor(
    config: TrainConfig, classes: Classes, origin: Checkpoint | None
) -> tuple[Predictor, WeightsReport | None]:
    """The net of a new run with the weights that `--init` or `--weights` names.

    Args:
        config: The run's configuration, resolved.
        classes: The classes of the shards.
        origin: The checkpoint that `--init` names.

    Returns:
        The net, and what became of the weights; None from scratch.

    Raises:
        SegtrainError: If the weights cannot be had or do not fit.
    """
    source = find_source(config, origin)
    preprocessing = choose_preprocessing(config.preprocessing, source)
    predictor = make_predictor(config, classes, preprocessing)
    if source is None:
        return predictor, None
    names = [c.name for c in classes]
    zeros = config.conv_init == "zero"
    return predictor, transplant(predictor.model, source, names, zero_head=zeros)
