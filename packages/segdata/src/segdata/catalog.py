"""The catalogue of shards directories: every sample, where it lies, and whose photo it is.

One photo may have several names. COCO 2014 and 2017 share their image ids, SBD uses VOC's, and
VOC 2007's images are in VOC 2012 as `2007_NNNNNN`; `identity` gives all of them one name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from segdata import stored
from segdata.shards import FACTS, IMAGE

VOC_ID = re.compile(r"(?:19|20)\d\d_\d{6}")
COCO_FILE = re.compile(r"COCO_(?:train|val|test)\d{4}_(\d{12})")


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of a directory: picklable, a worker's task."""

    folder: Path
    name: str
    dataset: str
    split: str
    samples: int

    @property
    def path(self) -> Path:
        """The tar."""
        return self.folder / self.name


@dataclass(frozen=True, slots=True)
class Photo:
    """One sample of a shard.

    Attributes:
        key: its key.
        source_id: its id in the source.
        identity: whose photo it is; equal for all names of one photo.
        shard: where it stands.
        row: where its members lie.
        classes: ids that have a pixel in its mask, without background.
    """

    key: str
    source_id: str
    identity: str
    shard: Shard
    row: stored.Row
    classes: tuple[int, ...]

    def read(self) -> bytes:
        """The image's bytes.

        Raises:
            ShardsError: the shard cannot be read.
        """
        return self.row.members(IMAGE)[IMAGE]


def identity(dataset: str, source_id: str, source_file: str) -> str:
    """The name that a photo has in whatever data set it stands.

    Args:
        dataset: `coco2017`, `voc2012`, or a data set of the user's own, whose file names still
            tell where an image comes from if they are VOC's or COCO 2014's.
        source_id: the sample's id there.
        source_file: the image's file name, without folders.
    """
    stem = source_file.rpartition(".")[0]
    if match := COCO_FILE.fullmatch(stem):
        return f"coco:{int(match[1])}"
    if dataset.startswith("coco") and source_id.isdigit():
        return f"coco:{int(source_id)}"
    for name in (source_id, stem):
        if VOC_ID.fullmatch(name):
            return f"voc:{name}"
    if dataset == "voc2007":  # its own ids have no year
        return f"voc:2007_{source_id}"
    return f"{dataset}:{source_id}"


def shards_of(folder: Path, manifests: Mapping[str, Mapping[str, Any]]) -> list[Shard]:
    """All shards of a directory, in the manifests' order."""
    return [
        Shard(folder, shard["name"], dataset, split, shard["samples"])
        for dataset, manifest in manifests.items()
        for split, facts in manifest["splits"].items()
        for shard in facts["shards"]
    ]


def photos_of(shard: Shard) -> Iterator[Photo]:
    """The samples of a shard in order; their images are not read.

    Raises:
        ShardsError: the shard or its index is missing, cut short or damaged.
    """
    count = 0
    for row, data in stored.all_facts(shard.path):
        yield _photo(shard, row, data)
        count += 1
    if count != shard.samples:
        found = f"{count} samples, the manifest has {shard.samples}"
        raise stored.unreadable(shard.path.with_suffix(".idx"), found)


def _photo(shard: Shard, row: stored.Row, data: bytes) -> Photo:
    try:
        facts = msgspec.json.decode(data)
        labelled = facts["pixels"][1:-1]
        return Photo(
            key=facts["key"],
            source_id=facts["source_id"],
            identity=identity(shard.dataset, facts["source_id"], facts["source_file"]),
            shard=shard,
            row=row,
            classes=tuple(i for i, pixels in enumerate(labelled, 1) if pixels),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise stored.unreadable(shard.path, f"{row.key}.{FACTS}: {error!r}") from error
