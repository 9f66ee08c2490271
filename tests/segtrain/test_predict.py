"""Tests of segtrain.predict."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segtrain.checkpoint import load_checkpoint
from segtrain.errors import CheckpointError, PhotoError
from segtrain.photos import load_photo
from segtrain.predict import (
    Manner,
    enlarged_strips,
    find_photos,
    place_results,
    predict_photo,
    predict_photos,
    scored,
    spans,
)
from segtrain.predictor import Predictor, Views, load_predictor


@pytest.fixture(scope="module")
def predictor(trained: Path) -> Predictor:
    """The trained net on the CPU."""
    return load_predictor(load_checkpoint(trained / "last.pt"), trained / "last.pt", "cpu")


def gradient(width: int = 40, height: int = 24) -> Image.Image:
    """An RGB image whose parts can be told apart."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.dstack([x, y, 255 - x]).astype(np.uint8))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    """A photo marked as lying on its side is loaded upright."""
    image = gradient()
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    path = tmp_path / "turned.png"
    image.save(path, exif=exif)
    loaded = load_photo(path)
    assert loaded.size == (24, 40)
    np.testing.assert_array_equal(
        np.asarray(loaded), np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    """Photos of every common mode load as RGB of the same size and nearly the same colours."""
    kind = "TIFF" if mode == "CMYK" else "PNG"
    source = gradient().convert(mode)
    path = tmp_path / "photo.bin"
    source.save(path, kind)
    loaded = load_photo(path)
    assert (loaded.mode, loaded.size) == ("RGB", (40, 24))
    difference = np.asarray(loaded).astype(int) - np.asarray(source.convert("RGB"))
    assert np.abs(difference).mean() < 3


def test_transparent_parts_lie_on_white(tmp_path: Path) -> None:
    """Where a photo is transparent it is white, whatever colour hides there; palettes too."""
    hidden = Image.new("RGBA", (6, 4), (200, 0, 0, 0))
    hidden.paste((0, 0, 255, 255), (3, 0, 6, 4))
    hidden.save(tmp_path / "a.png")
    Image.new("P", (6, 4), 0).save(tmp_path / "b.png", transparency=0)
    pixels = np.asarray(load_photo(tmp_path / "a.png"))
    assert (pixels[:, :3] == 255).all()
    assert (pixels[:, 3:] == (0, 0, 255)).all()
    assert (np.asarray(load_photo(tmp_path / "b.png")) == 255).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32896, 65535]], np.uint16), [0, 128, 255]),
        (np.array([[0, 32896, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0, 7, 255]], np.int32), [0, 7, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 128.0, 300.0]], np.float32), [0, 128, 255]),
    ],
    ids=["16 bit", "32 bit", "32 bit of 8", "float of 1", "float of 255"],
)
def test_deep_greyscale_keeps_its_range(
    values: np.ndarray, expected: list[int], tmp_path: Path
) -> None:
    """Greys of 16 bits and more fill 0..255 as they fill their own range."""
    path = tmp_path / "deep.tif"
    Image.fromarray(values).save(path)
    loaded = np.asarray(load_photo(path))
    assert loaded[0, :, 0].tolist() == expected
    assert (loaded == loaded[..., :1]).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        (b"", "is no image"),
        (b"just text", "is no image"),
        (b"\x89PNG\r\n\x1a\n0000", "cannot be decoded|is no image"),
    ],
)
def test_what_is_no_photo_is_told(content: bytes | None, words: str, tmp_path: Path) -> None:
    """A missing file, text, and a damaged image are errors of one line with the path."""
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PhotoError, match=rf"x\.jpg: .*({words})") as caught:
        load_photo(path)
    assert "\n" not in str(caught.value)


def test_half_a_photo_and_a_folder_are_refused(tmp_path: Path) -> None:
    """A JPEG cut in half is not predicted as if its grey half were there; a folder is no photo."""
    data = io.BytesIO()
    gradient(200, 100).save(data, "JPEG")
    (tmp_path / "half.jpg").write_bytes(data.getvalue()[: len(data.getvalue()) // 2])
    with pytest.raises(PhotoError, match="cannot be decoded"):
        load_photo(tmp_path / "half.jpg")
    with pytest.raises(PhotoError):
        load_photo(tmp_path)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo of more pixels than the limit is an error with the limit, not a full memory."""
    gradient(100, 100).save(tmp_path / "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(PhotoError, match="more than 8,000 pixels"):
        load_photo(tmp_path / "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6000)  # Pillow only warns up to twice that
    assert load_photo(tmp_path / "big.png").size == (100, 100)


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 150),
    st.integers(1, 40),
    st.integers(0, 9),
)
@settings(max_examples=40)
def test_enlarged_scores_are_bilinear(h: int, w: int, more_h: int, more_w: int, seed: int) -> None:
    """Strip by strip, scores are those of the whole enlarged ones, each row once and in order."""
    logits = torch.randn(4, h, w, generator=torch.Generator().manual_seed(seed))
    height, width = h + more_h, w + more_w
    whole = F.interpolate(logits[None], size=(height, width), mode="bilinear")[0]
    strips = list(enlarged_strips(logits, height, width))
    assert [s.top for s in strips] == list(range(0, height, 64))
    found = torch.cat([s.scores for s in strips], 1)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (333, 2), (64, 64), (50, 47)])
def test_predictions_have_the_photos_size(predictor: Predictor, size: tuple[int, int]) -> None:
    """Any photo down to one pixel, within the limit or above it, gets an id at each pixel."""
    photo = gradient(*size)
    for manner in (Manner(32), Manner(64), Manner(1024), Manner(tile=128)):
        mask = predict_photo(predictor, photo, manner).ids
        assert mask.shape == size[::-1]
        assert mask.dtype == np.uint8
        assert mask.max() < 4


def test_within_the_limit_nothing_is_resized(predictor: Predictor) -> None:
    """A photo within the limit is predicted as the net sees it, pixel by pixel."""
    photo = gradient(70, 50)
    expected = predictor.predict(photo).numpy()
    np.testing.assert_array_equal(predict_photo(predictor, photo, Manner(70)).ids, expected)


def test_results_never_collide(tmp_path: Path) -> None:
    """Photos of one name get results of different names, also where case alone differs."""
    photos = [Path("a/dog.jpg"), Path("b/dog.jpg"), Path("b/Dog.png"), Path("dog-2.jpg")]
    targets = place_results(photos, tmp_path)
    names = [t.mask.name.lower() for t in targets]
    assert names[:2] == ["dog.png", "dog-2.png"]
    assert len(set(names)) == 4
    assert targets[0].overlay.name == "dog.overlay.jpg"


def test_photos_are_never_overwritten(tmp_path: Path) -> None:
    """A PNG predicted into its own folder would be replaced by its mask: refused."""
    photo = tmp_path / "dog.png"
    gradient().save(photo)
    with pytest.raises(PhotoError, match="would overwrite a photo; name another --out"):
        place_results([photo], tmp_path)


def test_one_bad_photo_does_not_stop_the_others(trained: Path, tmp_path: Path) -> None:
    """Errors and results come in order; what could be predicted lies there whole."""
    gradient().save(tmp_path / "one.jpg")
    (tmp_path / "two.jpg").write_text("no image")
    gradient(70, 30).save(tmp_path / "three.png")
    photos = [tmp_path / n for n in ("one.jpg", "two.jpg", "three.png")]
    told = list(predict_photos(trained, photos, tmp_path / "out", Manner(), "cpu"))
    assert [bool(error) for _, error in told] == [False, True, False]
    assert "40x24" in told[0].line
    assert "%" in told[0].line
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"one.png", "one.overlay.jpg", "three.png", "three.overlay.jpg"}
    with Image.open(tmp_path / "out" / "three.png") as mask:
        assert (mask.mode, mask.size) == ("L", (70, 30))
        assert np.asarray(mask).max() < 4
    with Image.open(tmp_path / "out" / "three.overlay.jpg") as overlay:
        assert overlay.mode == "RGB"
        assert overlay.width >= 480


def test_the_index_png_holds_the_prediction(
    predictor: Predictor, trained: Path, tmp_path: Path
) -> None:
    """The written PNG's grey values are the ids that the net of last.pt predicts."""
    photo = gradient(90, 60)
    photo.save(tmp_path / "p.png")
    list(
        predict_photos(trained / "last.pt", [tmp_path / "p.png"], tmp_path / "o", Manner(64), "cpu")
    )
    with Image.open(tmp_path / "o" / "p.png") as mask:
        np.testing.assert_array_equal(
            np.asarray(mask), predict_photo(predictor, photo, Manner(64)).ids
        )


def test_no_checkpoint_writes_nothing(tmp_path: Path) -> None:
    """Without a checkpoint there is an error and no folder."""
    with pytest.raises(CheckpointError):
        list(predict_photos(tmp_path / "run", [tmp_path / "x"], tmp_path / "out", Manner(), "cpu"))
    assert not (tmp_path / "out").exists()


@given(st.integers(1, 3000), st.integers(128, 700))
def test_tiles_keep_each_pixel_once_and_with_its_surroundings(side: int, tile: int) -> None:
    """Kept parts follow each other without gap; what is seen lies in the photo, with a margin."""
    found = spans(side, tile)
    assert [s.kept[0] for s in found] == [0, *(s.kept[1] for s in found[:-1])]
    assert found[-1].kept[1] == side
    for seen, kept in found:
        assert 0 <= seen[0] <= kept[0] < kept[1] <= seen[1] <= side
        assert seen[1] - seen[0] == min(side, tile)
        assert seen[0] == 0 or kept[0] - seen[0] >= tile // 8
        assert seen[1] == side or seen[1] - kept[1] >= tile // 8


def test_several_views_decide_as_at_evaluation(predictor: Predictor) -> None:
    """With scales and mirroring, ids and probabilities of a photo are those of the mean softmax."""
    several = replace(predictor, views=Views((0.5, 1.0), flip=True))
    photo = gradient(96, 64)
    ids, probabilities = predict_photo(several, photo, Manner(probabilities=True))
    expected = several.probabilities([photo])[0].numpy()
    np.testing.assert_array_equal(ids, expected.argmax(0))
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)
    assert np.abs(probabilities - predictor.probabilities([photo])[0].numpy()).max() > 0.01
    small, _ = predict_photo(several, gradient(960, 640), Manner(max_side=96))
    assert small.shape == (640, 960)
    assert (small[5::10, 5::10] == ids).mean() > 0.9


def test_tiles_of_a_net_of_one_pixel_are_the_whole(predictor: Predictor) -> None:
    """A net that sees single pixels gives the same scores in tiles as at once."""

    class OnePixel:
        classes, views = predictor.classes, predictor.views

        def logits(self, image: Image.Image) -> torch.Tensor:
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
            return torch.cat([pixels, 300 - pixels[:1]])

    net, photo = OnePixel(), gradient(517, 300)
    whole = np.full((4, 300, 517), np.nan, np.float32)
    for top, left, scores in scored(net, photo, Manner(tile=128)):  # type: ignore[arg-type]
        part = whole[:, top : top + scores.shape[1], left : left + scores.shape[2]]
        assert np.isnan(part).all()
        part[:] = scores.numpy()
    np.testing.assert_array_equal(whole, net.logits(photo).numpy())


def test_within_a_tile_a_photo_is_seen_whole(predictor: Predictor) -> None:
    """A photo no larger than the tile is predicted as without tiles, whatever --max-side."""
    photo = gradient(120, 90)
    expected = predict_photo(predictor, photo, Manner()).ids
    found = predict_photo(predictor, photo, Manner(32, tile=128)).ids
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("manner", [Manner(), Manner(48), Manner(tile=128)])
def test_probabilities_belong_to_the_mask(trained: Path, tmp_path: Path, manner: Manner) -> None:
    """The .npz has a probability of each class at each pixel; the largest is the mask's id."""
    gradient(150, 130).save(tmp_path / "p.png")
    asked = replace(manner, probabilities=True)
    [told] = predict_photos(trained, [tmp_path / "p.png"], tmp_path / "o", asked, "cpu")
    assert told.error == ""
    with np.load(tmp_path / "o" / "p.npz") as file:
        found, names = file["probabilities"], file["classes"].tolist()
    assert names == ["background", "disc", "square", "stripes"]
    assert (found.shape, found.dtype) == ((4, 130, 150), np.float16)
    wide = found.astype(np.float64)
    assert np.abs(wide.sum(0) - 1).max() < 2e-3
    with Image.open(tmp_path / "o" / "p.png") as mask:
        chosen = np.take_along_axis(wide, np.asarray(mask)[None].astype(int), 0)[0]
    np.testing.assert_array_equal(chosen, wide.max(0))


def test_folders_and_patterns_are_looked_up(tmp_path: Path) -> None:
    """A folder gives its images by name, a pattern what fits it, each photo once; none is told."""
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("a/b.JPG", "a/a.png", "a/notes.txt", "a/deep/c.jpg", "a/x[1].jpg"):
        (tmp_path / name).write_bytes(b"")
    folder = [tmp_path / "a" / n for n in ("a.png", "b.JPG", "x[1].jpg")]
    assert find_photos([tmp_path / "a"]) == folder
    assert find_photos([tmp_path / "a", folder[1], Path("no.jpg")]) == [*folder, Path("no.jpg")]
    assert find_photos([folder[2]]) == [folder[2]]
    deep = find_photos([tmp_path / "a" / "**" / "*.jpg"])
    assert {p.name for p in deep} >= {"c.jpg", "x[1].jpg"}
    with pytest.raises(PhotoError, match="empty: holds no photo"):
        find_photos([tmp_path / "empty"])
    with pytest.raises(PhotoError, match="no file fits this pattern"):
        find_photos([tmp_path / "a" / "*.gif"])
