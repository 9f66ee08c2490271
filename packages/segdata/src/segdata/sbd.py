"""SBD, the Semantic Boundaries Dataset: its archive or folder as a source of images and masks.

Layout and file names are those of `benchmark.tgz`: below `benchmark_RELEASE/dataset/` the images
`img/ID.jpg`, the masks `cls/ID.mat` (a struct `GTcls` whose `Segmentation` holds VOC's ids 0..20,
without void) and the lists `train.txt` and `val.txt`. All of its images are VOC 2011's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdata import matlab
from segdata.archive import BROKEN, Archive, Member, open_archive
from segdata.classes import VOC_NAMES, ClassSet
from segdata.errors import SampleError, SourceError
from segdata.samples import Drawn, Loaded, SourceFile, listed_files, read

ROOT = "benchmark_RELEASE/dataset"
ROOTS = (f"{ROOT}/", "dataset/", "")  # where the lists may lie in an archive or a folder
ARCHIVES = ("benchmark.tgz", "benchmark.tar", "benchmark.zip")
PLACES = ("", "sbd", "SBD", "voc", "VOC")  # below --data
LISTS = ("train.txt", "val.txt")
MARKER = "SYNTHETIC.txt"  # generated archives hold it beside the lists
ADDRESS = (
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    "benchmark.tgz (1.4 GB)"
)
RESTORE = "restore the official file, or leave the sample out with --on-error skip"


@dataclass(frozen=True, slots=True)
class SbdSample(Drawn):
    """One SBD image and its mask.

    Attributes:
        table: 256 bytes, our class id for each id of VOC's.
    """

    key: str
    source_id: str
    image: Member
    mask: Member
    table: bytes

    @property
    def fingerprint(self) -> str:
        """Names and sizes of both files; SBD's own mask is another than VOC's."""
        return f"sbd {self.source_id} {self.image.size} {self.mask.size}"

    def load(self) -> Loaded:
        """Read the image and the mask, ids checked and translated."""
        image, mat = read(self.image, self.key), read(self.mask, self.key)
        ids = class_ids(mat, self.mask.where)
        files = (
            SourceFile.of(f"{ROOT}/img/{self.image.basename}", image),
            SourceFile.of(f"{ROOT}/cls/{self.mask.basename}", mat),
        )
        mask = np.frombuffer(self.table, np.uint8)[ids]
        return Loaded(image, ids.shape[0], ids.shape[1], files, mask=mask)


def class_ids(mat: bytes, where: str) -> NDArray[np.uint8]:
    """The ids of a `cls/ID.mat`, uint8 (H, W), 0..20.

    Raises:
        SampleError: it cannot be read, holds no such mask, or other ids.
    """
    try:
        ids = _segmentation(mat, where)
    except ValueError as error:
        raise SampleError(
            "a .mat file is broken",
            where=where,
            expected="a MAT 5 file, as SBD's are",
            found=error,
            advice=RESTORE,
        ) from error
    wrong = (ids < 0) | (ids > len(VOC_NAMES))
    if wrong.any():
        y, x = (int(v[0]) for v in np.nonzero(wrong))
        raise SampleError(
            "a mask holds an id that SBD does not have",
            where=f"{where}, pixel x={x} y={y}",
            expected="0..20",
            found=f"{ids[y, x]} ({int(wrong.sum()):,} such pixels)",
            advice=RESTORE,
        )
    return np.ascontiguousarray(ids, np.uint8)


def _segmentation(mat: bytes, where: str) -> NDArray[np.integer]:
    """`GTcls.Segmentation` of a MAT 5 file."""
    found = matlab.variables(mat)
    fields = found["GTcls"].fields() if "GTcls" in found else {}
    if "Segmentation" not in fields:
        raise SampleError(
            "a .mat file holds no class mask",
            where=where,
            expected="a struct GTcls with the field Segmentation",
            found=f"{', '.join(found) or 'nothing'}; in GTcls {', '.join(fields) or 'nothing'}",
            advice=f"{RESTORE}; masks of single objects, SBD's `inst`, do not serve",
        )
    ids = fields["Segmentation"].whole_numbers()
    if ids is None or ids.ndim != 2 or not ids.size:
        raise SampleError(
            "a .mat file's Segmentation is no index mask",
            where=where,
            expected="a matrix of whole numbers",
            found=f"one of class {fields['Segmentation'].kind}, {fields['Segmentation'].shape}",
            advice=RESTORE,
        )
    return ids


@dataclass(frozen=True)
class SbdTree:
    """SBD, opened.

    Attributes:
        archive: its files.
        root: the folder of the lists in it, "" or ending in "/".
        train: ids of its own train list, each once.
        val: likewise.
    """

    archive: Archive
    root: str
    train: Sequence[str]
    val: Sequence[str]

    @property
    def synthetic(self) -> bool:
        """Whether it is generated."""
        return self.root + MARKER in self.archive

    def sample(self, source_id: str, classes: ClassSet) -> SbdSample:
        """One listed image with SBD's mask.

        Raises:
            SampleError: a file of it is missing, or its id makes no key.
        """
        image, mask = listed_files(
            self.archive,
            source_id,
            f"{self.root}img/{source_id}.jpg",
            f"{self.root}cls/{source_id}.mat",
        )
        table = classes.of_voc.tobytes()
        return SbdSample(f"voc2012_{source_id}", source_id, image, mask, table)


def open_sbd(path: Path) -> SbdTree:
    """Open `benchmark.tgz`, another archive of the same content, or a folder of it.

    Args:
        path: the archive; or the folder that it unpacks to, its parent, or one of the folders in
            it down to that of the lists; or a folder that holds `benchmark.tgz`.

    Raises:
        SourceError: it is none of these, or not whole.
    """
    archive = open_archive(_located(path))
    for root in ROOTS:
        if all(root + name in archive for name in LISTS):
            train, val = (_listed(archive, root + name) for name in LISTS)
            return SbdTree(archive, root, train, val)
    raise SourceError(
        "this is not SBD in its official layout",
        where=archive.path,
        expected=" and ".join(f"{ROOT}/{name}" for name in LISTS),
        found=f"{len(archive.members):,} files without them",
        advice=BROKEN,
    )


def find_sbd(data: Path) -> Path | None:
    """SBD's archive or folder below a data folder, None if there is none."""
    names = (*ARCHIVES, ROOT.partition("/")[0])
    paths = (data / place / name for place in PLACES for name in names)
    return next((path for path in paths if path.exists()), None)


def _located(path: Path) -> Path:
    """The archive, or the innermost folder that holds the lists."""
    if path.is_file():
        return path
    for root in ROOTS:
        if all((path / root / name).is_file() for name in LISTS):
            return path / root
    found = find_sbd(path)
    if found is None or not found.is_file():
        raise SourceError(
            "SBD was not found",
            where=path,
            expected=f"{ARCHIVES[0]}, or a folder with {ROOT}/{LISTS[0]}",
            found="neither" if path.exists() else "no such file or folder",
            advice=f"fetch it with segdata fetch sbd, or from {ADDRESS}, and name it, or the "
            "folder that it unpacks to, with --sbd",
        )
    return found


def _listed(archive: Archive, name: str) -> list[str]:
    return list(dict.fromkeys(archive[name].read().decode("utf-8-sig", "replace").split()))
