"""Our rasteriser and run-length codes against the COCO API's."""

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as rasteriser

from segdata.verify.polygons import (
    Window,
    corners,
    decode_runs,
    polygon_windows,
    region_windows,
    runs_mask,
)

SIDES = st.integers(1, 40)
COORDINATES = st.one_of(
    st.floats(-6, 46, allow_nan=False),  # anywhere, also outside
    st.integers(-3, 43).map(float),  # on the pixels' edges
    st.integers(-6, 86).map(lambda v: v / 2),  # in their middles
    st.integers(-30, 430).map(lambda v: v / 10),  # halfway between two fine-grid points
    st.floats(10, 11),  # tiny outlines
)


def encoded(segmentation: object, height: int, width: int) -> dict[str, Any]:
    rle = rasteriser.frPyObjects(segmentation, height, width)
    whole: dict[str, Any] = rasteriser.merge(rle) if isinstance(rle, list) else rle
    return whole


def decoded(rle: dict[str, Any]) -> NDArray[np.bool_]:
    with warnings.catch_warnings():
        # pycocotools answers NumPy 2's array protocol in the old way
        warnings.simplefilter("ignore", DeprecationWarning)
        pixels: NDArray[np.bool_] = rasteriser.decode(rle).astype(bool)
    return pixels


def whole(window: Window, height: int, width: int) -> NDArray[np.bool_]:
    """A region's pixels in its image."""
    mask = np.zeros((height, width), dtype=bool)
    rows, columns = window.pixels.shape
    mask[window.top :, window.left :][:rows, :columns] = window.pixels
    return mask


def region_mask(
    segmentation: bytes, height: int, width: int, outside: float = np.inf
) -> NDArray[np.bool_]:
    """An annotation's pixels in its image."""
    (window,) = region_windows([segmentation], height, width, outside)
    return whole(window, height, width)


@given(
    points=st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9),
    height=SIDES,
    width=SIDES,
)
@example(points=[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)], height=4, width=4)
@example(points=[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0)], height=3, width=3)
@example(points=[(0.0, 0.0), (9.0, 9.0), (9.0, 0.0), (0.0, 9.0)], height=9, width=9)
def test_polygon_is_bit_exact(points: list[tuple[float, float]], height: int, width: int) -> None:
    """Any closed outline, crossing itself or the border, gives the COCO API's own pixels."""
    xy = [value for point in points for value in point]
    expected = decoded(encoded([xy], height, width))
    (window,) = polygon_windows([corners(xy)], height, width)
    np.testing.assert_array_equal(whole(window, height, width), expected)


@given(seed=st.integers(0, 10_000), count=st.integers(0, 6), height=SIDES, width=SIDES)
def test_regions_are_drawn_apart(seed: int, count: int, height: int, width: int) -> None:
    """Of several annotations each has its own pixels, whatever it stands beside."""
    random = np.random.default_rng(seed)
    regions = [
        json.dumps(random.uniform(-1, 41, (random.integers(1, 3), 8)).tolist()).encode()
        for _ in range(count)
    ]
    windows = region_windows(regions, height, width)
    for region, window in zip(regions, windows, strict=True):
        expected = region_mask(region, height, width)
        np.testing.assert_array_equal(whole(window, height, width), expected)


@given(seed=st.integers(0, 10_000), parts=st.integers(1, 3), height=SIDES, width=SIDES)
def test_parts_are_united(seed: int, parts: int, height: int, width: int) -> None:
    """A region of several polygons holds the pixels of any of them."""
    polygons = np.random.default_rng(seed).uniform(-1, 41, (parts, 8)).tolist()
    found = region_mask(json.dumps(polygons).encode(), height, width)
    np.testing.assert_array_equal(found, decoded(encoded(polygons, height, width)))


@given(seed=st.integers(0, 10_000), height=SIDES, width=SIDES, share=st.floats(0, 1))
def test_run_length_codes(seed: int, height: int, width: int, share: float) -> None:
    """A compressed code decodes to its mask, and so do the plain counts that it stands for."""
    mask = np.random.default_rng(seed).random((height, width)) < share
    rle = rasteriser.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = rle["counts"].decode()
    counts = decode_runs(text)
    np.testing.assert_array_equal(runs_mask(counts, height, width), mask)
    for code in (text, counts):
        region = json.dumps({"size": [height, width], "counts": code}).encode()
        np.testing.assert_array_equal(region_mask(region, height, width), mask)


def test_long_runs() -> None:
    """Run lengths of several groups and either sign of difference decode as the COCO API does."""
    height, width = 1000, 999
    counts = [5, 100_000, 3, 7, 200_001, 1, 650_000, 48_983]
    rle = encoded({"size": [height, width], "counts": counts}, height, width)
    assert decode_runs(rle["counts"].decode()) == counts


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("[[1, 1, 2, 2]]", "at least 3 points"),
        ("[[1, 1, 2, 2, 3]]", "at least 3 points"),
        ("[[1, 1, 2, 2, NaN, 3]]", "finite"),
        ("[[1, 1, 2, 2, 1e300, 3]]", "finite"),
        ("[]", "neither polygons"),
        ("null", "neither polygons"),
        ('{"size": [4, 5], "counts": [20]}', "of size"),
        ('{"size": [4, 4], "counts": [20]}', "covers 20 pixels of an image of 16"),
        ('{"size": [4, 4], "counts": [8, -1, 9]}', "whole numbers"),
        ('{"size": [4, 4], "counts": "é"}', "not in its code"),
        ('{"size": [4, 4], "counts": "P"}', "ends within a number"),
        ('{"size": [4, 4]}', "without counts"),
    ],
)
def test_what_cannot_be_drawn(segmentation: str, message: str) -> None:
    """Anything but polygons and run lengths of this image is refused with a reason."""
    with pytest.raises(ValueError, match=message):
        region_mask(segmentation.encode(), 4, 4)


def test_points_outside() -> None:
    """A point may lie beyond the edge by the given distance and no further."""
    region = b"[[-1.0, 0, 5.0, 0, 5.0, 5.0]]"
    assert region_mask(region, 4, 4, outside=1.0).any()
    with pytest.raises(ValueError, match="outside the image of 4x4"):
        region_mask(region, 4, 4, outside=0.9)


@pytest.mark.parametrize("split", ["train", "val"])
def test_real_annotations(split: str, real: Path) -> None:
    """Every annotation of the real sample has the COCO API's own pixels, plain and compressed."""
    with zipfile.ZipFile(real / "annotations_trainval2017.zip") as archive:
        instances = json.loads(archive.read(f"annotations/instances_{split}2017.json"))
    sizes = {image["id"]: (image["height"], image["width"]) for image in instances["images"]}
    for annotation in instances["annotations"]:
        size = sizes[annotation["image_id"]]
        rle = encoded(annotation["segmentation"], *size)
        expected = decoded(rle)
        outline = json.dumps(annotation["segmentation"]).encode()
        np.testing.assert_array_equal(region_mask(outline, *size, outside=1.0), expected)
        compressed = {"size": list(size), "counts": rle["counts"].decode()}
        found = region_mask(json.dumps(compressed).encode(), *size)
        np.testing.assert_array_equal(found, expected)
