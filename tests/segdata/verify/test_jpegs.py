"""What is called sound by its markers against the decoder itself."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.segdata.verify.archives import picture

from segdata.verify.jpegs import is_sound


def jpeg(**options: object) -> bytes:
    """A small JPEG."""
    pixels = np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


KINDS = (
    jpeg(),
    jpeg(optimize=True, subsampling=0),
    jpeg(comment=b"made here", dpi=(72, 72)),
    jpeg(restart_marker_blocks=2),
    jpeg(qtables=[list(range(1, 65))]),
)


def decodes(data: bytes) -> bool:
    """Whether Pillow decodes it."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


@pytest.mark.parametrize("data", [*KINDS, picture(1, 30, 40), jpeg() + b"more after the end"])
def test_plain_jpegs_are_sound(data: bytes) -> None:
    """Encoders' usual forms are told without decoding."""
    assert is_sound(data)


@pytest.mark.parametrize("length", range(1, 400, 7))
def test_cut_jpeg_is_not_sound(length: int) -> None:
    """Whatever is missing at the end, it is noticed."""
    assert not is_sound(KINDS[0][:-length])


@pytest.mark.parametrize("data", [jpeg(progressive=True), b"", b"\xff\xd8", b"no JPEG", bytes(99)])
def test_other_forms_are_left_to_the_decoder(data: bytes) -> None:
    """A JPEG of several scans is not judged by its markers, nor is any other file."""
    assert not is_sound(data)


@given(data=st.data())
@settings(max_examples=500, deadline=None)
def test_what_is_sound_decodes(data: st.DataObject) -> None:
    """However a JPEG's bytes are changed, the decoder never refuses what was called sound."""
    changed = bytearray(data.draw(st.sampled_from(KINDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        most = data.draw(st.sampled_from([700, len(changed) - 1]))
        at = data.draw(st.integers(0, min(most, len(changed) - 1)))
        changed[at] = data.draw(st.integers(0, 255))
    assert decodes(bytes(changed)) or not is_sound(bytes(changed))
