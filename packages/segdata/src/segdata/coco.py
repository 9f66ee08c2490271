"""MS-COCO: images and instance annotations as a source of regions.

Of the annotations an index is made: per image the raw JSON of the chosen classes' outlines, which
stays raw until a worker needs it. pycocotools' rasteriser turns outlines into pixels.
"""

import gc
import hashlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from segdata import categories
from segdata.archive import Archive, Member, locate, open_archive
from segdata.categories import Category
from segdata.classes import ClassSet
from segdata.errors import SampleError, SourceError
from segdata.jsontext import JsonText
from segdata.labels import LabelPolicy
from segdata.outlines import outline_problem, run_lengths
from segdata.samples import Loaded, Source, SourceFile, Split, read

OFFICIAL = {
    2017: {"train": 118_287, "val": 5_000},
    2014: {"train": 82_783, "val": 40_504},
}
DOWNLOADS = {
    "train2017": "19.3 GB",
    "val2017": "0.8 GB",
    "train2014": "13.5 GB",
    "val2014": "6.6 GB",
    "annotations_trainval2017": "0.25 GB",
    "annotations_trainval2014": "0.25 GB",
}
HOST = "http://images.cocodataset.org"
ENCODER = msgspec.json.Encoder()
SWITCH = 0.0005  # seconds until a thread gets the interpreter that waits for it; usual is 0.005


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
    """An `instances_*.json`, as far as masks of the chosen classes need it.

    Attributes:
        chosen: annotations of chosen classes by image, in file order.
        used: category ids of these annotations.
    """

    images: list[CocoImage]
    chosen: dict[int, list[CocoAnnotation]]
    categories: list[Category]
    used: set[int]
    synthetic: bool = False


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
        whole = np.zeros(self.rle["size"], np.bool_, "F")
        first, part = self.columns()
        whole[:, first : first + part.shape[1]] = part
        return whole

    def columns(self) -> tuple[int, NDArray[np.bool_]]:
        """The first column that it has pixels in, and its pixels up to its last, bool (H, n)."""
        height, width = self.rle["size"]
        runs = run_lengths(self.rle["counts"])
        if not runs[1::2].any():
            return 0, np.zeros((height, 0), np.bool_)
        before = int(runs[0]) // height
        behind = int(runs[-1]) // height if len(runs) % 2 else 0
        runs[0] -= before * height
        runs[-1] -= behind * height
        drawn = np.repeat(np.arange(len(runs)) % 2 > 0, runs)
        return before, drawn.reshape(width - before - behind, height).T


class CocoSample(msgspec.Struct, frozen=True, gc=False):
    """One COCO image with its annotations of the chosen classes, in file order.

    Attributes:
        of_coco: class id by category id.
    """

    key: str
    source_id: str
    image: Member
    folder: str
    height: int
    width: int
    annotations: Sequence[CocoAnnotation]
    of_coco: Mapping[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels, as the record says."""
        return self.height, self.width

    @property
    def fingerprint(self) -> str:
        """Sizes of the image and a hash of its annotations."""
        digest = hashlib.blake2b(ENCODER.encode(self.annotations), digest_size=16).hexdigest()
        return f"{self.image.size} {self.height}x{self.width} {digest}"

    def regions(self) -> tuple[CocoRegion, ...]:
        """Its objects and crowds, run-length encoded.

        Raises:
            SampleError: an outline is no polygon or run-length mask of this image.
        """
        return tuple(
            CocoRegion(self.of_coco[note.category_id], bool(note.iscrowd), self._rle(note))
            for note in self.annotations
        )

    def load(self) -> Loaded:
        """Read the image and encode the regions."""
        image = read(self.image, self.key)
        files = (SourceFile.of(f"{self.folder}/{self.image.basename}", image),)
        return Loaded(image, self.height, self.width, files, regions=self.regions())

    def _rle(self, annotation: CocoAnnotation) -> Mapping[str, Any]:
        from pycocotools import mask as rasteriser

        try:
            segmentation = msgspec.json.decode(annotation.segmentation)
            problem = outline_problem(segmentation, self.height, self.width)
        except (ValueError, RecursionError) as error:
            problem = "JSON", str(error)
        if problem:
            raise SampleError(
                "an annotation cannot be drawn",
                where=f"annotation {annotation.id} of image {self.source_id} ({self.folder})",
                expected=problem[0],
                found=problem[1],
                advice="correct the annotation file, or leave the sample out with --on-error skip",
            )
        if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
            return segmentation
        encoded = rasteriser.frPyObjects(segmentation, self.height, self.width)
        rle: Mapping[str, Any] = encoded if isinstance(encoded, dict) else rasteriser.merge(encoded)
        return rle


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
        with _no_garbage():
            images = open_archive(_locate(data, year, name, name))
            instances, file = read_instances(annotations, name, classes)
            found[split] = _split(images, instances, file, year, split, classes, policy)
        synthetic |= instances.synthetic
    return Source(f"coco{year}", year, synthetic, found, policy.record())


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Spare the search for unused cycles while hundreds of thousands of records come into being."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _locate(data: Path, year: int, archive: str, folder: str) -> Path:
    kind = "annotations" if folder == "annotations" else "zips"
    return locate(
        data,
        places=["", "coco", f"coco{year}", "COCO", "images", "coco/images"],
        names=[f"{archive}.zip", folder],
        what=f"COCO's {archive}",
        advice=f"fetch it with segdata fetch coco{year} ({DOWNLOADS[archive]}), or put "
        f"{HOST}/{kind}/{archive}.zip there, unpacked or not, or name its folder with --data",
    )


def read_instances(archive: Archive, name: str, classes: ClassSet) -> tuple[Instances, SourceFile]:
    """The index of `instances_<name>.json`, such as train2017, and what was read for it.

    Raises:
        SourceError: the archive lacks it, it is no such file, or it has other categories.
    """
    file = f"instances_{name}.json"
    member = archive[f"annotations/{file}" if f"annotations/{file}" in archive else file]
    parts = member.parts()
    try:
        instances = _index(JsonText(_ahead(iter(parts))), classes)
    except (ValueError, RecursionError, OverflowError) as error:  # ids beyond 64 bits, too
        raise SourceError(
            "an annotation file is not COCO's instances JSON",
            where=member.where,
            expected="images, annotations and categories as COCO documents them",
            found=error,
            advice="restore the official file, or correct your own",
        ) from error
    categories.refuse_other(
        instances.categories, classes.of_coco.keys(), instances.used, member.where
    )
    return instances, SourceFile(f"annotations/{file}", parts.size, parts.crc32)


def _ahead(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same parts, each read and unpacked in a thread while the one before it is used.

    The thread asks for the interpreter after reading, unpacking and summing of each part. At the
    usual interval it would wait for it longer than it works.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(next, parts, None)
            while (part := coming.result()) is not None:
                coming = thread.submit(next, parts, None)
                yield part
    finally:
        sys.setswitchinterval(before)


def _index(text: JsonText, classes: ClassSet) -> Instances:
    """The members of an instances file that masks need.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested too deeply.
    """
    images: list[CocoImage] | None = None
    chosen: list[CocoAnnotation] | None = None
    listed: list[Category] | None = None
    info: Any = None
    for name in text.keys():  # noqa: SIM118 - no dictionary: each key must be read once
        if name == "images":
            images = [image for some in text.records(CocoImage) for image in some]
        elif name == "annotations":
            chosen, of_coco = [], classes.of_coco
            for some in text.records(CocoAnnotation):
                for annotation in some:
                    if annotation.category_id in of_coco:
                        annotation.segmentation = annotation.segmentation.copy()
                        chosen.append(annotation)
        elif name == "categories":
            listed = msgspec.json.decode(text.value(), type=list[Category])
        elif name == "info":
            info = msgspec.json.decode(text.value())
        else:
            text.value()
    if images is None or chosen is None or listed is None:
        lists = {"images": images, "annotations": chosen, "categories": listed}
        lacking = next(name for name, found in lists.items() if found is None)
        raise ValueError(f"it has no list of {lacking}")
    used = {annotation.category_id for annotation in chosen}
    synthetic = isinstance(info, dict) and info.get("synthetic") is True
    return Instances(images, _by_image(chosen), listed, used, synthetic)


def _by_image(annotations: Sequence[CocoAnnotation]) -> dict[int, list[CocoAnnotation]]:
    """Annotations by image, in their order.

    They are sorted once: lists that grow in turns lie all over the memory, and take longer than
    the decoding of the JSON.
    """
    ids = np.fromiter([note.image_id for note in annotations], np.int64, len(annotations))
    order = np.argsort(ids, kind="stable")
    notes = np.empty(len(annotations), object)
    notes[:] = annotations
    grouped: list[CocoAnnotation] = notes[order].tolist()
    begins = [0, *(np.flatnonzero(np.diff(ids[order])) + 1).tolist()] if grouped else []
    bounds = pairwise([*begins, len(grouped)])
    return {grouped[begin].image_id: grouped[begin:end] for begin, end in bounds}


def _split(
    images: Archive,
    instances: Instances,
    file: SourceFile,
    year: int,
    split: str,
    classes: ClassSet,
    policy: LabelPolicy,
) -> Split:
    files = _by_basename(images, f"{split}{year}")
    records = sorted(instances.images, key=lambda record: record.id)
    _refuse_repeated(records, file)
    unknown = instances.chosen.keys() - {image.id for image in records}
    broken = [(str(i), _unknown_image(i, file)) for i in sorted(unknown)]
    samples: list[CocoSample] = []
    left_out: list[tuple[str, str]] = []
    for image in records:
        annotations = instances.chosen.get(image.id, [])
        # rounded once, so that no version of Python's `sum` decides
        area = math.fsum([annotation.area for annotation in annotations])
        objects = sum([not annotation.iscrowd for annotation in annotations])
        reason = policy.rejects_annotations(split, area, objects)
        if reason:
            left_out.append((str(image.id), reason))
        elif image.file_name not in files:
            broken.append((str(image.id), _missing_file(image, images)))
        else:
            samples.append(
                CocoSample(
                    f"coco{year}_{image.id:012d}",
                    str(image.id),
                    files[image.file_name],
                    f"{split}{year}",
                    image.height,
                    image.width,
                    annotations,
                    classes.of_coco,
                )
            )
    return Split(samples, len(records), OFFICIAL[year][split], left_out, broken, [file])


def _refuse_repeated(records: Sequence[CocoImage], file: SourceFile) -> None:
    """Refuse two records of one id among `records`, which are sorted by it."""
    repeated = sorted({a.id for a, b in pairwise(records) if a.id == b.id})
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
    found = {member.basename: member for member in images.members.values()}
    own = f"{folder}/"
    for name, member in images.members.items():
        if name.startswith(own) and "/" not in name[len(own) :]:
            found[member.basename] = member
    return found


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
