"""Mask files: every kind gives the ids that the class file says, or a refusal with the place."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segdata.archive import Member
from segdata.errors import SampleError
from segdata.labelmap import Entry, LabelMap
from segdata.maskfiles import read_mask

MEMBER = Member("masks/a.png", "a.png", 0)
SHOWN = ((9, 9, 9), (8, 8, 8), (7, 7, 7))
SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 9))


def encoded(pixels: Any, mode: str | None = None, kind: str = "PNG", **options: Any) -> bytes:  # noqa: ANN401 - arrays, Pillow's own
    """The pixels as an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def palette(ids: NDArray[np.uint8], colors: dict[int, tuple[int, int, int]]) -> Image.Image:
    """A palette image with these indices."""
    image = Image.fromarray(ids).convert("L").copy()
    image = Image.frombytes("P", image.size, image.tobytes())
    flat = [0] * 768
    for index, color in colors.items():
        flat[3 * index : 3 * index + 3] = color
    image.putpalette(flat)
    return image


def by_ids(ids: dict[int, int], **more: Any) -> LabelMap:  # noqa: ANN401 - attributes
    """A map of three classes from source ids alone."""
    groups = {ours: tuple(i for i, o in ids.items() if o == ours) for ours in (0, 1, 2, 3, 255)}
    classes = tuple(Entry(groups[i]) for i in (1, 2, 3))
    return LabelMap(("a", "b", "c"), classes, Entry(groups[0]), Entry(groups[255]), SHOWN, **more)


def by_colors(colors: dict[tuple[int, int, int], int]) -> LabelMap:
    """A map of three classes from source colours alone."""
    groups = {o: tuple(c for c, ours in colors.items() if ours == o) for o in (0, 1, 2, 3, 255)}
    classes = tuple(Entry(None, groups[i]) for i in (1, 2, 3))
    return LabelMap(
        ("a", "b", "c"), classes, Entry(None, groups[0]), Entry(None, groups[255]), SHOWN
    )


def read(data: bytes, label_map: LabelMap, masks_as: Any = "auto") -> NDArray[np.uint8]:  # noqa: ANN401 - one of three
    """The mask of a file."""
    return read_mask(data, MEMBER, label_map, masks_as)


OURS = st.sampled_from([0, 1, 2, 3, 255])


@st.composite
def drawings(draw: st.DrawFn, most: int) -> tuple[dict[int, int], NDArray[Any]]:
    """A map of ids up to `most` and an array of mapped ids."""
    ids = draw(st.dictionaries(st.integers(0, most), OURS, min_size=1, max_size=20))
    height, width = draw(SHAPES)
    known = sorted(ids)
    chosen = draw(
        st.lists(st.sampled_from(known), min_size=height * width, max_size=height * width)
    )
    return ids, np.array(chosen).reshape(height, width)


def looked_up(values: NDArray[Any], table: dict[int, int]) -> list[list[int]]:
    """The oracle: one pixel after the other."""
    return [[table[int(value)] for value in row] for row in values]


@given(drawings(255), st.sampled_from(["L", "P", "TIFF", "BMP", "LA", "RGB"]))
@settings(max_examples=60)
def test_ids_of_8_bits(drawing: tuple[dict[int, int], NDArray[Any]], kind: str) -> None:
    """Greyscale and palette files of any lossless kind give each pixel its id's class."""
    ids, values = drawing
    pixels = values.astype(np.uint8)
    files = {
        "L": lambda: encoded(pixels),
        "P": lambda: encoded(palette(pixels, {i: (i, 0, 255 - i) for i in range(256)})),
        "TIFF": lambda: encoded(pixels, kind="TIFF", compression="tiff_lzw"),
        "BMP": lambda: encoded(pixels, kind="BMP"),
        "LA": lambda: encoded(pixels, "LA"),
        "RGB": lambda: encoded(pixels, "RGB"),
    }
    masks_as = "index" if kind == "RGB" else "auto"
    found = read(files[kind](), by_ids(ids), masks_as)
    assert found.dtype == np.uint8
    assert found.tolist() == looked_up(values, ids)


@given(drawings(65535), st.sampled_from(["PNG", "TIFF"]))
def test_ids_of_16_bits(drawing: tuple[dict[int, int], NDArray[Any]], kind: str) -> None:
    """So do greyscale files of 16 bits, up to 65535."""
    ids, values = drawing
    data = encoded(values.astype(np.uint16), kind=kind)
    assert read(data, by_ids(ids)).tolist() == looked_up(values, ids)


COLOR = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))


@given(st.data(), st.sampled_from(["RGB", "RGBA", "TIFF", "BMP"]))
@settings(max_examples=60)
def test_colors(data: st.DataObject, kind: str) -> None:
    """Colour files give each pixel its colour's class, whatever the colours are."""
    colors = data.draw(st.dictionaries(COLOR, OURS, min_size=1, max_size=12))
    height, width = data.draw(SHAPES)
    cells = st.lists(
        st.sampled_from(sorted(colors)), min_size=height * width, max_size=height * width
    )
    chosen = data.draw(cells)
    pixels = np.array(chosen, np.uint8).reshape(height, width, 3)
    file = encoded(
        pixels, "RGBA" if kind == "RGBA" else None, kind if kind in ("TIFF", "BMP") else "PNG"
    )
    expected = [[colors[tuple(map(int, pixel))] for pixel in row] for row in pixels]  # type: ignore[index] # three numbers
    assert read(file, by_colors(colors)).tolist() == expected


def test_a_palette_read_as_colors() -> None:
    """With --masks-as color the palette's colours count, not its indices."""
    image = palette(
        np.array([[5, 6], [6, 9]], np.uint8), {5: (1, 2, 3), 6: (4, 5, 6), 9: (0, 0, 0)}
    )
    label_map = by_colors({(1, 2, 3): 2, (4, 5, 6): 3, (0, 0, 0): 0})
    assert read(encoded(image), label_map, "color").tolist() == [[2, 3], [3, 0]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits(bits: int) -> None:
    """Greyscale files of 1, 2 or 4 bits hold ids, which decoders spread over 0..255."""
    values = np.arange(1 << bits, dtype=np.uint8).reshape(1, -1)
    packed = np.packbits(np.unpackbits(values[0][:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()
    data = png(values.shape[1], 1, bits, 0, b"\0" + packed)
    ids = {i: [0, 1, 2, 3, 255][i % 5] for i in range(16)}
    assert read(data, by_ids(ids)).tolist() == looked_up(values, ids)


def png(width: int, height: int, bits: int, kind: int, rows: bytes) -> bytes:
    """A PNG written by hand: `rows` are filter bytes and packed pixels."""
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


GREY = np.array([[0, 1, 2], [3, 1, 9]], np.uint8)
DEEP = encoded(GREY.astype(np.uint16) * 1000)
RED = np.zeros((2, 3, 3), np.uint8)
RED[1, 2] = (255, 0, 0)
ALPHA = np.full((2, 3, 4), 255, np.uint8)
ALPHA[1, 0, 3] = 128
IDS = by_ids({0: 0, 1: 1, 2: 2, 3: 3})
COLORS = by_colors({(0, 0, 0): 0, (1, 1, 1): 1})


@pytest.mark.parametrize(
    ("data", "label_map", "masks_as", "texts"),
    [
        (encoded(GREY), IDS, "auto", ["x=2 y=1", "0, 1, 2, 3", "9; ", "9 (1 p", "ignore = [9]"]),
        (DEEP, IDS, "auto", ["x=1 y=0", "1000; unknown in all: 1000, 2000, 3000, 9000 (5 p"]),
        (encoded(GREY.astype(np.int32) - 5, kind="TIFF"), IDS, "auto", ["x=0 y=0", "-5; unknown"]),
        (encoded(RED), COLORS, "auto", ["a colour that", "x=2 y=1", 'ignore = ["#ff0000"]']),
        (encoded(RED), IDS, "auto", ["file names none", '"colors"']),
        (encoded(GREY, "RGB"), IDS, "auto", ["three equal channels", "--masks-as index"]),
        (encoded(RED), IDS, "index", ["holds colours, not ids", "x=2 y=1", "#ff0000"]),
        (encoded(GREY), COLORS, "auto", ['"ids" for every class']),
        (encoded(ALPHA), COLORS, "auto", ["translucent", "x=0 y=1", "128"]),
        (encoded(GREY, kind="JPEG"), IDS, "auto", ["lossy", "JPEG"]),
        (encoded(GREY, "RGB", "WEBP", lossless=True), IDS, "auto", ["lossy", "WEBP"]),
        (encoded(RED, kind="TIFF", compression="jpeg"), COLORS, "auto", ["lossy", "packed as 7"]),
        (encoded(GREY.astype(np.float32), kind="TIFF"), IDS, "auto", ["neither ids nor", "mode F"]),
        (png(1, 1, 16, 2, bytes(7)), COLORS, "auto", ["16 bits a channel"]),
        (encoded(GREY.astype(np.uint16)), COLORS, "color", ["16 bits a channel"]),
        (encoded(GREY)[:50], IDS, "auto", ["does not decode"]),
        (b"", IDS, "auto", ["does not decode"]),
        (b"%PDF-1.4", IDS, "auto", ["does not decode"]),
        (b"II*\0\x08\0\0\0" + bytes(6), IDS, "auto", ["does not decode"]),  # no entries
    ],
)  # fmt: skip
def test_refusals(data: bytes, label_map: LabelMap, masks_as: str, texts: list[str]) -> None:
    """What a mask must not be is refused with file, place, value and what to do."""
    with pytest.raises(SampleError) as caught:
        read(data, label_map, masks_as)
    message = str(caught.value)
    assert [text for text in ["masks/a.png", *texts] if text not in message] == []


def test_several_pictures() -> None:
    """A file of several pictures is refused: nobody knows which is the mask."""
    page = Image.fromarray(GREY)
    data = encoded(page, kind="TIFF", save_all=True, append_images=[page])
    with pytest.raises(SampleError, match="several pictures"):
        read(data, IDS)


BINARY = encoded(np.array([[0, 255]], np.uint8))


def test_a_binary_mask_is_not_taken_for_void() -> None:
    """0 and 255 alone are background and a class to most tools: 255 must be spelled out."""
    implied = by_ids({0: 0, 1: 1, 255: 255}, implied=True)
    for label_map in (implied, IDS):
        with pytest.raises(SampleError, match=r"binary|does not name") as caught:
            read(BINARY, label_map)
        assert "ids = [255]" in str(caught.value)
    assert read(BINARY, by_ids({0: 0, 255: 1})).tolist() == [[0, 1]]
    assert read(BINARY, by_ids({0: 0, 1: 1, 255: 255})).tolist() == [[0, 255]]
    assert read(encoded(np.array([[1, 255]], np.uint8)), implied).tolist() == [[1, 255]]


def test_a_palette_that_contradicts_itself() -> None:
    """A palette whose colour is another class than its index is refused until somebody decides."""
    red, blue = (200, 0, 0), (0, 0, 200)
    label_map = LabelMap(
        ("a", "b"),
        (Entry((1,), (red,)), Entry((2,), (blue,))),
        Entry((0,), ((0, 0, 0),)),
        Entry(()),
        (red, blue),
    )
    swapped = encoded(palette(np.array([[0, 1, 2]], np.uint8), {1: blue, 2: red}))
    with pytest.raises(SampleError, match="two things") as caught:
        read(swapped, label_map)
    assert "x=1 y=0" in str(caught.value)
    assert read(swapped, label_map, "index").tolist() == [[0, 1, 2]]
    assert read(swapped, label_map, "color").tolist() == [[0, 2, 1]]
    straight = encoded(palette(np.array([[0, 1, 2]], np.uint8), {1: red, 2: blue}))
    assert read(straight, label_map).tolist() == [[0, 1, 2]]
