"""Tests of segtrain.demo.answers and segtrain.demo.facts: from bytes to what the page is told."""

import dataclasses
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segtrain.checkpoint import Checkpoint
from segtrain.demo.answers import Answerer, Limits, plain_name, stem
from segtrain.demo.facts import facts
from segtrain.errors import PhotoError
from segtrain.predict import Manner
from segtrain.predictor import Predictor

MakePhoto = Callable[..., bytes]


def ids_of(answerer: Answerer, image: Image.Image) -> np.ndarray:
    """What the net itself says of an RGB image."""
    return answerer.predictor.predict(image).numpy().astype(np.uint8)


def test_an_answer_is_the_nets_own_word(answerer: Answerer, make_photo: MakePhoto) -> None:
    """Mask, shares and pictures of an answer are those of the net's ids at the photo's size."""
    data = make_photo("PNG")
    with Image.open(io.BytesIO(data)) as image:
        expected = ids_of(answerer, image.convert("RGB"))
    answer = answerer.answer(data, "holiday.png")
    mask = Image.open(io.BytesIO(answer.mask))
    assert (mask.mode, mask.size, answer.size) == ("L", (90, 60), (90, 60))
    np.testing.assert_array_equal(np.asarray(mask), expected)
    assert sum(entry.share for entry in answer.entries) == pytest.approx(1)
    for entry in answer.entries:
        number = [c.name for c in answerer.classes].index(entry.name)
        assert entry.share == pytest.approx((expected == number).mean())
    assert (answer.photo.size, answer.ids.shape) == ((480, 320), (320, 480))
    assert set(np.unique(answer.ids)) <= set(np.unique(expected))
    assert answer.notes == ()


def test_files_of_an_answer_agree(answerer: Answerer, make_photo: MakePhoto) -> None:
    """The mask in colours holds the ids as indices and the classes' colours; opacity 0 is clear."""
    answer = answerer.answer(make_photo("JPEG"), "a.jpg")
    colored = Image.open(io.BytesIO(answerer.colored_file(answer)))
    ids = np.asarray(Image.open(io.BytesIO(answer.mask)))
    assert colored.mode == "P"
    np.testing.assert_array_equal(np.asarray(colored), ids)
    colors = np.array([c.color for c in answerer.classes], np.uint8)
    np.testing.assert_array_equal(np.asarray(colored.convert("RGB")), colors[ids])
    shown = np.asarray(answerer.colored(answer))
    np.testing.assert_array_equal(shown, colors[answer.ids])
    full = np.asarray(answerer.overlay(answer, 1.0))
    inner = (answer.ids > 0) & (full == shown).all(2)
    assert inner.sum() > 0.8 * (answer.ids > 0).sum()  # all but the white borders
    clear = np.asarray(answerer.overlay(answer, 0.0))
    assert (clear == np.asarray(answer.photo)).all(2).mean() > 0.8
    drawn = Image.open(io.BytesIO(answerer.overlay_file(answer, 0.5)))
    assert drawn.format == "JPEG"
    assert drawn.height > answer.photo.height  # the legend


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_png_is_taken(mode: str, answerer: Answerer, make_photo: MakePhoto) -> None:
    """PNGs of bits, greys of 8 and 16 bits, palettes and transparency get an answer."""
    data = make_photo("PNG", mode="L" if mode == "I;16" else mode)
    if mode == "I;16":
        buffer = io.BytesIO()
        Image.fromarray(np.full((60, 90), 30_000, np.uint16)).save(buffer, "PNG")
        data = buffer.getvalue()
    assert answerer.answer(data, "x").size == (90, 60)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_content_decides_not_the_name(kind: str, answerer: Answerer, make_photo: MakePhoto) -> None:
    """Each kind is taken under a wrong name and under none."""
    for name in ("photo.txt", "", "drawing.svg"):
        assert answerer.answer(make_photo(kind), name).size == (90, 60)


def test_orientation_cmyk_and_one_pixel(answerer: Answerer, make_photo: MakePhoto) -> None:
    """EXIF orientation is applied, CMYK JPEGs are read, and a photo of one pixel has a mask."""
    turned = io.BytesIO()
    image = Image.open(io.BytesIO(make_photo("PNG")))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(turned, "JPEG", exif=exif)
    assert answerer.answer(turned.getvalue(), "t").size == (60, 90)
    assert answerer.answer(make_photo("JPEG", mode="CMYK"), "c").size == (90, 60)
    answer = answerer.answer(make_photo("PNG", (1, 1)), "o")
    assert answer.size == (1, 1)
    assert [entry.share for entry in answer.entries] == [1.0]


def test_a_large_photo_is_reduced_for_the_net_alone(
    answerer: Answerer, make_photo: MakePhoto
) -> None:
    """A photo beyond --max-side has a mask of its own size, a small picture, and a note."""
    small = dataclasses.replace(answerer, manner=Manner(64))
    answer = small.answer(make_photo("JPEG", (4000, 1000)), "wide.jpg")
    assert Image.open(io.BytesIO(answer.mask)).size == (4000, 1000)
    assert answer.photo.size == (2048, 512)
    (note,) = answer.notes
    assert "reduced to 64 pixels" in note


def test_an_animation_is_its_first_picture(answerer: Answerer) -> None:
    """Of a GIF, WebP or PNG that moves the first picture is predicted, and the answer says so."""
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "green", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        data = io.BytesIO()
        frames[0].save(data, kind, save_all=True, append_images=frames[1:], duration=50)
        answer = answerer.answer(data.getvalue(), "a")
        assert any("this is the first" in note for note in answer.notes)
        red, green, blue = np.asarray(answer.photo)[10, 10].tolist()
        assert red > 200
        assert max(green, blue) < 60


def test_hostile_files_are_told(
    answerer: Answerer, make_photo: MakePhoto, bomb: bytes, svg: bytes
) -> None:
    """Text, drawings, documents, bombs, what is cut short or too large: one line, no traceback."""
    jpeg = make_photo("JPEG", (300, 200))
    small = dataclasses.replace(answerer, limits=Limits(1, 1))
    cases = [
        (answerer, b"", "is no image of the kinds taken"),
        (answerer, b"just text", "is no image of the kinds taken"),
        (answerer, svg, "is no image of the kinds taken"),
        (answerer, b"%PDF-1.7\n%abc", "is no image of the kinds taken"),
        (answerer, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image of the"),
        (answerer, b"\0\0\0\x18ftypheic" + bytes(40), "export it as JPEG"),
        (answerer, jpeg[: len(jpeg) // 2], "cannot be decoded"),
        (answerer, bomb, "more than 50,000,000 pixels"),
        (small, make_photo("PNG", (1001, 1000)), "more than 1,000,000 pixels"),
        (small, bytes(2**20 + 1), "has 1.0 MB; at most 1 are taken"),
    ]
    assert len(bomb) < 200_000
    for net, data, words in cases:
        with pytest.raises(PhotoError, match=rf"^x\.jpg: .*{words}") as caught:
            net.answer(data, "C:\\folder/x.jpg")
        assert "\n" not in str(caught.value)
    assert not answerer.lock.locked()


@given(data=st.data())
def test_spoilt_photos_are_answered_or_told(
    data: st.DataObject, answerer: Answerer, make_photo: MakePhoto
) -> None:
    """Whatever bytes of a photo are changed, there is an answer or a PhotoError, nothing else."""
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]))
    spoilt = bytearray(make_photo(kind, (24, 16)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(spoilt), 400) - 1))
        spoilt[place] = data.draw(st.integers(0, 255))
    reduced = dataclasses.replace(answerer, manner=Manner(32), limits=Limits(1, 1))
    try:
        answer = reduced.answer(bytes(spoilt), "x")
    except PhotoError as error:
        assert str(error).startswith("x: ")  # noqa: PT017 - either is right
    else:
        assert Image.open(io.BytesIO(answer.mask)).size == answer.size


def test_one_photo_at_a_time(
    answerer: Answerer, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of photos sent at once, each gets its answer, and no two are predicted together."""
    inside, most = [], []
    real = Predictor.logits

    def counted(self: Predictor, image: Image.Image) -> object:
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.02)  # others would come in meanwhile
        inside.pop()
        return real(self, image)

    monkeypatch.setattr(Predictor, "logits", counted)
    sizes = [(40 + n, 30) for n in range(6)]
    files = [make_photo("PNG", size) for size in sizes]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(answerer.answer, files, [f"{n}.png" for n in range(6)]))
    assert [answer.size for answer in answers] == sizes
    assert most == [1] * 6


def test_names_are_harmless() -> None:
    """Of a name no folder, no control character and no more than 80 characters are left."""
    assert plain_name("../../etc/<b>\x00x\r\n.jpg") == "<b>x.jpg"
    assert plain_name("C:\\photos\\a b.png") == "a b.png"
    assert plain_name("") == plain_name("a/") == "photo"
    assert len(plain_name("x" * 500)) == 80
    assert stem('<img src=x onerror="1">.jpg') == "img-src-x-onerror-1"
    assert stem("été 2026.tar.gz") == "été-2026-tar"
    assert stem(".jpg") == "jpg"
    assert stem("...") == "photo"


def test_facts_tell_what_a_net_is_worth(
    trained: Path, checkpoint: Checkpoint, answerer: Answerer
) -> None:
    """Variant, step and validation are told; generated data and weak nets have a caution."""
    path = trained / "last.pt"

    def told(**changes: object) -> tuple[str, str]:
        changed = dataclasses.replace(checkpoint, **changes)
        found = facts(changed, path, answerer.predictor)
        assert found.net == f"FCN-8s, step {changed.step:,}"
        return found.judged, " ".join(found.cautions)

    best = {"step": checkpoint.step, "dataset": "voc2012", "images": 1449, "mean_iou": 0.625}
    good = ("mean IoU 62.5 % on 1,449 validation images of voc2012", "")
    assert told(best=best) == good
    assert told(best={**best, "step": 7})[0].endswith("voc2012 at step 7")
    assert "weak (mean IoU 8.1 %)" in told(best={**best, "mean_iou": 0.081})[1]
    assert "trained on generated data" in told(best=best, synthetic=True)[1]
    judged, caution = told(best=None)
    assert judged == "not validated yet"
    assert "nobody knows how good it is" in caution
