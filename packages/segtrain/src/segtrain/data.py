"""The data of a run: what it trains on, in which order, and what it validates on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from segtrain.checkpoint import Checkpoint
from segtrain.class_weights import INVERSE_LOG, MEDIAN_FREQUENCY, class_weights
from segtrain.config import TrainConfig
from segtrain.errors import ShardsError, UsageError
from segtrain.evaluate import SHARDS_AHEAD
from segtrain.mixed_order import MixedOrder
from segtrain.mixture import parse_mix
from segtrain.remote.cache import Cache
from segtrain.remote.settings import size_words
from segtrain.sampler import BLOCK, Order, SampleOrder
from segtrain.sampleset import SampleSet, counted_pixels, join, load_shards
from segtrain.shardfile import Shard
from segtrain.shards import Shards, open_shards
from segtrain.streaming.batches import check_workers
from segtrain.streaming.opening import check_webdataset
from segtrain.streaming.sources import StreamOrder, Streams, open_streams
from segtrain.transforms import Augmentation
from segtrain.validation import ValidationSet, validation_sets


@dataclass
class Data:
    """The data of a run.

    Attributes:
        config: The run's configuration.
        cache: Where shards of URLs are copied to.
        shards: The shards directories.
        train: All training samples.
        order: The order in which they are drawn.
        val_sets: Validation sets, the primary first.
        pixels: float64 `(C + 2,)`: mask pixels of class 0..C and of 255 as they are drawn, up to a
            factor; None where nobody has counted them.
        class_weights: Weights of the classes in the loss; None where all are 1.
        streams: What is streamed instead; `train` is then empty, and `order` says nothing.
    """

    config: TrainConfig
    cache: Cache
    shards: Shards
    train: SampleSet
    order: SampleOrder
    val_sets: list[ValidationSet]
    pixels: NDArray[np.float64] | None
    class_weights: list[float] | None
    streams: Streams | None = None

    @property
    def augmentation(self) -> Augmentation:
        """How training samples are cut."""
        config = self.config
        return Augmentation(
            config.crop,
            *config.scales,
            flip=config.flip,
            fit=config.fit,
            jitter=config.jitter,
            kept=config.loss_sampling,
        )

    def lines(self) -> list[str]:
        """What is trained on and what is validated on, in words."""
        return [*self.train_lines(), *self.val_lines()]

    def train_lines(self) -> list[str]:
        """What is trained on, in words."""
        if self.streams is not None:
            return self.streams.lines()
        train = self.train
        synthetic = " (synthetic)" if train.synthetic else ""
        part = "" if self.config.train_split == "train" else f" {self.config.train_split}"
        names = ", ".join(name + part for name in train.datasets)
        lines = [f"data: {len(train):,} train images of {names}{synthetic}"]
        if isinstance(self.order, MixedOrder):
            lines[0] += f"; of those drawn {self.mix_words(self.order)}"
        left = sorted({m.dataset for m in self.shards.manifests} - set(train.datasets))
        if left:
            why = "--mix leaves out" if self.config.mix else f"has no {self.config.train_split}"
            lines.append(f"not trained on: {', '.join(left)}, which {why}")
        if self.remote:
            lines.append(self.cache_words())
        if self.train.remote and self.pixels is None:
            lines.append("class prior: not known of a part of shards at URLs")
        return lines

    def val_lines(self) -> list[str]:
        """What is validated on, in words."""
        lines = []
        for i, chosen in enumerate(self.val_sets):
            role = ", picks best.pt" if i == 0 else ""
            part = "" if chosen.split == "val" else f" {chosen.split}"
            numbers = f"{len(chosen.first):,} of {len(chosen.samples):,} images"
            lines.append(f"val: {chosen.name}{part}, {numbers}{role}")
        return lines

    @property
    def remote(self) -> bool:
        """Whether any of its shards lies at a URL."""
        return self.train.remote or any(chosen.samples.remote for chosen in self.val_sets)

    def cache_words(self) -> str:
        """Where shards of URLs are copied to, and how many bytes of them there are."""
        sets = [self.train, *(chosen.samples for chosen in self.val_sets)]
        shards = {s.url: s.record.bytes for samples in sets for s in samples.shards if s.cache}
        limit = size_words(self.cache.limit)
        total = size_words(sum(shards.values()))
        return f"cache: {self.cache.folder}, at most {limit}; {total} of shards at URLs"

    def cache_need(self) -> int:
        """Bytes of shards of URLs that have to lie on this machine at once, at most.

        Of the data sets that are trained on two blocks, the one that is being read and the next;
        of those that are validated on the shard being read, its neighbour and those after it.
        """
        mixed = isinstance(self.order, MixedOrder)
        pools = self.train.datasets if mixed else ("",)
        blocks = [largest([s for s in self.train.shards if not mixed or s.dataset == name],
                          2 * BLOCK) for name in pools]  # fmt: skip
        vals = [largest(list(chosen.samples.shards), 2 + SHARDS_AHEAD) for chosen in self.val_sets]
        return sum(blocks) + max(vals, default=0)

    def refuse_small_cache(self) -> None:
        """Refuse a cache that could not hold what is needed at once.

        Raises:
            UsageError: With both sizes.
        """
        need = self.cache_need()
        if need > self.cache.limit:
            raise UsageError(
                f"--cache-size {self.config.cache_size} is too small: {size_words(need)} of shards "
                "are needed at once (two blocks of 16 shards of each data set, and those of the "
                "validation); give more, or build smaller shards by `segdata build-... "
                "--shard-samples`"
            )

    def mix_words(self, order: MixedOrder) -> str:
        """The shares of a mixture, in per cent."""
        shares = zip(order.names, order.shares, strict=True)
        return ", ".join(f"{100 * share:.3g} % {name}" for name, share in shares)


def open_data(config: TrainConfig, saved: Checkpoint | None = None) -> Data:
    """Open the shards and check everything that can be checked without decoding an image.

    Args:
        config: The run's configuration, resolved.
        saved: The checkpoint to go on from; its class weights are kept.

    Raises:
        ShardsError: If they are missing or damaged, hold no such split, or an image stands in both
            the training and the validation split.
        UsageError: If a file of class weights does not fit.
    """
    cache = Cache.of(config.cache, config.cache_size)
    if config.reader == "webdataset":
        return open_streamed(config, cache, saved)
    shards = open_shards(config.shards, cache)
    mix = chosen_mix(shards, config)
    sets = shards.train_sets(config.train_split, mix)
    refuse_absent(shards, sets, config, mix)
    train = join(sets)
    val_sets = open_val_sets(shards, config) if config.val_every else []
    refuse_leaks(train, val_sets, config)
    order = training_order(sets, config.seed, mix)
    pixels = drawn_pixels(sets, order)
    if saved is not None:
        weights = saved.class_weights
    else:
        weights = class_weights(config.class_weights, train, sample_shares(sets, order), pixels)
    data = Data(config, cache, shards, train, order, val_sets, pixels, weights)
    data.refuse_small_cache()
    refuse_unlabelled(data)
    return data


def refuse_unlabelled(data: Data) -> None:
    """Refuse splits whose every mask pixel is void: nothing can be learnt from, or judged on, them.

    Raises:
        ShardsError: With the split; splits whose pixels were not counted pass.
    """
    train = ("train", data.train.datasets, data.pixels)
    vals = [("val", (v.name,), v.samples.pixels) for v in data.val_sets]
    for name, datasets, pixels in (train, *vals):
        if pixels is not None and pixels[-1] and not pixels[:-1].any():
            raise ShardsError(
                f"every mask pixel of the {name} images of {', '.join(datasets)} is 255, ignored: "
                "there is nothing to learn from or to judge by; look at them with `segdata show`, "
                "and build them again from masks that hold classes"
            )


def chosen_mix(shards: Shards, config: TrainConfig) -> dict[str, Fraction] | None:
    """The weights of `--mix`, None without it.

    Raises:
        UsageError: If it names a data set that is not there.
    """
    if config.mix is None:
        return None
    mix = parse_mix(config.mix)
    there = [m.dataset for m in shards.manifests]
    for name in mix:
        if name not in there:
            raise UsageError(
                f"--mix names {name}, which {shards.where} does not hold; there are: "
                f"{', '.join(there)}"
            )
    return mix


def refuse_absent(
    shards: Shards,
    sets: Sequence[SampleSet],
    config: TrainConfig,
    mix: Mapping[str, Fraction] | None,
) -> None:
    """Refuse a mixture of data sets of which one has nothing to train on.

    Raises:
        ShardsError: With its name.
    """
    absent = sorted(set(mix or ()) - {s.datasets[0] for s in sets})
    if absent:
        raise ShardsError(
            f"{shards.folders[absent[0]]}: {absent[0]} has no samples in {config.train_split}, but "
            f"--mix gives it a weight; leave it out of --mix, or name another --train-split"
        )


def training_order(
    sets: Sequence[SampleSet], seed: int, mix: Mapping[str, Fraction] | None
) -> SampleOrder:
    """The order in which the samples of the sets, one after the other, are drawn."""
    if mix is None:
        return Order(tuple(n for s in sets for n in s.shard_sizes), seed)
    return MixedOrder({s.datasets[0]: s.shard_sizes for s in sets}, mix, seed)


def open_streamed(config: TrainConfig, cache: Cache, saved: Checkpoint | None) -> Data:
    """The data of a run that streams its training samples; validation reads by index.

    Raises:
        ShardsError: If a tar or manifest cannot be read, or holds no such split.
        UsageError: If webdataset is not installed, classes are named twice or not at all, or the
            samples would have to be read first.
    """
    check_webdataset()
    streams = open_streams(config, cache)
    if config.workers is not None:
        check_workers(len(streams.train), config.workers, 1)
    parts = [(m, m.splits["train"]) for m in streams.shards.manifests if "train" in m.splits]
    counts = np.array([split.pixels for _, split in parts], np.float64).sum(axis=0)
    pixels = counts if counts.any() else None
    train = join([load_shards(m, split, []) for m, split in parts])
    return Data(
        config=config,
        cache=cache,
        shards=streams.shards,
        train=train,
        order=StreamOrder(config.seed, streams.samples or 0),
        val_sets=open_val_sets(streams.shards, config) if config.val_every else [],
        pixels=pixels,
        class_weights=saved.class_weights if saved else stream_weights(config, train, pixels),
        streams=streams,
    )


def stream_weights(
    config: TrainConfig, train: SampleSet, pixels: NDArray[np.float64] | None
) -> list[float] | None:
    """The class weights of a stream, from a file or from the manifests' counts.

    Raises:
        UsageError: If every mask would have to be read for them.
    """
    counted = config.class_weights == INVERSE_LOG and pixels is None
    if counted or config.class_weights == MEDIAN_FREQUENCY:
        raise UsageError(
            f"--class-weights {config.class_weights} needs a look at every mask, which a stream "
            "does not give; use --reader indexed, or a file of weights"
        )
    return class_weights(config.class_weights, train, None, pixels)


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
    mine = {shard.path for shard in train.shards}
    for chosen in val_sets:
        theirs = chosen.samples.shards
        if all(s.record.layout.foreign for s in theirs) and not mine & {s.path for s in theirs}:
            continue  # keys of others may count anew in each split; `index` has compared images
        both = np.intersect1d(train.keys, chosen.samples.keys)
        if both.size:
            raise ShardsError(
                f"{both.size:,} samples of {chosen.name} stand in both --train-split "
                f"{config.train_split} and --val-split {config.val_split}, "
                f"{both[0].decode()} first; a validation on training images says nothing: "
                "name two splits that share none, such as a hold-out's NAME-train and NAME-val"
            )


def sample_shares(sets: Sequence[SampleSet], order: SampleOrder) -> list[float] | None:
    """How often each sample is drawn, up to a factor, `(N,)`; None where all are alike."""
    if not isinstance(order, MixedOrder):
        return None
    pairs = zip(sets, order.shares, strict=True)
    return [share / len(samples) for samples, share in pairs for _ in range(len(samples))]


def drawn_pixels(sets: Sequence[SampleSet], order: SampleOrder) -> NDArray[np.float64] | None:
    """Mask pixels by class as they are drawn, `(C + 2,)`; None where they are not known.

    Of a part of a split they are counted from the records that lie beside the masks. In a mixture
    each data set counts by its share: the mean over its images times the images drawn of it.
    """
    total = np.zeros(len(sets[0].classes) + 1)
    shares = order.shares if isinstance(order, MixedOrder) else None
    for i, samples in enumerate(sets):
        pixels = samples.pixels if samples.pixels is not None else counted_pixels(samples)
        if pixels is None:
            return None
        total += pixels if shares is None else pixels * (shares[i] * len(order) / len(samples))
    return total


def largest(shards: Sequence[Shard], count: int) -> int:
    """Bytes of the largest so many of the shards at URLs."""
    sizes = sorted((s.record.bytes for s in shards if s.cache is not None), reverse=True)
    return sum(sizes[:count])
