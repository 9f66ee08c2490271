"""What `--weights` and `--init` name: tensors, and what is known of the net they come from."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from segtrain.checkpoint import Checkpoint, find_checkpoint, load_plain, read_checkpoint
from segtrain.config import TrainConfig, known
from segtrain.errors import CheckpointError, UsageError, WeightsError
from segtrain.models.downloads import (
    backbone_url,
    coco_classes,
    coco_url,
    download,
    imagenet_url,
    known_classes,
    known_files,
    sha256_of,
)
from segtrain.models.layouts import State
from segtrain.models.torchvision_nets import SEGMENTERS, backbone_of
from segtrain.options.fields import flag
from segtrain.preprocessing import PRESETS, Preprocessing

COARSENESS = {"32s": 0, "16s": 1, "8s": 2}


@dataclass(frozen=True)
class Source:
    """Weights to start from.

    Attributes:
        words: Where they come from, for people.
        state: The tensors by their own names.
        preprocessing: What their net saw; None where nothing tells.
        classes: Names of the classes that its score layers score; None where nothing tells.
        pool_scales: The factors on its pool4 and pool3, where it has skips; None elsewhere.
    """

    words: str
    state: State
    preprocessing: Preprocessing | None
    classes: tuple[str, ...] | None = None
    pool_scales: tuple[float, float] | None = None


def find_source(config: TrainConfig, origin: Checkpoint | None) -> Source | None:
    """What a run starts from; None from scratch.

    Args:
        config: The run's configuration, resolved.
        origin: The checkpoint that `--init` names.

    Raises:
        WeightsError: If the weights cannot be had, or are of another kind of net.
        CheckpointError: If the net of `--init` is another model or finer than this one.
    """
    if origin is not None:
        path = find_checkpoint(known(config.init))
        check_variant(origin, path, config)
        return checkpoint_source(origin, path)
    if config.weights == "none":
        return None
    if config.weights == "imagenet":
        if config.model in SEGMENTERS:
            return imagenet_backbone(config.model)
        return imagenet(config.trunk, known(config.norm))
    if config.weights == "coco":
        return coco(config.model)
    return read_source(Path(config.weights), config)


def imagenet(trunk: str, norm: str) -> Source:
    """Torchvision's ImageNet weights, from the cache or downloaded.

    Raises:
        WeightsError: If they can be neither found nor downloaded.
    """
    path = download(imagenet_url(trunk, norm))
    kind = f"{trunk}_bn" if norm == "batch" else trunk
    return Source(
        f"torchvision's {kind}, ImageNet", state_dict(load(path), path), PRESETS["torchvision"]
    )


def imagenet_backbone(net: str) -> Source:
    """Torchvision's ImageNet weights of the backbone of one of its nets for segmentation.

    Raises:
        WeightsError: If they can be neither found nor downloaded.
    """
    backbone = backbone_of(net)
    path = download(backbone_url(backbone))
    state = state_dict(load(path), path)
    return Source(f"torchvision's {backbone}, ImageNet", state, PRESETS["torchvision"])


def coco(net: str) -> Source:
    """One of torchvision's nets for segmentation, trained on COCO with the classes of VOC.

    Raises:
        WeightsError: If it can be neither found nor downloaded.
    """
    path = download(coco_url(net))
    return Source(
        f"torchvision's {net}, COCO with VOC's classes",
        state_dict(load(path), path),
        PRESETS["torchvision"],
        coco_classes(net),
    )


def read_source(path: Path, config: TrainConfig) -> Source:
    """Read a state dict of a VGG, or one of our checkpoints.

    Raises:
        WeightsError: If the file is missing, holds neither, or is a checkpoint of another model,
            trunk or norm: these shift the numbers of the layers, so that tensors would match by
            name where they do not belong.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path}: there is no such file; --weights takes imagenet, none, or the path of a "
            "state dict of a VGG or of a checkpoint of segtrain"
        )
    plain = load(path)
    if isinstance(plain, dict) and str(plain.get("format", "")).startswith("segtrain/"):
        checkpoint = read_checkpoint(plain, path)
        check_net(checkpoint, path, config)
        return checkpoint_source(checkpoint, path)
    state = state_dict(plain, path)
    digest = sha256_of(path)
    seen = next((v for k, v in known_files().items() if digest.startswith(k)), None)
    classes = next((v for k, v in known_classes().items() if digest.startswith(k)), None)
    return Source(str(path), state, seen, classes)


def load(path: Path) -> object:
    """Read a file of torch.

    Raises:
        WeightsError: If it is damaged or holds other than tensors and plain types.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # holds options, plain values
            return load_plain(path)
    except CheckpointError as error:
        raise WeightsError(str(error)) from error


def state_dict(plain: object, path: Path) -> State:
    """What a file of torch holds, as a state dict.

    The checkpoints of torchvision's reference training have it under `model`.

    Raises:
        WeightsError: If it is none.
    """
    if isinstance(plain, dict) and isinstance(plain.get("model"), dict):
        plain = plain["model"]
    if not isinstance(plain, dict) or not all(isinstance(v, Tensor) for v in plain.values()):
        raise WeightsError(
            f"{path}: holds no state dict (names and tensors); expected that of a VGG or a "
            "checkpoint of segtrain"
        )
    return {str(name): value for name, value in plain.items()}


def checkpoint_source(checkpoint: Checkpoint, path: Path) -> Source:
    """One of our checkpoints as a source."""
    config = checkpoint.train_config
    return Source(
        words=f"{path}, {config.title} at step {checkpoint.step:,}",
        state=checkpoint.judged,
        preprocessing=Preprocessing.from_fingerprint(checkpoint.preprocessing),
        classes=tuple(c.name for c in checkpoint.class_infos),
        pool_scales=config.pool_scales if config.variant != "32s" else None,
    )


def check_variant(origin: Checkpoint, path: Path, config: TrainConfig) -> None:
    """Refuse another model, and to go back from a finer variant of FCN to a coarser.

    Raises:
        CheckpointError: If the origin is of another model, or finer.
    """
    net, variant = origin.train_config, config.variant
    if net.model != config.model:
        raise CheckpointError(
            f"{path}: is of {net.title}, which {config.title} cannot start from; use --model "
            f"{net.model} or another --init"
        )
    theirs = net.variant
    if COARSENESS[theirs] > COARSENESS[variant]:
        raise CheckpointError(
            f"{path}: is an FCN-{theirs}; an FCN-{variant} starts from its own or a coarser "
            f"variant; use --variant {theirs} or another --init"
        )


def check_net(checkpoint: Checkpoint, path: Path, config: TrainConfig) -> None:
    """Refuse a checkpoint whose layers have other numbers.

    Raises:
        WeightsError: With what differs.
    """
    theirs = checkpoint.train_config
    for name in ("model", "trunk", "norm"):
        there, here = getattr(theirs, name), getattr(config, name)
        if there != here:
            raise WeightsError(
                f"{path}: its net was made with {flag(name)} {there}, this one has {flag(name)} "
                f"{here}; use --init {path}, which takes over its net, or add {flag(name)} {there}"
            )


def choose_preprocessing(given: str | None, source: Source | None) -> Preprocessing:
    """What the net of a new run sees: as the source's did, or as `--preprocessing` says.

    Raises:
        UsageError: If nothing tells, or if both do and differ.
    """
    if source is None:
        return PRESETS[given or "torchvision"]
    theirs = source.preprocessing
    if theirs is None and given is None:
        raise UsageError(
            f"{source.words}: nothing in it tells how its net saw an image, and a wrong guess "
            "spoils every result; add --preprocessing torchvision "
            f"({PRESETS['torchvision'].words()}) or --preprocessing caffe "
            f"({PRESETS['caffe'].words()})"
        )
    if theirs is not None and given is not None and theirs != PRESETS[given]:
        raise UsageError(
            f"--preprocessing {given}: the net of {source.words} saw {theirs.words()}; leave the "
            "option out"
        )
    return theirs or PRESETS[known(given)]
