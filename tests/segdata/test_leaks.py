"""Leaks: planted copies of real photos are found and named, by ids and looks; nothing else is."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from segdata.catalog import identity

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make

Copy = Callable[[Image.Image], Image.Image]
Json = dict[str, Any]

COPIES: list[tuple[str, Copy, Json]] = [
    ("same-photo", lambda image: image, {"quality": 20}),
    ("same-photo", lambda image: image, {"quality": 95, "subsampling": 0}),
    ("same-photo", lambda image: image.convert("L"), {}),
    ("same-photo", lambda image: image.resize((200, 140), Image.Resampling.BICUBIC), {}),
    ("same-photo", lambda image: ImageEnhance.Brightness(image).enhance(1.25), {}),
    ("same-photo", lambda image: image.crop((9, 7, image.width - 4, image.height - 11)), {}),
    ("same-photo", lambda image: ImageOps.expand(image, 24, "white"), {}),
    ("mirrored", ImageOps.mirror, {}),
    ("mirrored", lambda image: ImageOps.mirror(image).convert("L").resize((240, 180)), {}),
]


@pytest.fixture(scope="module")
def photos(real: Path) -> list[bytes]:
    """Twenty real photos."""
    with tarfile.open(real / "VOCtrainval_11-May-2012.tar") as archive:
        images = [info for info in archive if info.name.endswith(".jpg")][:20]
        return [archive.extractfile(info).read() for info in images]  # type: ignore[union-attr] # files


@pytest.fixture(scope="module")
def planted(
    photos: list[bytes],
    make: "Make",
    segdata: "Command",
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Shards whose train split holds a copy of each of the first val photos, and others."""
    folder = tmp_path_factory.mktemp("planted")
    copies = [
        encoded(copy(opened(photo)), options)
        for photo, (_, copy, options) in zip(photos, COPIES, strict=False)
    ]
    voc_shards(make, segdata, folder, train=[*copies, *photos[15:]], val=photos[:15])
    return folder / "shards"


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def encoded(image: Image.Image, options: Json) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def voc_shards(
    make: "Make", segdata: "Command", folder: Path, *, train: list[bytes], val: list[bytes]
) -> None:
    """VOC shards of these images; train ids begin with 2008, val ids with 2009."""
    voc = make.voc(0, 0)
    for split, year, images in (("train", 2008, train), ("val", 2009, val)):
        ids = [f"{year}_{i:06d}" for i in range(len(images))]
        voc.list(split, ids)
        for source_id, data in zip(ids, images, strict=True):
            width, height = opened(data).size
            voc.members[voc.name("JPEGImages", source_id)] = data
            mask = make.palette_png(make.voc_mask(height, width, 0))
            voc.members[voc.name("SegmentationClass", source_id)] = mask
    data = make.write_voc(folder / "data", voc)
    out = folder / "shards"
    assert segdata("build-voc", "--data", data, "--out", out, "--workers", 1).code == 0


def found(report: Path) -> set[tuple[str, str, str, str]]:
    """(level, kind, first, second) of each finding."""
    return {
        (row["level"], row["kind"], row["first"]["key"], row["second"]["key"])
        for row in json.loads(report.read_bytes())["findings"]
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_planted_copies_are_found(
    segdata: "Command", planted: Path, tmp_path: Path, workers: int
) -> None:
    """Each copy is a leak of its photo and nothing else is one, with any number of workers."""
    report = tmp_path / "report.json"
    done = segdata("check-leaks", planted, "--json", report, "--workers", workers)
    assert done.code == 1
    assert found(report) == {
        ("leak", kind, f"voc2012_2008_{i:06d}", f"voc2012_2009_{i:06d}")
        for i, (kind, _, _) in enumerate(COPIES)
    }
    lines = done.stdout.splitlines()
    assert lines[-1].startswith(f"{len(COPIES)} leaks: train | val; 29 images, 406 pairs")
    assert "voc2012-train-000000.tar" in lines[0]
    assert "voc2012-val-000000.tar" in lines[0]
    assert lines[len(COPIES)].startswith("leak: next: ")


def test_pictures_of_the_pairs(segdata: "Command", planted: Path, tmp_path: Path) -> None:
    """There is one picture a pair, both photos in it, and a sheet of them."""
    out, report = tmp_path / "pairs", tmp_path / "report.json"
    done = segdata("check-leaks", planted, "--out", out, "--json", report, "--workers", 1)
    keys = [row["first"]["key"] for row in json.loads(report.read_bytes())["findings"]]
    files = sorted(path.name for path in out.iterdir())
    assert len(files) == len(COPIES) + 1
    assert files[-1] == "sheet.png"
    assert f"pictures: {out / 'sheet.png'}" in done.stdout
    recoded = files[keys.index("voc2012_2008_000000")]
    with Image.open(out / recoded) as picture:
        pixels = np.asarray(picture.convert("L"), int)
    left, right = pixels[40:340, 10:410], pixels[40:340, 420:820]
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.9
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.height > sheet.width / 2


def test_real_photos_are_no_copies_of_each_other(segdata: "Command", real_shards: Path) -> None:
    """Over all real photos at hand there is no finding at all."""
    done = segdata("check-leaks", real_shards, "--workers", 1)
    assert (done.code, len(done.stdout.splitlines())) == (0, 1)
    assert done.stdout.startswith("OK, no leak: train | val; 157 images, 12,246 pairs")


def test_the_level_is_the_splits(
    photos: list[bytes], make: "Make", segdata: "Command", tmp_path: Path
) -> None:
    """Two copies in val are a warning, in train a note, and neither fails the command."""
    pair = [photos[0], encoded(ImageOps.mirror(opened(photos[0])), {})]
    other = [photos[1], encoded(opened(photos[1]), {"quality": 40})]
    voc_shards(make, segdata, tmp_path, train=pair, val=[*other, photos[2]])
    report = tmp_path / "report.json"
    done = segdata("check-leaks", tmp_path / "shards", "--json", report, "--workers", 1)
    assert done.code == 0
    by_level = {(level, kind) for level, kind, _, _ in found(report)}
    assert by_level == {("note", "mirrored"), ("warning", "same-photo")}


def test_plain_images_leak_only_as_equal_files(
    make: "Make", segdata: "Command", tmp_path: Path
) -> None:
    """Black, white and sky are no copies of each other; the same file twice is."""
    black, white = (encoded(Image.new("RGB", (60, 40), c), {}) for c in ("black", "white"))
    dark = encoded(Image.new("RGB", (60, 44), (9, 9, 9)), {})
    voc_shards(make, segdata, tmp_path, train=[black, white], val=[dark, white])
    report = tmp_path / "new" / "report.json"
    done = segdata("check-leaks", tmp_path / "shards", "--json", report, "--workers", 1)
    keys = ("voc2012_2008_000001", "voc2012_2009_000001")
    assert found(report) == {("leak", "same-bytes", *keys)}
    assert "0 pairs compared by looks, 4 too plain for it" in done.stdout
    printed = segdata("check-leaks", tmp_path / "shards", "--json", "-", "--workers", 1)
    assert (printed.code, printed.stdout) == (1, report.read_text(encoding="utf-8"))


def test_ids_across_directories(segdata: "Command", small: Path, tmp_path: Path) -> None:
    """VOC 2007's photos are VOC 2012's under other ids, whatever size they were built in."""
    for year, size in ((2012, 512), (2007, 24)):
        data = small
        if year == 2007:
            data = tmp_path / "data"
            as_2007(small, data)
        command = ["build-voc", "--year", year, "--data", data, "--out", tmp_path / str(year)]
        assert segdata(*command, "--size", size, "--workers", 1).code == 0
    both = [tmp_path / "2012", tmp_path / "2007"]
    report = tmp_path / "report.json"
    assert segdata("check-leaks", *both, "--json", report, "--workers", 1).code == 1
    kinds = [(level, kind) for level, kind, a, b in found(report) if a == b]
    # 2007's lists are the other way round: five of train in val, three of val in train
    assert kinds == [("leak", "same-id")] * 8
    assert segdata("check-leaks", both[0], both[0], tmp_path / "2007" / ".." / "2012").code == 0


def as_2007(small: Path, folder: Path) -> None:
    """The small VOC tar in VOC 2007's names, its train and val lists exchanged."""
    members = {}
    with tarfile.open(small / "VOCtrainval_11-May-2012.tar") as archive:
        for info in archive:
            name = info.name.replace("VOC2012", "VOC2007").replace("2007_", "")
            swapped = {"train.txt": "val.txt", "val.txt": "train.txt"}
            head, _, tail = name.rpartition("/")
            data = archive.extractfile(info).read()  # type: ignore[union-attr] # only files
            members[f"{head}/{swapped.get(tail, tail)}"] = data.replace(b"2007_", b"")
    folder.mkdir()
    with tarfile.open(folder / "VOCtrainval_06-Nov-2007.tar", "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        (("voc2012", "2007_000032", "2007_000032.jpg"), "voc:2007_000032"),
        (("voc2007", "000032", "000032.jpg"), "voc:2007_000032"),
        (("voc2007", "2007_000032", "000032.jpg"), "voc:2007_000032"),
        (("sbd", "2008_000001", "2008_000001.jpg"), "voc:2008_000001"),
        (("coco2017", "139", "000000000139.jpg"), "coco:139"),
        (("coco2014", "139", "COCO_val2014_000000000139.jpg"), "coco:139"),
        (("mine", "COCO_train2014_000000000139", "COCO_train2014_000000000139.jpg"), "coco:139"),
        (("mine", "000000000139", "000000000139.png"), "mine:000000000139"),
        (("mine", "2007_000032", "2007_000032.png"), "voc:2007_000032"),
        (("mine", "2007_0000321", "a.jpg"), "mine:2007_0000321"),
    ],
)
def test_identities(sample: tuple[str, str, str], name: str) -> None:
    """All names of one photo are one; ids that only look alike are not."""
    assert identity(*sample) == name


def test_named_views(segdata: "Command", planted: Path, tmp_path: Path) -> None:
    """Any splits and views can be held against each other."""
    done = segdata("check-leaks", planted, "--val", "val100", "--workers", 1)
    assert done.stdout.splitlines()[-1].startswith(f"{len(COPIES)} leaks: train | val100;")
    report = tmp_path / "report.json"
    options = ["--train", "val", "--val", "val100", "--json", report, "--workers", 1]
    assert segdata("check-leaks", planted, *options).code == 1
    twice = {(level, kind, a == b) for level, kind, a, b in found(report)}
    assert twice == {("leak", "same-sample", True)}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("idx", "a file of the shards directory cannot be read"),
        ("tar", "a file of the shards directory cannot be read"),
        ("image", "an image of a shard cannot be decoded"),
    ],
)
def test_damage_is_one_error(
    segdata: "Command", small: Path, tmp_path: Path, broken: str, words: str
) -> None:
    """A missing index, a cut shard and an image that does not decode are named, not traced."""
    folder = tmp_path / "shards"
    assert segdata("build-voc", "--data", small, "--out", folder, "--workers", 1).code == 0
    tar = folder / "voc2012-val-000000.tar"
    if broken == "idx":
        tar.with_suffix(".idx").unlink()
    else:
        data = bytearray(tar.read_bytes())
        if broken == "tar":
            data = data[: len(data) // 2]
        else:
            data[512:900] = bytes(388)
        tar.write_bytes(data)
    done = segdata("check-leaks", folder, "--workers", 1)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {words}")
    assert "voc2012-val-000000" in done.stderr


def test_unknown_views_are_refused(segdata: "Command", small: Path, tmp_path: Path) -> None:
    """A name that is no split or view is a usage error that lists those there are."""
    assert segdata("build-voc", "--data", small, "--out", tmp_path, "--workers", 1).code == 0
    refused = segdata("check-leaks", tmp_path, "--train", "nobody")
    assert refused.code == 2
    assert refused.stderr.startswith("error: there is no split or view 'nobody'")
    assert "expected: one of train, val, val100, voc-train, voc-val" in refused.stderr


def test_no_directory(segdata: "Command", tmp_path: Path) -> None:
    """A folder without shards is refused in words."""
    done = segdata("check-leaks", tmp_path)
    assert (done.code, done.stdout) == (1, "")
    assert "holds no manifest" in done.stderr
