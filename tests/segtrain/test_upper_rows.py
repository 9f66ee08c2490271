"""Tests of segtrain.upper_rows."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segtrain.samples import decode, load
from segtrain.sampleset import Sample
from segtrain.shards import open_shards
from segtrain.upper_rows import jpeg_header, png_header, upper_rows


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image file."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    """What Pillow decodes."""
    return np.asarray(Image.open(io.BytesIO(data)))


def noise(mode: str, w: int, h: int, seed: int) -> Image.Image:
    """An image of smooth noise, whose colours differ from row to row."""
    small = np.random.default_rng(seed).integers(0, 256, (h // 3 + 1, w // 3 + 1, 3))
    return Image.fromarray(small.astype(np.uint8)).resize((w, h)).convert(mode)


@given(
    st.sampled_from(["RGB", "L", "CMYK"]),
    st.tuples(st.integers(1, 70), st.integers(1, 150)),
    st.integers(1, 160),
    st.sampled_from([0, 1, 2]),
    st.booleans(),
    st.sampled_from([0, 3]),
    st.integers(30, 95),
)
@settings(max_examples=80)
def test_upper_rows_are_those_of_the_whole_file(
    mode: str, size: tuple[int, int], rows: int, colours: int, progressive: bool, restart: int,
    quality: int,
) -> None:  # fmt: skip
    """Of any kind of JPEG, and of the mask, the rows asked for are decoded bit for bit."""
    image = noise(mode, *size, seed=rows)
    jpeg = file_of(image, "JPEG", quality=quality, subsampling=colours, progressive=progressive,
                   restart_marker_blocks=restart)  # fmt: skip
    png = file_of(image.convert("L"), "PNG")
    for whole, short in zip((jpeg, png), upper_rows(jpeg, png, rows), strict=True):
        expected, found = pixels_of(whole), pixels_of(short)
        assert min(rows, len(expected)) <= len(found) <= min(rows + 8, len(expected))
        np.testing.assert_array_equal(found[:rows], expected[:rows])


def test_headers_are_read_as_pillow_reads_them() -> None:
    """Width, height and where the height stands; None of other files, cut ones and none at all."""
    jpeg, png = file_of(noise("RGB", 31, 17, 0), "JPEG"), file_of(noise("L", 31, 17, 0), "PNG")
    for found, data, size in ((jpeg_header(jpeg), jpeg, 2), (png_header(png), png, 4)):
        assert found is not None
        assert found[:2] == (31, 17)
        assert int.from_bytes(data[found.at : found.at + size], "big") == 17
    for data in (b"", b"\xff\xd8", jpeg[:40], file_of(noise("RGB", 9, 9, 0), "WEBP")):
        assert jpeg_header(data) is None
        assert png_header(data) is None
    assert png_header(jpeg) is None
    assert jpeg_header(png) is None


def test_files_of_other_kinds_stay_whole() -> None:
    """An arithmetic JPEG, an interlaced PNG and sizes that disagree are left to the decoder."""
    image = noise("RGB", 40, 90, 1)
    jpeg, png = file_of(image, "JPEG"), file_of(image.convert("L"), "PNG")
    header = jpeg_header(jpeg)
    assert header is not None
    arithmetic = jpeg.replace(b"\xff\xc0", b"\xff\xc9")
    interlaced = png[:28] + b"\x01" + png[29:]
    smaller = file_of(noise("L", 40, 80, 1), "PNG")
    for pair in ((arithmetic, png), (jpeg, interlaced), (jpeg, smaller)):
        assert upper_rows(*pair, 20) == pair


def test_a_sample_is_asked_once_for_its_rows_by_its_stored_size() -> None:
    """Image and mask are decoded equally high, and still checked against each other."""
    image, ids = noise("RGB", 40, 90, 2), Image.new("L", (40, 90), 3)
    sample = Sample("k", file_of(image, "JPEG"), file_of(ids, "PNG"))
    asked: list[tuple[int, int]] = []
    found = decode(sample, 21, lambda size: asked.append(size) or 20)  # type: ignore[func-returns-value]
    assert asked == [(40, 90)]
    assert found.image.size == found.mask.shape[::-1] == (40, 28)
    wrong = sample._replace(mask=file_of(Image.new("L", (40, 91)), "PNG"))
    with pytest.raises(ValueError, match="image has 40x90 pixels, its mask 40x91"):
        decode(wrong, 21, lambda _: 20)


def test_stored_samples_have_the_rows_of_whole_ones(shards: Path) -> None:
    """From a directory, the upper half of each sample is that of the sample."""
    samples = open_shards(shards).train_set()
    half: Callable[[tuple[int, int]], int] = lambda size: size[1] // 2  # noqa: E731
    for number in range(0, len(samples), 4):
        whole, upper = load(samples, number), load(samples, number, half)
        rows = whole.image.height // 2
        np.testing.assert_array_equal(
            np.asarray(upper.image)[:rows], np.asarray(whole.image)[:rows]
        )
        np.testing.assert_array_equal(upper.mask[:rows], whole.mask[:rows])
