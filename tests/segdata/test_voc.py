"""VOC: index masks as they are, lists, missing files, and ids that VOC does not have."""

import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tests.segdata.test_maskfiles import png

from segdata.classes import ClassSet
from segdata.errors import SampleError, SourceError
from segdata.samples import Source
from segdata.verify.labels import Labels
from segdata.verify.voc import VocRecord
from segdata.voc import VocSample, open_voc

if TYPE_CHECKING:
    from tests.segdata.conftest import Make, VocSet

BOTH = ("train", "val")


def opened(data: Path, classes: str = "voc", year: int = 2012) -> Source:
    """The source in a data folder."""
    return open_voc(data, year, ClassSet.parse(classes), BOTH)


def written(make: "Make", folder: Path, voc: "VocSet") -> Source:
    """The source of a tree, from its tar."""
    return opened(make.write_voc(folder, voc))


def test_indices_are_the_ids(make: "Make", small: Path) -> None:
    """Every mask holds the palette indices of its PNG, 255 included, at any odd size."""
    source = opened(small)
    samples = [*source.splits["train"].samples, *source.splits["val"].samples]
    assert [s.key for s in samples] == [f"voc2012_2007_{i:06d}" for i in range(8)]
    for seed, sample in enumerate(samples):
        loaded = sample.load()
        expected = make.voc_mask(loaded.height, loaded.width, seed)
        assert loaded.mask is not None
        np.testing.assert_array_equal(loaded.mask, expected)
        assert not loaded.regions


def test_chosen_classes_are_renumbered(make: "Make", tmp_path: Path) -> None:
    """With a list of classes their ids follow the list, the others are background, void stays."""
    voc = make.voc(1, 1)
    ids = np.array([[0, 3, 8, 12, 15, 255]], np.uint8)
    name = voc.train[0]
    voc.members[voc.name("SegmentationClass", name)] = make.palette_png(ids)
    sample = opened(make.write_voc(tmp_path, voc), "dog,truck,bird").splits["train"].samples[0]
    mask = sample.load().mask
    assert mask is not None
    assert mask.tolist() == [[0, 3, 0, 1, 0, 255]]


def test_classes_without_labels_are_noted(small: Path) -> None:
    """A class that VOC does not label is told in a note; VOC's own are not."""
    assert "truck" in opened(small, "dog,truck").notes[0]
    assert not opened(small, "dog,cat").notes


def test_counts_against_the_official_split(small: Path) -> None:
    """A split knows how many it holds and how many the published one has."""
    splits = opened(small).splits
    assert [(s.available, s.official) for s in splits.values()] == [(5, 1464), (3, 1449)]


def test_an_unknown_id_names_its_pixel(make: "Make", tmp_path: Path) -> None:
    """A mask with id 37 is refused, naming member, pixel and id."""
    voc = make.voc()
    mask = np.zeros((20, 30), np.uint8)
    mask[4, 7] = mask[11, 2] = 37
    voc.members[voc.name("SegmentationClass", voc.train[0])] = make.palette_png(mask)
    sample = written(make, tmp_path, voc).splits["train"].samples[0]
    with pytest.raises(SampleError, match="an id that VOC does not have") as error:
        sample.load()
    assert "2007_000000.png, pixel x=7 y=4" in str(error.value.where)
    assert error.value.found == "37 (2 such pixels)"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1", "I;16"])
def test_masks_of_colours_are_refused(make: "Make", tmp_path: Path, mode: str) -> None:
    """A mask that is no 8-bit index PNG is refused, naming the mode found."""
    voc = make.voc()
    buffer = io.BytesIO()
    Image.new(mode, (30, 20)).save(buffer, "PNG")
    voc.members[voc.name("SegmentationClass", voc.train[0])] = buffer.getvalue()
    sample = written(make, tmp_path, voc).splits["train"].samples[0]
    with pytest.raises(SampleError, match="colours, not ids") as error:
        sample.load()
    assert error.value.found == f"mode {mode}"


def test_greyscale_masks_are_read(make: "Make", tmp_path: Path) -> None:
    """A greyscale PNG whose values are ids, as SegmentationClassAug has them, is a mask too."""
    voc = make.voc()
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 30), 7, np.uint8)).save(buffer, "PNG")
    voc.members[voc.name("SegmentationClass", voc.train[0])] = buffer.getvalue()
    mask = written(make, tmp_path, voc).splits["train"].samples[0].load().mask
    assert mask is not None
    assert (mask == 7).all()


@pytest.mark.parametrize(("kind", "bits"), [("PNG", 4), ("PNG", 2), ("BMP", 8), ("JPEG", 8)])
def test_greyscale_masks_whose_values_are_not_the_ids_are_refused(
    make: "Make", tmp_path: Path, kind: str, bits: int
) -> None:
    """Few bits, which decoders spread over 0..255, and other kinds than PNG are no mask of ids."""
    voc = make.voc()
    buffer = io.BytesIO(png(30, 20, bits, 0, bytes(20 * (1 + 30 * bits // 8 + 1))))
    if kind != "PNG":
        Image.new("L", (30, 20)).save(buffer, kind)
    voc.members[voc.name("SegmentationClass", voc.train[0])] = buffer.getvalue()
    sample = written(make, tmp_path, voc).splits["train"].samples[0]
    assert isinstance(sample, VocSample)
    with pytest.raises(SampleError, match="values are not the ids") as error:
        sample.load()
    assert error.value.found == (f"{bits} bits" if kind == "PNG" else f"a {kind}")
    record = VocRecord(sample.source_id, "VOC2012", sample.image, sample.mask, bytes(256))
    with pytest.raises(ValueError, match="no PNG of 8 bits"):
        record.labelled(Labels("voc", 0, 0))


@pytest.mark.parametrize("keep", [0, 8, 60, 700])
def test_cut_masks_are_refused(make: "Make", tmp_path: Path, keep: int) -> None:
    """A PNG cut short is an error of its sample that names the member."""
    voc = make.voc()
    name = voc.name("SegmentationClass", voc.train[0])
    noise = np.random.default_rng(0).integers(0, 21, (90, 90), np.uint8)
    voc.members[name] = make.palette_png(noise)[:keep]
    sample = written(make, tmp_path, voc).splits["train"].samples[0]
    with pytest.raises(SampleError, match=r"does not decode|is no image") as error:
        sample.load()
    assert name in str(error.value.where)


def test_absurd_sizes_are_refused(make: "Make", tmp_path: Path) -> None:
    """A mask that claims billions of pixels is an error of its sample."""
    voc = make.voc()
    name = voc.name("SegmentationClass", voc.train[0])
    png = bytearray(voc.members[name])
    png[16:24] = (60000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    voc.members[name] = bytes(png)
    sample = written(make, tmp_path, voc).splits["train"].samples[0]
    with pytest.raises(SampleError, match="does not decode"):
        sample.load()


@pytest.mark.parametrize("kind", ["JPEGImages", "SegmentationClass"])
def test_missing_files_are_named(make: "Make", tmp_path: Path, kind: str) -> None:
    """A listed image without its JPEG or its mask is broken, by the name of what is missing."""
    voc = make.voc()
    name = voc.name(kind, voc.val[1])
    del voc.members[name]
    split = written(make, tmp_path, voc).splits["val"]
    [(source_id, error)] = split.broken
    assert (source_id, error.expected) == (voc.val[1], name)
    assert (len(split.samples), split.available) == (2, 3)


def test_line_ends_and_blank_lines_do_not_matter(make: "Make", tmp_path: Path) -> None:
    """A list with CRLF, blank lines and no last line end names the same images."""
    voc = make.voc()
    name = "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt"
    voc.members[name] = "\r\n\r\n".join(voc.train).encode()
    split = written(make, tmp_path, voc).splits["train"]
    assert [s.source_id for s in split.samples] == voc.train


def test_an_id_listed_twice_is_one_sample(make: "Make", tmp_path: Path) -> None:
    """A repeated line adds no second sample."""
    voc = make.voc()
    voc.list("train", [*voc.train, voc.train[0]])
    split = written(make, tmp_path, voc).splits["train"]
    assert [s.source_id for s in split.samples] == voc.train


def test_an_id_in_both_splits_is_refused(make: "Make", tmp_path: Path) -> None:
    """One image cannot be in train and in val: its key would be there twice."""
    voc = make.voc()
    voc.list("val", [*voc.val, voc.train[0]])
    with pytest.raises(SourceError, match="both"):
        written(make, tmp_path, voc)


@pytest.mark.parametrize(
    "source_id", ["my.image", "x" * 83, "a/b", "été"], ids=["dot", "long", "slash", "letters"]
)
def test_ids_that_make_no_key_are_refused(make: "Make", tmp_path: Path, source_id: str) -> None:
    """An id that would break the key (a dot, a slash, 91 bytes, other letters) is told as such."""
    voc = make.voc()
    for kind in ("JPEGImages", "SegmentationClass"):
        voc.members[voc.name(kind, source_id)] = voc.members[voc.name(kind, voc.train[0])]
    voc.list("train", [source_id])
    split = written(make, tmp_path, voc).splits["train"]
    [(_, error)] = split.broken
    assert "key" in error.what


def voc2007(voc: "VocSet") -> dict[str, bytes]:
    """The tree as VOC 2007 has it: bare numbers as ids."""
    renamed = {
        n.replace("2007_", "").replace("VOC2012", "VOC2007"): d for n, d in voc.members.items()
    }
    return {n: d.replace(b"2007_", b"") if n.endswith("txt") else d for n, d in renamed.items()}


def test_2007_has_the_keys_of_2012(make: "Make", tmp_path: Path) -> None:
    """An image of VOC 2007 has the id and key under which VOC 2012 holds it."""
    make.write_tar(tmp_path / "VOCtrainval_06-Nov-2007.tar", voc2007(make.voc()))
    source = opened(tmp_path, year=2007)
    assert source.dataset == "voc2007"
    sample = source.splits["train"].samples[1]
    assert (sample.source_id, sample.key) == ("2007_000001", "voc2012_2007_000001")
    assert source.splits["val"].official == 213


@pytest.mark.parametrize("shape", ["devkit", "year", "inside"])
def test_folders_are_found(make: "Make", tmp_path: Path, shape: str) -> None:
    """The unpacked tree is read from the devkit's parent, from the devkit, or named itself."""
    make.write_folder(tmp_path, make.voc().members)
    data = {"devkit": "", "year": "VOCdevkit", "inside": "VOCdevkit/VOC2012"}[shape]
    source = opened(tmp_path / data)
    assert len(source.splits["train"].samples) == 5
    assert (
        source.splits["val"].samples[0].load().files[0].name == "VOC2012/JPEGImages/2007_000005.jpg"
    )


def test_other_tars_are_refused(make: "Make", tmp_path: Path) -> None:
    """A tar of the right name without VOC's lists is refused, naming the list."""
    make.write_tar(tmp_path / "VOCtrainval_11-May-2012.tar", {"readme": b"hello"})
    with pytest.raises(SourceError, match="not VOC 2012 in its official layout") as error:
        opened(tmp_path)
    assert "ImageSets/Segmentation/train.txt" in str(error.value.expected)


def test_marked_data_is_synthetic(make: "Make", tmp_path: Path) -> None:
    """Generated archives are known by the marker that they hold."""
    voc = make.voc()
    assert not written(make, tmp_path / "a", voc).synthetic
    voc.members["VOCdevkit/VOC2012/SYNTHETIC.txt"] = b"generated"
    assert written(make, tmp_path / "b", voc).synthetic
