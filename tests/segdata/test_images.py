"""Images: the size that fits, headers of whole and of cut JPEGs, one resize."""

import io
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segdata.archive import open_archive
from segdata.images import BrokenImageError, JpegHeader, fit, probe_jpeg, resize_jpeg

if TYPE_CHECKING:
    from tests.segdata.conftest import Make

sides = st.integers(1, 5000)


@given(sides, sides, st.integers(1, 3000))
def test_fit_rounds_the_exact_ratio(height: int, width: int, size: int) -> None:
    """The long side becomes `size`, the short one the exact product rounded half up, at least 1."""
    ratio = min(Fraction(1), Fraction(size, max(height, width)))
    expected = tuple(max(1, floor(side * ratio + Fraction(1, 2))) for side in (height, width))
    assert fit(height, width, size) == expected


@given(sides, sides)
def test_fit_zero_keeps_native_size(height: int, width: int) -> None:
    """Size 0 means native."""
    assert fit(height, width, 0) == (height, width)


def test_fit_halves_go_up() -> None:
    """Half a pixel rounds up, and a sliver keeps one pixel."""
    assert fit(4, 3, 2) == (2, 2)
    assert fit(5000, 1, 512) == (512, 1)
    assert fit(512, 10, 512) == (512, 10)


def with_thumbnail(data: bytes) -> bytes:
    """The JPEG with another whole JPEG inside an APP1 segment, as cameras write it."""
    thumbnail = io.BytesIO()
    Image.new("RGB", (16, 8), "red").save(thumbnail, "JPEG")
    body = b"Exif\0\0" + thumbnail.getvalue()
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def with_fill_bytes(data: bytes) -> bytes:
    """The JPEG with fill bytes before its first marker, as the standard allows."""
    return data[:2] + b"\xff\xff\xff" + data[2:]


@pytest.fixture(
    params=["plain", "grey", "progressive", "restarts", "thumbnail", "fill", "cmyk", "comment"]
)
def variant(request: pytest.FixtureRequest, make: "Make") -> bytes:
    """JPEGs of 21x34 pixels of every kind."""
    kind = request.param
    if kind == "cmyk":
        buffer = io.BytesIO()
        Image.new("CMYK", (34, 21), (1, 50, 90, 3)).save(buffer, "JPEG")
        return buffer.getvalue()
    options = {
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_blocks": 1},
        "comment": {"comment": b"\xff\xd9 is no end here \xff\xc0"},
    }.get(kind, {})
    data: bytes = make.jpeg(21, 34, 3, grey=kind == "grey", **options)
    return {"thumbnail": with_thumbnail, "fill": with_fill_bytes}.get(kind, bytes)(data)


def test_headers_agree_with_pillow(variant: bytes) -> None:
    """Size and channels are those that Pillow decodes, whatever stands around the frame header."""
    with Image.open(io.BytesIO(variant)) as image:
        expected = JpegHeader(image.height, image.width, len(image.getbands()))
    assert probe_jpeg(variant) == expected
    assert (expected.height, expected.width) == (21, 34)


def test_every_truncation_is_refused(variant: bytes) -> None:
    """A JPEG cut after any byte but its last is refused, embedded thumbnails notwithstanding."""
    for length in range(len(variant)):
        with pytest.raises(BrokenImageError, match=r"cut short|no JPEG|damaged"):
            probe_jpeg(variant[:length])


def test_bytes_after_the_end_are_allowed(make: "Make") -> None:
    """Padding behind the end marker, which real files have, makes no JPEG a broken one."""
    assert probe_jpeg(make.jpeg(21, 34) + b"\0\0padding") == JpegHeader(21, 34, 3)


def test_an_empty_file_is_called_empty() -> None:
    """A file of no bytes, as a broken download leaves it, is told apart from another kind."""
    with pytest.raises(BrokenImageError, match="it is empty, 0 bytes"):
        probe_jpeg(b"")


@given(st.binary(max_size=300))
def test_other_bytes_are_refused(data: bytes) -> None:
    """Any other bytes end in an error of ours, never in a crash or a loop."""
    with pytest.raises(BrokenImageError):
        probe_jpeg(data)
    with pytest.raises(BrokenImageError):
        probe_jpeg(b"\xff\xd8" + data.replace(b"\xda", b""))


def test_real_headers_agree_with_pillow(real: Path) -> None:
    """Every real JPEG is whole and of Pillow's size; none is whole without its last byte."""
    members = [
        member
        for name in ("train2017.zip", "val2017.zip", "VOCtrainval_11-May-2012.tar")
        for member in open_archive(real / name).members.values()
        if member.name.endswith(".jpg")
    ]
    assert len(members) == 160
    for member in members:
        data = member.read()
        with Image.open(io.BytesIO(data)) as image:
            assert probe_jpeg(data) == JpegHeader(image.height, image.width, len(image.getbands()))
        for length in (len(data) - 1, len(data) * 2 // 3, len(data) // 2, 1000, 20):
            with pytest.raises(BrokenImageError):
                probe_jpeg(data[:length])


def test_resize_averages() -> None:
    """A fine checkerboard becomes mid-grey when it is halved: every source pixel has its share."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(board).save(buffer, "JPEG", quality=95)
    out = Image.open(io.BytesIO(resize_jpeg(buffer.getvalue(), 32, 32, 95)))
    assert out.mode == "L"
    inner = np.asarray(out)[2:-2, 2:-2].astype(int)
    assert abs(inner - 127).max() <= 12


def test_resize_keeps_the_place_of_things() -> None:
    """A bright square lands where the scale puts it, to half a pixel: no shift."""
    picture = np.zeros((120, 160), np.uint8)
    picture[40:80, 60:100] = 255
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    small = np.asarray(Image.open(io.BytesIO(resize_jpeg(buffer.getvalue(), 60, 80, 95))), float)
    y, x = np.indices(small.shape)
    center = (y * small).sum() / small.sum(), (x * small).sum() / small.sum()
    assert center == pytest.approx((29.5, 39.5), abs=0.1)


@pytest.mark.parametrize("quality", [30, 95])
def test_quality_is_used(make: "Make", quality: int) -> None:
    """The quantisation tables of a resized JPEG are those that Pillow uses for the quality."""
    reference = io.BytesIO()
    Image.new("RGB", (8, 8)).save(reference, "JPEG", quality=quality)
    tables = Image.open(io.BytesIO(resize_jpeg(make.jpeg(40, 60), 20, 30, quality))).quantization  # type: ignore[attr-defined] # JPEG's
    assert tables == Image.open(reference).quantization  # type: ignore[attr-defined] # JPEG's


def test_resize_ignores_orientation(make: "Make") -> None:
    """An EXIF orientation is neither applied nor kept: the mask lies on the pixels as stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(resize_jpeg(make.jpeg(40, 60, exif=exif), 20, 30, 92))) as image:
        assert image.size == (30, 20)
        assert not dict(image.getexif())


def test_cut_data_does_not_decode(make: "Make") -> None:
    """Data that ends too early is refused instead of filled with grey."""
    data = make.jpeg(64, 64)
    with pytest.raises(BrokenImageError, match="does not decode"):
        resize_jpeg(data[: len(data) * 2 // 3], 10, 10, 92)


def by_area(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """The mean of the source under each target pixel, exactly, by whole sub-pixels."""
    fine = np.repeat(np.repeat(pixels.astype(np.float64), height, 0), width, 1)
    rows, columns = pixels.shape[:2]
    return fine.reshape(height, rows, width, columns, -1).mean(axis=(1, 3))


@pytest.mark.parametrize("size", [(9, 12), (16, 21), (5, 7)])
def test_opencv_area_is_the_mean_of_what_lies_below(size: tuple[int, int]) -> None:
    """`opencv` gives the mean of the source under each pixel, within what the JPEG loses."""
    pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 256, (20, 28), np.uint8)  # smooth pixels tell no
    source = io.BytesIO()  # kernels apart, colours lose more to the JPEG
    Image.fromarray(noise).save(source, "PNG")
    resized = resize_jpeg(source.getvalue(), *size, 95, "opencv")
    found = np.asarray(Image.open(io.BytesIO(resized)), np.float64)
    assert abs(found - by_area(noise, *size)[..., 0]).mean() < 3
    assert resized != resize_jpeg(source.getvalue(), *size, 95)
