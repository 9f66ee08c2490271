"""Census: what a shards directory holds, counted over the facts of every sample.

Manifests have sums over a split. Which classes occur together, how large images are, and how many
pixels the images of a class have, only the samples' own `KEY.json` tell: they are read by their
offsets, a few hundred bytes a sample, and have to add up to the manifest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from segdata import shards, stored
from segdata.engine import Progress
from segdata.errors import ShardsError

UNUSABLE = (ValueError, IndexError, OverflowError, RecursionError)  # facts
STEP = 500  # samples between two reports of progress
Counts = NDArray[np.int64]


class Facts(msgspec.Struct):
    """What the census reads of a `KEY.json`."""

    key: str
    height: int
    width: int
    pixels: list[int]
    objects: list[int]


@dataclass(frozen=True)
class SplitCensus:
    """One split of one data set.

    Attributes:
        dataset: its name.
        split: `train` or `val`.
        manifest: the data set's manifest.
        tars: the split's shards in order.
        places: int32 (N, 2): number of the shard in `tars`, number of the sample in it.
        sizes: int32 (N, 2): height and width in the shard, pixels.
        pixels: int32 (N, C+2): each sample's pixels of class 0..C, and of 255.
        object_sizes: (C, 21): objects by powers of two of their area in source pixels.
    """

    dataset: str
    split: str
    manifest: Mapping[str, Any]
    tars: Sequence[Path]
    places: NDArray[np.int32]
    sizes: NDArray[np.int32]
    pixels: NDArray[np.int32]
    object_sizes: Counts

    @property
    def name(self) -> str:
        """Data set and split, in words."""
        return f"{self.dataset} {self.split}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """The split's entry in the manifest."""
        found: Mapping[str, Any] = self.manifest["splits"][self.split]
        return found

    @property
    def labelled(self) -> list[int]:
        """Pixels of the classes 0..C over all samples."""
        return [int(n) for n in self.facts["pixels"][:-1]]

    def images(self) -> list[int]:
        """Samples in which the classes 0..C have a pixel."""
        return [int(n) for n in (self.pixels[:, :-1] > 0).sum(0)]

    def present(self) -> list[int]:
        """Labelled pixels of the images in which each of the classes 0..C occurs."""
        labelled = self.pixels[:, :-1].sum(1, dtype=np.int64)
        return [int(n) for n in labelled @ (self.pixels[:, :-1] > 0)]

    def together(self) -> Counts:
        """Samples in which two classes occur together, (C, C); the diagonal counts each class."""
        occurs = (self.pixels[:, 1:-1] > 0).astype(np.float64)  # exact, and BLAS multiplies it
        return (occurs.T @ occurs).astype(np.int64)


def take_census(folder: Path, progress: Progress) -> list[SplitCensus]:
    """Count every split of every data set, by data set, then in the manifest's order.

    Args:
        folder: the shards directory.
        progress: told after every so many samples.

    Raises:
        ShardsError: something cannot be read, or the samples do not add up to the manifest.
    """
    manifests = shards.manifests(folder)
    refuse_other_classes(folder, manifests)
    total = sum(s["samples"] for m in manifests.values() for s in m["splits"].values())
    done = 0
    counted = []
    for dataset, manifest in manifests.items():
        for split in manifest["splits"]:
            reading = _Reading(folder, dataset, split, manifest)
            for number in reading.samples():
                done += 1
                if done % STEP == 0 or number == 0:
                    progress("reading facts", done, total)
            counted.append(reading.census())
    return counted


def refuse_other_classes(folder: Path, manifests: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a directory whose data sets have different classes.

    Raises:
        ShardsError: they have.
    """
    tables = {name: manifest["classes"] for name, manifest in manifests.items()}
    first = next(iter(tables))
    for name, table in tables.items():
        if table != tables[first]:
            raise ShardsError(
                "the data sets of the directory have different classes",
                where=folder,
                expected=f"those of {first}",
                found=f"others in {name}",
                advice="build each set of classes into a directory of its own",
            )


class _Reading:
    """The facts of one split while they are being read."""

    def __init__(self, folder: Path, dataset: str, split: str, manifest: Mapping[str, Any]) -> None:
        self.folder, self.dataset, self.split, self.manifest = folder, dataset, split, manifest
        self.facts = manifest["splits"][split]
        self.tars = [folder / shard["name"] for shard in self.facts["shards"]]
        count, classes = self.facts["samples"], len(manifest["classes"]) - 1
        self.places = np.zeros((count, 2), np.int32)
        self.sizes = np.zeros((count, 2), np.int32)
        self.pixels = np.zeros((count, classes + 2), np.int32)
        self.objects = np.zeros(classes, np.int64)
        self.object_sizes = np.zeros((classes, shards.SIZE_BINS), np.int64)

    def samples(self) -> Iterator[int]:
        """Read one sample after the other; yields its number in the split."""
        decoder = msgspec.json.Decoder(Facts)
        number = 0
        for shard, tar in enumerate(self.tars):
            self._add_sidecar(tar)
            for place, (row, data) in enumerate(stored.all_facts(tar)):
                try:
                    facts = decoder.decode(data)
                    self.pixels[number] = facts.pixels
                    self.objects += np.asarray(facts.objects, np.int64)
                    self.sizes[number] = facts.height, facts.width
                except UNUSABLE as error:
                    raise stored.unreadable(tar, f"{row.key}.json: {error}") from error
                self.places[number] = shard, place
                yield number
                number += 1
        if number != self.facts["samples"]:
            raise self._does_not_add_up("samples", self.facts["samples"], number)

    def _add_sidecar(self, tar: Path) -> None:
        sidecar = tar.with_name(f"{tar.stem}.stats.json")
        try:
            self.object_sizes += np.asarray(shards.read_json(sidecar)["object_sizes"], np.int64)
        except (KeyError, ValueError, TypeError) as error:
            raise stored.unreadable(sidecar, f"object_sizes: {error}") from error

    def census(self) -> SplitCensus:
        """What was read, checked against the manifest."""
        counted = {
            "pixels": self.pixels.sum(0, dtype=np.int64).tolist(),
            "images": (self.pixels[:, 1:-1] > 0).sum(0).tolist(),
            "objects": self.objects.tolist(),
        }
        for field, values in counted.items():
            if values != self.facts[field]:
                raise self._does_not_add_up(field, self.facts[field], values)
        return SplitCensus(
            self.dataset,
            self.split,
            self.manifest,
            self.tars,
            self.places,
            self.sizes,
            self.pixels,
            self.object_sizes,
        )

    def _does_not_add_up(self, field: str, expected: object, found: object) -> ShardsError:
        return ShardsError(
            "the samples of a split do not add up to its manifest",
            where=f"{self.folder / self.dataset}.json, splits.{self.split}.{field}",
            expected=expected,
            found=found,
            advice=stored.CHECK,
        )
