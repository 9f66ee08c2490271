"""The data of a run: what it trains on, in which order, and what it validates on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segtrain.config import TrainConfig
from segtrain.errors import ShardsError
from segtrain.sampler import Order
from segtrain.sampleset import SampleSet, counted_pixels, join
from segtrain.shards import Shards, open_shards
from segtrain.validation import ValidationSet, validation_sets


@dataclass
class Data:
    """The data of a run.

    Attributes:
        config: The run's configuration.
        shards: The shards directories.
        train: All training samples.
        order: The order in which they are drawn.
        val_sets: Validation sets, the primary first.
        pixels: float64 `(C + 2,)`: mask pixels of class 0..C and of 255 as they are drawn, up to a
            factor; None where nobody has counted them.
    """

    config: TrainConfig
    shards: Shards
    train: SampleSet
    order: Order
    val_sets: list[ValidationSet]
    pixels: NDArray[np.float64] | None

    def lines(self) -> list[str]:
        """What is trained on and what is validated on, in words."""
        train = self.train
        synthetic = " (synthetic)" if train.synthetic else ""
        part = "" if self.config.train_split == "train" else f" {self.config.train_split}"
        names = ", ".join(name + part for name in train.datasets)
        lines = [f"data: {len(train):,} train images of {names}{synthetic}"]
        left = sorted({m.dataset for m in self.shards.manifests} - set(train.datasets))
        if left:
            lines.append(f"not trained on: {', '.join(left)}, without {self.config.train_split}")
        for i, chosen in enumerate(self.val_sets):
            role = ", picks best.pt" if i == 0 else ""
            part = "" if chosen.split == "val" else f" {chosen.split}"
            numbers = f"{len(chosen.first):,} of {len(chosen.samples):,} images"
            lines.append(f"val: {chosen.name}{part}, {numbers}{role}")
        return lines


def open_data(config: TrainConfig) -> Data:
    """Open the shards and check everything that can be checked without decoding an image.

    Raises:
        ShardsError: If they are missing or damaged, hold no such split, or an image stands in both
            the training and the validation split.
    """
    shards = open_shards(config.shards)
    sets = shards.train_sets(config.train_split)
    train = join(sets)
    val_sets = open_val_sets(shards, config) if config.val_every else []
    refuse_leaks(train, val_sets, config)
    return Data(
        config=config,
        shards=shards,
        train=train,
        order=Order(train.shard_sizes, config.seed),
        val_sets=val_sets,
        pixels=drawn_pixels(sets),
    )


def open_val_sets(shards: Shards, config: TrainConfig) -> list[ValidationSet]:
    """The validation sets of a run.

    Raises:
        ShardsError: If no data set has such a split.
    """
    try:
        return validation_sets(shards, config.val_images, config.val_split)
    except ShardsError as error:
        raise ShardsError(
            f"{error}; build a val split, name another with --val-split, or train without "
            "validation by --val-every 0"
        ) from error


def refuse_leaks(train: SampleSet, val_sets: Sequence[ValidationSet], config: TrainConfig) -> None:
    """Refuse to validate on images that are trained on.

    Raises:
        ShardsError: With their number and one key.
    """
    for chosen in val_sets:
        both = np.intersect1d(train.keys, chosen.samples.keys)
        if both.size:
            raise ShardsError(
                f"{both.size:,} samples of {chosen.name} stand in both --train-split "
                f"{config.train_split} and --val-split {config.val_split}, "
                f"{both[0].decode()} first; a validation on training images says nothing: "
                "name two splits that share none, such as a hold-out's NAME-train and NAME-val"
            )


def drawn_pixels(sets: Sequence[SampleSet]) -> NDArray[np.float64] | None:
    """Mask pixels by class over all training samples, `(C + 2,)`; None where they are not known.

    Of a part of a split they are counted from the records that lie beside the masks.
    """
    total = np.zeros(len(sets[0].classes) + 1)
    for samples in sets:
        pixels = samples.pixels if samples.pixels is not None else counted_pixels(samples)
        if pixels is None:
            return None
        total += pixels
    return total
