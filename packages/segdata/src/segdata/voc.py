"""PASCAL VOC: its archives or folders as a source of images and index masks.

Layout and file names are those of the development kit: `JPEGImages/ID.jpg`,
`SegmentationClass/ID.png` (palette PNGs whose indices are the ids 0..20, 255 the void border),
`ImageSets/Segmentation/{train,val}.txt`.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segdata.archive import Archive, Member, locate, open_archive
from segdata.classes import VOC_NAMES, ClassSet
from segdata.errors import SampleError, SourceError
from segdata.images import UNDECODABLE
from segdata.labels import IGNORE
from segdata.samples import (
    Drawn,
    Loaded,
    Source,
    SourceFile,
    Split,
    View,
    gather,
    listed_files,
    read,
)

ARCHIVES = {2012: "VOCtrainval_11-May-2012.tar", 2007: "VOCtrainval_06-Nov-2007.tar"}
SEG11VALID = 736  # images of the FCN papers' validation split
OFFICIAL = {2012: {"train": 1464, "val": 1449}, 2007: {"train": 209, "val": 213}}
SIZES = {2012: "2.0 GB", 2007: "0.46 GB"}
LIST = "ImageSets/Segmentation/{}.txt"
SAME = bytes(range(len(VOC_NAMES) + 1))  # where a table begins with it, ids stay what they are
DEPTH = 24  # place of a PNG's bits a channel, in its first chunk
RESTORE = "restore the official mask, or leave the sample out with --on-error skip"
MARKER = "SYNTHETIC.txt"  # generated archives hold it beside JPEGImages


@dataclass(frozen=True, slots=True)
class VocSample(Drawn):
    """One VOC image and its mask.

    Attributes:
        table: 256 bytes, our class id for each id of VOC's.
    """

    key: str
    source_id: str
    image: Member
    mask: Member
    root: str
    table: bytes

    @property
    def fingerprint(self) -> str:
        """Names and sizes of both files."""
        return f"{self.source_id} {self.image.size} {self.mask.size}"

    def load(self) -> Loaded:
        """Read the image and the mask, ids checked and translated."""
        image, png = read(self.image, self.key), read(self.mask, self.key)
        ids = self._decoded(png)
        files = (
            SourceFile.of(f"{self.root}/JPEGImages/{self.image.basename}", image),
            SourceFile.of(f"{self.root}/SegmentationClass/{self.mask.basename}", png),
        )
        same = self.table[: len(SAME)] == SAME and self.table[IGNORE] == IGNORE
        mask = ids if same else np.frombuffer(self.table, np.uint8)[ids]
        return Loaded(image, ids.shape[0], ids.shape[1], files, mask=mask)

    def _decoded(self, png: bytes) -> NDArray[np.uint8]:
        """VOC's ids, uint8 (H, W)."""
        try:
            with Image.open(io.BytesIO(png)) as opened:
                opened.load()
                kind, mode, ids = opened.format, opened.mode, np.asarray(opened)
        except UnidentifiedImageError:
            raise SampleError(
                "a mask is no image",
                where=self.mask.where,
                expected="a PNG",
                found=f"a file that begins with {png[:16]!r}",
                advice=RESTORE,
            ) from None
        except UNDECODABLE as error:
            raise SampleError(
                "a mask does not decode",
                where=self.mask.where,
                expected="a PNG",
                found=error,
                advice=RESTORE,
            ) from error
        if mode not in ("P", "L"):
            raise SampleError(
                "a mask holds colours, not ids",
                where=self.mask.where,
                expected="a palette or greyscale PNG of 8 bits whose values are ids",
                found=f"mode {mode}",
                advice=f"{RESTORE}; masks of your own are for segdata build-folder",
            )
        # Decoders spread grey values of fewer bits over 0..255: an id of 1 would come as 17.
        if mode == "L" and (kind, png[DEPTH]) != ("PNG", 8):
            raise SampleError(
                "a greyscale mask is no PNG of 8 bits, so its values are not the ids",
                where=self.mask.where,
                expected="a palette PNG, or a greyscale one of 8 bits",
                found=f"{png[DEPTH]} bits" if kind == "PNG" else f"a {kind}",
                advice=RESTORE,
            )
        if (ids + np.uint8(1)).max() > len(SAME):  # 255 becomes 0
            wrong = (ids > len(VOC_NAMES)) & (ids != IGNORE)
            y, x = (int(v[0]) for v in np.nonzero(wrong))
            raise SampleError(
                "a mask holds an id that VOC does not have",
                where=f"{self.mask.where}, pixel x={x} y={y}",
                expected="0..20, or 255 for void",
                found=f"{ids[y, x]} ({int(wrong.sum()):,} such pixels)",
                advice=RESTORE,
            )
        return ids


@dataclass(frozen=True)
class VocTree:
    """One year of VOC, opened.

    Attributes:
        archive: its files.
        root: the path of `VOC<year>` in it, "" or ending in "/".
        year: 2012 or 2007.
        train: ids of its own segmentation list, each once, as they are part of keys.
        val: likewise.
    """

    archive: Archive
    root: str
    year: int
    train: Sequence[str]
    val: Sequence[str]

    @property
    def synthetic(self) -> bool:
        """Whether it is generated."""
        return self.root + MARKER in self.archive

    def sample(self, source_id: str, classes: ClassSet) -> VocSample:
        """One listed image with VOC's mask.

        Raises:
            SampleError: a file of it is missing, or its id makes no key.
        """
        name = source_id.removeprefix(_prefix(self.year))
        image, mask = listed_files(
            self.archive,
            source_id,
            f"{self.root}JPEGImages/{name}.jpg",
            f"{self.root}SegmentationClass/{name}.png",
        )
        table = classes.of_voc.tobytes()
        return VocSample(key_of(source_id), source_id, image, mask, f"VOC{self.year}", table)


def key_of(source_id: str) -> str:
    """The key of an image of VOC's, whichever year or data set it comes with."""
    return f"voc2012_{source_id}"


def _prefix(year: int) -> str:
    """What an id of a year lacks: VOC 2012 lists 2007's images as 2007_NNNNNN."""
    return "" if year == 2012 else f"{year}_"


def open_voc(data: Path, year: int, classes: ClassSet, splits: Sequence[str]) -> Source:
    """VOC's own train and val.

    Raises:
        SourceError: nothing there, or not whole.
    """
    return alone(open_tree(data, year), classes, splits)


def alone(tree: VocTree, classes: ClassSet, splits: Sequence[str]) -> Source:
    """A year's own splits."""
    year, listed = tree.year, {"train": tree.train, "val": tree.val}
    found = {}
    for split in splits:
        samples, broken = gather(listed[split], partial(tree.sample, classes=classes))
        found[split] = Split(samples, len(listed[split]), OFFICIAL[year][split], broken=broken)
    return Source(
        dataset=f"voc{year}",
        year=year,
        synthetic=tree.synthetic,
        splits=found,
        labels={"policy": "voc", "version": 1, "min_area": 0, "void_border": 0},
        notes=notes(classes),
        protocol="voc",
        views=own_views(tree) if year == 2012 else (),
    )


def open_tree(data: Path, year: int) -> VocTree:
    """Find VOC below `data` and read its lists.

    VOC 2007's images are part of VOC 2012 under ids `2007_NNNNNN`, so they have those ids here.

    Raises:
        SourceError: nothing there, a list is missing, or both name one image.
    """
    archive, root = _open(data, year)
    lists = {}
    for split in ("train", "val"):
        text = archive[root + LIST.format(split)].read().decode("utf-8-sig", "replace")
        lists[split] = [_prefix(year) + name for name in dict.fromkeys(text.split())]
    shared = sorted(set(lists["train"]) & set(lists["val"]))
    if shared:
        raise SourceError(
            "the lists name an image for both train and val",
            where=archive.path,
            expected="lists without common ids",
            found=f"{shared[0]} ({len(shared):,} such ids)",
            advice="restore the official lists",
        )
    return VocTree(archive, root, year, lists["train"], lists["val"])


def own_views(tree: VocTree) -> list[View]:
    """VOC 2012's own lists and the part of its val that the FCN papers judge on, as views."""
    train, val = OFFICIAL[2012]["train"], OFFICIAL[2012]["val"]
    return [
        View("voc-train", "train", train, keys_of(tree.train)),
        View("voc-val", "val", val, keys_of(tree.val)),
        View("seg11valid", "val", SEG11VALID, keys_of(seg11valid())),
    ]


def keys_of(ids: Iterable[str]) -> frozenset[str]:
    """Their keys."""
    return frozenset(key_of(source_id) for source_id in ids)


def seg11valid() -> list[str]:
    """Ids of the FCN papers' validation split: VOC 2011's val less SBD's train."""
    path = resources.files("segdata") / "lists" / "seg11valid.txt"
    return path.read_text("ascii").split()


def notes(classes: ClassSet) -> list[str]:
    """What to tell about the chosen classes."""
    missing = classes.unknown_to_voc
    note = f"VOC has no labels for {', '.join(missing)}: where it shows them they are background"
    return [note] if missing else []


def _open(data: Path, year: int) -> tuple[Archive, str]:
    """The archive or folder, and the path of `VOC<year>` in it ("" or ending in "/")."""
    name = ARCHIVES[year]
    address = f"http://host.robots.ox.ac.uk/pascal/VOC/voc{year}/{name}"
    path = locate(
        data,
        places=["", "voc", f"voc{year}", "VOC"],
        names=[name, f"VOCdevkit/VOC{year}", f"VOC{year}"],
        what=f"VOC {year}",
        advice=f"fetch it with segdata fetch voc{year} ({SIZES[year]}), or put {address} there, "
        "unpacked or not, or name its folder with --data",
    )
    archive = open_archive(path)
    for root in (f"VOCdevkit/VOC{year}/", f"VOC{year}/", ""):
        if any(root + LIST.format(split) in archive for split in ("train", "val")):
            return archive, root
    raise SourceError(
        f"this is not VOC {year} in its official layout",
        where=path,
        expected=f"VOCdevkit/VOC{year}/{LIST.format('train')}",
        found=f"{len(archive.members):,} files without it",
        advice=f"take {name} as it is, or the folder VOCdevkit that it unpacks to",
    )
