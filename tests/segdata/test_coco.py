"""COCO: outlines into pixels as pycocotools draws them, selection of images, broken records."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from segdata.archive import open_archive
from segdata.classes import ClassSet
from segdata.coco import CocoRegion, open_coco
from segdata.errors import SampleError, SourceError
from segdata.labels import LabelPolicy
from segdata.outlines import outline_problem, run_lengths, unpacked_counts
from segdata.records import _crowd_pixels
from segdata.samples import Loaded, Source

if TYPE_CHECKING:
    from tests.segdata.conftest import CocoSet, Make

VOC = ClassSet.parse("voc")
BOTH = ("train", "val")


def opened(data: Path, classes: str = "voc", policy: LabelPolicy | None = None) -> Source:
    """The source in a data folder."""
    return open_coco(data, 2017, ClassSet.parse(classes), BOTH, policy or LabelPolicy())


def drawn(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:  # noqa: ANN401 - JSON
    """An object's pixels: its parts decoded one by one, then united."""
    runs = pycoco.frPyObjects(segmentation, height, width)
    parts = pycoco.decode(runs)
    return np.asarray(parts.any(axis=2) if parts.ndim == 3 else parts, np.bool_)


def compare(source: Source, split: str, document: Any) -> int:  # noqa: ANN401 - JSON
    """Compare every region of a split with the file's own records; returns how many."""
    compared = 0
    for sample in source.splits[split].samples:
        records = [
            record
            for record in document["annotations"]
            if str(record["image_id"]) == sample.source_id and record["category_id"] in VOC.of_coco
        ]
        regions = sample.regions()
        assert len(regions) == len(records), sample.key
        for region, record in zip(regions, records, strict=True):
            expected = drawn(record["segmentation"], *sample.shape)
            np.testing.assert_array_equal(region.pixels(), expected)
            assert region.area == int(expected.sum())
            assert region.class_id == VOC.of_coco[record["category_id"]]
            assert region.crowd == bool(record["iscrowd"])
            compared += 1
    return compared


def test_regions_are_pycocotools_pixels(make: "Make", small: Path) -> None:
    """Parts, crowds and overlaps come in file order with the pixels that pycocotools gives."""
    coco: CocoSet = make.coco()
    assert compare(opened(small), "train", coco.instances["train"]) == 14
    assert compare(opened(small), "val", coco.instances["val"]) == 11


def test_real_regions_are_pycocotools_pixels(real: Path) -> None:
    """So do all real objects of the 20 classes, those of images left out apart."""
    source = opened(real, policy=LabelPolicy("torchvision", 0))
    archive = open_archive(real / "annotations_trainval2017.zip")
    for split, count in (("train", 357), ("val", 372)):
        document = json.loads(archive[f"annotations/instances_{split}2017.json"].read())
        assert compare(source, split, document) == count


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_run_lengths_round_trip(make: "Make", mask: NDArray[np.bool_]) -> None:
    """A mask written as run lengths, packed or not, comes back as it was."""
    rle = make.run_lengths(mask)
    assert outline_problem(rle, *mask.shape) is None
    packed = pycoco.frPyObjects(rle, *mask.shape)
    region = CocoRegion(1, True, packed)
    np.testing.assert_array_equal(region.pixels(), mask)
    assert region.area == mask.sum()


def test_crowds_are_counted_once(make: "Make") -> None:
    """Pixels under any crowd count once, however many crowds overlap there; objects do not."""
    left, top = np.zeros((2, 4, 6), np.bool_)
    left[:, :3], top[:2] = True, True
    regions = tuple(
        CocoRegion(1, crowd, pycoco.frPyObjects(make.run_lengths(pixels), 4, 6))
        for pixels, crowd in ((left, True), (top, True), (~left, False))
    )
    loaded = Loaded(b"", 4, 6, (), regions=regions)
    assert _crowd_pixels(loaded, 4, 6) == (left | top).sum()
    assert _crowd_pixels(Loaded(b"", 4, 6, (), regions=regions[2:]), 4, 6) == 0


def test_packed_run_lengths_are_read(make: "Make", tmp_path: Path) -> None:
    """Packed run lengths, as tools that re-export COCO write them, give the same pixels."""
    coco = make.coco()
    record = coco.objects("train", 1)[-1]
    expected = drawn(record["segmentation"], 60, 80)
    packed = pycoco.frPyObjects(record["segmentation"], 60, 80)
    record["segmentation"] = {"size": [60, 80], "counts": packed["counts"].decode()}
    sample = opened(make.write_coco(tmp_path, coco)).splits["train"].samples[0]
    np.testing.assert_array_equal(sample.regions()[-1].pixels(), expected)


def test_real_selection(real: Path) -> None:
    """Of the real train images the three without enough area are left out, of val none."""
    source = opened(real)
    train, val = source.splits["train"], source.splits["val"]
    assert sorted(i for i, _ in train.left_out) == ["25", "250", "9"]
    assert {reason for _, reason in train.left_out} == {"objects of at most 1000 px"}
    assert (len(train.samples), train.available, train.official) == (37, 40, 118_287)
    assert (len(val.samples), val.available, val.official) == (40, 40, 5_000)
    assert not source.synthetic


def test_other_classes_choose_other_images(real: Path) -> None:
    """The filter counts chosen classes alone: with all 80, images 9 and 25 stay."""
    train = opened(real, "coco").splits["train"]
    assert [i for i, _ in train.left_out] == ["250"]


def test_area_must_exceed_the_minimum(make: "Make", tmp_path: Path) -> None:
    """Areas are summed over an image's annotations; the minimum itself is too little."""
    coco = make.coco()
    areas = {1: [500.0, 499.0, 1.0], 2: [500.0, 500.5]}
    coco.instances["train"]["annotations"] = [
        {
            "id": 10 * image + n,
            "image_id": image,
            "category_id": 1,
            "segmentation": [make.polygon(1, 1, 9, 9)],
            "area": area,
            "iscrowd": 0,
        }
        for image, values in areas.items()
        for n, area in enumerate(values)
    ]
    source = opened(make.write_coco(tmp_path, coco))
    assert [s.source_id for s in source.splits["train"].samples] == ["2"]


def test_images_of_crowds_only_are_left_out_of_train(make: "Make", tmp_path: Path) -> None:
    """Under the segdata policy a train image of crowds alone is left out."""
    coco = make.coco()
    for record in coco.objects("train", 1):
        record["iscrowd"], record["area"] = 1, 5000
        record["segmentation"] = make.run_lengths(np.ones((60, 80), np.bool_))
    data = make.write_coco(tmp_path, coco)
    assert ("1", "crowds only") in opened(data).splits["train"].left_out
    kept = opened(data, policy=LabelPolicy("torchvision")).splits["train"].samples
    assert "1" in [s.source_id for s in kept]


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        ([[1, 1, 20, 20]], "at least 3 points"),
        ([[1, 1, 20, 20, 5]], "points"),
        ([[1, 1, 20, 20, 5, 6, 7]], "points"),
        ([[1, 1, 9, 1, 9, 9], [2, 2]], "at least 3 points"),
        ([[]], "at least 3 points"),
        ([[1, 1, 52, 1, 9, 9]], "inside the image of 50x40"),
        ([[1, 1, 9, 41.5, 9, 9]], "inside the image of 50x40"),
        ([[1, -1.5, 9, 1, 9, 9]], "inside the image of 50x40"),
        ([[1, 1, 1e308, 1, 9, 9]], "inside the image of 50x40"),
        ([["1", "1", "9", "1", "9", "9"]], "lists of numbers"),
        ([[None] * 6], "lists of numbers"),
        ([1, 1, 9, 1, 9, 9], "lists of numbers"),
        ([], "a list of polygons"),
        (None, "a list of polygons"),
        ("polygon", "a list of polygons"),
        ({"size": [50, 40], "counts": [2000]}, "size [40, 50]"),
        ({"counts": [2000]}, "size [40, 50]"),
        ({"size": [40, 50]}, "list of counts"),
        ({"size": [40, 50], "counts": [1.5, 1998.5]}, "list of counts"),
        ({"size": [40, 50], "counts": [2001, -1]}, "list of counts"),
        ({"size": [40, 50], "counts": [1999]}, "fill 2,000 pixels"),
        ({"size": [40, 50], "counts": [10**30]}, "fill 2,000 pixels"),
        ({"size": [40, 50], "counts": []}, "fill 2,000 pixels"),
    ],
)
def test_bad_outlines_are_refused(outline: Any, message: str) -> None:  # noqa: ANN401 - JSON
    """An outline that cannot be meant is told apart from one that can, with what was expected."""
    problem = outline_problem(outline, 40, 50)
    assert problem is not None
    assert message in problem[0]


@given(
    st.lists(st.tuples(st.floats(-1, 51), st.floats(-1, 41)), min_size=3, max_size=8).map(
        lambda points: [[value for point in points for value in point]]
    )
)
def test_outlines_inside_are_drawn(polygons: list[list[float]]) -> None:
    """Any polygon of three points or more, up to a pixel beyond the image, can be drawn."""
    assert outline_problem(polygons, 40, 50) is None
    assert drawn(polygons, 40, 50).shape == (40, 50)


@given(st.lists(st.integers(0, 3) | st.integers(0, 70_000), min_size=1, max_size=12))
def test_packed_run_lengths_are_unpacked(counts: list[int]) -> None:
    """Run lengths that pycocotools packed come back."""
    side = sum(counts)
    rle = pycoco.frPyObjects({"size": [side, 1], "counts": counts}, side, 1)
    assert run_lengths(rle["counts"]).tolist() == counts
    assert unpacked_counts(rle["counts"].decode()) == counts
    assert run_lengths("").tolist() == []


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6)))
def test_regions_are_drawn_from_their_first_column_to_their_last(pixels: NDArray[np.bool_]) -> None:
    """A region's columns are those with pixels in them, and all of its pixels are as encoded."""
    region = CocoRegion(1, False, pycoco.encode(np.asfortranarray(pixels, np.uint8)))
    first, part = region.columns()
    held = np.flatnonzero(pixels.any(axis=0)).tolist()
    assert (first, first + part.shape[1]) == ((held[0], held[-1] + 1) if held else (0, 0))
    np.testing.assert_array_equal(part, pixels[:, first : first + part.shape[1]])
    np.testing.assert_array_equal(region.pixels(), pixels)


@pytest.mark.parametrize(
    "counts",
    ["garbage!!", "0", "PPYo1P", "\u20ac", ""],
    ids=["garbage", "short", "long", "euro", "no"],
)
def test_bad_packed_run_lengths_are_refused(make: "Make", tmp_path: Path, counts: str) -> None:
    """Packed run lengths that do not fill the image are an error of their sample."""
    coco = make.coco()
    coco.objects("train", 1)[-1]["segmentation"] = {"size": [60, 80], "counts": counts}
    sample = opened(make.write_coco(tmp_path, coco)).splits["train"].samples[0]
    with pytest.raises(SampleError, match="cannot be drawn"):
        sample.regions()


def test_a_bad_outline_names_its_annotation(make: "Make", tmp_path: Path) -> None:
    """The error says which annotation of which image, and how to go on."""
    coco = make.coco()
    coco.objects("train", 2)[1]["segmentation"] = [[1, 1, 20, 20]]
    sample = opened(make.write_coco(tmp_path, coco)).splits["train"].samples[1]
    with pytest.raises(SampleError, match="cannot be drawn") as error:
        sample.load()
    assert error.value.where == "annotation 201 of image 2 (train2017)"
    assert "--on-error skip" in str(error.value.advice)


def broken(source: Source, split: str = "train") -> Sequence[tuple[str, SampleError]]:
    """What a split lists but cannot load."""
    return source.splits[split].broken


def test_an_annotation_of_an_unknown_image_is_broken(make: "Make", tmp_path: Path) -> None:
    """An annotation whose image the file does not list is reported under that id."""
    coco = make.coco()
    coco.objects("train", 3)[0]["image_id"] = 77
    [(source_id, error)] = broken(opened(make.write_coco(tmp_path, coco)))
    assert (source_id, error.what) == (
        "77",
        "an annotation names an image that the file does not list",
    )


def test_a_missing_image_file_is_broken(make: "Make", tmp_path: Path) -> None:
    """A listed image that the archive lacks is reported with the name that was looked for."""
    coco = make.coco()
    del coco.images["train"]["train2017/000000000002.jpg"]
    [(source_id, error)] = broken(opened(make.write_coco(tmp_path, coco)))
    assert (source_id, error.expected) == ("2", "000000000002.jpg")
    assert "train2017.zip" in str(error.where)


def test_two_records_of_one_id_are_refused(make: "Make", tmp_path: Path) -> None:
    """An image id that the file lists twice is an error: a key names one sample."""
    coco = make.coco()
    images = coco.instances["train"]["images"]
    images.append(images[0])
    with pytest.raises(SourceError, match=r"twice|more than once"):
        opened(make.write_coco(tmp_path, coco))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{",
        b'{"images": []}',
        b'{"images": [], "annotations": []}',
        b'{"images": [], "annotations": [], "categories": {"1": "person"}}',
        b'{"images": [{"id": "1"}], "annotations": []}',
        b'{"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "x"}]}',
        b'{"images": [], "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "area": NaN}]}',
        b'{"images": [{"id": 1, "file_name": "\xff", "height": 1, "width": 1}], "annotations": []}',
        b'{"images": [], "annotations": [], "x": ' + b"[" * 99999 + b"]" * 99999 + b"}",
    ],
    ids=[
        "empty",
        "list",
        "cut",
        "no list",
        "no categories",
        "categories",
        "types",
        "captions",
        "nan",
        "utf-8",
        "deep",
    ],
)
def test_other_json_is_refused(make: "Make", tmp_path: Path, document: bytes) -> None:
    """An annotation file that is no instances JSON is refused by name, before anything is built."""
    coco = make.coco()
    coco.instances["train"] = document
    with pytest.raises(SourceError, match="not COCO's instances JSON") as error:
        opened(make.write_coco(tmp_path, coco))
    assert "instances_train2017.json" in str(error.value.where)


@pytest.mark.parametrize(
    ("listed", "expected", "found"),
    [
        ({}, "1 person, 18 dog, 44 bottle", "1 not listed, 18 not listed, 44 not listed"),
        ({1: "person", 18: "cat", 44: "bottle"}, "18 dog", "18 cat"),
        ({1: "person", 18: "dog", 40: "bottle", 44: "bottle"}, "44 bottle", "40 bottle"),
        ({1: "person", 18: "dog", 44: "Bottle", 62: "chair"}, "44 bottle", "44 Bottle"),
    ],
    ids=["none", "another class", "a second id", "another name"],
)
def test_other_categories_are_refused(
    make: "Make", tmp_path: Path, listed: dict[int, str], expected: str, found: str
) -> None:
    """A file whose ids of chosen classes mean something else is refused: masks would be wrong."""
    coco = make.coco()
    rows = [{"id": i, "name": name} for i, name in listed.items()]
    coco.instances["val"]["categories"] = rows
    with pytest.raises(SourceError, match="categories are not COCO's") as error:
        opened(make.write_coco(tmp_path, coco))
    assert "instances_val2017.json" in str(error.value.where)
    assert (error.value.expected, error.value.found) == (expected, found)


def test_categories_of_other_classes_may_be_anything(make: "Make", tmp_path: Path) -> None:
    """Categories that no chosen class has may lack or be one's own, and so may unused ones."""
    coco = make.coco()
    listed = {1: "person", 18: "dog", 44: "bottle", 8: "van", 99: "cone"}
    for document in coco.instances.values():
        document["categories"] = [{"id": i, "name": name} for i, name in listed.items()]
    data = make.write_coco(tmp_path, coco)
    assert compare(opened(data), "train", coco.instances["train"]) == 14
    with pytest.raises(SourceError, match="categories are not COCO's") as error:
        opened(data, "coco")
    assert (error.value.expected, error.value.found) == ("8 truck", "8 van")


def test_keys_and_files(small: Path) -> None:
    """Keys hold the twelve digits of the id, source ids none of the zeros."""
    sample = opened(small).splits["val"].samples[0]
    assert (sample.key, sample.source_id) == ("coco2017_000000001001", "1001")
    assert [file.name for file in sample.load().files] == ["val2017/000000001001.jpg"]


def test_generated_data_is_marked(make: "Make", tmp_path: Path) -> None:
    """A file that calls itself synthetic makes a synthetic source."""
    coco = make.coco()
    assert not opened(make.write_coco(tmp_path / "a", coco)).synthetic
    coco.instances["val"]["info"] = {"synthetic": True}
    assert opened(make.write_coco(tmp_path / "b", coco)).synthetic


@pytest.mark.parametrize("place", ["", "coco", "coco2017", "COCO", "images"])
def test_places_are_searched(make: "Make", tmp_path: Path, place: str) -> None:
    """Archives and their folders are found where people put them."""
    make.write_coco(tmp_path / place, make.coco(), unpacked=True)
    assert len(opened(tmp_path).splits["train"].samples) == 4


@pytest.mark.parametrize("lost", ["annotations_trainval2017", "train2017", "val2017"])
def test_a_missing_archive_is_named(make: "Make", tmp_path: Path, lost: str) -> None:
    """Without one of the archives the error names it and its address."""
    make.write_coco(tmp_path, make.coco())
    (tmp_path / f"{lost}.zip").unlink()
    with pytest.raises(SourceError, match=f"{lost} was not found") as error:
        opened(tmp_path)
    assert f"/{lost}.zip" in str(error.value.advice)
