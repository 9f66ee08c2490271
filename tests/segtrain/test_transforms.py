"""Tests of segtrain.transforms."""

import dataclasses
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.segtrain.cuts import apply

from segtrain.options.data import Fit
from segtrain.transforms import Augmentation, Box, nearest, whole_pixels

sides = st.integers(1, 40)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Boxes that overlap the scaled sample by at least a pixel."""
    width, height = draw(sides), draw(sides)
    cut_width, cut_height = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    left = draw(st.integers(1 - cut_width, width - 1))
    top = draw(st.integers(1 - cut_height, height - 1))
    return Box(width, height, left, top, cut_width, cut_height, draw(st.booleans()))


def source_pixel(i: int, n_src: int, n_dst: int) -> int:
    """The source pixel that holds the centre of output pixel i, found by looking at each."""
    centre = (Fraction(i) + Fraction(1, 2)) * n_src / n_dst
    return next(j for j in range(n_src) if j <= centre < j + 1)


@given(sides, sides)
def test_nearest_takes_the_pixel_that_holds_the_centre(n_src: int, n_dst: int) -> None:
    """The integer formula is the nearest rule over pixel centres, without rounding."""
    expected = [source_pixel(i, n_src, n_dst) for i in range(n_dst)]
    assert nearest(0, n_dst, n_src, n_dst).tolist() == expected


def edge(at: int, side: int, stored: int) -> int:
    """The edge of stored pixels that lies nearest to a place of the scaled axis, by looking."""
    place = Fraction(at * stored, side)
    return min(range(stored, -1, -1), key=lambda j: abs(place - j))


def seen(begin: int, side: int, cut: int, stored: int) -> tuple[int, int, int]:
    """Of one axis of a box: the stored pixels that it shows, and how many pixels show them."""
    scaled = [i for i in range(side) if begin <= i < begin + cut]
    first, last = edge(scaled[0], side, stored), edge(scaled[-1] + 1, side, stored)
    if first == last:
        middle = Fraction((2 * scaled[0] + len(scaled)) * stored, 2 * side)
        first = next(j for j in range(stored) if j <= middle < j + 1)
        last = first + 1
    return first, last, len(scaled)


def around(part: np.ndarray, box: Box, fill: int) -> np.ndarray:
    """A visible part in its rectangle, flipped last."""
    out = np.full((box.cut_height, box.cut_width, *part.shape[2:]), fill, np.uint8)
    y, x = max(0, -box.top), max(0, -box.left)
    out[y : y + part.shape[0], x : x + part.shape[1]] = part
    return out[:, ::-1] if box.flip else out


@given(boxes(), sides, sides, st.integers(0, 99))
@settings(max_examples=60)
def test_masks_follow_the_definition_pixel_by_pixel(box: Box, h: int, w: int, seed: int) -> None:
    """Each target pixel is the nearest of the window seen, 255 outside, flipped last."""
    mask = np.random.default_rng(seed).integers(0, 255, (h, w)).astype(np.uint8)
    y0, y1, height = seen(box.top, box.height, box.cut_height, h)
    x0, x1, width = seen(box.left, box.width, box.cut_width, w)
    rows = [y0 + source_pixel(i, y1 - y0, height) for i in range(height)]
    columns = [x0 + source_pixel(i, x1 - x0, width) for i in range(width)]
    expected = around(mask[np.ix_(rows, columns)], box, 255)
    np.testing.assert_array_equal(apply(Image.new("RGB", (w, h)), mask, box)[1], expected)


@given(boxes(), sides, sides, st.integers(0, 99))
@settings(max_examples=60)
def test_images_are_the_window_seen_as_pillow_resizes_it(
    box: Box, h: int, w: int, seed: int
) -> None:
    """The window alone, by Pillow's antialiased bilinear kernel, 0 outside, flipped last."""
    pixels = np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8)
    y0, y1, height = seen(box.top, box.height, box.cut_height, h)
    x0, x1, width = seen(box.left, box.width, box.cut_width, w)
    part = Image.fromarray(pixels[y0:y1, x0:x1])
    part = part.resize((width, height), Image.Resampling.BILINEAR)
    expected = around(np.asarray(part), box, 0)
    cut = apply(Image.fromarray(pixels), np.zeros((h, w), np.uint8), box)[0]
    assert np.abs(cut.astype(int) - expected).max() <= 2  # both round after each axis


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_windows_lie_within_half_a_pixel_of_what_was_drawn(
    side: int, stored: int, data: st.DataObject
) -> None:
    """Each end is half a stored pixel off at most, where a pixel is seen; whole axes are exact."""
    first = data.draw(st.integers(0, side - 1))
    last = data.draw(st.integers(first + 1, side))
    begin, end = whole_pixels(first, last, side, stored)
    assert 0 <= begin < end <= stored
    assert whole_pixels(0, side, side, stored) == (0, stored)
    assert whole_pixels(first, last, side, side) == (first, last)
    limit = Fraction(1, 2) if (last - first) * stored >= side else 1
    assert abs(begin - Fraction(first * stored, side)) <= limit
    assert abs(end - Fraction(last * stored, side)) <= limit


@given(st.integers(60, 200), st.integers(24, 60), st.integers(-20, 150))
@settings(max_examples=60)
def test_image_and_mask_see_the_same_box(scaled: int, crop: int, left: int) -> None:
    """On a ramp whose grey is its column, image and mask agree to a grey away from the borders."""
    ramp = np.tile(np.arange(120, dtype=np.uint8), (8, 1))
    box = Box(scaled, 8, min(left, scaled - 1), 0, crop, crop, False)
    pixels, target = apply(Image.fromarray(ramp).convert("RGB"), ramp, box)
    inside = (target[0] > 4) & (target[0] < 115)
    difference = pixels[0, :, 0].astype(int) - target[0]
    assert np.abs(difference[inside]).max(initial=0) <= 1


@given(boxes(), sides, sides)
def test_flip_mirrors_what_was_cut(box: Box, h: int, w: int) -> None:
    """With and without flip, the squares are mirror images of each other."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (h, w, 3)).astype(np.uint8))
    mask = rng.integers(0, 9, (h, w)).astype(np.uint8)
    plain, mirrored = (dataclasses.replace(box, flip=flip) for flip in (False, True))
    for a, b in zip(apply(image, mask, plain), apply(image, mask, mirrored), strict=True):
        np.testing.assert_array_equal(a[:, ::-1], b)


@given(sides, sides, st.integers(0, 9), st.integers(0, 9), st.integers(0, 999))
def test_draws_are_pure_and_waste_no_pixel(w: int, h: int, seed: int, epoch: int, n: int) -> None:
    """Equal arguments give equal boxes; a square lies inside the sample or covers it, per axis."""
    augmentation = Augmentation(crop=20)
    box = augmentation.draw((w, h), seed, epoch, n)
    assert box == Augmentation(crop=20).draw((w, h), seed, epoch, n)
    for offset, side, stored in ((box.left, box.width, w), (box.top, box.height, h)):
        assert max(1, round(stored * 0.5)) <= side <= stored * 2
        if side >= 20:
            assert 0 <= offset <= side - 20
        else:
            assert side - 20 <= offset <= 0


def test_draws_vary_over_their_range() -> None:
    """Over many samples half are flipped, and the logarithm of the scale fills its range evenly."""
    drawn = [Augmentation(crop=64).draw((1000, 1000), 0, 0, n) for n in range(2000)]
    scales = np.log2([box.width / 1000 for box in drawn])
    assert abs(np.mean([box.flip for box in drawn]) - 0.5) < 0.05
    assert abs(scales.mean()) < 0.05
    assert scales.min() < -0.95
    assert scales.max() > 0.95


def test_without_augmentation_the_stored_pixels_pass_unchanged() -> None:
    """At scale 1 and without flip, image and mask are the stored ones, byte for byte."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (30, 30, 3)).astype(np.uint8)
    mask = rng.integers(0, 20, (30, 30)).astype(np.uint8)
    box = Augmentation(30, 1.0, 1.0, flip=False).draw((30, 30), 0, 0, 0)
    image, target = apply(Image.fromarray(pixels), mask, box)
    np.testing.assert_array_equal(image, pixels)
    np.testing.assert_array_equal(target, mask)


fits = st.sampled_from(["crop", "squash", "native"])


@given(sides, sides, fits, st.integers(0, 20), st.integers(0, 99))
def test_every_fit_cuts_what_it_says(w: int, h: int, fit: Fit, jitter: int, n: int) -> None:
    """squash takes the whole image as a square, native at its size; jitter moves the cut."""
    box = Augmentation(20, fit=fit, jitter=jitter).draw((w, h), 5, 1, n)
    still = Augmentation(20, fit=fit).draw((w, h), 5, 1, n)
    size = {"squash": (20, 20), "native": (w, h)}.get(fit, (still.width, still.height))
    assert (box.width, box.height) == (still.width, still.height) == size
    assert (box.cut_width, box.cut_height) == ((w, h) if fit == "native" else (20, 20))
    if fit != "crop":
        assert (still.left, still.top) == (0, 0)
    assert abs(box.left - still.left) <= jitter
    assert abs(box.top - still.top) <= jitter
    assert box.flip == still.flip
    assert -box.cut_width < box.left < box.width  # at least a pixel is seen
    assert -box.cut_height < box.top < box.height


def test_jitter_fills_its_range() -> None:
    """Over many samples each shift from -32 to 32 is drawn, along either axis apart."""
    augmentation = Augmentation(10, fit="native", jitter=32)
    shifts = [augmentation.draw((500, 400), 0, 0, n) for n in range(3000)]
    assert {box.left for box in shifts} == {box.top for box in shifts} == set(range(-32, 33))
    assert abs(np.corrcoef([b.left for b in shifts], [b.top for b in shifts])[0, 1]) < 0.06


@given(sides, sides, fits, st.integers(0, 12), st.integers(0, 99))
@settings(max_examples=60)
def test_no_fit_invents_an_id(w: int, h: int, fit: Fit, jitter: int, n: int) -> None:
    """Whatever is cut, every id of the target is one of the mask's, or void."""
    mask = np.random.default_rng(n).integers(0, 9, (h, w)).astype(np.uint8)
    augmentation = Augmentation(16, fit=fit, jitter=jitter, kept=0.7)
    pixels, target = augmentation.cut(Image.new("RGB", (w, h)), mask, 3, 0, n)
    assert set(np.unique(target)) <= {*np.unique(mask).tolist(), 255}
    assert pixels.shape[:2] == target.shape


def test_native_samples_pass_unchanged() -> None:
    """At their own size, unflipped, image and mask are those stored, byte for byte."""
    rng = np.random.default_rng(3)
    stored = rng.integers(0, 256, (30, 41, 3)).astype(np.uint8)
    mask = rng.integers(0, 20, (30, 41)).astype(np.uint8)
    augmentation = Augmentation(320, flip=False, fit="native")
    pixels, target = augmentation.cut(Image.fromarray(stored), mask, 0, 0, 0)
    np.testing.assert_array_equal(pixels, stored)
    np.testing.assert_array_equal(target, mask)


def test_sampling_leaves_out_pixels_and_moves_none() -> None:
    """About the share is kept, each pixel apart; others are void, and the box is the same one."""
    mask = np.zeros((300, 300), np.uint8)
    image = Image.new("RGB", (300, 300))
    whole, part = (Augmentation(300, 1, 1, kept=kept) for kept in (1.0, 0.3))
    targets = [part.cut(image, mask, 0, epoch, 0)[1] for epoch in (0, 0, 1)]
    np.testing.assert_array_equal(targets[0], targets[1])
    kept = [target == 0 for target in targets]
    assert abs(kept[0].mean() - 0.3) < 0.01
    assert abs((kept[0] & kept[2]).mean() - 0.09) < 0.01  # another epoch draws anew
    assert abs((kept[0][:, 1:] & kept[0][:, :-1]).mean() - 0.09) < 0.01  # neighbours apart
    assert set(np.unique(targets[0])) == {0, 255}
    assert part.draw((300, 300), 0, 0, 0) == whole.draw((300, 300), 0, 0, 0)
