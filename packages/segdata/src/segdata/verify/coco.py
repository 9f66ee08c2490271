"""MS-COCO's archives, read a second time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from segdata.archive import Archive, Member, open_archive
from segdata.errors import SourceError
from segdata.jsontext import JsonText
from segdata.verify import polygons
from segdata.verify.labels import Labelled, Labels, Region, label
from segdata.verify.records import SourceFile, SourceSplit, canonical, describe, find

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


class _Passed(msgspec.Struct, gc=False):
    """A record of which nothing is wanted."""


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str


@dataclass
class _Found:
    """The annotations of an image, in file order: what their records say, and their outlines."""

    areas: list[tuple[int, bool, float]] = field(default_factory=list)
    outlines: list[bytes] = field(default_factory=list)


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
        windows = polygons.region_windows(self.outlines, self.height, self.width, OUTSIDE)
        regions = [
            Region(class_id, crowd, area, *window)
            for (class_id, crowd, area), window in zip(self.areas, windows, strict=True)
        ]
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
    records, file = _read(open_archive(annotations_at), f"instances_{folder}.json", names)
    outlined = {
        str(image.id): CocoRecord(
            str(image.id),
            folder,
            images.get(image.file_name),
            image.height,
            image.width,
            found.areas,
            found.outlines,
        )
        for image, found in records
    }
    return SourceSplit(outlined, [file])


def _read(
    archive: Archive, name: str, names: Sequence[str]
) -> tuple[list[tuple[_Image, _Found]], SourceFile]:
    """The images of an annotation file with their annotations of the classes, and what was read.

    It is read twice, in parts: the categories stand behind the annotations, and only outlines of
    the chosen ones are worth their memory.

    Raises:
        SourceError: the archive lacks it, or it is no such file.
    """
    inner = f"annotations/{name}"
    member = archive[inner if inner in archive else name]
    chosen = {canonical(name): index for index, name in enumerate(names, 1)}
    try:
        labels = _categories(JsonText(iter(member.parts())))
        class_ids = {c.id: chosen[c.name] for c in labels if c.name in chosen}
        parts = member.parts()
        found = _annotated(JsonText(iter(parts)), class_ids)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            "an annotation file is not COCO's instances JSON",
            where=member.where,
            expected="images and annotations as COCO documents them",
            found=error,
            advice="name the archives that the shards were built from with --data",
        ) from error
    return found, (inner, parts.size, parts.crc32)


def _categories(text: JsonText) -> list[_Category]:
    found = None
    for name in text.keys():  # noqa: SIM118 - no dictionary: each key must be read once
        if name == "categories":
            found = msgspec.json.decode(text.value(), type=list[_Category])
        elif name in ("images", "annotations"):
            for _ in text.records(_Passed):
                pass
        else:
            text.value()
    if found is None:
        raise ValueError("it has no list of categories")
    return found


def _annotated(text: JsonText, class_ids: Mapping[int, int]) -> list[tuple[_Image, _Found]]:
    images: list[_Image] | None = None
    by_image: defaultdict[int, _Found] | None = None
    for name in text.keys():  # noqa: SIM118 - no dictionary: each key must be read once
        if name == "images":
            images = [image for some in text.records(_Image) for image in some]
        elif name == "annotations":
            by_image = defaultdict(_Found)
            for annotation in (a for some in text.records(_Annotation) for a in some):
                class_id = class_ids.get(annotation.category_id)
                if class_id is not None:
                    of = by_image[annotation.image_id]
                    of.areas.append((class_id, bool(annotation.iscrowd), annotation.area))
                    of.outlines.append(bytes(annotation.segmentation))  # a copy: the text goes
        else:
            text.value()
    if images is None or by_image is None:
        raise ValueError(f"it has no list of {'images' if images is None else 'annotations'}")
    return [(image, by_image.get(image.id) or _Found()) for image in images]
