"""SBD's archive, read a second time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdata.archive import Archive, Member, open_archive
from segdata.errors import SourceError
from segdata.verify.labels import Labelled, Labels, Region
from segdata.verify.matlab import load_mat
from segdata.verify.records import SourceFile, describe

FOLDER = "benchmark_RELEASE/dataset"
PLACES = ("", "sbd", "SBD", "voc", "VOC")
CLASSES = 20  # the ids are VOC's; there is no void


@dataclass(frozen=True)
class SbdRecord:
    """An image of SBD with its class mask.

    Attributes:
        table: 256 bytes, the class id of each of VOC's ids.
    """

    source_id: str
    image: Member | None
    mask: Member | None
    table: bytes

    @property
    def areas(self) -> Sequence[tuple[int, bool, float]]:
        """None: SBD's class masks label pixels, not objects."""
        return ()

    def labelled(self, labels: Labels) -> tuple[Labelled, list[Region]]:
        """SBD's mask in the ids of the chosen classes."""
        del labels  # a mask leaves nothing to decide
        if self.mask is None:
            raise ValueError("the source lacks its mask")
        ids = _ids(self.mask.read())
        mask = np.frombuffer(self.table, dtype=np.uint8)[ids]
        return Labelled(mask, np.zeros(mask.shape, dtype=bool), int(np.count_nonzero(mask))), []

    def files(self) -> list[SourceFile]:
        """The image and the mask."""
        parts = (("img", self.image), ("cls", self.mask))
        return [
            describe(f"{FOLDER}/{folder}/{member.basename}", member.read())
            for folder, member in parts
            if member is not None
        ]


def _ids(mat: bytes) -> NDArray[np.int64]:
    """`GTcls.Segmentation` of a MAT 5 file, int64 (H, W), 0..20."""
    struct = load_mat(mat).get("GTcls")
    found = struct.get("Segmentation") if isinstance(struct, dict) else None
    if found is None or isinstance(found, dict):
        raise ValueError("its .mat file has no GTcls.Segmentation")
    if found.ndim != 2 or not np.issubdtype(found.dtype, np.integer):
        raise ValueError(
            f"its mask holds {found.dtype} of {found.ndim} dimensions and no class ids"
        )
    ids: NDArray[np.int64] = found.astype(np.int64)
    if ids.min(initial=0) < 0 or ids.max(initial=0) > CLASSES:
        raise ValueError(f"its mask holds ids from {ids.min()} to {ids.max()}, SBD's are 0 to 20")
    return ids


@dataclass(frozen=True)
class SbdSource:
    """SBD, found; `root` is the folder of its lists in the archive, "" or ending in "/"."""

    archive: Archive
    root: str

    def ids(self, split: str) -> list[str]:
        """SBD's own list of a split."""
        return self.archive[f"{self.root}{split}.txt"].read().decode("utf-8-sig", "replace").split()

    def record(self, source_id: str, table: bytes) -> SbdRecord:
        """An image with its mask, whether its files are there or not."""
        image, mask = f"{self.root}img/{source_id}.jpg", f"{self.root}cls/{source_id}.mat"
        members = self.archive.members
        return SbdRecord(source_id, members.get(image), members.get(mask), table)


def find_sbd(place: Path) -> SbdSource | None:
    """SBD at a path or below it, or None if nothing of its names is there.

    Raises:
        SourceError: what is there is broken, or another archive.
    """
    roots = (FOLDER, "dataset", "")
    folders = [place / root for root in roots]
    if place.is_dir():
        names = ("benchmark.tgz", "benchmark.tar", "benchmark.zip")
        below = [place / inner for inner in PLACES]
        folders += [inner / FOLDER for inner in below]
        files = [inner / name for inner in below for name in names]
        found = [folder for folder in folders if (folder / "train.txt").is_file()]
        found = [folder for folder in found if (folder / "cls").is_dir()]
        found += [path for path in files if path.is_file()]
        if not found:
            return None
        place = found[0]
    archive = open_archive(place)
    for root in (f"{FOLDER}/", "dataset/", ""):
        if root + "train.txt" in archive:
            return SbdSource(archive, root)
    raise SourceError(
        "this is not SBD in its official layout",
        where=place,
        expected=f"{FOLDER}/train.txt",
        found=f"{len(archive.members):,} files without it",
        advice="take benchmark.tgz as it is, or the folder that it unpacks to",
    )
