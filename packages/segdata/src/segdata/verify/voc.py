"""PASCAL VOC's archives, read a second time."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segdata.archive import Archive, Member
from segdata.errors import SourceError
from segdata.verify.labels import IGNORE, Labelled, Labels, Region
from segdata.verify.records import SourceFile, SourceSplit, canonical, describe, find, indexed

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)  # VOC's ids are 1 to 20 in this order
VOC_ARCHIVES = {2012: "VOCtrainval_11-May-2012.tar", 2007: "VOCtrainval_06-Nov-2007.tar"}
LISTS = "ImageSets/Segmentation"
VOC_PLACES = ("", "voc", "voc{year}", "VOC")


@dataclass(frozen=True)
class VocRecord:
    """An image of VOC with its index mask.

    Attributes:
        table: 256 bytes, the class id of each of VOC's ids.
    """

    source_id: str
    root: str
    image: Member | None
    mask: Member | None
    table: bytes

    @property
    def areas(self) -> Sequence[tuple[int, bool, float]]:
        """None: VOC labels pixels, not objects."""
        return ()

    def labelled(self, labels: Labels) -> tuple[Labelled, list[Region]]:
        """VOC's mask in the ids of the chosen classes."""
        del labels  # VOC's masks leave nothing to decide
        if self.mask is None:
            raise ValueError("the source lacks its mask")
        data = self.mask.read()
        with Image.open(io.BytesIO(data)) as image:
            if image.mode not in ("P", "L"):
                raise ValueError(f"its mask holds {image.mode} pixels and no class ids")
            if image.mode == "L" and (image.format != "PNG" or data[24] != 8):  # bits, of IHDR
                raise ValueError("its mask is greyscale, but no PNG of 8 bits")
            counts, size = image.histogram(), image.size  # of each of VOC's ids
            data = image.tobytes().translate(self.table)
        unknown = [i for i, n in enumerate(counts) if n and len(VOC_CLASSES) < i != IGNORE]
        if unknown:
            raise ValueError(f"its mask holds the id {unknown[0]}, which VOC does not have")
        mask = np.frombuffer(data, dtype=np.uint8).reshape(size[::-1])
        count = sum(n for n, i in zip(counts, self.table, strict=True) if i not in (0, IGNORE))
        return Labelled(mask, np.zeros(mask.shape, dtype=bool), count), []

    def files(self) -> list[SourceFile]:
        """The image and the mask."""
        parts = (("JPEGImages", self.image), ("SegmentationClass", self.mask))
        return [
            describe(f"{self.root}/{folder}/{member.basename}", member.read())
            for folder, member in parts
            if member is not None
        ]


@dataclass(frozen=True)
class VocSource:
    """One year of VOC, found; `root` is its folder in the archive, "" or ending in "/"."""

    archive: Archive
    root: str
    year: int

    def ids(self, split: str) -> list[str]:
        """VOC's own list of a split; 2007's images have the ids under which 2012 holds them."""
        listed = (
            self.archive[f"{self.root}{LISTS}/{split}.txt"].read().decode("utf-8-sig", "replace")
        )
        prefix = "" if self.year == 2012 else f"{self.year}_"
        return [prefix + name for name in listed.split()]

    def record(self, source_id: str, table: bytes) -> VocRecord:
        """An image with its mask, whether its files are there or not."""
        name = source_id if self.year == 2012 else source_id.partition("_")[2]
        members = self.archive.members
        return VocRecord(
            source_id,
            f"VOC{self.year}",
            members.get(f"{self.root}JPEGImages/{name}.jpg"),
            members.get(f"{self.root}SegmentationClass/{name}.png"),
            table,
        )


def find_voc(data: Path, year: int) -> VocSource | None:
    """VOC below a folder, or None where it does not hold it.

    Raises:
        SourceError: it is there but broken.
    """
    folders = (f"VOCdevkit/VOC{year}", f"VOC{year}")
    path = find(data, year, VOC_PLACES, (VOC_ARCHIVES[year], *folders))
    if path is None:
        return None
    archive = indexed(path)
    for root in (*(f"{folder}/" for folder in folders), ""):
        if f"{root}{LISTS}/val.txt" in archive:
            return VocSource(archive, root, year)
    raise SourceError(
        f"this is not VOC {year} in its official layout",
        where=path,
        expected=f"VOCdevkit/VOC{year}/{LISTS}/val.txt",
        found=f"{len(archive.members):,} files without it",
        advice=f"take {VOC_ARCHIVES[year]} as it is, or the folder VOCdevkit that it unpacks to",
    )


def open_voc(data: Path, year: int, split: str, names: list[str]) -> SourceSplit | None:
    """VOC's own split of a year, or None where `data` does not hold it."""
    source = find_voc(data, year)
    if source is None:
        return None
    table = voc_table(names)
    return SourceSplit({i: source.record(i, table) for i in source.ids(split)})


def voc_table(names: Sequence[str]) -> bytes:
    """The class id of each of VOC's ids, 256 bytes: 0 for classes not chosen, 255 for void."""
    chosen = {canonical(name): index for index, name in enumerate(names, 1)}
    table = bytearray(256)
    for voc_id, name in enumerate(VOC_CLASSES, 1):
        table[voc_id] = chosen.get(canonical(name), 0)
    table[IGNORE] = IGNORE
    return bytes(table)
