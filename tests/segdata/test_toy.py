"""The generated data set: official layouts, every odd case, true outlines, and equal bytes."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as pycoco
from scipy.io import loadmat

from segdata.build import build
from segdata.classes import (
    COCO_CATEGORIES,
    COCO_ID_OF_NAME,
    COCO_NAME_OF_VOC,
    VOC_NAMES,
    ClassSet,
)
from segdata.coco import open_coco
from segdata.errors import OutputError, UsageError
from segdata.labels import LabelPolicy
from segdata.plan import BuildOptions
from segdata.protocols import open_protocol
from segdata.sbd import open_sbd
from segdata.toy import ToySummary, make_toy, share_out
from segdata.verify import verify
from segdata.voc import open_voc

if TYPE_CHECKING:
    from tests.segdata.conftest import Make

VOC_TAR = "VOCtrainval_11-May-2012.tar"
SBD_TGZ = "benchmark.tgz"
ARCHIVES = (VOC_TAR, SBD_TGZ, "train2017.zip", "val2017.zip", "annotations_trainval2017.zip")
FILES = sorted((*ARCHIVES, "SYNTHETIC.txt"))
ROOT = "VOCdevkit/VOC2012"
SPLITS = ("train", "val")
COUNTS = {"voc_train": 24, "voc_val": 24, "coco_train": 24, "coco_val": 24, "sbd": 24}
ONE_EACH = dict.fromkeys(COUNTS, 1)
COCO_IDS_OF_VOC = {COCO_ID_OF_NAME[COCO_NAME_OF_VOC[name]] for name in VOC_NAMES}
VOC_COLORS = [  # of the ids 0..20, from the development kit
    (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128),
    (0, 128, 128), (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0),
    (64, 0, 128), (192, 0, 128), (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0),
    (0, 192, 0), (128, 192, 0), (0, 64, 128),
]  # fmt: skip
SUPERCATEGORIES = {
    "person": 1, "vehicle": 8, "outdoor": 5, "animal": 10, "accessory": 5, "sports": 10,
    "kitchen": 7, "food": 10, "furniture": 6, "electronic": 6, "appliance": 5, "indoor": 7,
}  # fmt: skip
"""How many of the 80 categories each has."""


@dataclass(frozen=True)
class Toy:
    """A toy data set and the content of its archives, by member name in file order."""

    summary: ToySummary
    voc: dict[str, bytes]
    zips: dict[str, dict[str, bytes]]

    def ids(self, split: str) -> list[str]:
        """VOC's list of that name."""
        return self.voc[f"{ROOT}/ImageSets/Segmentation/{split}.txt"].decode().splitlines()

    def mask(self, voc_id: str) -> Image.Image:
        """VOC's mask of an image."""
        return Image.open(io.BytesIO(self.voc[f"{ROOT}/SegmentationClass/{voc_id}.png"]))

    def document(self, split: str) -> dict[str, Any]:
        """COCO's annotation file of a split."""
        content: dict[str, Any] = json.loads(
            self.zips["annotations_trainval2017"][f"annotations/instances_{split}2017.json"]
        )
        return content

    def objects(self, split: str) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Every image's record and its annotations, of which there may be none."""
        document = self.document(split)
        of_image = defaultdict(list)
        for note in document["annotations"]:
            of_image[note["image_id"]].append(note)
        for image in document["images"]:
            yield image, of_image[image["id"]]

    def picture(self, split: str, record: dict[str, Any]) -> Image.Image:
        """COCO's image of a record."""
        content = self.zips[f"{split}2017"][f"{split}2017/{record['file_name']}"]
        return Image.open(io.BytesIO(content))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A small toy of seed 0, read with the standard library alone; tests must not change it."""
    summary = make_toy(tmp_path_factory.mktemp("toys") / "toy", **COUNTS)
    with tarfile.open(summary.out / VOC_TAR, "r:") as tar:
        voc = {info.name: file.read() for info in tar if (file := tar.extractfile(info))}
    zips = {}
    for name in ARCHIVES[2:]:
        with zipfile.ZipFile(summary.out / name) as archive:
            zips[name.removesuffix(".zip")] = {n: archive.read(n) for n in archive.namelist()}
    return Toy(summary, voc, zips)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def region(note: dict[str, Any], image: dict[str, Any]) -> NDArray[np.bool_]:
    """The pixels of an annotation as pycocotools draws them, bool (H, W)."""
    size = image["height"], image["width"]
    runs = pycoco.frPyObjects(note["segmentation"], *size)
    return np.asarray(pycoco.decode(pycoco.merge(runs) if isinstance(runs, list) else runs), bool)


def corners(note: dict[str, Any]) -> list[NDArray[np.float64]]:
    """The polygons of an annotation, (N, 2) each."""
    return [np.reshape(part, (-1, 2)) for part in note["segmentation"]]


def test_folder_holds_the_six_files(toy: Toy) -> None:
    """Five archives by their official names and a note are all that is left in the folder."""
    sizes = {path.name: path.stat().st_size for path in toy.summary.out.iterdir()}
    assert sorted(sizes) == FILES
    assert toy.summary.files == sizes


def test_summary_counts_what_was_made(toy: Toy) -> None:
    """The summary has the numbers of images and annotations that the archives hold."""
    assert toy.summary.images == COUNTS
    for split in SPLITS:
        document = toy.document(split)
        assert len(toy.ids(split)) == toy.summary.images[f"voc_{split}"]
        assert len(document["images"]) == toy.summary.images[f"coco_{split}"]
        assert len(document["annotations"]) == toy.summary.objects[f"coco_{split}"]


def test_voc_has_the_official_layout(toy: Toy) -> None:
    """VOC's tar holds the three lists, and an image and a mask for every id, and a note."""
    train, val = toy.ids("train"), toy.ids("val")
    ids = sorted(train + val)
    assert toy.ids("trainval") == ids
    assert len(set(ids)) == 48
    assert all(len(i) == 11 and i.startswith("2007_") and i[5:].isdigit() for i in ids)
    members = {f"{ROOT}/ImageSets/Segmentation/{name}.txt" for name in (*SPLITS, "trainval")}
    members |= {f"{ROOT}/JPEGImages/{i}.jpg" for i in ids}
    members |= {f"{ROOT}/SegmentationClass/{i}.png" for i in ids}
    assert set(toy.voc) == members | {f"{ROOT}/SYNTHETIC.txt"}


def test_coco_has_the_official_layout(toy: Toy) -> None:
    """COCO's zips hold 12-digit JPEGs by split and one annotation file for each."""
    assert sorted(toy.zips["annotations_trainval2017"]) == [
        f"annotations/instances_{split}2017.json" for split in SPLITS
    ]
    for split in SPLITS:
        images = toy.document(split)["images"]
        assert all(image["file_name"] == f"{image['id']:012d}.jpg" for image in images)
        names = [f"{split}2017/{image['file_name']}" for image in images]
        assert list(toy.zips[f"{split}2017"]) == names


def test_coco_records_have_the_official_fields(toy: Toy) -> None:
    """Images and annotations have all of COCO's fields, and ids that occur only once."""
    ids: dict[str, list[int]] = {"images": [], "annotations": []}
    for split in SPLITS:
        document = toy.document(split)
        assert set(document) == {"info", "licenses", "images", "annotations", "categories"}
        for image in document["images"]:
            assert set(image) == {
                "license", "file_name", "coco_url", "height", "width", "date_captured",
                "flickr_url", "id",
            }  # fmt: skip
        for note in document["annotations"]:
            assert set(note) == {
                "segmentation", "area", "iscrowd", "image_id", "bbox", "category_id", "id",
            }  # fmt: skip
        known = {image["id"] for image in document["images"]}
        assert {note["image_id"] for note in document["annotations"]} <= known
        for kind, seen in ids.items():
            seen += [record["id"] for record in document[kind]]
    assert all(len(set(seen)) == len(seen) for seen in ids.values())


def test_coco_categories_are_official(toy: Toy) -> None:
    """Both annotation files list the 80 official categories, in supercategories of right size."""
    for split in SPLITS:
        categories = toy.document(split)["categories"]
        assert {c["id"]: c["name"] for c in categories} == dict(COCO_CATEGORIES)
        assert len(categories) == 80
        groups = [c["supercategory"] for c in categories]
        assert {name: groups.count(name) for name in groups} == SUPERCATEGORIES


def test_voc_masks_are_palette_images(toy: Toy) -> None:
    """Masks are 8-bit palette PNGs of ids 0..20 and 255 with VOC's colours, as large as images."""
    for voc_id in toy.ids("trainval"):
        mask = toy.mask(voc_id)
        image = Image.open(io.BytesIO(toy.voc[f"{ROOT}/JPEGImages/{voc_id}.jpg"]))
        assert (mask.format, mask.mode, image.format) == ("PNG", "P", "JPEG")
        assert mask.size == image.size
        palette = np.reshape(mask.getpalette(), (-1, 3))
        assert [tuple(color) for color in palette[:21].tolist()] == VOC_COLORS
        assert tuple(palette[255].tolist()) == (224, 224, 192)
        assert set(np.unique(np.asarray(mask)).tolist()) <= {*range(21), 255}


def test_voc_objects_have_void_borders(toy: Toy) -> None:
    """No pixel of an object touches background or another class: void lies between them."""
    for voc_id in toy.ids("trainval"):
        ids = np.asarray(toy.mask(voc_id)).astype(int)
        for one, other in ((ids[1:], ids[:-1]), (ids[:, 1:], ids[:, :-1])):
            assert ((one == other) | (one == 255) | (other == 255)).all()


@pytest.mark.parametrize("split", SPLITS)
def test_every_class_is_in_every_split(toy: Toy, split: str) -> None:
    """All 20 classes of VOC's are in each split of VOC and of COCO."""
    in_voc = {int(i) for name in toy.ids(split) for i in np.unique(np.asarray(toy.mask(name)))}
    assert in_voc == {*range(21), 255}
    in_coco = {note["category_id"] for note in toy.document(split)["annotations"]}
    assert in_coco >= COCO_IDS_OF_VOC


@pytest.mark.parametrize("split", SPLITS)
def test_objects_in_parts_and_overlaps(toy: Toy, split: str) -> None:
    """Some object has several polygons, and some two objects of an image share pixels."""
    in_parts, overlaps = 0, 0
    for image, notes in toy.objects(split):
        single = [note for note in notes if not note["iscrowd"]]
        in_parts += sum(len(note["segmentation"]) > 1 for note in single)
        regions = [region(note, image) for note in single]
        overlaps += sum(bool((a & b).any()) for a, b in combinations(regions, 2))
    assert in_parts
    assert overlaps


@pytest.mark.parametrize("split", SPLITS)
def test_crowds_are_uncompressed_runs(toy: Toy, split: str) -> None:
    """Persons and sheep stand in crowds: counts that fill an image, with true area and box."""
    crowds = [
        (image, note) for image, notes in toy.objects(split) for note in notes if note["iscrowd"]
    ]
    found = {COCO_CATEGORIES[note["category_id"]] for _, note in crowds}
    assert found == {"person", "sheep"}
    for image, note in crowds:
        outline = note["segmentation"]
        assert outline["size"] == [image["height"], image["width"]]
        assert all(type(count) is int and count >= 0 for count in outline["counts"])
        assert sum(outline["counts"]) == image["height"] * image["width"]
        pixels = region(note, image)
        assert note["area"] == pixels.sum() > 0
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        assert note["bbox"] == [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]


@pytest.mark.parametrize("split", SPLITS)
def test_images_without_voc_objects(toy: Toy, split: str) -> None:
    """One image has no annotation, one only objects that VOC does not know, one both kinds."""
    classes = [{note["category_id"] for note in notes} for _, notes in toy.objects(split)]
    assert any(not found for found in classes)
    assert any(found and not found & COCO_IDS_OF_VOC for found in classes)
    assert any(found - COCO_IDS_OF_VOC and found & COCO_IDS_OF_VOC for found in classes)


@pytest.mark.parametrize("split", SPLITS)
def test_odd_images(toy: Toy, split: str) -> None:
    """There are grey, odd-sized, tiny, wide, tall and long images; the records have true sizes."""
    pictures = [(toy.picture(split, image), image) for image, _ in toy.objects(split)]
    assert all(p.format == "JPEG" and p.size == (i["width"], i["height"]) for p, i in pictures)
    modes = [picture.mode for picture, _ in pictures]
    assert set(modes) == {"RGB", "L"}
    sizes = [picture.size for picture, _ in pictures]
    assert any(width % 2 and height % 2 for width, height in sizes)
    assert any(max(size) < 40 for size in sizes)
    assert any(width > 2.5 * height for width, height in sizes)
    assert any(height > 2.5 * width for width, height in sizes)
    assert sum(max(size) > 512 for size in sizes) >= 2


def test_voc_has_odd_images(toy: Toy) -> None:
    """VOC's splits too have a wide, a tall and an image of more than 512 pixels."""
    for split in SPLITS:
        sizes = [toy.mask(voc_id).size for voc_id in toy.ids(split)]
        assert any(width > 2.5 * height for width, height in sizes)
        assert any(height > 2.5 * width for width, height in sizes)
        assert any(max(size) > 512 for size in sizes)


@pytest.mark.parametrize("split", SPLITS)
def test_polygons_lie_inside(toy: Toy, split: str) -> None:
    """Every polygon has three points or more, all of them in the image."""
    for image, notes in toy.objects(split):
        for note in notes:
            for part in corners(note) if not note["iscrowd"] else []:
                assert len(part) >= 3
                assert (part >= 0).all()
                assert (part <= [image["width"], image["height"]]).all()


@pytest.mark.parametrize("split", SPLITS)
def test_areas_and_boxes_are_true(toy: Toy, split: str) -> None:
    """An object's area is that of its pixels, up to a fraction of its rim; its box is exact."""
    for image, notes in toy.objects(split):
        for note in notes:
            if note["iscrowd"]:
                continue
            parts = corners(note)
            rim = sum(np.hypot(*(np.roll(p, -1, 0) - p).T).sum() for p in parts)
            pixels = region(note, image)
            assert note["area"] == pytest.approx(pixels.sum(), abs=max(0.15 * rim, 3))
            points = np.concatenate(parts)
            (left, top), (right, bottom) = points.min(0), points.max(0)
            assert note["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=0.01)
            rows, columns = np.nonzero(pixels)
            drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert drawn == pytest.approx([left, top, right, bottom], abs=2)


def test_readers_take_it_for_synthetic(toy: Toy) -> None:
    """The readers open the toy as VOC, SBD and COCO and recognise it as generated."""
    classes = ClassSet.parse("voc")
    assert open_voc(toy.summary.out, 2012, classes, SPLITS).synthetic
    assert open_sbd(toy.summary.out).synthetic
    assert open_coco(toy.summary.out, 2017, classes, SPLITS, LabelPolicy()).synthetic


def test_sbd_has_the_official_layout(toy: Toy) -> None:
    """SBD's tgz holds its lists, and an image and a mask without void of equal size for each id."""
    with tarfile.open(toy.summary.out / SBD_TGZ) as tar:
        sbd = {info.name: file.read() for info in tar if (file := tar.extractfile(info))}
    root = "benchmark_RELEASE/dataset"
    lists = {split: sbd.pop(f"{root}/{split}.txt").decode().split() for split in SPLITS}
    assert not set(lists["train"]) & set(lists["val"])
    ids = [*lists["train"], *lists["val"]]
    kinds = {"img": "jpg", "cls": "mat"}
    members = {f"{root}/{folder}/{i}.{suffix}" for folder, suffix in kinds.items() for i in ids}
    assert set(sbd) == members | {f"{root}/SYNTHETIC.txt"}
    seen = set()
    for sbd_id in ids:
        mask = loadmat(io.BytesIO(sbd[f"{root}/cls/{sbd_id}.mat"]))["GTcls"][0, 0]
        segmentation = mask["Segmentation"]
        assert segmentation.dtype == np.uint8
        image = Image.open(io.BytesIO(sbd[f"{root}/img/{sbd_id}.jpg"]))
        assert image.size == segmentation.shape[::-1]
        present = set(np.unique(segmentation).tolist())
        assert present - {0} == set(mask["CategoriesPresent"].ravel().tolist())
        seen |= present
    assert seen == set(range(21))


def test_sbd_overlaps_voc(toy: Toy) -> None:
    """SBD labels some of VOC's images, of val in its train too, each as VOC does but for void."""
    tree = open_sbd(toy.summary.out)
    assert set(tree.train) & set(toy.ids("train"))
    assert set(tree.train) & set(toy.ids("val"))
    assert set(tree.val) & set(toy.ids("val"))
    listed = {*tree.train, *tree.val}
    shared = listed & set(toy.ids("trainval"))
    assert len(listed - shared) == COUNTS["sbd"]
    for voc_id in shared:
        by_sbd = tree.sample(voc_id, ClassSet.parse("voc")).load().mask
        assert by_sbd is not None
        by_voc = np.asarray(toy.mask(voc_id))
        assert ((by_sbd == by_voc) | (by_voc == 255)).all()


def test_trainaug_of_the_toy(toy: Toy, tmp_path: Path) -> None:
    """With SBD the toy's train grows by SBD's own images, and every mask is verified."""
    classes = ClassSet.parse("voc")
    source = open_protocol(toy.summary.out, toy.summary.out, None, classes, SPLITS)
    assert {n: s.available for n, s in source.splits.items()} == {"train": 48, "val": 24}
    manifest = build(source, BuildOptions(tmp_path / "out", classes), lambda *_: None)
    assert manifest["synthetic"]
    report = verify(tmp_path / "out", data=toy.summary.out)
    assert (report.ok, report.compared) == (True, 72), report.lines()


def test_marked_as_synthetic(toy: Toy) -> None:
    """The folder, the tar and both annotation files say that they are generated."""
    note = (toy.summary.out / "SYNTHETIC.txt").read_bytes()
    assert b"synthetic" in note
    assert b"segdata toy" in note
    assert toy.voc[f"{ROOT}/SYNTHETIC.txt"] == note
    for split in SPLITS:
        info = toy.document(split)["info"]
        assert info["synthetic"] is True
        assert "segdata toy" in info["description"]


def test_equal_seed_gives_equal_bytes(toy: Toy, tmp_path: Path) -> None:
    """A second toy of equal counts and seed, in another folder, is the same in every byte."""
    make_toy(tmp_path / "again", **COUNTS, seed=0)
    assert digests(tmp_path / "again") == digests(toy.summary.out)


def test_other_seed_gives_other_bytes(toy: Toy, tmp_path: Path) -> None:
    """With another seed all archives differ."""
    make_toy(tmp_path / "other", **COUNTS, seed=1)
    first, other = digests(toy.summary.out), digests(tmp_path / "other")
    assert [name for name in ARCHIVES if first[name] == other[name]] == []


def test_a_toy_replaces_a_toy(tmp_path: Path) -> None:
    """Over an earlier toy the files are those of a fresh folder; other files there stay."""
    make_toy(tmp_path / "fresh", **ONE_EACH, seed=2)
    make_toy(tmp_path / "used", **ONE_EACH, seed=1)
    (tmp_path / "used" / "mine.txt").write_text("mine")
    make_toy(tmp_path / "used", **ONE_EACH, seed=2)
    assert (tmp_path / "used" / "mine.txt").read_text() == "mine"
    (tmp_path / "used" / "mine.txt").unlink()
    assert sorted(path.name for path in (tmp_path / "used").iterdir()) == FILES
    assert digests(tmp_path / "used") == digests(tmp_path / "fresh")


def test_progress_counts_every_image(tmp_path: Path) -> None:
    """Progress is reported after each image of each split, up to the total."""
    calls: list[tuple[str, int, int]] = []
    make_toy(tmp_path / "toy", **ONE_EACH, progress=lambda *call: calls.append(call))
    names = ["VOC 2012 train", "VOC 2012 val", "SBD", "COCO 2017 train", "COCO 2017 val"]
    assert calls == [(name, done, 5) for done, name in enumerate(names, 1)]


def test_interruption_leaves_the_earlier_toy(tmp_path: Path) -> None:
    """Stopped while it draws, a second toy leaves the first as it was and nothing beside it."""

    def stop(what: str, done: int, total: int) -> None:
        del what, total
        if done == 3:
            raise KeyboardInterrupt

    make_toy(tmp_path, **ONE_EACH)
    before = digests(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        make_toy(tmp_path, **ONE_EACH, seed=1, progress=stop)
    assert digests(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


@pytest.mark.parametrize("spelling", ["data", "./other/../data", "link", "absolute"])
def test_refuses_the_folder_of_real_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    """However it is written, data/ in the current directory is refused and left as it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to("data")
    out = tmp_path / "data" if spelling == "absolute" else Path(spelling)
    with pytest.raises(OutputError, match="data/"):
        make_toy(out, **ONE_EACH)
    assert not (tmp_path / "data").exists()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="data/"):
        make_toy(out, **ONE_EACH)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("noted", [False, True], ids=["bare", "noted"])
@pytest.mark.parametrize("name", ARCHIVES)
def test_refuses_foreign_archives(make: "Make", tmp_path: Path, name: str, noted: bool) -> None:
    """An archive that is not a toy stops it, with or without a note beside it; nothing changes."""
    write = make.write_tar if name == VOC_TAR else make.write_zip
    write(tmp_path / name, {"member": b"real"})
    if noted:
        (tmp_path / "SYNTHETIC.txt").write_text("a note from elsewhere")
    before = digests(tmp_path)
    with pytest.raises(OutputError) as caught:
        make_toy(tmp_path, **ONE_EACH)
    assert caught.value.where == str(tmp_path / name)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("name", ARCHIVES)
def test_refuses_archives_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A broken archive by an official name counts as foreign, even with a note beside it."""
    (tmp_path / name).write_bytes(b"half a download")
    (tmp_path / "SYNTHETIC.txt").write_text("a note from elsewhere")
    before = digests(tmp_path)
    with pytest.raises(OutputError):
        make_toy(tmp_path, **ONE_EACH)
    assert digests(tmp_path) == before


def test_refuses_a_file(tmp_path: Path) -> None:
    """A file in the place of the folder, or of one above it, is refused and stays."""
    (tmp_path / "toy").write_text("mine")
    with pytest.raises(OutputError, match="this is a file"):
        make_toy(tmp_path / "toy", **ONE_EACH)
    with pytest.raises(OutputError, match="cannot be written"):
        make_toy(tmp_path / "toy" / "deeper", **ONE_EACH)
    assert (tmp_path / "toy").read_text() == "mine"


@pytest.mark.parametrize("wrong", [{"voc_train": 0}, {"coco_val": -1}, {"seed": -1}])
def test_numbers_out_of_range(tmp_path: Path, wrong: dict[str, int]) -> None:
    """A count below 1 or a negative seed is a usage error, and no folder is made."""
    with pytest.raises(UsageError):
        make_toy(tmp_path / "toy", **{**ONE_EACH, **wrong})
    assert not (tmp_path / "toy").exists()


@given(st.integers(96, 10**7))
def test_shares_sum_to_the_total(images: int) -> None:
    """A total is shared out completely, with 24 images or more for every split."""
    counts = share_out(images)
    assert list(counts) == list(COUNTS)
    assert counts.pop("sbd") == images // 10
    assert sum(counts.values()) == images
    assert min(counts.values()) >= 24


@given(st.integers(max_value=95))
def test_too_few_images(images: int) -> None:
    """Fewer than 96 images cannot hold every case in every split: a usage error."""
    with pytest.raises(UsageError, match="too few"):
        share_out(images)
