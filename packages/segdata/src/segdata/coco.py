"""MS-COCO: images and instance annotations as a source of regions.

Annotations are read into slim structs; an object's outline stays raw JSON until a worker needs it.
pycocotools' rasteriser turns outlines into pixels.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from segdata.archive import Archive, Member, locate, open_archive
from segdata.classes import ClassSet
from segdata.errors import SampleError, SourceError
from segdata.labels import LabelPolicy
from segdata.samples import Loaded, Source, SourceFile, Split, read

OFFICIAL = {
    2017: {"train": 118_287, "val": 5_000},
    2014: {"train": 82_783, "val": 40_504},
}
DOWNLOADS = {
    "train2017": "18 GB",
    "val2017": "0.8 GB",
    "train2014": "13 GB",
    "val2014": "6 GB",
    "annotations_trainval2017": "0.24 GB",
    "annotations_trainval2014": "0.24 GB",
}
HOST = "http://images.cocodataset.org"
SLACK = 1.0  # pixels that a point may lie outside the image: annotators' rounding, not a defect


class CocoAnnotation(msgspec.Struct, gc=False):
    """One object or crowd, its outline still JSON."""

    id: int
    image_id: int
    category_id: int
    area: float
    segmentation: msgspec.Raw
    iscrowd: int = 0


class CocoImage(msgspec.Struct, gc=False):
    """One image record."""

    id: int
    file_name: str
    height: int
    width: int


class Instances(msgspec.Struct, gc=False):
    """An `instances_*.json`, as far as masks need it."""

    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    info: Any = None

    @property
    def synthetic(self) -> bool:
        """Whether the file calls itself generated."""
        return isinstance(self.info, dict) and self.info.get("synthetic") is True


@dataclass(frozen=True)
class CocoRegion:
    """One object or crowd as compressed run lengths."""

    class_id: int
    crowd: bool
    rle: Mapping[str, Any]

    @cached_property
    def area(self) -> int:
        """Rasterised pixels."""
        from pycocotools import mask as rasteriser

        return int(rasteriser.area(self.rle))

    def pixels(self) -> NDArray[np.bool_]:
        """Its pixels, bool (H, W)."""
        from pycocotools import mask as rasteriser

        pixels: NDArray[np.bool_] = rasteriser.decode(self.rle).view(np.bool_)
        return pixels


@dataclass(frozen=True, slots=True)
class CocoSample:
    """One COCO image with its annotations of the chosen classes, in file order.

    Attributes:
        outlines: class id, whether it is a crowd, annotation id and raw JSON outline of each.
    """

    key: str
    source_id: str
    image: Member
    folder: str
    height: int
    width: int
    outlines: tuple[tuple[int, bool, int, msgspec.Raw], ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels, as the record says."""
        return self.height, self.width

    @property
    def fingerprint(self) -> str:
        """Sizes of the image and a hash of its annotations."""
        digest = hashlib.blake2b(digest_size=16)
        for class_id, crowd, annotation, outline in self.outlines:
            digest.update(f"{class_id} {crowd} {annotation} ".encode())
            digest.update(outline)
        return f"{self.image.size} {self.height}x{self.width} {digest.hexdigest()}"

    def regions(self) -> tuple[CocoRegion, ...]:
        """Its objects and crowds, run-length encoded.

        Raises:
            SampleError: an outline is no polygon or run-length mask of this image.
        """
        return tuple(
            CocoRegion(class_id, crowd, self._rle(annotation, outline))
            for class_id, crowd, annotation, outline in self.outlines
        )

    def load(self) -> Loaded:
        """Read the image and encode the regions."""
        image = read(self.image, self.key)
        files = (SourceFile.of(f"{self.folder}/{self.image.basename}", image),)
        return Loaded(image, self.height, self.width, files, regions=self.regions())

    def _rle(self, annotation: int, outline: msgspec.Raw) -> Mapping[str, Any]:
        from pycocotools import mask as rasteriser

        try:
            segmentation = msgspec.json.decode(outline)
            problem = outline_problem(segmentation, self.height, self.width)
        except (ValueError, RecursionError) as error:
            problem = "JSON", str(error)
        if problem:
            raise SampleError(
                "an annotation cannot be drawn",
                where=f"annotation {annotation} of image {self.source_id} ({self.folder})",
                expected=problem[0],
                found=problem[1],
                advice="correct the annotation file, or leave the sample out with --on-error skip",
            )
        if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
            return segmentation
        encoded = rasteriser.frPyObjects(segmentation, self.height, self.width)
        rle: Mapping[str, Any] = encoded if isinstance(encoded, dict) else rasteriser.merge(encoded)
        return rle


def outline_problem(segmentation: Any, height: int, width: int) -> tuple[str, str] | None:  # noqa: ANN401 - JSON
    """What is wrong with an outline, as (expected, found); None if it can be drawn.

    Polygons of two points must be refused: pycocotools takes four numbers for a box.
    """
    if isinstance(segmentation, dict):
        return _rle_problem(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        return "a list of polygons, or run lengths", repr(segmentation)[:80]
    for polygon in segmentation:
        if not isinstance(polygon, list) or not all(isinstance(v, int | float) for v in polygon):
            return "polygons as lists of numbers", repr(polygon)[:80]
        if len(polygon) % 2 or len(polygon) < 6:
            return "polygons of at least 3 points (x, y)", f"one of {len(polygon)} numbers"
        for x, y in zip(polygon[0::2], polygon[1::2], strict=True):
            if not (-SLACK <= x <= width + SLACK and -SLACK <= y <= height + SLACK):
                return f"points inside the image of {width}x{height}", f"x={x} y={y}"
    return None


def _rle_problem(rle: dict[str, Any], height: int, width: int) -> tuple[str, str] | None:
    if rle.get("size") != [height, width]:
        return f"run lengths of size [{height}, {width}]", f"size {rle.get('size')}"
    counts = rle.get("counts")
    if isinstance(counts, str):
        counts = unpacked_counts(counts)
    if not isinstance(counts, list) or not all(isinstance(c, int) and c >= 0 for c in counts):
        return "run lengths as a list of counts", repr(counts)[:80]
    if sum(counts) != height * width:
        return f"run lengths that fill {height * width:,} pixels", f"{sum(counts):,}"
    return None


def unpacked_counts(packed: str) -> list[int] | None:
    """The run lengths in COCO's packed string form; None if it is not well-formed.

    Five bits a character from 48 on, the lowest first; the sixth says that more follow, the highest
    value bit is the sign; from the third run on it is the difference to the run before the last
    (COCO API, `maskApi.c`, `rleFrString`).
    """
    counts: list[int] = []
    value = shift = 0
    for code in (ord(character) - 48 for character in packed):
        if not 0 <= code < 64 or shift > 60:
            return None
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) and 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return None if shift else counts


def open_coco(
    data: Path, year: int, classes: ClassSet, splits: Sequence[str], policy: LabelPolicy
) -> Source:
    """Find COCO's images and annotations below `data` and list its samples.

    Raises:
        SourceError: nothing there, not whole, or no COCO instances file.
    """
    annotations = open_archive(_locate(data, year, f"annotations_trainval{year}", "annotations"))
    synthetic = False
    found = {}
    for split in splits:
        name = f"{split}{year}"
        images = open_archive(_locate(data, year, name, name))
        instances, file = _instances(annotations, name)
        synthetic |= instances.synthetic
        found[split] = _split(images, instances, file, year, split, classes, policy)
    return Source(f"coco{year}", year, synthetic, found, policy.record())


def _locate(data: Path, year: int, archive: str, folder: str) -> Path:
    kind = "annotations" if folder == "annotations" else "zips"
    return locate(
        data,
        places=["", "coco", f"coco{year}", "COCO", "images", "coco/images"],
        names=[f"{archive}.zip", folder],
        what=f"COCO's {archive}",
        advice=f"put {HOST}/{kind}/{archive}.zip ({DOWNLOADS[archive]}) there, unpacked or not, "
        "or name its folder with --data",
    )


def _instances(annotations: Archive, name: str) -> tuple[Instances, SourceFile]:
    """The parsed `instances_<name>.json` and what was read for it."""
    file = f"instances_{name}.json"
    member = annotations[f"annotations/{file}" if f"annotations/{file}" in annotations else file]
    data = member.read()
    try:
        parsed = msgspec.json.decode(data, type=Instances)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceError(
            "an annotation file is not COCO's instances JSON",
            where=member.where,
            expected="images and annotations as COCO documents them",
            found=error,
        ) from error
    return parsed, SourceFile.of(f"annotations/{file}", data)


def _split(
    images: Archive,
    instances: Instances,
    file: SourceFile,
    year: int,
    split: str,
    classes: ClassSet,
    policy: LabelPolicy,
) -> Split:
    _refuse_repeated(instances, file)
    files = _by_basename(images, f"{split}{year}")
    chosen = _by_image(instances, classes)
    known = {image.id for image in instances.images}
    broken = [(str(i), _unknown_image(i, file)) for i in sorted(chosen.keys() - known)]
    samples: list[CocoSample] = []
    left_out: list[tuple[str, str]] = []
    for image in sorted(instances.images, key=lambda record: record.id):
        of_image = chosen.get(image.id, [])
        reason = policy.rejects_annotations(
            split, sum(a.area for a in of_image), sum(not a.iscrowd for a in of_image)
        )
        if reason:
            left_out.append((str(image.id), reason))
        elif image.file_name not in files:
            broken.append((str(image.id), _missing_file(image, images)))
        else:
            outlines = tuple(
                (classes.of_coco[a.category_id], bool(a.iscrowd), a.id, a.segmentation)
                for a in of_image
            )
            samples.append(
                CocoSample(
                    f"coco{year}_{image.id:012d}",
                    str(image.id),
                    files[image.file_name],
                    f"{split}{year}",
                    image.height,
                    image.width,
                    outlines,
                )
            )
    return Split(samples, len(known), OFFICIAL[year][split], left_out, broken, [file])


def _refuse_repeated(instances: Instances, file: SourceFile) -> None:
    counts = Counter(image.id for image in instances.images)
    repeated = [image_id for image_id, count in counts.items() if count > 1]
    if repeated:
        raise SourceError(
            "an annotation file lists an image more than once",
            where=file.name,
            expected="one record of each id in its images",
            found=f"id {repeated[0]} ({len(repeated):,} such ids)",
            advice="restore the official file, or remove the repeated records",
        )


def _by_basename(images: Archive, folder: str) -> dict[str, Member]:
    """Members by name without folders; one in COCO's own folder goes before a namesake."""
    members = sorted(images.members.values(), key=lambda m: m.name == f"{folder}/{m.basename}")
    return {member.basename: member for member in members}


def _by_image(instances: Instances, classes: ClassSet) -> dict[int, list[CocoAnnotation]]:
    """The annotations of the chosen classes by image, in file order."""
    chosen: dict[int, list[CocoAnnotation]] = {}
    for annotation in instances.annotations:
        if annotation.category_id in classes.of_coco:
            chosen.setdefault(annotation.image_id, []).append(annotation)
    return chosen


def _unknown_image(image_id: int, file: SourceFile) -> SampleError:
    return SampleError(
        "an annotation names an image that the file does not list",
        where=f"{file.name}, image_id {image_id}",
        expected="a record of that id in its images",
        found="none",
        advice="correct the annotation file, or leave such samples out with --on-error skip",
    )


def _missing_file(image: CocoImage, images: Archive) -> SampleError:
    return SampleError(
        "an annotation names an image whose file is missing",
        where=f"{images.path}, image {image.id}",
        expected=image.file_name,
        found="no such member",
        advice="complete the source, or leave such samples out with --on-error skip",
    )
