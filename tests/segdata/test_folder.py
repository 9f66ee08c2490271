"""`segdata build-folder`: any images and masks become shards like any others."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.segdata.folder_sets import CLASSES, FolderSet, cityscapes, encoded, photo, plain
from tests.segdata.samples_of import read_samples

from segdata.labelmap import read_label_map
from segdata.shards import manifests
from segdata.verify import verify

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make, Outcome

Tree = Callable[[Path], dict[str, bytes]]
Samples = dict[str, tuple[bytes, dict[str, Any], NDArray[np.uint8]]]
CITYSCAPES = Path(__file__).parents[2] / "docs" / "classes" / "cityscapes.toml"


def samples_of(shards: Path) -> Samples:
    """Image bytes, facts and mask of every sample by key."""
    return {
        key: (
            parts["jpg"],
            json.loads(parts["json"]),
            np.asarray(Image.open(io.BytesIO(parts["seg.png"]))),
        )
        for tar in sorted(shards.glob("*.tar"))
        for key, parts in read_samples(tar)
    }


class Folder:
    """A folder set on the disk, and the command that builds it."""

    def __init__(self, root: Path, files: FolderSet, classes: str, make: "Make") -> None:
        self.root = root
        self.images = make.write_folder(root / "photos", files.images)
        self.masks = make.write_folder(root / "labels", files.masks)
        self.classes = root / "classes.toml"
        self.classes.write_text(classes, encoding="utf-8")
        self.out = root / "out"

    def build(self, segdata: "Command", *more: object) -> "Outcome":
        """Run the command; later options win."""
        standard = ("--classes", self.classes, "--name", "leaves", "--out", self.out)
        names = (self.images, self.masks, *standard, "--workers", 1, "--size", 40)
        return segdata("build-folder", *names, *more)


@pytest.fixture
def leaves(make: "Make", tmp_path: Path) -> Folder:
    """Twelve index masks of one name with their JPEGs."""
    return Folder(tmp_path / "leaves", plain(12), CLASSES["index"], make)


@pytest.fixture(scope="module")
def city_ids() -> Mapping[int, int]:
    """Our id of each of Cityscapes' 34."""
    ids = read_label_map(str(CITYSCAPES)).ids
    assert ids
    return ids


def test_cityscapes(
    segdata: "Command", make: "Make", tmp_path: Path, city_ids: Mapping[int, int]
) -> None:
    """Cityscapes' two zips give its train and val in 19 classes; an ending chooses the masks."""
    files = cityscapes(city_ids)
    for name, members in (("leftImg8bit", files.images), ("gtFine", files.masks)):
        archive = {f"{name}/{k}": v for k, v in members.items()} | {"license.txt": b"text"}
        make.write_zip(tmp_path / f"{name}.zip", archive)
    zips = (tmp_path / "leftImg8bit.zip", tmp_path / "gtFine.zip")
    common = ("--classes", CITYSCAPES, "--name", "cityscapes", "--out", tmp_path / "out")
    common = (*common, "--workers", 1)
    refused = segdata("build-folder", *zips, *common)
    assert refused.code == 1
    assert "_gtFine_instanceIds, _gtFine_labelIds" in refused.stderr
    done = segdata("build-folder", *zips, *common, "--mask-suffix", "_gtFine_labelIds", "--size", 0)
    assert done.code == 0, done.stderr
    assert "2 images in test/ are passed over" in done.stderr
    assert "'_leftImg8bit'" in done.stderr
    found = samples_of(tmp_path / "out")
    truth = {i: mask for i, mask in files.truth.items() if not i.startswith("test/")}
    assert {facts["source_id"] for _, facts, _ in found.values()} == truth.keys()
    for key, (image, facts, mask) in found.items():
        assert key == f"cityscapes_{facts['source_id'].replace('/', '_')}"
        assert facts["split"] == facts["source_id"].partition("/")[0]
        assert np.array_equal(mask, truth[facts["source_id"]])
        assert Image.open(io.BytesIO(image)).format == "JPEG"
    manifest = manifests(tmp_path / "out")["cityscapes"]
    assert manifest["complete"]
    assert manifest["options"]["folder"] == {
        "masks_as": "auto",
        "image_suffix": "_leftImg8bit",
        "mask_suffix": "_gtFine_labelIds",
        "split": "folders",
        "val_share": 0.0,
        "group": "",
    }
    assert manifest["labels"]["mapping"]["classes"]["car"] == {"ids": [26], "colors": ["#00008e"]}
    assert str(tmp_path) not in json.dumps(manifest)
    report = verify(tmp_path / "out", folders={"cityscapes": [zips]})
    assert report.ok, report.lines()
    assert report.compared == 6


def test_names_from_the_root(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """Archives that name files from the root: builder and verifier read them below their own."""
    folder = Folder(tmp_path, plain(6, "index"), CLASSES["index"], make)
    for side in ("images", "masks"):
        files = {f"/home/{p.name}": p.read_bytes() for p in getattr(folder, side).iterdir()}
        setattr(folder, side, make.write_zip(tmp_path / f"{side}.zip", files))
    done = folder.build(segdata)
    assert done.code == 0, done.stderr
    report = verify(folder.out, folders={"leaves": [(folder.images, folder.masks)]})
    assert report.ok, report.lines()
    assert report.compared == 6


@pytest.mark.parametrize("kind", CLASSES)
def test_every_kind_of_mask(segdata: "Command", make: "Make", tmp_path: Path, kind: str) -> None:
    """Index, palette, colour and 16-bit masks of one drawing give the same masks."""
    files = plain(6, kind)
    folder = Folder(tmp_path, files, CLASSES[kind], make)
    assert folder.build(segdata, "--size", 0).code == 0
    found = samples_of(folder.out)
    assert {k.removeprefix("leaves_") for k in found} == files.truth.keys()
    for image, facts, mask in found.values():
        assert np.array_equal(mask, files.truth[facts["source_id"]])
        assert image == files.images[facts["source_file"]]
    report = verify(folder.out, folders={"leaves": [(folder.images, folder.masks)]})
    assert report.ok, report.lines()
    assert report.compared == 6


def test_the_same_bytes_however_it_is_built(
    segdata: "Command", make: "Make", leaves: Folder, tmp_path: Path, read_tree: Tree
) -> None:
    """Any number of workers, and folders or archives, give the same bytes."""
    small = ("--shard-samples", 3)
    assert leaves.build(segdata, *small).code == 0
    trees = [read_tree(leaves.out)]
    assert leaves.build(segdata, *small, "--workers", 2, "--out", tmp_path / "two").code == 0
    trees.append(read_tree(tmp_path / "two"))
    files = plain(12)
    leaves.images = make.write_zip(
        tmp_path / "a.zip", {f"a/{k}": v for k, v in files.images.items()}
    )
    leaves.masks = make.write_tar(tmp_path / "b.tar", {f"b/{k}": v for k, v in files.masks.items()})
    assert leaves.build(segdata, *small, "--out", tmp_path / "packed").code == 0
    trees.append(read_tree(tmp_path / "packed"))
    assert trees[0] == trees[1] == trees[2]
    assert len([name for name in trees[0] if name.endswith(".tar")]) > 3


def test_a_build_goes_on_and_does_not_mix(
    segdata: "Command", leaves: Folder, read_tree: Tree
) -> None:
    """A shard that is missing is made again; another class file or other files are refused."""
    assert leaves.build(segdata, "--shard-samples", 3).code == 0
    before = read_tree(leaves.out)
    (leaves.out / "leaves-train-000001.stats.json").unlink()
    assert leaves.build(segdata, "--shard-samples", 3).code == 0
    assert read_tree(leaves.out) == before
    leaves.classes.write_text('ignore = [255, 7]\nclasses = ["leaf", "stem"]')
    other = leaves.build(segdata, "--shard-samples", 3)
    assert (other.code, "ids [255, 7]" in other.stderr) == (1, True)
    leaves.classes.write_text(CLASSES["index"])
    image = leaves.images / "003.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    other = leaves.build(segdata, "--shard-samples", 3)
    assert (other.code, "sources" in other.stderr) == (1, True)
    assert read_tree(leaves.out) == before


def test_real_voc_masks_as_a_folder(
    segdata: "Command", real: Path, real_shards: Path, tmp_path: Path
) -> None:
    """VOC's own files laid out as a folder give build-voc's masks and images, bit by bit."""
    with tarfile.open(real / "VOCtrainval_11-May-2012.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "VOCdevkit" / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    parts = (root / "JPEGImages", root / "SegmentationClass", "--out", tmp_path / "out")
    done = segdata(
        "build-folder", *parts, "--workers", 1, "--classes", "voc", "--name", "pascal",
        "--val-list", lists / "val.txt", "--unpaired", "skip",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    folder = samples_of(tmp_path / "out")
    official = {k: v for k, v in samples_of(real_shards).items() if k.startswith("voc2012_")}
    assert {k.partition("_")[2] for k in folder} == {k.partition("_")[2] for k in official}
    for key, (image, facts, mask) in official.items():
        same = folder[f"pascal_{key.partition('_')[2]}"]
        assert same[0] == image
        assert np.array_equal(same[2], mask)
        assert (same[1]["split"], same[1]["pixels"]) == (facts["split"], facts["pixels"])
    assert len(official) == 80


def test_it_joins_other_data_sets(
    segdata: "Command", small: Path, make: "Make", tmp_path: Path
) -> None:
    """A folder of VOC's classes joins a directory of VOC; one of other classes is refused."""
    out = tmp_path / "out"
    assert segdata("build-voc", "--data", small, "--out", out, "--workers", 1).code == 0
    folder = Folder(tmp_path / "folder", plain(4), CLASSES["index"], make)
    other = folder.build(segdata, "--out", out)
    assert (other.code, "other classes" in other.stderr) == (1, True)
    assert folder.build(segdata, "--out", out, "--classes", "voc").code == 0
    names = list(manifests(out))
    assert names == ["leaves", "voc2012"]
    report = verify(out, data=small, folders={"leaves": [(folder.images, folder.masks)]})
    assert report.ok, report.lines()
    assert report.compared == report.samples == 12
    assert segdata("show", out, "--out", tmp_path / "preview").code == 0


KINDS: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "grey.png": (encoded(np.full((8, 9), 77, np.uint8)), (77, 77, 77)),
    "alpha.png": (encoded(np.full((8, 9, 4), (10, 200, 30, 128), np.uint8)), (10, 200, 30)),
    "grey-alpha.png": (encoded(np.full((8, 9, 2), (60, 9), np.uint8)), (60, 60, 60)),
    "deep.png": (encoded(np.full((8, 9), 51400, np.uint16)), (200, 200, 200)),
    "deep.tif": (encoded(np.full((8, 9), 51400, np.uint16), "TIFF"), (200, 200, 200)),
    "bits.png": (encoded(Image.new("1", (9, 8), 1)), (255, 255, 255)),
    "palette.png": (
        encoded(Image.new("RGB", (9, 8), (250, 120, 0)).quantize(4), transparency=b"\x80\x80"),
        (250, 120, 0),
    ),
    "plain.webp": (encoded(Image.new("RGB", (9, 8), (9, 99, 199)), "WEBP"), (9, 99, 199)),
    "plain.bmp": (encoded(Image.new("RGB", (9, 8), (9, 99, 199)), "BMP"), (9, 99, 199)),
    "print.tif": (encoded(Image.new("CMYK", (9, 8), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    "phone.jpg": (
        encoded(Image.new("RGB", (9, 8), (200, 100, 0)), "MPO", save_all=True,
                append_images=[Image.new("RGB", (9, 8))]),
        (200, 100, 0),
    ),
    "print.jpg": (encoded(Image.new("CMYK", (9, 8), (0, 255, 255, 0)), "JPEG"), (254, 0, 0)),
}  # fmt: skip


def test_every_kind_of_image(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """Alpha, 16 bits, palettes, CMYK and other formats become JPEGs that show the same colours."""
    files = FolderSet({name: data for name, (data, _) in KINDS.items()})
    del files.images["deep.tif"], files.images["plain.bmp"], files.images["print.jpg"]
    files.images |= {f"x/{n}": KINDS[n][0] for n in ("deep.tif", "plain.bmp", "print.jpg")}
    mask = encoded(np.ones((8, 9), np.uint8))
    files.masks = {f"{name.rpartition('.')[0]}.png": mask for name in files.images}
    folder = Folder(tmp_path, files, CLASSES["index"], make)
    done = folder.build(segdata, "--size", 6)
    assert done.code == 0, done.stderr
    found = samples_of(folder.out)
    assert len(found) == len(KINDS)
    for image, facts, _ in found.values():
        with Image.open(io.BytesIO(image)) as opened:
            shown = np.asarray(opened.convert("RGB")).reshape(-1, 3).mean(0)
        assert image.startswith(b"\xff\xd8")
        assert abs(shown - KINDS[facts["source_file"]][1]).max() < 6, facts["source_file"]
    report = verify(folder.out, folders={"leaves": [(folder.images, folder.masks)]})
    assert report.ok, report.lines()


def splits_of(out: Path) -> dict[str, set[str]]:
    """Source ids by split."""
    found: dict[str, set[str]] = {"train": set(), "val": set()}
    for _, facts, _ in samples_of(out).values():
        found[facts["split"]].add(facts["source_id"])
    return found


def test_the_default_division(segdata: "Command", leaves: Folder) -> None:
    """Without folders, list or share a tenth is held out, told in a note and recorded."""
    done = leaves.build(segdata)
    assert "2 of 12 images are held out as val (--val-share 0.1, --seed 0)" in done.stderr
    assert {name: len(ids) for name, ids in splits_of(leaves.out).items()} == {
        "train": 10,
        "val": 2,
    }
    options = manifests(leaves.out)["leaves"]["options"]["folder"]
    assert (options["split"], options["val_share"]) == ("share", 0.1)


def test_a_share_keeps_groups_whole(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """With --group no group has images on both sides, and the verifier divides alike."""
    files = plain(12)
    files.images = {f"film{int(n[:3]) // 3}/{n}": d for n, d in files.images.items()}
    files.masks = {f"film{int(n[:3]) // 3}/{n}": d for n, d in files.masks.items()}
    folder = Folder(tmp_path, files, CLASSES["index"], make)
    more = ("--val-share", 0.3, "--group", "^(film.)/", "--seed", 5)
    done = folder.build(segdata, *more)
    assert (done.code, "held out" in done.stderr) == (0, False)
    films = {name: {i[:5] for i in ids} for name, ids in splits_of(folder.out).items()}
    assert not films["train"] & films["val"]
    assert (len(films["train"]), len(films["val"])) == (2, 2)
    report = verify(folder.out, folders={"leaves": [(folder.images, folder.masks)]})
    assert report.ok, report.lines()


@pytest.mark.parametrize("listed", ["002\n007\n", "002.jpg\n\n 007 \n002\n"])
def test_a_list_of_val(segdata: "Command", leaves: Folder, listed: str) -> None:
    """--val-list names val by ids or file names, and the rest is train."""
    path = leaves.root / "val.txt"
    path.write_text(listed)
    assert leaves.build(segdata, "--val-list", path).code == 0
    assert splits_of(leaves.out)["val"] == {"002", "007"}
    report = verify(leaves.out, folders={"leaves": [(leaves.images, leaves.masks)]})
    assert report.ok, report.lines()


def test_train_and_val_from_different_folders(
    segdata: "Command", make: "Make", tmp_path: Path
) -> None:
    """Two builds with --split fill both splits; names that both hold are refused as a leak."""
    files = plain(6)
    first = Folder(tmp_path / "a", plain(4), CLASSES["index"], make)
    files.images = {k: v for k, v in files.images.items() if k >= "004"}
    files.masks = {k: v for k, v in files.masks.items() if k >= "004"}
    second = Folder(tmp_path / "b", files, CLASSES["index"], make)
    assert first.build(segdata, "--split", "train").code == 0
    leak = first.build(segdata, "--split", "val")
    assert (leak.code, "in another split" in leak.stderr) == (1, True)
    assert second.build(segdata, "--split", "val", "--out", first.out).code == 0
    assert {k: len(v) for k, v in splits_of(first.out).items()} == {"train": 4, "val": 2}
    roots = [(folder.images, folder.masks) for folder in (first, second)]
    report = verify(first.out, folders={"leaves": roots})
    assert report.ok, report.lines()
    assert manifests(first.out)["leaves"]["complete"]


def test_unpaired_files_are_recorded(segdata: "Command", leaves: Folder) -> None:
    """Images and masks without partner stop the build, or are left out by name."""
    (leaves.masks / "001.png").unlink()
    (leaves.images / "002.jpg").unlink()
    stopped = leaves.build(segdata)
    assert (stopped.code, "1 without, 10 pairs: 001" in stopped.stderr) == (1, True)
    assert not leaves.out.exists()
    assert leaves.build(segdata, "--unpaired", "skip").code == 0
    train = manifests(leaves.out)["leaves"]["splits"]["train"]
    assert train["left_out"] == {
        "no mask": {"count": 1, "ids": ["001"]},
        "no image": {"count": 1, "ids": ["002"]},
    }
    report = verify(leaves.out, folders={"leaves": [(leaves.images, leaves.masks)]})
    assert report.ok, report.lines()


def test_broken_samples_may_be_left_out(segdata: "Command", leaves: Folder) -> None:
    """A mask of another size, an unknown id, a long name: named, or left out and recorded."""
    (leaves.masks / "000.png").write_bytes(encoded(np.zeros((5, 5), np.uint8)))
    (leaves.masks / "001.png").write_bytes(encoded(np.full((1, 9), 99, np.uint8)))
    long = "x" * 90
    shutil.copy(leaves.images / "002.jpg", leaves.images / f"{long}.jpg")
    shutil.copy(leaves.masks / "002.png", leaves.masks / f"{long}.png")
    stopped = leaves.build(segdata, "--split", "train")
    assert (stopped.code, "key is too long" in stopped.stderr) == (1, True)
    assert leaves.build(segdata, "--split", "train", "--on-error", "skip").code == 0
    left_out = manifests(leaves.out)["leaves"]["splits"]["train"]["left_out"]
    assert {reason: entry["ids"] for reason, entry in left_out.items()} == {
        "broken: an image's key is too long": [long],
        "broken: an image has another size than its mask": ["000"],
        "broken: a mask holds an id that the class file does not name": ["001"],
    }
    report = verify(leaves.out, folders={"leaves": [(leaves.images, leaves.masks)]})
    assert report.ok, report.lines()


def test_doubtful_samples_may_be_left_out(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """What two readings fit is left out with its reason, and the verifier does not ask for it."""
    files = plain(12)
    size = (8, 9)
    ones = np.ones(size, np.uint8)
    palette = Image.frombytes("P", (9, 8), ones.tobytes())
    palette.putpalette([0, 0, 0, 10, 90, 250])  # index 1 is leaf, its colour is stem's
    pages = [Image.fromarray(ones), Image.fromarray(ones)]
    masks = {
        "000": encoded(np.full((*size, 2), (1, 9), np.uint8)),
        "001": encoded(ones * 255),
        "002": encoded(palette),
        "003": encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]),
        "004": encoded(ones, "TIFF", compression="jpeg"),
    }
    for name, data in masks.items():
        files.images[f"{name}.jpg"] = encoded(photo(*size), "JPEG")
        files.masks[f"{name}.png"] = data
    del files.images["005.jpg"]
    files.images["005.tif"] = encoded(np.ones(files.truth["005"].shape, np.float32), "TIFF")
    rows = "[[classes]]\nname = '{}'\nids = [{}]\ncolor = '{}'\n"
    classes = rows.format("leaf", 1, "#c81e28") + rows.format("stem", 2, "#0a5afa")
    folder = Folder(tmp_path, files, classes, make)
    done = folder.build(segdata, "--split", "train", "--on-error", "skip")
    assert done.code == 0, done.stderr
    left_out = manifests(folder.out)["leaves"]["splits"]["train"]["left_out"]
    assert sorted(i for entry in left_out.values() for i in entry["ids"]) == [*masks, "005"]
    assert len(left_out) == 6
    report = verify(folder.out, folders={"leaves": [(folder.images, folder.masks)]})
    assert report.ok, report.lines()


def turned(size: tuple[int, int], orientation: int) -> bytes:
    """A JPEG with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(photo(*size), "JPEG", exif=exif)


def test_exif_orientation(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """A mask on the stored pixels passes with its tag; one on the turned picture is explained."""
    files = FolderSet(
        {"a.jpg": turned((20, 30), 6)}, {"a.png": encoded(np.ones((20, 30), np.uint8))}
    )
    folder = Folder(tmp_path, files, CLASSES["index"], make)
    assert folder.build(segdata, "--split", "train").code == 0
    (folder.masks / "a.png").write_bytes(encoded(np.ones((30, 20), np.uint8)))
    done = folder.build(segdata, "--split", "train", "--out", tmp_path / "other")
    assert done.code == 1
    for text in ("EXIF orientation is applied", "orientation 6", "20x30, as the mask", "30x20 as"):
        assert text in done.stderr


def test_a_name_that_lies(segdata: "Command", leaves: Folder) -> None:
    """A PNG that is called .jpg is named as such."""
    (leaves.images / "000.jpg").write_bytes(encoded(photo(20, 30)))
    done = leaves.build(segdata)
    assert (done.code, "not what its name says" in done.stderr, "a PNG" in done.stderr) == (
        1,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (["--name", "voc2013"], 2, "official"),
        (["--name", "coco-like"], 2, "official"),
        (["--name", "info"], 2, "official"),
        (["--name", "My Leaves"], 2, "cannot be"),
        (["--name", "leaves-val"], 2, "cannot be"),
        (["--name", "a" * 41], 2, "cannot be"),
        (["--val-share", "0"], 1, "no image is left for val"),
        (["--val-share", "1"], 1, "no image is left for train"),
        (["--val-share", "0.5", "--split", "val"], 2, "contradict"),
        (["--val-share", "nan"], 2, "--val-share"),
        (["--val-share", "0.5", "--val-list", "val.txt"], 2, "both say what val is"),
        (["--group", "(x"], 2, "no regular expression"),
        (["--group", "0"], 2, "no group in parentheses"),
        (["--group", "^(film)"], 2, "does not match"),
        (["--group", "^(0)"], 1, "no image is left for train"),
        (["--group", "(0)", "--split", "train"], 2, "belongs to --val-share"),
        (["--val-list", "nowhere.txt"], 2, "cannot be read"),
        (["--classes", "nowhere.toml"], 2, "cannot be read"),
        (["--mask-suffix", "_x"], 1, "no names agree"),
        (["--masks-as", "color"], 1, "names none"),
    ],
)
def test_refusals(
    segdata: "Command", leaves: Folder, more: list[str], code: int, text: str
) -> None:
    """What cannot be is refused in words, before anything is written."""
    done = leaves.build(segdata, *more)
    assert (done.code, text in done.stderr) == (code, True), done.stderr
    assert not list(leaves.out.glob("*.json"))


def test_a_list_of_strangers(segdata: "Command", leaves: Folder) -> None:
    """Names in the list of val that no image has are counted and shown."""
    path = leaves.root / "val.txt"
    path.write_text("002\nnobody\n")
    done = leaves.build(segdata, "--val-list", path)
    assert (done.code, "1: nobody" in done.stderr) == (1, True)
    path.write_text("\n\n")
    done = leaves.build(segdata, "--val-list", path)
    assert (done.code, "the list of val is empty" in done.stderr) == (1, True)


def test_a_list_of_ambiguous_names(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """A bare name that lies in two folders is refused with both; with its folder it is taken."""
    files = plain(3)
    for group in (files.images, files.masks):
        for name in list(group):
            group[f"a/{name}"] = group[f"b/{name}"] = group.pop(name)
    folder = Folder(tmp_path, files, CLASSES["index"], make)
    path = folder.root / "val.txt"
    path.write_text("001\n")
    done = folder.build(segdata, "--val-list", path)
    assert (done.code, "found:    001: a/001, b/001" in done.stderr) == (1, True)
    path.write_text("b/001\n")
    assert folder.build(segdata, "--val-list", path).code == 0
    assert splits_of(folder.out)["val"] == {"b/001"}


def test_folders_and_rules_contradict(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """Folders train/ and val/ decide; a rule beside them, or an image outside, is refused."""
    files = plain(4)
    for group in (files.images, files.masks):
        for name in list(group):
            group[f"{'val' if name < '001' else 'Train'}/{name}"] = group.pop(name)
    folder = Folder(tmp_path, files, CLASSES["index"], make)
    done = folder.build(segdata, "--val-share", 0.5)
    assert (done.code, "say already" in done.stderr) == (2, True)
    assert folder.build(segdata, "--split", "val").code == 0
    assert splits_of(folder.out) == {"train": set(), "val": {"val/000"}}
    shutil.rmtree(folder.images / "val")
    shutil.rmtree(folder.masks / "val")
    done = folder.build(segdata, "--split", "val")
    assert (done.code, "no image lies in a folder val/" in done.stderr) == (1, True)
    for root, name in ((folder.images, "9.jpg"), (folder.masks, "9.png")):
        shutil.copy(next(root.rglob(f"*{name[1:]}")), root / name)
    done = folder.build(segdata)
    assert (done.code, "some do not" in done.stderr) == (1, True)


def test_keys(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """Characters that keys lack are replaced; two images with one key are refused."""
    files = plain(2)
    image, mask = files.images["000.jpg"], files.masks["000.png"]
    files.images = {"Ä b/c.d.jpg": image, "plain.jpg": image}
    files.masks = {"Ä b/c.d.png": mask, "plain.png": mask}
    folder = Folder(tmp_path, files, CLASSES["index"], make)
    assert folder.build(segdata, "--split", "train").code == 0
    assert samples_of(folder.out).keys() == {"leaves_--b_c-d", "leaves_plain"}
    report = verify(folder.out, folders={"leaves": [(folder.images, folder.masks)]})
    assert report.ok, report.lines()
    make.write_folder(folder.images, {"Ö b/c.d.jpg": image})
    make.write_folder(folder.masks, {"Ö b/c.d.png": mask})
    done = folder.build(segdata, "--split", "train")
    assert (done.code, "both leaves_--b_c-d" in done.stderr) == (1, True)


def test_the_name_is_that_of_the_common_folder(
    segdata: "Command", make: "Make", tmp_path: Path
) -> None:
    """Without --name the data set is called as the folder that holds both, and a note says so."""
    folder = Folder(tmp_path / "My Leaves 2", plain(3), CLASSES["index"], make)
    done = segdata(
        "build-folder", folder.images, folder.masks, "--classes", folder.classes,
        "--out", folder.out, "--workers", 1,
    )  # fmt: skip
    assert done.code == 0
    assert "called my-leaves-2" in done.stderr
    assert list(manifests(folder.out)) == ["my-leaves-2"]


def test_nothing_but_broken_images(segdata: "Command", tmp_path: Path) -> None:
    """Where every sample was left out, the shards are right, and every command says so."""
    for name in ("a", "b", "c"):
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.new("L", (9, 9)).save(tmp_path / kind / f"{name}.png")
        (tmp_path / "images" / f"{name}.png").write_bytes(b"no image")
    (tmp_path / "classes.txt").write_text("leaf\n")
    out = tmp_path / "shards"
    arguments = [tmp_path / "images", tmp_path / "masks", "--classes", tmp_path / "classes.txt"]
    options = ["--name", "n", "--on-error", "skip", "--out", out, "--workers", 1]
    assert segdata("build-folder", *arguments, *options).code == 0
    for command in (
        ["verify-masks", out, "--folder", f"n={tmp_path / 'images'},{tmp_path / 'masks'}"],
        ["show", out, "--out", tmp_path / "preview"],
        ["info", out],
        ["report", out, "--out", tmp_path / "report.html"],
        ["check-leaks", out],
    ):
        done = segdata(*command)
        assert done.code == 0, (command, done)
    assert "configs" not in (out / "README.md").read_text(encoding="utf-8")


def test_the_resize_is_chosen_and_recorded(leaves: Folder, segdata: "Command") -> None:
    """`--resize opencv` makes other images, the same masks, and says so in the manifest."""
    pytest.importorskip("cv2")
    assert leaves.build(segdata).code == 0
    usual = samples_of(leaves.out)
    leaves.out = leaves.root / "opencv"
    assert leaves.build(segdata, "--resize", "opencv").code == 0
    (manifest,) = manifests(leaves.out).values()
    assert manifest["options"]["resampling"] == "opencv-area"
    assert "opencv" in manifest["versions"]
    other = samples_of(leaves.out)
    assert other.keys() == usual.keys()
    assert any(other[key][0] != usual[key][0] for key in usual)
    for key, (_, _, mask) in usual.items():
        np.testing.assert_array_equal(other[key][2], mask)
    found = verify(leaves.out, folders={"leaves": [(leaves.images, leaves.masks)]}).findings
    assert found == ()
