"""Tests of segtrain.samples."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.errors import SampleError
from segtrain.samples import decode, decode_image, decode_mask, load
from segtrain.sampleset import Sample
from segtrain.shards import open_shards

Pair = tuple[str, Image.Image, np.ndarray]


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image file."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def sample(mask: Image.Image, size: tuple[int, int] | None = None) -> Sample:
    """A sample with this mask and a grey image."""
    image = Image.new("RGB", size or mask.size, (90, 90, 90))
    return Sample("k_1", file_of(image, "JPEG"), file_of(mask, "PNG"))


def test_masks_are_the_drawn_ones(shards: Path, make_pair: Callable[[str, int], Pair]) -> None:
    """A sample decodes to the exact mask and nearly the image that were written."""
    [samples] = [s for s in open_shards(shards).sets("train") if s.datasets == ("voc2012",)]
    for n in range(0, len(samples), 5):
        key, image, mask = load(samples, n)
        _, drawn, truth = make_pair(key, n)
        np.testing.assert_array_equal(mask, truth)
        assert np.abs(np.asarray(image).astype(int) - np.asarray(drawn)).mean() < 12


def test_greyscale_jpegs_become_rgb() -> None:
    """A greyscale JPEG decodes to three equal channels."""
    pixels = np.asarray(decode_image(file_of(Image.new("L", (9, 5), 77), "JPEG")))
    assert pixels.shape == (5, 9, 3)
    assert (pixels == pixels[..., :1]).all()


def test_exif_orientation_is_not_applied() -> None:
    """The mask lies on the pixels as stored: a rotated JPEG stays as it is."""
    image = Image.new("RGB", (20, 10))
    exif = image.getexif()
    exif[0x0112] = 6
    assert decode_image(file_of(image, "JPEG", exif=exif)).size == (20, 10)


def test_palette_masks_are_refused() -> None:
    """A palette PNG, whose decoders disagree about ids, is not taken."""
    with pytest.raises(ValueError, match="mode P, expected 8-bit greyscale"):
        decode_mask(file_of(Image.new("P", (4, 4)), "PNG"))


def test_unknown_ids_are_refused() -> None:
    """An id between the classes and 255 is an error that names it; 255 itself is fine."""
    mask = Image.new("L", (8, 8), 255)
    assert decode(sample(mask), 21).mask.max() == 255
    mask.putpixel((3, 3), 37)
    with pytest.raises(ValueError, match=r"holds id 37; expected 0\.\.20 or 255"):
        decode(sample(mask), 21)


def test_sizes_must_agree() -> None:
    """An image and a mask of different sizes are no sample."""
    with pytest.raises(ValueError, match=r"image has 9x9 pixels, its mask 8x8"):
        decode(sample(Image.new("L", (8, 8)), (9, 9)), 4)


def test_other_formats_are_refused() -> None:
    """A PNG under the name of a JPEG is an error: only what the format names is decoded."""
    with pytest.raises(OSError, match="cannot identify"):
        decode_image(file_of(Image.new("RGB", (4, 4)), "PNG"))


def test_a_jpeg_cut_in_half_is_refused() -> None:
    """A JPEG that ends too early is an error, not a half-grey image."""
    data = file_of(Image.effect_noise((64, 64), 90), "JPEG")
    assert decode_image(data).size == (64, 64)
    with pytest.raises(OSError, match="truncated"):
        decode_image(data[: len(data) // 2])


@pytest.mark.parametrize("cut", [0, 100])
def test_broken_samples_name_shard_and_key(
    make_shards: Callable[..., Path], tmp_path: Path, cut: int
) -> None:
    """An image whose bytes are spoilt in the shard fails with the shard's path and its key."""
    directory = make_shards(tmp_path / "s", train=3, val=1)
    samples = open_shards(directory).train_set()
    start, size = int(samples.spans[1, 0]), int(samples.spans[1, 1])
    data = bytearray(samples.shards[0].path.read_bytes())
    data[start + cut : start + size] = bytes(size - cut)
    samples.shards[0].path.write_bytes(data)
    with pytest.raises(SampleError) as caught:
        load(samples, 1)
    message = str(caught.value)
    assert "voc2012-train-000000.tar: voc2012_train0001: " in message
    assert "segdata verify-masks" in message
    assert "the shard is not as it was built: its sha256 is " in message
    assert f"the manifest's {samples.shards[0].record.sha256}; copy it here again" in message
    assert "\n" not in message
    assert load(samples, 2).key == "voc2012_train0002"


def test_a_shard_that_was_built_wrong_is_told_from_a_changed_one(
    make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """A mask of unknown ids in a shard of the right checksum came so from its build."""
    pair = ("voc2012_odd", Image.new("RGB", (20, 10)), np.full((10, 20), 9, np.uint8))
    directory = make_shards(tmp_path / "s", train=[pair], val=1)
    samples = open_shards(directory).train_set()
    with pytest.raises(
        SampleError, match=r"holds id 9; .* is as it was built \(sha256 [0-9a-f]{64}"
    ):
        load(samples, 0)
