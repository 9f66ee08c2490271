"""Tests of segtrain.foreign.index: directories of others' shards, from the tars to training."""

import io
import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from segtrain.config import TrainConfig
from segtrain.data import open_data
from segtrain.errors import RunError, SegtrainError, ShardsError, UsageError
from segtrain.foreign.index import Indexed, IndexOptions, index
from segtrain.samples import load
from segtrain.shards import open_shards


def run(directory: Path, classes: str, **options: object) -> Indexed:
    """Index without showing progress."""
    return index(replace(IndexOptions(directory, classes), **options), lambda *_: None)


def masks_of(directory: Path, split: str) -> dict[str, np.ndarray]:
    """Every mask of a split as the trainer reads it, by key."""
    found = open_shards(directory).sets(split)
    return {d.key: d.mask for s in found for d in (load(s, n) for n in range(len(s)))}


def files_of(directory: Path) -> dict[str, bytes]:
    """Everything in a directory."""
    return {str(p): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_masks_of_others_arrive_bit_by_bit(kit: ModuleType, foreign: Path, classes: str) -> None:
    """Every sample of every shard is read with the very ids that were drawn."""
    indexed = run(foreign, classes)
    assert indexed.manifest == foreign / "green-house.json"
    found = masks_of(foreign, "train") | masks_of(foreign, "val")
    assert len(found) == 8
    for key, mask in found.items():
        first = 0 if key.startswith("train") else 1000
        np.testing.assert_array_equal(
            mask, kit.blocks(first + int(key[-4:]) % 3 if int(key[-4:]) < 3 else int(key[-4:]) - 3)
        )


def test_counts_are_those_of_the_masks(kit: ModuleType, foreign: Path, classes: str) -> None:
    """The manifest's pixels and images are what counting the drawn masks gives; val100 is val."""
    plain = json.loads(run(foreign, classes).manifest.read_text())
    drawn = [kit.blocks(n) for n in (0, 1, 2, 0, 1)]
    train = plain["splits"]["train"]
    assert train["pixels"] == [sum(int((m == v).sum()) for m in drawn) for v in (0, 1, 2, 3, 255)]
    assert train["images"] == [sum(bool((m == v).any()) for m in drawn) for v in (1, 2, 3)]
    assert (train["samples"], train["complete"]) == (5, True)
    assert plain["views"]["val100"]["keys"] == [f"val{n:04d}" for n in range(3)]
    assert [c["name"] for c in plain["classes"]] == ["background", "disc", "square", "stripes"]


@pytest.mark.parametrize("workers", [1, 2])
def test_indexing_again_changes_nothing(foreign: Path, classes: str, workers: int) -> None:
    """A second index, by any number of processes, leaves every byte as it was."""
    assert run(foreign, classes).changed
    before = files_of(foreign)
    indexed = run(foreign, classes, workers=workers)
    assert not indexed.changed
    assert indexed.notes == ()
    assert files_of(foreign) == before


def test_indices_are_dalis(foreign: Path, classes: str) -> None:
    """Each `.idx` places every member where tarfile finds it; without them the same is read."""
    run(foreign, classes)
    for path in foreign.glob("*.tar"):
        first, *lines = path.with_suffix(".idx").read_text().splitlines()
        with tarfile.open(path) as tar:
            expected = [(m.name.partition(".")[2], str(m.offset_data), str(m.size), m.name)
                        for m in tar]  # fmt: skip
        words = [w for line in lines for w in line.split(" ")]
        assert first == f"v1.2 {len(lines)}"
        assert [*zip(*[iter(words)] * 4, strict=True)] == expected
    indexed = open_shards(foreign).train_set()
    for path in foreign.glob("*.idx"):
        path.unlink()
    scanned = open_shards(foreign).train_set()
    np.testing.assert_array_equal(indexed.spans, scanned.spans)
    np.testing.assert_array_equal(indexed.keys, scanned.keys)


@pytest.mark.parametrize(
    ("image", "mask"),
    [("jpg", "seg.png"), ("jpeg", "cls.png"), ("png", "mask.png"), ("webp", "png"),
     ("image.png", "label.png"), ("JPG", "PNG"), ("jpg", "odd-name.png")],
)  # fmt: skip
def test_usual_names_are_found(
    kit: ModuleType, tmp_path: Path, classes: str, image: str, mask: str
) -> None:
    """Image and mask are told apart by any of the usual endings, among other members."""
    directory = tmp_path / "d"
    members = [
        m
        for n in range(2)
        for m in [
            *kit.pair(f"k{n}", n, image, mask),
            (f"k{n}.json", b"{}"),
            (f"k{n}.txt", b"a cat"),
        ]
    ]
    kit.write_tar(directory / "train.tar", members)
    run(directory, classes)
    found = masks_of(directory, "train")
    assert sorted(found) == ["k0", "k1"]
    for n in range(2):
        np.testing.assert_array_equal(found[f"k{n}"], kit.blocks(n))


def test_unclear_names_are_decided_by_options(
    kit: ModuleType, tmp_path: Path, classes: str
) -> None:
    """Two masks or two images a sample are an error that names both, until an option decides."""
    directory = tmp_path / "d"
    data = kit.photo(32, 24)
    members = [
        *kit.pair("k", 1, "jpg", "seg.png"),
        ("k.gt.png", kit.png(kit.blocks(2))),
        ("k.webp", data),
    ]
    path = kit.write_tar(directory / "train.tar", members)
    with pytest.raises(ShardsError, match=r"k has the members .*seg.png and gt.png.*--mask-ext"):
        run(directory, classes)
    with pytest.raises(ShardsError, match=r"jpg and webp may be the image.*--image-ext"):
        run(directory, classes, mask_ext="gt.png")
    assert [*directory.iterdir()] == [path]
    run(directory, classes, mask_ext=".gt.png", image_ext="jpg")
    np.testing.assert_array_equal(masks_of(directory, "train")["k"], kit.blocks(2))


def test_tars_of_the_system_with_folders_in_them(
    kit: ModuleType, tmp_path: Path, classes: str
) -> None:
    """What `tar` makes of a folder of folders is read, hidden files and all; keys have folders."""
    source, directory = tmp_path / "source", tmp_path / "d"
    for folder, number in (("a", 0), ("b c", 1)):
        (source / folder).mkdir(parents=True)
        for name, data in kit.pair("0001", number):
            (source / folder / name).write_bytes(data)
        (source / folder / "._0001.jpg").write_bytes(b"of a Mac")
        (source / folder / "README").write_bytes(b"about")
    directory.mkdir()
    kit.system_tar(directory / "train.tar", source)
    indexed = run(directory, classes)
    assert any("no .idx for train.tar" in note for note in indexed.notes)
    found = masks_of(directory, "train")
    assert sorted(found) == ["a/0001", "b c/0001"]
    np.testing.assert_array_equal(found["b c/0001"], kit.blocks(1))


def test_palettes_are_read_as_indices(kit: ModuleType, tmp_path: Path, classes: str) -> None:
    """Palette masks of 1 to 8 bits and greyscale of fewer bits give their ids, not colours."""
    directory = tmp_path / "d"
    ids = kit.blocks(5)
    members = [("p.jpg", kit.photo(32, 24)), ("p.png", kit.png(ids, "P"))]
    few = np.where(ids == 255, 0, ids)
    for bits in (2, 4):  # 2 bits hold 0..3
        image = Image.fromarray(few)
        image.putpalette([i for i in range(256) for _ in range(3)])
        data = io.BytesIO()
        image.save(data, "PNG", bits=bits)
        members += [(f"q{bits}.jpg", kit.photo(32, 24)), (f"q{bits}.png", data.getvalue())]
    data = io.BytesIO()
    Image.fromarray(few > 1).save(data, "PNG")  # greyscale of 1 bit
    members += [("r.jpg", kit.photo(32, 24)), ("r.png", data.getvalue())]
    wide = io.BytesIO()
    Image.fromarray(ids.astype(np.uint16)).save(wide, "PNG")
    members += [("s.jpg", kit.photo(32, 24)), ("s.png", wide.getvalue())]
    kit.write_tar(directory / "train.tar", members)
    run(directory, classes)
    found = masks_of(directory, "train")
    np.testing.assert_array_equal(found["p"], ids)
    for bits in (2, 4):
        np.testing.assert_array_equal(found[f"q{bits}"], few)
    np.testing.assert_array_equal(found["r"], few > 1)
    np.testing.assert_array_equal(found["s"], ids)


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "I;16", "CMYK"])
def test_images_of_any_mode_become_rgb(
    kit: ModuleType, tmp_path: Path, classes: str, mode: str
) -> None:
    """Greyscale, transparent, palette and 16-bit images are trained on as RGB."""
    directory = tmp_path / "d"
    ext, data = "png", io.BytesIO()
    if mode == "CMYK":
        ext, data = "jpg", io.BytesIO(kit.photo(32, 24, "JPEG", mode))
    elif mode == "I;16":
        Image.fromarray(np.full((24, 32), 25_700, np.uint16)).save(data, "PNG")
    else:
        data = io.BytesIO(kit.photo(32, 24, "PNG", mode))
    kit.write_tar(
        directory / "train.tar",
        [(f"k.{ext}", data.getvalue()), ("k.seg.png", kit.png(kit.blocks(1)))],
    )
    run(directory, classes)
    image = load(open_shards(directory).train_set(), 0).image
    assert (image.mode, image.size) == ("RGB", (32, 24))
    if mode == "I;16":
        assert image.getpixel((3, 3)) == (100, 100, 100)


def test_ids_follow_the_class_file(kit: ModuleType, tmp_path: Path) -> None:
    """Several ids of the masks become one class, others are ignored, as the class file says."""
    file = tmp_path / "c.toml"
    file.write_text('ignore = [255, 3]\n[[classes]]\nname = "x"\nids = [1, 2]\n')
    directory = tmp_path / "d"
    kit.write_tar(directory / "train.tar", kit.pair("k", 4))
    run(directory, str(file))
    table = np.arange(256)
    table[[1, 2, 3]] = 1, 1, 255
    found = masks_of(directory, "train")["k"]
    np.testing.assert_array_equal(found, table[kit.blocks(4)])
    pixels = open_shards(directory).train_set().pixels
    assert pixels is not None
    np.testing.assert_array_equal(pixels, [(found == v).sum() for v in (0, 1, 255)])


def test_another_ignore_index(foreign: Path, tmp_path: Path) -> None:
    """`--ignore-index` adds an id that is ignored; one that is a class is refused."""
    file = tmp_path / "two.txt"
    file.write_text("disc\nsquare\n")
    with pytest.raises(ShardsError, match=r"train-00\d.tar: train\d+: .* id 3; expected 0\.\.2"):
        run(foreign, str(file))
    run(foreign, str(file), ignore_index=3)
    assert set(np.unique(masks_of(foreign, "train")["train0000"])) <= {0, 1, 2, 255}
    with pytest.raises(UsageError, match=r"--ignore-index 2: the class file says that 2 is square"):
        run(foreign, str(file), ignore_index=2)


def test_without_pixels_ids_are_checked_in_training(foreign: Path, tmp_path: Path) -> None:
    """`--no-pixels` counts nothing; an unknown id is then met by the sample that holds it."""
    file = tmp_path / "two.txt"
    file.write_text("disc\nsquare\n")
    run(foreign, str(file), pixels=False)
    samples = open_shards(foreign).train_set()
    assert samples.pixels is not None
    assert samples.pixels.sum() == 0
    with pytest.raises(ShardsError, match=r"holds id 3; expected 0\.\.2, 255.*segtrain index"):
        [load(samples, n) for n in range(len(samples))]


def test_patterns_and_folders_divide(kit: ModuleType, tmp_path: Path, classes: str) -> None:
    """Patterns decide where they are given, folders' names else; what is left out is told."""
    directory = tmp_path / "d"
    for n in range(3):
        kit.write_tar(directory / f"part-{n}.tar", kit.pair(f"k{n}", n))
    indexed = run(directory, classes)
    assert any("all are train" in note for note in indexed.notes)
    indexed = run(directory, classes, splits=("train=part-0*", "val=*-1.tar"))
    assert indexed.notes[0] == "1 shards fit no --split and are left out: part-2.tar"
    assert [*masks_of(directory, "val")] == ["k1"]
    with pytest.raises(UsageError, match=r"--split val=x\*: fits no shard"):
        run(directory, classes, splits=("val=x*",))
    with pytest.raises(UsageError, match=r"part-0.tar fits train and val"):
        run(directory, classes, splits=("train=*", "val=part-0.tar"))
    with pytest.raises(UsageError, match=r"--split test=a: is not of the form"):
        run(directory, classes, splits=("test=a",))

    folders = tmp_path / "f"
    kit.write_tar(folders / "train" / "0.tar", kit.pair("a", 1))
    kit.write_tar(folders / "validation" / "0.tar", kit.pair("b", 2))
    kit.write_tar(folders / "test" / "0.tar", kit.pair("c", 3))
    assert run(folders, classes).notes[0].startswith("1 shards are named test and left out")
    assert [*masks_of(folders, "train")] == ["a"]
    assert [*masks_of(folders, "val")] == ["b"]
    kit.write_tar(folders / "more.tar", kit.pair("d", 3))
    with pytest.raises(ShardsError, match=r"more.tar says neither or both.*--split"):
        run(folders, classes)


def spoil(kit: ModuleType, path: Path, how: str) -> None:
    """Make a shard unusable."""
    data = path.read_bytes()
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    last, torn = members[-1], members[2].offset
    image, mask = kit.pair("z", 1)
    files = {
        "cut": data[: len(data) // 2],
        "no end": data[: last.offset_data + -(-last.size // 512) * 512],
        "torn": data[:torn] + b"x" * 512 + data[torn + 512 :],
        "empty": b"",
        "gzip": b"\x1f\x8b\x08" + data,
        "no tar": b"x" * 4000,
    }
    tars = {
        "no sample": [("README", b"nothing")],
        "apart": [image, *kit.pair("y", 2), mask],
        "twice": [image, mask, image],
        "no mask": [*kit.pair("y", 2), image],
        "size": [("z.jpg", kit.photo(24, 32)), mask],
        "colours": [image, ("z.png", kit.photo(32, 24, "PNG"))],
        "broken": [("z.jpg", b"no image"), mask],
        "key": kit.pair("k" * 201, 1),
        "same image": kit.pair("train0001", 1),
    }
    if how in files:
        path.write_bytes(files[how])
    else:
        kit.write_tar(path, tars[how])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut", r"is no whole tar \("),
        ("no end", r"is no whole tar \(it ends at byte [\d,]+ without a tar's end mark\)"),
        ("torn", r"is no whole tar \(at byte [\d,]+ there is neither a member nor the end"),
        ("empty", r"is no whole tar \(it has 0 bytes\)"),
        ("no tar", r"is no whole tar \("),
        ("no sample", r"holds no sample; remove it"),
        ("gzip", r"is compressed by gzip.*--reader webdataset"),
        ("apart", r"members of z are not side by side"),
        ("twice", r"holds z.jpg twice"),
        ("no mask", r"z has the members jpg: none is the mask \(png\)"),
        ("size", r"z: the image has 24x32 pixels, its mask 32x24; .*EXIF orientation"),
        ("colours", r"z: the mask is a PNG of mode RGB.*`segdata build-folder`"),
        ("broken", r"z: image or mask cannot be decoded"),
        ("key", r"the key 'k+' cannot be used"),
        ("same image", r"train0001 is in train-000.tar too, with the same image"),
    ],
)
@pytest.mark.parametrize("pixels", [True, False])
def test_a_shard_that_cannot_be_used_is_named(
    kit: ModuleType, foreign: Path, classes: str, how: str, words: str, pixels: bool
) -> None:
    """Damage is told with shard and key, and nothing at all is written."""
    path = foreign / "val-000.tar"
    spoil(kit, path, how)
    before = files_of(foreign)
    with pytest.raises(SegtrainError, match=words) as caught:
        run(foreign, classes, pixels=pixels)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files_of(foreign) == before


def test_keys_differ_within_a_split(kit: ModuleType, foreign: Path, classes: str) -> None:
    """A key twice in train is an error; train and val may both count from 0, if images differ."""
    path = kit.write_tar(foreign / "val-001.tar", [("train0001.jpg", kit.photo(32, 25)),
                         ("train0001.png", kit.png(np.zeros((25, 32))))])  # fmt: skip
    notes = run(foreign, classes).notes
    assert "1 keys, train0001 first, are in train and val; their images differ" in notes[0]
    data = open_data(TrainConfig(shards=(str(foreign),)))
    assert (len(data.train), len(data.val_sets[0].samples)) == (5, 4)
    with pytest.raises(ShardsError, match="stand in both"):
        open_data(TrainConfig(shards=(str(foreign),), train_split="val", val_split="val100"))
    path.rename(foreign / "train-002.tar")
    with pytest.raises(ShardsError, match=r"train-002.tar: train0001 is in train-000.tar too"):
        run(foreign, classes)


def test_compressed_tars_are_told_with_both_ways_on(foreign: Path, classes: str) -> None:
    """A `.tar.gz` beside plain tars is not passed over in silence."""
    (foreign / "train-002.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(ShardsError, match=r"train-002.tar.gz: is compressed.*unpack.*--reader web"):
        run(foreign, classes)


def test_a_changed_tar_is_noticed(kit: ModuleType, foreign: Path, classes: str) -> None:
    """The reader refuses a shard of another size; indexing again names and mends it."""
    run(foreign, classes)
    kit.write_tar(foreign / "train-001.tar", kit.split_members("train", 4, first=3))
    kit.write_tar(foreign / "train-002.tar", kit.pair("new", 5))
    with pytest.raises(ShardsError, match=r"train-001.tar: has .* manifest says .*segtrain index"):
        open_shards(foreign).train_set()
    notes = run(foreign, classes).notes
    assert "changed since the last index: train-001.tar" in notes
    assert "new since the last index: train-002.tar" in notes
    assert len(open_shards(foreign).train_set()) == 8


def test_other_files_of_the_name_are_not_overwritten(
    foreign: Path, classes: str, shards: Path
) -> None:
    """A manifest of segdata and a user's own JSON stay as they are."""
    path = foreign / "green-house.json"
    path.write_text('{"mine": 1}')
    with pytest.raises(RunError, match=r"green-house.json: is no manifest of `segtrain index`"):
        run(foreign, classes)
    plain = json.loads((shards / "voc2012.json").read_text())
    path.write_text(json.dumps(plain | {"dataset": "green-house"}))
    with pytest.raises(RunError, match=r"is the manifest of shards that segdata made"):
        run(foreign, classes)


def test_names_of_data_sets(foreign: Path, classes: str) -> None:
    """A name is safe and none of the official ones; a folder's name is made so."""
    for name in ("voc2012", "a b", "A", "info", "x" * 61, "a--b"):
        with pytest.raises(UsageError, match=f"--name {name}: "):
            run(foreign, classes, name=name)
    assert run(foreign, classes, name="leaves-2").manifest.name == "leaves-2.json"
    other = foreign.with_name("VOC 2012")
    shutil.copytree(foreign, other)
    (other / "leaves-2.json").unlink()
    assert run(other, classes).manifest.name == "own-voc-2012.json"


def test_shards_of_segdata_stay_segdatas(
    kit: ModuleType, shards: Path, tmp_path: Path, classes: str
) -> None:
    """Beside segdata's shards only the foreign ones are indexed; classes must agree."""
    directory = Path(shutil.copytree(shards, tmp_path / "both"))
    with pytest.raises(ShardsError, match=r"all its shards belong to coco2017, voc2012 already"):
        run(directory, classes)
    kit.write_tar(directory / "mine-train.tar", kit.pair("mine", 1))
    run(directory, classes, name="mine")
    opened = open_shards(directory)
    info = json.loads((directory / "info.json").read_text())
    assert info["datasets"] == ["coco2017", "mine", "voc2012"]
    assert info["splits"]["train"]["samples"] == len(opened.train_set()) == 38
    assert [m.dataset for m in opened.manifests] == ["coco2017", "mine", "voc2012"]
    assert len(opened.train_set()) == 38
    file = tmp_path / "two.toml"
    file.write_text('classes = ["a", "b", "c"]')
    with pytest.raises(ShardsError, match="build both with the same --classes"):
        run(directory, str(file), name="mine")


def test_masks_of_background_alone_are_refused(kit: ModuleType, tmp_path: Path) -> None:
    """Binary masks of 0 and 255 would teach nothing: the error says what 255 may be."""
    file = tmp_path / "one.txt"
    file.write_text("leaf\n")
    directory = tmp_path / "d"
    ids = np.where(kit.blocks(1) > 1, 255, 0)
    kit.write_tar(directory / "train.tar", [("k.jpg", kit.photo(32, 24)), ("k.png", kit.png(ids))])
    with pytest.raises(ShardsError, match=r"nothing but background and ignore.*ids = \[255\]"):
        run(directory, str(file))
    toml = tmp_path / "one.toml"
    toml.write_text('[[classes]]\nname = "leaf"\nids = [255]\n')
    run(directory, str(toml))
    np.testing.assert_array_equal(masks_of(directory, "train")["k"], ids // 255)


def test_a_folder_without_tars_is_an_error(tmp_path: Path, classes: str) -> None:
    """No folder, a file for a folder, and a folder without tars are told as that."""
    with pytest.raises(ShardsError, match="nowhere: does not exist"):
        run(tmp_path / "nowhere", classes)
    with pytest.raises(ShardsError, match=r"classes.txt: is a file"):
        run(Path(classes), classes)
    with pytest.raises(ShardsError, match=r"holds no .tar files"):
        run(tmp_path, classes)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_told(foreign: Path, classes: str) -> None:
    """Where nothing can be written, the error names the file."""
    foreign.chmod(0o555)
    try:
        with pytest.raises(RunError, match=r"train-000.idx: could not be written"):
            run(foreign, classes)
    finally:
        foreign.chmod(0o755)
