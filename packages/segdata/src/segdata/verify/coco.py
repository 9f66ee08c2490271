"""MS-COCO's archives, read a second time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from segdata.archive import Archive, Member, open_archive
from segdata.errors import SourceError
from segdata.verify import polygons
from segdata.verify.labels import Labelled, Labels, Region, label
from segdata.verify.records import Record, SourceFile, SourceSplit, canonical, describe, find

COCO_PLACES = ("", "coco", "coco{year}", "COCO", "images", "coco/images")
OUTSIDE = 1.0  # pixels that a polygon's point may lie beyond the image's edge


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


def open_coco(data: Path, year: int, split: str, names: list[str]) -> SourceSplit | None:
    """A split of COCO, or None where `data` does not hold it."""
    folder = f"{split}{year}"
    images_at = find(data, year, COCO_PLACES, (f"{folder}.zip", folder))
    bundle = f"annotations_trainval{year}.zip"
    annotations_at = find(data, year, COCO_PLACES, (bundle, "annotations"))
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
