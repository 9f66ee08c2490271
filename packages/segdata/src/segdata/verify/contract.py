"""The shards format as types: what each JSON file of a shards directory must hold.

The types follow docs/shards-format.md. They are stated here again, and not taken from the code that
writes the files, so that a change on one side alone is found.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

T = TypeVar("T")
FORMAT = "segdata/1"
KEY = re.compile(r"[A-Za-z0-9_-]+")
KEY_BYTES = 90
MAX_CLASSES = 254  # ids are one byte: 0 is background, 255 ignore
MEMBERS = (".jpg", ".json", ".seg.png")
OBJECT_SIZE_BINS = 21  # powers of two, from 2^0 to 2^20 pixels
VIEW_SAMPLES = 100

Count = Annotated[int, Meta(ge=0)]
Side = Annotated[int, Meta(ge=1)]
Byte = Annotated[int, Meta(ge=0, le=255)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
SplitName = Literal["train", "val"]


class Sample(Struct, frozen=True, forbid_unknown_fields=True):
    """`KEY.json`."""

    key: str
    dataset: str
    split: SplitName
    source_id: str
    source_file: str
    height: Side
    width: Side
    source_height: Side
    source_width: Side
    pixels: list[Count]
    objects: list[Count]
    crowd_pixels: Count

    @property
    def original(self) -> bool:
        """Whether the image is the source's own bytes."""
        same = (self.height, self.width) == (self.source_height, self.source_width)
        return same and self.source_file.lower().endswith((".jpg", ".jpeg"))


class Sidecar(Struct, frozen=True):
    """`SHARD.stats.json`."""

    format: str
    shard: str
    dataset: str
    split: SplitName
    samples: Count
    bytes: Count
    sha256: Sha256
    content_sha256: Sha256
    pixels: list[Count]
    crowd_pixels: Count
    objects: list[Count]
    object_sizes: list[list[Count]]
    images: list[Count]
    left_out: list[tuple[str, str]]
    plan_sha256: Sha256
    made_with: dict[str, Any]
    members: list[tuple[str, Count, Count]]


class Shard(Struct, frozen=True):
    """A shard in the manifest."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+\.tar$")]
    samples: Count
    bytes: Count
    sha256: Sha256
    content_sha256: Sha256


class LeftOut(Struct, frozen=True):
    """The images left out for one reason."""

    count: Count
    ids: list[str]


class Source(Struct, frozen=True):
    """The files that a split was made from, below one folder of the source."""

    name: str
    members: Count
    bytes: Count
    sha256: Sha256


class Split(Struct, frozen=True):
    """A split in the manifest."""

    samples: Count
    available: Count
    official: Count
    complete: bool
    shards: list[Shard]
    pixels: list[Count]
    objects: list[Count]
    images: list[Count]
    left_out: dict[str, LeftOut]
    sources: list[Source]


class HoldOut(Struct, frozen=True):
    """How one of the two views of a hold-out was made."""

    name: str
    part: SplitName
    share: Annotated[float, Meta(gt=0, lt=1)]
    seed: int
    of: str
    datasets: list[str]
    group: str
    duplicates: Count


class View(Struct, frozen=True):
    """A named subset of one physical split."""

    split: SplitName
    official: Count
    keys: list[str]
    holdout: HoldOut | None = None


class Class(Struct, frozen=True):
    """A row of the class table."""

    id: Byte
    name: str
    color: Annotated[list[Byte], Meta(min_length=3, max_length=3)]


class MappedFrom(Struct, frozen=True, omit_defaults=True):
    """The source ids and colours (`#rrggbb`) that become one class."""

    ids: list[Count] | UnsetType = UNSET
    colors: list[Annotated[str, Meta(pattern="^#[0-9a-f]{6}$")]] | UnsetType = UNSET


class Mapped(Struct, frozen=True):
    """What the values of a folder's masks become."""

    background: MappedFrom
    ignore: MappedFrom
    classes: dict[str, MappedFrom]


class LabelRecord(Struct, frozen=True):
    """How pixels were labelled; `mapping` where the policy is `folder`."""

    policy: str
    version: int
    min_area: float
    void_border: Count
    mapping: Mapped | UnsetType = UNSET


class FolderOptions(Struct, frozen=True):
    """How a folder's images and masks were paired and divided."""

    masks_as: Literal["auto", "index", "color"]
    image_suffix: str
    mask_suffix: str
    split: Literal["folders", "given", "list", "share"]
    val_share: float
    group: str


class Options(Struct, frozen=True):
    """The options of a build that decide its bytes; `folder` where it read a folder."""

    year: int
    protocol: str
    size: Count
    val_size: Count
    quality: Annotated[int, Meta(ge=1, le=100)]
    resampling: Literal["bilinear", "opencv-area"]
    shard_samples: Count
    shard_bytes: Count
    limit: Count
    folder: FolderOptions | UnsetType = UNSET


class Manifest(Struct, frozen=True):
    """`<dataset>.json`."""

    format: str
    dataset: str
    synthetic: bool
    classes: Annotated[list[Class], Meta(min_length=2, max_length=MAX_CLASSES + 1)]
    ignore_index: int
    labels: LabelRecord
    options: Options
    seed: int
    versions: dict[str, str]
    splits: dict[SplitName, Split]
    views: dict[str, View]
    complete: bool

    @property
    def class_count(self) -> int:
        """C, the number of classes without background."""
        return len(self.classes) - 1

    @property
    def key_prefix(self) -> str:
        """What every key of the data set begins with.

        VOC 2007's images are part of VOC 2012 as `2007_NNNNNN` and have those keys in both.
        """
        return "voc2012_2007_" if self.dataset == "voc2007" else f"{self.dataset}_"

    def size(self, split: str) -> int:
        """The longest side of a split's images in pixels, 0 for native."""
        return self.options.val_size if split == "val" else self.options.size


def key_endings(source_id: str) -> set[str]:
    """What a key may end with after the data set's name, by the id in the source.

    The id itself; COCO's are numbers, padded to twelve digits; in a folder's `_` stands for a slash
    and `-` for any other character that keys lack.
    """
    letters = ("_" if c == "/" else c if KEY.fullmatch(c) else "-" for c in source_id)
    return {source_id, source_id.zfill(12), "".join(letters)}


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: it is no JSON, lacks a field, or a field has another type.
    """
    manifest = _decoded(data, Manifest)
    if manifest.labels.policy == "folder":
        _check_folder(manifest)
    return manifest


def _check_folder(manifest: Manifest) -> None:
    mapping, options = manifest.labels.mapping, manifest.options.folder
    if not isinstance(mapping, Mapped) or not isinstance(options, FolderOptions):
        raise ValueError("labels.mapping or options.folder is missing")  # noqa: TRY004 - a field
    names = {row.name for row in manifest.classes[1:]}
    if mapping.classes.keys() != names:
        raise ValueError("labels.mapping names other classes than `classes`")
    try:
        re.compile(options.group)
    except re.error as error:
        raise ValueError(f"options.folder.group: {error}") from error


def parse_sidecar(data: bytes) -> Sidecar:
    """Read a sidecar.

    Raises:
        ValueError: it is no JSON, lacks a field, or a field has another type.
    """
    return _decoded(data, Sidecar)


def parse_sample(data: bytes) -> Sample:
    """Read a sample's facts; the schema is closed and the fields are sorted.

    Raises:
        ValueError: it is no JSON, or its fields or their types are others.
    """
    sample = _decoded(data, Sample)
    names = _names_in_order(data)
    if names != sorted(set(names)):
        raise ValueError(f"its fields are not sorted, each once: {', '.join(names)}")
    return sample


def _names_in_order(data: bytes) -> list[str]:
    pairs: list[tuple[str, Any]] = json.loads(data, object_pairs_hook=lambda found: found)
    return [name for name, _ in pairs]


def parse_object(data: bytes) -> Mapping[str, Any]:
    """Read any JSON object.

    Raises:
        ValueError: it is no JSON, or no object.
    """
    return _decoded(data, dict[str, Any])


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise ValueError(f"it is nested too deeply: {error}") from error
