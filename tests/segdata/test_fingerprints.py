"""Fingerprints and alignment: exact under mirroring, nothing missed, copies told from others."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from segdata.alignment import fine_correlation
from segdata.fingerprints import DETAIL, MIRROR, describe, detail, near_pairs, thumbnail

SHAPE = (3, 32, 32)


def scene(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A picture of many overlapping blocks, another for each seed, with nothing at its centre."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), (90, 120, 150))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = rng.integers(0, width), rng.integers(0, height)
        right, bottom = x + rng.integers(8, 70), y + rng.integers(8, 60)
        draw.rectangle((x, y, right, bottom), tuple(int(c) for c in rng.integers(0, 256, 3)))
    return image


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    """As a file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def one(image: Image.Image) -> NDArray[np.uint8]:
    """Its thumbnail, as a stack of one."""
    return thumbnail(jpeg(image))[None]


@given(arrays(np.uint8, SHAPE))
def test_a_mirrored_thumbnail_has_the_mirrored_vector(images: NDArray[np.uint8]) -> None:
    """Exactly, for any pixels: no rounding separates the two."""
    mirrored = describe(images[:, :, ::-1])
    np.testing.assert_array_equal(mirrored, describe(images) * MIRROR)


@given(arrays(np.uint8, SHAPE))
def test_vectors_have_length_one_or_none(images: NDArray[np.uint8]) -> None:
    """A thumbnail with detail has a unit vector, one without has a zero one."""
    lengths = np.linalg.norm(describe(images), axis=1)
    expected = np.where(detail(images) < DETAIL, 0, 1)
    # random noise may cancel in the low frequencies of a thumbnail with detail
    np.testing.assert_allclose(lengths[lengths > 0], 1, atol=1e-5)
    assert (lengths[expected == 0] == 0).all()


def test_a_vector_is_the_cosine_transforms() -> None:
    """The vector's signs are those of the transform by its definition, computed here pixel-wise."""
    image = np.random.default_rng(1).integers(0, 256, (32, 32))
    vector = describe(image[None].astype(np.uint8))[0]
    at = (2 * np.arange(32) + 1) * np.pi / 64
    for number in (1, 8, 13, 42, 63):
        down, across = divmod(number, 8)
        value = sum(
            image[y, x] * np.cos(down * at[y]) * np.cos(across * at[x])
            for y in range(32)
            for x in range(32)
        )
        assert np.sign(vector[number - 1]) == np.sign(value)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 40), st.sampled_from([0.1, 0.3, 0.6]))
def test_the_search_misses_nothing(seed: int, count: int, least: float) -> None:
    """It finds the pairs that comparing every two vectors, straight and mirrored, finds."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 63)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    vectors[::7] *= 0  # images that say nothing
    expected = {}
    for i in range(count):
        for j in range(i + 1, count):
            straight = float(vectors[i] @ vectors[j])
            turned = float((vectors[i] * MIRROR) @ vectors[j])
            if max(straight, turned) >= least:
                expected[i, j] = (max(straight, turned), turned > straight)
    seen: list[int] = []
    found = near_pairs(vectors, least, seen.append)
    numbers = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert sorted(numbers) == sorted(expected)
    for pair, similarity, mirrored in zip(numbers, found.similarity, found.mirrored, strict=True):
        assert similarity == pytest.approx(expected[pair][0], abs=1e-5)
        assert bool(mirrored) == expected[pair][1]
    assert (seen or [0])[-1] == count


def test_the_search_crosses_its_blocks() -> None:
    """Twins a block's length apart are found as well, each pair once."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(5000, 63)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    twins = [(0, 4999), (1023, 1024), (1024, 4096), (3000, 3001), (2, 4200)]
    for first, second in twins:
        vectors[second] = vectors[first]
    vectors[4200] *= MIRROR
    found = near_pairs(vectors, 0.9, lambda _: None)
    assert sorted(zip(found.first, found.second, strict=True)) == sorted([*twins, (1023, 4096)])
    assert found.mirrored.sum() == 1


@pytest.mark.parametrize("color", [0, 127, 255])
def test_plain_images_are_like_nothing(color: int) -> None:
    """A uniform image, a faint gradient and JPEG noise on them have no vector."""
    plain = Image.new("L", (200, 150), color)
    fading = Image.linear_gradient("L").resize((200, 150)).point([i // 4 for i in range(256)])
    noise = np.random.default_rng(color).normal(color, 1.5, (150, 200)).clip(0, 255)
    images = [plain, fading, Image.fromarray(noise.astype(np.uint8))]
    vectors = describe(np.stack([thumbnail(jpeg(image, 30)) for image in images]))
    assert not vectors.any()
    assert not len(near_pairs(vectors, 0.1, lambda _: None).first)


@pytest.mark.parametrize("color", ["black", "white", "#7f7f7f"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_a_frame_is_cut_off(color: str, share: float) -> None:
    """The thumbnail of a framed photo is nearly that of the photo."""
    image = scene(5)
    border = round(share * image.width), round(share * image.height)
    framed = ImageOps.expand(image, border, color)
    difference = one(framed).astype(int) - one(image)
    assert abs(difference).mean() < 6
    assert fine_correlation(one(image), one(framed))[0] > 0.9


def test_a_sky_is_no_frame() -> None:
    """A plain region that only some of the next line ends is kept."""
    image = scene(6)
    ImageDraw.Draw(image).rectangle((0, 0, 320, 40), (200, 220, 240))
    ImageDraw.Draw(image).rectangle((100, 20, 160, 240), (20, 20, 20))  # a tower
    whole = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BILINEAR))
    assert abs(one(image)[0].astype(int) - whole).mean() < 3


@pytest.mark.parametrize("crop", [(0, 0, 0, 0), (12, 4, 3, 0), (0, 9, 16, 9), (6, 6, 6, 6)])
def test_alignment_finds_a_cropped_copy(crop: tuple[int, int, int, int]) -> None:
    """A crop of up to 5 % a side correlates above 0.82 either way round; another scene never."""
    left, top, right, bottom = crop
    images = np.concatenate([one(scene(seed)) for seed in range(12)])
    copies = np.concatenate(
        [one(scene(s).crop((left, top, 320 - right, 240 - bottom))) for s in range(12)]
    )
    assert fine_correlation(images, copies).min() > 0.82
    assert fine_correlation(copies, images).min() > 0.82
    assert fine_correlation(images, np.roll(copies, 1, axis=0)).max() < 0.6


@given(arrays(np.uint8, SHAPE), arrays(np.uint8, SHAPE))
@settings(max_examples=25)
def test_correlations_are_finite(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
    """For any pixels, constant ones among them, the result is a number from -1 to 1."""
    scores = fine_correlation(first, second)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    assert abs(scores).max() <= 1 + 1e-4


def test_no_pairs() -> None:
    """Nothing compared with nothing is nothing."""
    empty = np.empty((0, 32, 32), np.uint8)
    assert fine_correlation(empty, empty).shape == (0,)
    assert describe(empty).shape == (0, 63)
    assert not len(near_pairs(describe(empty), 0.6, lambda _: None).first)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (1, 400), (640, 3), (33, 31), (2000, 1500)])
def test_any_size_and_mode(mode: str, size: tuple[int, int]) -> None:
    """Images of any shape and mode of JPEG have a thumbnail."""
    assert thumbnail(jpeg(Image.new(mode, size, 40 if mode == "L" else (40,) * len(mode)))).shape
