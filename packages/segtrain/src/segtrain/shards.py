"""Shards directories, opened: the samples of their data sets by split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segtrain.errors import ShardsError
from segtrain.indexes import index_shard
from segtrain.manifests import FIXED_VIEW, ClassInfo, Manifest, SplitRecord, read_manifests
from segtrain.sampleset import SampleSet, select_keys


@dataclass(frozen=True)
class Shards:
    """A shards directory: its manifests, one per data set, all of the same classes."""

    directory: Path
    manifests: tuple[Manifest, ...]

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes in the order of their ids, background first."""
        return self.manifests[0].classes

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each manifest by data set."""
        return {m.dataset: m.sha256 for m in self.manifests}

    def load(self, parts: Sequence[tuple[Manifest, SplitRecord]]) -> SampleSet:
        """Index the shards of these splits, in order, as one set."""
        records = [(s, self.directory / s.name) for _, split in parts for s in split.shards]
        indexes = [index_shard(path, record) for record, path in records]
        empty = np.zeros((0, 4), np.int64)
        return SampleSet(
            datasets=tuple(m.dataset for m, _ in parts),
            classes=self.classes,
            paths=tuple(path for _, path in records),
            starts=np.cumsum([0, *(len(i.keys) for i in indexes)], dtype=np.int64),
            keys=np.array([k.encode() for i in indexes for k in i.keys], np.bytes_),
            spans=np.concatenate([empty, *(i.spans for i in indexes)]),
            official=sum(split.official for _, split in parts),
            pixels=np.sum([split.pixels for _, split in parts], axis=0, dtype=np.int64),
            synthetic=any(m.synthetic for m, _ in parts),
            resized=any(split.resized for _, split in parts),
            layouts=tuple(record.layout for record, _ in records),
        )

    def train_set(self) -> SampleSet:
        """The train splits of all data sets as one set.

        Raises:
            ShardsError: If none has a train split with samples, or its shards are damaged.
        """
        parts = [(m, m.splits["train"]) for m in self.manifests if "train" in m.splits]
        samples = self.load([(m, s) for m, s in parts if s.samples])
        if not len(samples):
            raise ShardsError(
                f"{self.directory}: no data set has a train split with samples; build one with "
                "`segdata build-voc --split train` or `segdata build-coco --split train`"
            )
        return samples

    def sets(self, split: str) -> list[SampleSet]:
        """The samples of a physical split or a named subset, one set per data set that has it.

        VOC's come first: they are primary, for its metric is the one that is published.

        Raises:
            ShardsError: If no data set has it, or its shards are damaged.
        """
        found = [self.one_set(m, split) for m in self.manifests]
        sets = [s for s in found if s is not None and len(s)]
        if not sets:
            names = sorted({n for m in self.manifests for n in (*m.splits, *m.views)})
            raise ShardsError(
                f"{self.directory}: no data set has a split {split!r} with samples; "
                f"there are: {', '.join(names)}"
            )
        return sorted(sets, key=lambda s: not s.datasets[0].startswith("voc"))

    def one_set(self, manifest: Manifest, split: str) -> SampleSet | None:
        """The samples of one data set's split or view, None where it has no such name."""
        if split in manifest.splits:
            return self.load([(manifest, manifest.splits[split])])
        if split in manifest.views:
            view = manifest.views[split]
            whole = self.load([(manifest, manifest.splits[view.split])])
            part = select_keys(whole, view.keys, f"{manifest.dataset}: {split}")
            published = split != FIXED_VIEW and view.official  # else it is a part of its split
            return replace(part, official=view.official if published else whole.official)
        return None

    def view_keys(self, dataset: str, view: str) -> tuple[str, ...] | None:
        """The keys of a data set's named subset, None where it has none of that name."""
        found = (m.views[view] for m in self.manifests if m.dataset == dataset and view in m.views)
        return next((record.keys for record in found), None)


def open_shards(directory: Path) -> Shards:
    """Open a shards directory by its manifests.

    Raises:
        ShardsError: If it is missing, empty or cannot be understood.
    """
    return Shards(directory, read_manifests(directory))
