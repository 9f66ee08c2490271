"""Masks: the nearest rule, PNGs that keep ids, counts."""

import io
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from segdata.masks import count_pixels, encode_png, nearest_indices, resize

masks = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=17))
sides = st.integers(1, 40)


def nearest(source: int, target: int, i: int) -> int:
    """The source pixel whose half-open interval holds the centre of target pixel i, by search."""
    center = (i + Fraction(1, 2)) * Fraction(source, target)
    return next(j for j in range(source) if j <= center < j + 1)


@given(st.integers(1, 400), st.integers(1, 60))
def test_nearest_rule_is_its_definition(source: int, target: int) -> None:
    """Each target pixel takes the source pixel that its centre falls into."""
    expected = [nearest(source, target, i) for i in range(target)]
    assert nearest_indices(source, target).tolist() == expected


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_nearest_rule_is_centred(source: int, target: int) -> None:
    """No target pixel is more than half a source pixel off its place: nothing is shifted."""
    i = np.arange(target)
    twice_off = (2 * nearest_indices(source, target) + 1) * target - (2 * i + 1) * source
    assert abs(twice_off).max() <= target


@given(masks, sides, sides)
def test_resize_takes_whole_pixels(mask: NDArray[np.uint8], height: int, width: int) -> None:
    """A resized mask holds at every pixel the id that the rule picks, however it lies in memory."""
    expected = [
        [
            mask[nearest(mask.shape[0], height, y), nearest(mask.shape[1], width, x)]
            for x in range(width)
        ]
        for y in range(height)
    ]
    for laid_out in (mask, np.asfortranarray(mask)):  # by columns, as painted masks lie
        found = resize(laid_out, height, width)
        np.testing.assert_array_equal(found, np.array(expected, np.uint8))


@given(masks)
def test_resize_to_own_size_is_identity(mask: NDArray[np.uint8]) -> None:
    """At its own size a mask is not touched."""
    np.testing.assert_array_equal(resize(mask, *mask.shape), mask)


@given(masks)
def test_png_round_trip(mask: NDArray[np.uint8]) -> None:
    """Pillow reads the PNG as 8-bit greyscale whose values are the ids, however they lay."""
    assert encode_png(np.asfortranarray(mask)) == encode_png(mask)
    with Image.open(io.BytesIO(encode_png(mask))) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        np.testing.assert_array_equal(np.asarray(image), mask)


@given(masks)
def test_png_header_is_greyscale_8(mask: NDArray[np.uint8]) -> None:
    """By its header the PNG has 8 bits, colour type 0 (greyscale) and no interlacing."""
    data = encode_png(mask)
    assert data[12:16] == b"IHDR"
    assert (data[24], data[25], data[28]) == (8, 0, 0)


@given(masks, st.integers(1, 254))
def test_counts(mask: NDArray[np.uint8], classes: int) -> None:
    """Counts are those of a plain loop over the pixels: one number an id, and last that of 255."""
    values: list[Any] = mask.ravel().tolist()
    expected = [values.count(i) for i in range(classes + 1)] + [values.count(255)]
    counts = count_pixels(mask, classes)
    assert counts == expected
    assert all(type(n) is int for n in counts)
