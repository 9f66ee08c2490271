"""Folders as a source: anybody's images with index or colour masks, in folders or archives.

Which mask belongs to which image is a matter of names (`pairs`), which split they belong to of the
division, and what the mask's values mean of the label map.
"""

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from segdata.archive import Member
from segdata.division import Division, SplitRule
from segdata.errors import SampleError, SourceError, UsageError
from segdata.images import UNDECODABLE, BrokenImageError, is_jpeg_name, measure
from segdata.labelmap import LabelMap
from segdata.maskfiles import MasksAs, read_mask
from segdata.pairs import Pair, Pairing, find_pairs, refuse_unpaired
from segdata.samples import Drawn, Loaded, Source, SourceFile, Split, read

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
NAME_LENGTH = 40
OFFICIAL = ("voc", "coco", "sbd")  # names that begin so are those of the official data sets
KEY_BYTES = 90
ORIENTATION = 0x0112  # EXIF
TURNED = (5, 6, 7, 8)  # orientations that swap height and width


@dataclass(frozen=True, slots=True)
class FolderSample(Drawn):
    """One image and its mask.

    Attributes:
        names: of the image and the mask below their roots.
    """

    key: str
    source_id: str
    image: Member
    mask: Member
    names: tuple[str, str]
    label_map: LabelMap
    masks_as: MasksAs

    @property
    def fingerprint(self) -> str:
        """Names and sizes of both files."""
        return f"{self.names[0]} {self.image.size} {self.names[1]} {self.mask.size}"

    def load(self) -> Loaded:
        """Read the image and the mask, its values checked and translated."""
        image, drawn = read(self.image, self.key), read(self.mask, self.key)
        mask = read_mask(drawn, self.mask, self.label_map, self.masks_as)
        height, width = mask.shape
        self._check_size(image, height, width)
        files = (
            SourceFile.of(f"images/{self.names[0]}", image),
            SourceFile.of(f"masks/{self.names[1]}", drawn),
        )
        return Loaded(image, height, width, files, mask=mask)

    def _check_size(self, image: bytes, height: int, width: int) -> None:
        try:
            found = measure(self.image.basename, image)
        except BrokenImageError as error:
            renamed = _renamed(image) if is_jpeg_name(self.image.basename) else None
            raise SampleError(
                "an image is not what its name says" if renamed else "an image is damaged",
                where=self.image.where,
                expected="a whole JPEG" if is_jpeg_name(self.image.basename) else "an image",
                found=renamed or error,
                advice="rename it by its kind"
                if renamed
                else "restore the file, or leave it out with --on-error skip",
            ) from error
        if found == (height, width):
            return
        turned = found == (width, height) and _orientation(image) in TURNED
        raise SampleError(
            "an image has the size of its mask only after its EXIF orientation is applied"
            if turned
            else "an image has another size than its mask",
            where=f"{self.image.where}, mask {self.mask.where}",
            expected=f"{width}x{height}, as the mask",
            found=f"{found[1]}x{found[0]}"
            + (f" as stored, EXIF orientation {_orientation(image)}" if turned else ""),
            advice="masks are laid on the pixels as stored: turn the image's pixels and drop the "
            "tag (exiftran -a, jpegtran), or turn the mask"
            if turned
            else "restore the pair, or leave it out with --on-error skip",
        )


def _renamed(image: bytes) -> str | None:
    """What kind of image it is, where it is one."""
    try:
        with Image.open(io.BytesIO(image)) as opened:
            return None if opened.format in ("JPEG", "MPO") else f"a {opened.format}"
    except UNDECODABLE:
        return None


def _orientation(image: bytes) -> int:
    """As its EXIF says, 1 where it says nothing that can be read."""
    with suppress(*UNDECODABLE), Image.open(io.BytesIO(image)) as opened:
        return int(opened.getexif().get(ORIENTATION, 1))
    return 1


def data_set_name(images: Path, masks: Path, given: str | None) -> tuple[str, list[str]]:
    """The data set's name, and what to tell of it: the given one, or that of the common folder.

    Raises:
        UsageError: it cannot be part of file names and keys, or is an official data set's.
    """
    name, notes = given, []
    if given is None:
        common = [p for p in images.resolve().parents if p in masks.resolve().parents]
        name = re.sub(r"[^a-z0-9]+", "-", common[0].name.lower()).strip("-") if common else ""
        notes = [f"the data set is called {name}, as its folder; --name gives it another"]
    assert name is not None  # noqa: S101 - given, or just made
    official = name.startswith(OFFICIAL) or name == "info"
    splits = {"train", "val"} & {*name.split("-")}  # parts of the names of shards
    if official or splits or not NAME.fullmatch(name) or len(name) > NAME_LENGTH:
        raise UsageError(
            f"{name!r} cannot be the data set's name"
            + (", for that is an official one's" if official else ""),
            expected=f"lower-case letters, digits and single hyphens, at most {NAME_LENGTH}, no "
            f"part `train` or `val`, not beginning with {', '.join(OFFICIAL)}",
            advice="choose one with --name",
        )
    return name, notes


def key_of(name: str, source_id: str) -> str:
    """The key of an id: folders become `_`, every other character that keys lack `-`."""
    return f"{name}_{re.sub(r'[^A-Za-z0-9_-]', '-', source_id.replace('/', '_'))}"


def open_folder(
    images: Path,
    masks: Path,
    *,
    label_map: LabelMap,
    rule: SplitRule,
    name: str | None = None,
    masks_as: MasksAs = "auto",
    suffixes: tuple[str | None, str | None] = (None, None),
    skip_unpaired: bool = False,
) -> Source:
    """Pair the images and masks below two folders or archives and list them by split.

    Raises:
        SourceError: they do not pair, two get one key, or nothing is there.
        UsageError: name or split cannot be.
    """
    dataset, notes = data_set_name(images, masks, name)
    pairing = find_pairs(images, masks, *suffixes)
    if not skip_unpaired or not pairing.pairs:
        refuse_unpaired(pairing, images, masks)
    _refuse_shared_keys(dataset, pairing, images)
    division = Division(pairing, rule)
    splits = {
        split: _split(dataset, split, division, label_map, masks_as) for split in division.splits
    }
    options = {
        "masks_as": masks_as,
        "image_suffix": pairing.image_suffix,
        "mask_suffix": pairing.mask_suffix,
        **division.record,
    }
    return Source(
        dataset=dataset,
        year=0,
        synthetic=False,
        splits=splits,
        labels={
            "policy": "folder",
            "version": 1,
            "min_area": 0,
            "void_border": 0,
            "mapping": label_map.record(),
        },
        notes=[*notes, *pairing.notes, *division.notes],
        options={"folder": options},
    )


def _refuse_shared_keys(dataset: str, pairing: Pairing, images: Path) -> None:
    seen: dict[str, Pair] = {}
    for pair in pairing.pairs:
        key = key_of(dataset, pair.id)
        other = seen.setdefault(key, pair)
        if other is not pair:
            raise SourceError(
                "two images get the same key",
                where=images,
                expected="names that differ in letters, digits, _ or -",
                found=f"{other.image.name} and {pair.image.name}, both {key}",
                advice="rename one of them and its mask",
            )


def _split(
    dataset: str, split: str, division: Division, label_map: LabelMap, masks_as: MasksAs
) -> Split:
    pairing = division.pairing
    samples: list[FolderSample] = []
    broken: list[tuple[str, SampleError]] = []
    for pair in pairing.pairs:
        if division.split_of(pair.id) != split:
            continue
        key = key_of(dataset, pair.id)
        if len(key) > KEY_BYTES:
            broken.append((pair.id, _too_long(pair, key)))
            continue
        names = (pair.image.name, pair.mask.name)
        samples.append(
            FolderSample(
                key, pair.id, pair.image.member, pair.mask.member, names, label_map, masks_as
            )
        )
    lone = [i for i in pairing.without_mask if division.split_of(i) == split]
    left_out = [(i, "no mask") for i in lone]
    left_out += [(i, "no image") for i in pairing.without_image if division.split_of(i) == split]
    available = len(samples) + len(broken) + len(lone)
    return Split(samples, available, available, left_out=left_out, broken=broken)


def _too_long(pair: Pair, key: str) -> SampleError:
    return SampleError(
        "an image's key is too long",
        where=pair.image.member.where,
        expected=f"at most {KEY_BYTES} bytes",
        found=f"{len(key)}: {key}",
        advice="shorten folder or file names, or --name; --on-error skip leaves such images out",
    )
