"""PASCAL VOC: its archives or folders as a source of images and index masks.

Layout and file names are those of the development kit: `JPEGImages/ID.jpg`,
`SegmentationClass/ID.png` (palette PNGs whose indices are the ids 0..20, 255 the void border),
`ImageSets/Segmentation/{train,val}.txt`.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segdata.archive import Archive, Member, locate, open_archive
from segdata.classes import VOC_NAMES, ClassSet
from segdata.errors import SampleError, SourceError
from segdata.labels import IGNORE, Region
from segdata.samples import Loaded, Source, SourceFile, Split, read

ARCHIVES = {2012: "VOCtrainval_11-May-2012.tar", 2007: "VOCtrainval_06-Nov-2007.tar"}
OFFICIAL = {2012: {"train": 1464, "val": 1449}, 2007: {"train": 209, "val": 213}}
SIZES = {2012: "2.0 GB", 2007: "0.46 GB"}
LIST = "ImageSets/Segmentation/{}.txt"
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")  # what may follow the data set's name in a key
MARKER = "SYNTHETIC.txt"  # generated archives hold it beside JPEGImages


@dataclass(frozen=True, slots=True)
class VocSample:
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
    def shape(self) -> tuple[int, int]:
        """Unknown until the mask is read."""
        return 0, 0

    @property
    def fingerprint(self) -> str:
        """Names and sizes of both files."""
        return f"{self.source_id} {self.image.size} {self.mask.size}"

    def regions(self) -> tuple[Region, ...]:
        """None: VOC holds masks."""
        return ()

    def load(self) -> Loaded:
        """Read the image and the mask, ids checked and translated."""
        image, png = read(self.image, self.key), read(self.mask, self.key)
        ids = self._decoded(png)
        files = (
            SourceFile.of(f"{self.root}/JPEGImages/{self.image.basename}", image),
            SourceFile.of(f"{self.root}/SegmentationClass/{self.mask.basename}", png),
        )
        mask = np.frombuffer(self.table, np.uint8)[ids]
        return Loaded(image, ids.shape[0], ids.shape[1], files, mask=mask)

    def _decoded(self, png: bytes) -> NDArray[np.uint8]:
        """VOC's ids, uint8 (H, W)."""
        try:
            with Image.open(io.BytesIO(png)) as opened:
                opened.load()
                mode, ids = opened.mode, np.asarray(opened)
        except UnidentifiedImageError:
            raise SampleError(
                "a mask is no image",
                where=self.mask.where,
                expected="a PNG",
                found=f"a file that begins with {png[:16]!r}",
                advice="restore the official mask, or leave it out with --on-error skip",
            ) from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise SampleError(
                "a mask does not decode", where=self.mask.where, found=error
            ) from error
        if mode not in ("P", "L"):
            raise SampleError(
                "a mask holds colours, not class ids",
                where=self.mask.where,
                expected="a palette or greyscale PNG of 8 bits whose values are ids",
                found=f"mode {mode}",
            )
        wrong = (ids > len(VOC_NAMES)) & (ids != IGNORE)
        if wrong.any():
            y, x = (int(v[0]) for v in np.nonzero(wrong))
            raise SampleError(
                "a mask holds an id that VOC does not have",
                where=f"{self.mask.where}, pixel x={x} y={y}",
                expected="0..20, or 255 for void",
                found=f"{ids[y, x]} ({int(wrong.sum()):,} such pixels)",
                advice="restore the official mask, or leave the sample out with --on-error skip",
            )
        return np.array(ids, np.uint8)


def open_voc(data: Path, year: int, classes: ClassSet, splits: Sequence[str]) -> Source:
    """Find VOC below `data` and list its samples.

    VOC 2007's images are part of VOC 2012 under ids `2007_NNNNNN`, so they have those keys.

    Raises:
        SourceError: nothing there, or not whole.
    """
    archive, root = _open(data, year)
    found = {split: _split(archive, root, year, split, classes) for split in splits}
    _refuse_shared_ids(archive, found)
    missing = classes.unknown_to_voc
    note = f"VOC has no labels for {', '.join(missing)}: where it shows them they are background"
    return Source(
        dataset=f"voc{year}",
        year=year,
        synthetic=f"{root}{MARKER}" in archive,
        splits=found,
        labels={"policy": "voc", "version": 1, "min_area": 0, "void_border": 0},
        notes=[note] if missing else [],
        protocol="voc",
    )


def _open(data: Path, year: int) -> tuple[Archive, str]:
    """The archive or folder, and the path of `VOC<year>` in it ("" or ending in "/")."""
    name = ARCHIVES[year]
    address = f"http://host.robots.ox.ac.uk/pascal/VOC/voc{year}/{name}"
    path = locate(
        data,
        places=["", "voc", f"voc{year}", "VOC"],
        names=[name, f"VOCdevkit/VOC{year}", f"VOC{year}"],
        what=f"VOC {year}",
        advice=f"put {address} ({SIZES[year]}) there, unpacked or not, or name its folder "
        "with --data",
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
    )


def _refuse_shared_ids(archive: Archive, splits: Mapping[str, Split]) -> None:
    ids = [{sample.source_id for sample in split.samples} for split in splits.values()]
    shared = sorted(set.intersection(*ids)) if len(ids) > 1 else []
    if shared:
        raise SourceError(
            "the lists name an image for both train and val",
            where=archive.path,
            expected="lists without common ids",
            found=f"{shared[0]} ({len(shared):,} such ids)",
            advice="restore the official lists",
        )


def _split(archive: Archive, root: str, year: int, split: str, classes: ClassSet) -> Split:
    text = archive[root + LIST.format(split)].read().decode("utf-8-sig", "replace")
    listed = list(dict.fromkeys(text.split()))
    samples, broken = [], []
    for name in listed:
        # VOC 2012 lists 2007's images as 2007_NNNNNN; one image has one key in both.
        source_id = name if year == 2012 else f"{year}_{name}"
        if not KEY_ID.fullmatch(source_id):
            broken.append((source_id, _not_a_key(archive, split, name)))
            continue
        paths = f"{root}JPEGImages/{name}.jpg", f"{root}SegmentationClass/{name}.png"
        absent = [path for path in paths if path not in archive]
        if absent:
            error = SampleError(
                "a list names an image whose files are missing",
                where=archive.path,
                expected=" and ".join(absent),
                found="no such member",
                advice="complete the source, or leave such samples out with --on-error skip",
            )
            broken.append((source_id, error))
            continue
        image, mask = (archive[path] for path in paths)
        table = classes.of_voc.tobytes()
        samples.append(
            VocSample(f"voc2012_{source_id}", source_id, image, mask, f"VOC{year}", table)
        )
    return Split(samples, len(listed), OFFICIAL[year][split], broken=broken)


def _not_a_key(archive: Archive, split: str, name: str) -> SampleError:
    return SampleError(
        "a list names an id that cannot be part of a key",
        where=f"{archive.path}, {LIST.format(split)}",
        expected="letters, digits, _ and -, at most 80 of them",
        found=repr(name),
        advice="rename it in the list and its files, or leave it out with --on-error skip",
    )
