"""Small archives in the official layouts, made here, and the command line in this process.

A data set is a plain dict of member names and bytes, so that a test can spoil any one of them
before it is written as an archive or as a folder.
"""

import gzip
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

from segdata.classes import COCO_CATEGORIES

VOC_TAR = "VOCtrainval_11-May-2012.tar"
VOC_ROOT = "VOCdevkit/VOC2012"
SBD_ROOT = "benchmark_RELEASE/dataset"
Members = dict[str, bytes]


def jpeg(height: int, width: int, seed: int = 0, *, grey: bool = False, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    """A JPEG of smooth colour, another one for each seed."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * (3 + seed) + 40 * c + y * (seed % 5)) % 256 for c in range(3)]
    pixels = planes[0] if grey else np.stack(planes, -1)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def palette_png(mask: NDArray[np.uint8]) -> bytes:
    """The mask as VOC stores it: an 8-bit palette PNG whose indices are the ids."""
    image = Image.frombytes("P", mask.shape[::-1], mask.tobytes())
    image.putpalette(bytes((37 * i) % 256 for i in range(768)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def voc_mask(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Background, one block of a class, and a void line."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2 + 1, width // 4 : width // 2 + 1] = 1 + seed % 20
    mask[:, -1] = 255
    return mask


@dataclass
class VocSet:
    """A VOC tree: its members by name, and the ids of both splits."""

    train: Sequence[str]
    val: Sequence[str]
    members: Members = field(default_factory=dict)

    def name(self, kind: str, source_id: str) -> str:
        """Name of an image or a mask."""
        suffix = {"JPEGImages": "jpg", "SegmentationClass": "png"}[kind]
        return f"{VOC_ROOT}/{kind}/{source_id}.{suffix}"

    def list(self, split: str, ids: Sequence[str]) -> None:
        """Set the list of a split."""
        text = "".join(f"{i}\n" for i in ids)
        self.members[f"{VOC_ROOT}/ImageSets/Segmentation/{split}.txt"] = text.encode()


SIZES = [(20, 30), (1, 9), (33, 7), (64, 64), (90, 61), (5, 1), (48, 80)]
"""Odd, flat, upright and larger than the small `--size` that the tests use."""


def make_voc(train: int = 5, val: int = 3) -> VocSet:
    """So many images of odd sizes; one greyscale."""
    ids = [f"2007_{i:06d}" for i in range(train + val)]
    voc = VocSet(ids[:train], ids[train:])
    voc.list("train", voc.train)
    voc.list("val", voc.val)
    for seed, source_id in enumerate(ids):
        height, width = SIZES[seed % len(SIZES)]
        image = jpeg(height, width, seed, grey=seed == 3)
        voc.members[voc.name("JPEGImages", source_id)] = image
        mask = palette_png(voc_mask(height, width, seed))
        voc.members[voc.name("SegmentationClass", source_id)] = mask
    return voc


@dataclass
class SbdSet:
    """SBD's tree: its members by name, and the masks by id."""

    members: Members = field(default_factory=dict)
    masks: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def name(self, kind: str, source_id: str) -> str:
        """Name of an image (`img`) or a mask (`cls`)."""
        return f"{SBD_ROOT}/{kind}/{source_id}.{'jpg' if kind == 'img' else 'mat'}"

    def list(self, split: str, ids: Sequence[str]) -> None:
        """Set the list of a split."""
        self.members[f"{SBD_ROOT}/{split}.txt"] = "".join(f"{i}\n" for i in ids).encode()


def sbd_mat(mask: NDArray[Any], **fields: Any) -> bytes:  # noqa: ANN401 - MATLAB's own
    """A `cls/ID.mat` with the fields of SBD's own, or with others."""
    edges = np.empty((20, 1), object)
    edges[:] = [[csc_matrix(np.eye(3, 4, dtype=bool))]] * 20
    struct = {"Boundaries": edges, "Segmentation": mask, "CategoriesPresent": mask[:1, :1]}
    buffer = io.BytesIO()
    savemat(buffer, {"GTcls": struct | fields}, do_compression=True)
    return b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:]  # without the time of day


def make_sbd(train: Sequence[str], val: Sequence[str]) -> SbdSet:
    """Images of these ids, with masks that differ from those of `make_voc`."""
    sbd = SbdSet()
    sbd.list("train", train)
    sbd.list("val", val)
    for seed, source_id in enumerate(dict.fromkeys([*train, *val])):
        height, width = SIZES[seed % len(SIZES)]
        mask = np.full((height, width), 20 - seed % 20, np.uint8)
        mask[: height // 2] = 0
        sbd.masks[source_id] = mask
        sbd.members[sbd.name("img", source_id)] = jpeg(height, width, seed + 50)
        sbd.members[sbd.name("cls", source_id)] = sbd_mat(mask)
    return sbd


@dataclass
class CocoSet:
    """COCO's images by archive member, and the annotation documents by split."""

    images: dict[str, Members]
    instances: dict[str, Any]

    def objects(self, split: str, image_id: int) -> list[dict[str, Any]]:
        """The annotations of an image, to be changed in place."""
        records = self.instances[split]["annotations"]
        return [record for record in records if record["image_id"] == image_id]

    def members(self) -> dict[str, Members]:
        """What each archive holds, by its name without `.zip`."""
        notes = {
            f"annotations/instances_{split}2017.json": document
            if isinstance(document, bytes)
            else json.dumps(document).encode()
            for split, document in self.instances.items()
        }
        by_split = {f"{split}2017": members for split, members in self.images.items()}
        return by_split | {"annotations_trainval2017": notes}


def polygon(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A rectangle as COCO writes a polygon."""
    return [left, top, right, top, right, bottom, left, bottom]


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """An uncompressed RLE, column by column, beginning with zeros."""
    flat = mask.ravel(order="F").astype(np.int8)
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes.tolist(), flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def make_coco(train: int = 5, val: int = 3) -> CocoSet:
    """So many images: parts, overlaps, crowds, greyscale, and one image without annotations."""
    coco = CocoSet({}, {})
    categories = [{"id": i, "name": name} for i, name in COCO_CATEGORIES.items()]
    for split, first, count in (("train", 1, train), ("val", 1001, val)):
        images, records, notes = {}, [], []
        for number, image_id in enumerate(range(first, first + count)):
            height, width = [(60, 80), (90, 50), (64, 64)][number % 3]
            name = f"{image_id:012d}.jpg"
            images[f"{split}2017/{name}"] = jpeg(height, width, number, grey=number == 1)
            records.append({"id": image_id, "file_name": name, "height": height, "width": width})
            notes += _annotations(image_id, number, height, width)
        coco.images[split] = images
        coco.instances[split] = {"images": records, "annotations": notes, "categories": categories}
    return coco


def _annotations(image_id: int, number: int, height: int, width: int) -> list[dict[str, Any]]:
    if number == 4:
        return []
    crowd = np.zeros((height, width), np.bool_)
    crowd[: height // 5, width // 2 :] = True
    shapes: list[tuple[int, Any, int]] = [
        (1, [polygon(2, 3, 40.5, 45.2)], 0),
        (18, [polygon(20, 20, 48, 40), polygon(1, 50, 10, 58)], 0),  # a dog of two parts
        (8, [polygon(0, 0, width, height)], 0),  # a truck: no class of VOC's
        (44, [polygon(22, 22, 26, 38)], 0),  # a bottle in front of both
        (1, run_lengths(crowd), 1),
    ]
    return [
        {
            "id": 100 * image_id + i,
            "image_id": image_id,
            "category_id": category,
            "segmentation": shape,
            "area": 900.0,
            "iscrowd": is_crowd,
        }
        for i, (category, shape, is_crowd) in enumerate(shapes[: 5 - number % 2])
    ]


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """A plain tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(
    path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    """A zip, stored as COCO's image archives are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_folder(path: Path, members: Mapping[str, bytes]) -> Path:
    """The same as files."""
    path.mkdir(parents=True, exist_ok=True)
    for name, data in members.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return path


def write_voc(folder: Path, voc: VocSet) -> Path:
    """VOC's tar in a data folder; returns the folder."""
    write_tar(folder / VOC_TAR, voc.members)
    return folder


def write_sbd(folder: Path, sbd: SbdSet) -> Path:
    """SBD's `benchmark.tgz` in a data folder; returns the archive."""
    plain = write_tar(folder / "benchmark.tar", sbd.members)
    packed = folder / "benchmark.tgz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), 1))
    plain.unlink()
    return packed


def write_coco(folder: Path, coco: CocoSet, *, unpacked: bool = False) -> Path:
    """COCO's zips, or what they unpack to, in a data folder; returns the folder."""
    for name, members in coco.members().items():
        if unpacked:
            write_folder(folder, members)
        else:
            compression = zipfile.ZIP_DEFLATED if "annotations" in name else zipfile.ZIP_STORED
            write_zip(folder / f"{name}.zip", members, compression)
    return folder


@dataclass(frozen=True)
class Make:
    """Every writer, for tests that need more than the ready-made data."""

    jpeg = staticmethod(jpeg)
    palette_png = staticmethod(palette_png)
    voc_mask = staticmethod(voc_mask)
    voc = staticmethod(make_voc)
    sbd = staticmethod(make_sbd)
    sbd_mat = staticmethod(sbd_mat)
    sizes = SIZES
    coco = staticmethod(make_coco)
    polygon = staticmethod(polygon)
    run_lengths = staticmethod(run_lengths)
    write_tar = staticmethod(write_tar)
    write_zip = staticmethod(write_zip)
    write_folder = staticmethod(write_folder)
    write_voc = staticmethod(write_voc)
    write_sbd = staticmethod(write_sbd)
    write_coco = staticmethod(write_coco)


@pytest.fixture(scope="session")
def make() -> Make:
    """The writers of small archives."""
    return Make()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a small VOC tar and small COCO zips; tests must not change it."""
    folder = tmp_path_factory.mktemp("small")
    write_voc(folder, make_voc())
    return write_coco(folder, make_coco())


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str


Command = Callable[..., Outcome]


@pytest.fixture(scope="session")
def segdata() -> Command:
    """Run a `segdata` command in this process; fails if it ends in anything but an exit code."""
    from typer.testing import CliRunner

    from segdata.cli import app

    def run(*arguments: object) -> Outcome:
        result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def read_tree() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a shards directory by name, without the lock files of its writers."""

    def read(folder: Path) -> dict[str, bytes]:
        files = [p for p in sorted(folder.iterdir()) if not p.name.endswith(".lock")]
        return {path.name: path.read_bytes() for path in files}

    return read


@pytest.fixture(scope="session", autouse=True)
def errors_met() -> Iterator[set[str]]:
    """The headline of every error that segdata's own code has built in this process so far."""
    import segdata
    from segdata.errors import SegdataError

    met: set[str] = set()
    source = str(Path(segdata.__path__[0]))
    build = SegdataError.__init__

    def noted(self: SegdataError, what: str, **parts: Any) -> None:  # noqa: ANN401 - an error's
        if sys._getframe(1).f_code.co_filename.startswith(source):
            met.add(what)
        build(self, what, **parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SegdataError, "__init__", noted)
        yield met


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test that asks which errors were met comes last."""
    items.sort(key=lambda item: item.name == "test_every_error_is_provoked")
