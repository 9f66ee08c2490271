"""Shards directories, opened: the samples of their data sets by split."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

from segtrain.errors import ShardsError
from segtrain.folders import Folder, open_folders
from segtrain.manifests import FIXED_VIEW, ClassInfo, Manifest, SplitRecord
from segtrain.places import Places
from segtrain.remote.cache import Cache
from segtrain.sampleset import SampleSet, join, load_shards, select_keys


@dataclass(frozen=True)
class Shards:
    """One shards directory or several: data sets of the same classes, each with its manifest.

    Attributes:
        found: The manifests, sorted by data set, and the folder that each lies in.
    """

    found: tuple[tuple[Manifest, Folder], ...]

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """The manifests, sorted by data set."""
        return tuple(manifest for manifest, _ in self.found)

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes in the order of their ids, background first."""
        return self.manifests[0].classes

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each manifest by data set."""
        return {m.dataset: m.sha256 for m in self.manifests}

    @property
    def where(self) -> str:
        """The folders, for messages."""
        return ", ".join(dict.fromkeys(str(folder) for _, folder in self.found))

    @cached_property
    def folders(self) -> dict[str, Folder]:
        """The folder of each data set."""
        return {manifest.dataset: folder for manifest, folder in self.found}

    def train_sets(
        self, split: str = "train", datasets: Collection[str] | None = None
    ) -> list[SampleSet]:
        """What to train on: one set per data set that has samples there, sorted by data set.

        Args:
            split: A physical split or a view.
            datasets: Which data sets; None takes all.

        Raises:
            ShardsError: If none has samples of that name, or its shards are damaged.
        """
        chosen = [m for m in self.manifests if datasets is None or m.dataset in datasets]
        found = [self.one_set(m, split, stored_order=True) for m in chosen]
        sets = [s for s in found if s is not None and len(s)]
        if not sets and split == "train":
            raise ShardsError(
                f"{self.where}: no data set has a train split with samples; build one with "
                "`segdata build-voc --split train` or `segdata build-coco --split train`"
            )
        if not sets:
            raise ShardsError(self.no_such_split(split))
        return sets

    def train_set(self, split: str = "train") -> SampleSet:
        """All samples of `train_sets` as one set.

        Raises:
            ShardsError: As there.
        """
        return join(self.train_sets(split))

    def sets(self, split: str) -> list[SampleSet]:
        """The samples of a physical split or a named subset, one set per data set that has it.

        VOC's come first: they are primary, for its metric is the one that is published.

        Raises:
            ShardsError: If no data set has it, or its shards are damaged.
        """
        found = [self.one_set(m, split) for m in self.manifests]
        sets = [s for s in found if s is not None and len(s)]
        if not sets:
            raise ShardsError(self.no_such_split(split))
        return sorted(sets, key=lambda s: not s.datasets[0].startswith("voc"))

    def no_such_split(self, split: str) -> str:
        """Say that no data set has samples of that name, and what there is."""
        names = sorted({n for m in self.manifests for n in (*m.splits, *m.views)})
        return (
            f"{self.where}: no data set has a split {split!r} with samples; "
            f"there are: {', '.join(names)}"
        )

    def one_set(
        self, manifest: Manifest, split: str, *, stored_order: bool = False
    ) -> SampleSet | None:
        """The samples of one data set's split or view, None where it has no such name.

        Args:
            manifest: The data set's.
            split: Name of a physical split or a view.
            stored_order: Whether the samples of a view come as they are stored, and not as the
                view names them.
        """
        if split in manifest.splits:
            return self.load(manifest, manifest.splits[split])
        if split not in manifest.views:
            return None
        view = manifest.views[split]
        whole = self.load(manifest, manifest.splits[view.split])
        where = f"{self.folders[manifest.dataset]}: {manifest.dataset}: {split}"
        part = select_keys(whole, view.keys, where, stored_order=stored_order)
        published = split != FIXED_VIEW and view.official  # else it is a part of its split
        return replace(part, official=view.official if published else whole.official)

    def load(self, manifest: Manifest, split: SplitRecord) -> SampleSet:
        """Index the shards of one data set's physical split."""
        folder = self.folders[manifest.dataset]
        shards = [folder.shard(manifest.dataset, record) for record in split.shards]
        return load_shards(manifest, split, shards)

    def view_keys(self, dataset: str, view: str) -> tuple[str, ...] | None:
        """The keys of a data set's named subset, None where it has none of that name."""
        found = (m.views[view] for m in self.manifests if m.dataset == dataset and view in m.views)
        return next((record.keys for record in found), None)


def open_shards(places: Places, cache: Cache | None = None) -> Shards:
    """Open one shards directory or several by their manifests.

    Args:
        places: Paths and URLs.
        cache: Where shards of URLs are copied to; by default the user's cache folder, 50 GB.

    Raises:
        ShardsError: If one is missing, empty or cannot be understood, a data set lies in two of
            them, or data sets have different classes.
    """
    return Shards(tuple(open_folders(places, cache)))
