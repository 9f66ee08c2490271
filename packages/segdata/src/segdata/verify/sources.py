"""The archives that shards were built from, read a second time.

VOC's and COCO's archives hold every mask that the shards claim to hold. Each record here knows its
files and how to label itself; nothing is decoded before a worker asks for it.
"""

import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from PIL import Image

from segdata.archive import Archive, Member, open_archive
from segdata.errors import SourceError
from segdata.verify import polygons
from segdata.verify.contract import Manifest
from segdata.verify.labels import IGNORE, Labelled, Labels, Region, label

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)  # VOC's ids are 1 to 20 in this order
COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}  # the six that the two data sets name differently
VOC_ARCHIVES = {2012: "VOCtrainval_11-May-2012.tar", 2007: "VOCtrainval_06-Nov-2007.tar"}
VOC_PLACES = ("", "voc", "voc{year}", "VOC")
COCO_PLACES = ("", "coco", "coco{year}", "COCO", "images", "coco/images")
OUTSIDE = 1.0  # pixels that a polygon's point may lie beyond the image's edge

SourceFile = tuple[str, int, int]  # name below the source's root, bytes, CRC-32


class Record(Protocol):
    """One image of a source and what the source says of its pixels."""

    @property
    def source_id(self) -> str:
        """Its id in the source."""

    @property
    def image(self) -> Member | None:
        """Its image file, None where the source lacks it."""

    @property
    def areas(self) -> Sequence[tuple[int, bool, float]]:
        """Class id, crowd, JSON area of every annotation of the chosen classes."""

    def labelled(self, labels: Labels) -> tuple[Labelled, list[Region]]:
        """Its labelled pixels and the regions they come from, none where the source has masks.

        Raises:
            SourceError: a file cannot be read.
            ValueError: what it says cannot be drawn.
        """

    def files(self) -> list[SourceFile]:
        """The files that a build reads for it.

        Raises:
            SourceError: one cannot be read.
        """


@dataclass(frozen=True)
class SourceSplit:
    """A split of a source: its records by id, and the files read to list them."""

    records: Mapping[str, Record]
    files: list[SourceFile] = field(default_factory=list)


def canonical(name: str) -> str:
    """COCO's name of a class that VOC names otherwise; any other name as it is."""
    return COCO_NAMES.get(name, name)


def describe(name: str, data: bytes) -> SourceFile:
    """A source file as sidecars list it."""
    return name, len(data), zlib.crc32(data)


def open_split(data: Path, manifest: Manifest, split: str) -> SourceSplit | None:
    """A split's records, or None where `data` does not hold its source.

    Raises:
        SourceError: the source is there but broken.
    """
    year = manifest.options.year
    names = [row.name for row in manifest.classes[1:]]
    if manifest.dataset.startswith("voc") and year in VOC_ARCHIVES:
        return _open_voc(data, year, split, names)
    if manifest.dataset.startswith("coco"):
        return _open_coco(data, year, split, names)
    return None


def _find(data: Path, year: int, places: Sequence[str], names: Sequence[str]) -> Path | None:
    if data.name in names:
        return data
    paths = (data / place.format(year=year) / name for place in places for name in names)
    return next((path for path in paths if path.exists()), None)


# VOC


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
        with Image.open(io.BytesIO(self.mask.read())) as image:
            if image.mode not in ("P", "L"):
                raise ValueError(f"its mask holds {image.mode} pixels and no class ids")
            indices = np.array(image, dtype=np.uint8)  # (H, W)
        unknown = indices[(indices > len(VOC_CLASSES)) & (indices != IGNORE)]
        if unknown.size:
            raise ValueError(f"its mask holds the id {unknown[0]}, which VOC does not have")
        mask = np.frombuffer(self.table, dtype=np.uint8)[indices]
        count = int(np.count_nonzero((mask != 0) & (mask != IGNORE)))
        return Labelled(mask, np.zeros(mask.shape, dtype=bool), count), []

    def files(self) -> list[SourceFile]:
        """The image and the mask."""
        parts = (("JPEGImages", self.image), ("SegmentationClass", self.mask))
        return [
            describe(f"{self.root}/{folder}/{member.basename}", member.read())
            for folder, member in parts
            if member is not None
        ]


def _open_voc(data: Path, year: int, split: str, names: list[str]) -> SourceSplit | None:
    folders = (f"VOCdevkit/VOC{year}", f"VOC{year}")
    path = _find(data, year, VOC_PLACES, (VOC_ARCHIVES[year], *folders))
    if path is None:
        return None
    archive = open_archive(path)
    listing = f"ImageSets/Segmentation/{split}.txt"
    roots = [f"{folder}/" for folder in folders] + [""]
    root = next((root for root in roots if root + listing in archive), None)
    if root is None:
        raise SourceError("a VOC source lacks its list", where=path, expected=listing)
    records = {}
    for name in archive[root + listing].read().decode("ascii", "replace").split():
        # VOC 2012 lists VOC 2007's images as 2007_NNNNNN, and those are their keys in both.
        source_id = name if year == 2012 else f"{year}_{name}"
        records[source_id] = VocRecord(
            source_id,
            f"VOC{year}",
            archive.members.get(f"{root}JPEGImages/{name}.jpg"),
            archive.members.get(f"{root}SegmentationClass/{name}.png"),
            voc_table(names),
        )
    return SourceSplit(records)


def voc_table(names: Sequence[str]) -> bytes:
    """The class id of each of VOC's ids, 256 bytes: 0 for classes not chosen, 255 for void."""
    chosen = {canonical(name): index for index, name in enumerate(names, 1)}
    table = bytearray(256)
    for voc_id, name in enumerate(VOC_CLASSES, 1):
        table[voc_id] = chosen.get(canonical(name), 0)
    table[IGNORE] = IGNORE
    return bytes(table)


# COCO


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str
    height: int
    width: int


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    area: float
    segmentation: msgspec.Raw
    iscrowd: int = 0


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str


class _Instances(msgspec.Struct, gc=False):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


@dataclass(frozen=True)
class CocoRecord:
    """An image of COCO with its annotations of the chosen classes, in file order.

    Attributes:
        outlines: the `segmentation` of each annotation as JSON.
    """

    source_id: str
    folder: str
    image: Member | None
    height: int
    width: int
    areas: Sequence[tuple[int, bool, float]]
    outlines: Sequence[bytes]

    def labelled(self, labels: Labels) -> tuple[Labelled, list[Region]]:
        """Its annotations drawn by the policy."""
        regions = []
        for (class_id, crowd, area), outline in zip(self.areas, self.outlines, strict=True):
            pixels = polygons.region_mask(outline, self.height, self.width, OUTSIDE)
            regions.append(Region(class_id, crowd, area, pixels))
        return label(regions, self.height, self.width, labels), regions

    def files(self) -> list[SourceFile]:
        """The image."""
        if self.image is None:
            return []
        return [describe(f"{self.folder}/{self.image.basename}", self.image.read())]


def _open_coco(data: Path, year: int, split: str, names: list[str]) -> SourceSplit | None:
    folder = f"{split}{year}"
    images_at = _find(data, year, COCO_PLACES, (f"{folder}.zip", folder))
    bundle = f"annotations_trainval{year}.zip"
    annotations_at = _find(data, year, COCO_PLACES, (bundle, "annotations"))
    if images_at is None or annotations_at is None:
        return None
    images = {m.basename: m for m in open_archive(images_at).members.values()}
    text = _instances_text(open_archive(annotations_at), f"instances_{folder}.json")
    try:
        instances = msgspec.json.decode(text, type=_Instances)
    except msgspec.DecodeError as error:
        raise SourceError(
            "an annotation file is not COCO's instances JSON", where=annotations_at, found=error
        ) from error
    records = _coco_records(instances, folder, images, names)
    return SourceSplit(records, [describe(f"annotations/instances_{folder}.json", text)])


def _instances_text(archive: Archive, name: str) -> bytes:
    inner = f"annotations/{name}"
    return archive[inner if inner in archive else name].read()


def _coco_records(
    instances: _Instances, folder: str, images: Mapping[str, Member], names: Sequence[str]
) -> dict[str, Record]:
    chosen = {canonical(name): index for index, name in enumerate(names, 1)}
    class_ids = {c.id: chosen[c.name] for c in instances.categories if c.name in chosen}
    areas: dict[int, list[tuple[int, bool, float]]] = {}
    outlines: dict[int, list[bytes]] = {}
    for found in instances.annotations:
        class_id = class_ids.get(found.category_id)
        if class_id is not None:
            facts = (class_id, bool(found.iscrowd), found.area)
            areas.setdefault(found.image_id, []).append(facts)
            # a copy, so that the file's text can go
            outlines.setdefault(found.image_id, []).append(bytes(found.segmentation))
    return {
        str(image.id): CocoRecord(
            str(image.id),
            folder,
            images.get(image.file_name),
            image.height,
            image.width,
            areas.get(image.id, ()),
            outlines.get(image.id, ()),
        )
        for image in instances.images
    }
