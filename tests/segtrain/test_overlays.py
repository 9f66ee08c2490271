"""Tests of segtrain.overlays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segtrain.manifests import ClassInfo
from segtrain.overlays import (
    PAPER,
    Entry,
    Judged,
    comparison,
    edges,
    fitted,
    legend_text,
    overlay,
    palette,
    photo_overlay,
    shares,
    with_legend,
)

CLASSES = (
    ClassInfo("background", (0, 0, 0)),
    ClassInfo("disc", (200, 30, 30)),
    ClassInfo("a class of a rather long name", (30, 170, 60)),
)


def half(width: int = 100, height: int = 100) -> np.ndarray:
    """A mask whose right half is class 1."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 1
    return mask


def test_background_stays_and_classes_take_their_colour() -> None:
    """Background pixels are the photo's own; class pixels lie between photo and colour."""
    image = Image.new("RGB", (100, 100), (100, 100, 100))
    shown = np.asarray(overlay(image, half(), CLASSES))
    assert (shown[:, :45] == 100).all()
    assert np.abs(shown[:, 60:].astype(int) - (155, 61.5, 61.5)).max() <= 1


def test_borders_are_white_on_any_photo() -> None:
    """Where classes meet there is a white line, on dark photos as on bright ones."""
    for grey in (0, 250):
        image = Image.new("RGB", (100, 100), (grey,) * 3)
        shown = np.asarray(overlay(image, half(), CLASSES))
        assert (shown[edges(half())] == 255).all()
    assert edges(half()).sum() == 100


def test_shares_are_of_all_pixels_and_sum_to_one() -> None:
    """The legend names classes by falling share, background last, void by its own name."""
    mask = half()
    mask[:10, :50] = 255
    mask[99, :5] = 2
    found = shares(mask, CLASSES)
    assert [e.name for e in found] == ["disc", CLASSES[2].name, "background", "ignored"]
    assert sum(e.share for e in found) == pytest.approx(1)
    assert found[0].share == 0.5


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_pictures_keep_their_shape_within_limits(width: int, height: int) -> None:
    """The longest side ends within the limits and the shape is kept to a pixel."""
    new = fitted((width, height), 480, 2048)
    assert 480 <= max(new) <= 2048
    assert min(new) >= 1
    scale = max(new) / max(width, height)
    assert abs(min(new) - max(1, min(width, height) * scale)) <= 1
    if 480 <= max(width, height) <= 2048:
        assert new == (width, height)


@given(st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=15)
def test_every_photo_gets_a_whole_legend(width: int, height: int) -> None:
    """From one pixel up, the legend lies below the picture and is never cut off at the side."""
    mask = half(width, height)
    mask[0, 0] = 2
    drawn = photo_overlay(Image.new("RGB", (width, height), (9, 9, 9)), mask, CLASSES)
    shown = fitted((width, height), 480, 2048)
    assert drawn.width >= shown[0]
    assert drawn.height > shown[1]
    pixels = np.asarray(drawn)
    assert (pixels[shown[1] + 3 :, -3:] == PAPER).all()
    assert (pixels[-3:] == PAPER).all()
    legend = pixels[shown[1] :].reshape(-1, 3).tolist()
    for entry in shares(mask, CLASSES):
        assert list(entry.color) in legend


def test_small_shares_are_not_said_to_be_none() -> None:
    """A class of a single pixel is below 0.1 %, not 0.0 %; one without share is named only."""
    assert legend_text(Entry("disc", (1, 2, 3), 1e-6)) == "disc <0.1%"
    assert legend_text(Entry("disc", (1, 2, 3), 0.123)) == "disc 12.3%"
    assert legend_text(Entry("disc", (1, 2, 3), 0)) == "disc"


def test_long_legends_wrap() -> None:
    """Twenty classes on a narrow picture take several rows instead of leaving the paper."""
    many = [ClassInfo(f"class number {i}", (i * 9, 255 - i * 9, 128)) for i in range(21)]
    mask = (np.arange(210 * 100) % 21).astype(np.uint8).reshape(100, 210)
    narrow = with_legend(Image.new("RGB", (260, 100)), shares(mask, many))
    wide = with_legend(Image.new("RGB", (1500, 100)), shares(mask, many))
    assert narrow.width < 500
    assert wide.width == 1500
    assert narrow.height > 300
    assert (np.asarray(narrow)[100:, -2:] == PAPER).all()


def test_comparisons_show_truth_and_prediction_in_flat_colours() -> None:
    """Each row holds photo, truth and prediction beside each other; nothing else is coloured."""
    truth, pred = half(320, 240), np.full((240, 320), 2, np.uint8)
    truth[:5] = 255
    image = Image.new("RGB", (320, 240), (12, 34, 56))
    sheet = comparison([Judged("k_1", image, truth, (pred,))] * 2, CLASSES, "voc2012 val, step 10")
    pixels = np.asarray(sheet)
    assert pixels.shape[1] == 992
    row = pixels[58 + 120]
    assert (row[8:328] == (12, 34, 56)).all()
    assert (row[336:496] == 0).all()
    assert (row[497:656] == (200, 30, 30)).all()
    assert (row[664:984] == (30, 170, 60)).all()
    assert (pixels[58 + 2, 336:656] == (224, 224, 192)).all()


def test_the_palette_leaves_no_id_out() -> None:
    """Ids without a class and 255 have VOC's void colour."""
    table = palette(CLASSES)
    assert table.shape == (256, 3)
    assert table[1].tolist() == [200, 30, 30]
    assert (table[3:] == (224, 224, 192)).all()
