"""Tests of segtrain.predictor and of batches of it in segtrain.evaluate."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from segtrain.checkpoint import load_checkpoint
from segtrain.errors import UsageError
from segtrain.evaluate import evaluate_set, grouped
from segtrain.predictor import Predictor, Views, load_predictor
from segtrain.samples import Decoded
from segtrain.shards import open_shards


@pytest.fixture(scope="module")
def predictor(trained: Path) -> Predictor:
    """The trained net on the CPU."""
    return load_predictor(load_checkpoint(trained / "last.pt"), trained / "last.pt", "cpu")


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise of three colours."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def silent(*_: object) -> None:
    """A watcher that does nothing."""


def test_company_changes_no_score(predictor: Predictor) -> None:
    """Images of different sizes and one padded size have the scores that they have alone."""
    photos = [photo(64, 64, 1), photo(33, 50, 2), photo(40, 64, 3)]
    assert len({predictor.padded(p.size) for p in photos}) == 1
    together = predictor.batch_logits(photos)
    for image, found in zip(photos, together, strict=True):
        assert found.shape == (4, image.height, image.width)
        torch.testing.assert_close(found, predictor.logits(image), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("views", [Views(), Views((0.5, 1.0), flip=True)])
def test_batches_count_what_single_images_count(
    predictor: Predictor, shards: Path, views: Views
) -> None:
    """Whatever the batch, each image has the same counts, in the same order."""
    seeing = replace(predictor, views=views)
    [samples, _] = open_shards(shards).sets("val")
    alone = evaluate_set(seeing, samples, range(8), silent)
    done: list[int] = []
    for batch in (3, 8):
        together = evaluate_set(seeing, samples, range(8), lambda n, *_: done.append(n), batch)
        assert together.images.keys == alone.images.keys
        assert torch.equal(together.confmat, alone.confmat)
        for a, b in zip(together.images.arrays, alone.images.arrays, strict=True):
            np.testing.assert_array_equal(a, b)
    assert done == [*range(1, 9)] * 2


@given(st.lists(st.integers(1, 6), max_size=40), st.integers(1, 5))
def test_batches_hold_one_form_and_lose_nothing(sides: list[int], batch: int) -> None:
    """Every sample is in one batch, of its own form, no larger than asked; of 1, in order."""
    mask = np.zeros((1, 1), np.uint8)
    stream = [Decoded(f"k{i}", Image.new("RGB", (s, 1)), mask) for i, s in enumerate(sides)]
    groups = list(grouped(iter(stream), lambda size: size[0] // 2, batch))
    assert sorted(n for g in groups for n, _ in g) == list(range(len(sides)))
    for group in groups:
        assert 1 <= len(group) <= batch
        assert len({sample.image.width // 2 for _, sample in group}) == 1
        assert all(sample.key == f"k{n}" for n, sample in group)
    if batch == 1:
        assert [g[0][0] for g in groups] == list(range(len(sides)))


def test_waiting_images_are_few() -> None:
    """Images of ever new sizes do not fill the memory: no more than eight batches' worth wait."""
    mask = np.zeros((1, 1), np.uint8)
    drawn: list[int] = []

    def stream() -> Iterator[Decoded]:
        for i in range(60):
            drawn.append(i)
            yield Decoded(f"k{i}", Image.new("RGB", (i + 1, 1)), mask)

    given_back = 0
    for group in grouped(stream(), lambda size: size, 2):
        given_back += len(group)
        assert len(drawn) - given_back < 16
    assert given_back == 60


def test_views_are_averaged_as_written(predictor: Predictor) -> None:
    """The mean softmax over scales and mirrors is that of a plain loop over them."""
    image = photo(70, 45)
    views = Views((0.5, 1.0, 1.5), flip=True)
    total = torch.zeros(4, 45, 70)
    for width, height in ((35, 22), (70, 45), (105, 68)):
        seen = image.resize((width, height), Image.Resampling.BILINEAR)
        for mirrored in (False, True):
            turned = ImageOps.mirror(seen) if mirrored else seen
            scores = predictor.logits(turned)
            scores = torch.flip(scores, [2]) if mirrored else scores
            wide = F.interpolate(scores[None], size=(45, 70), mode="bilinear")[0]
            total += torch.softmax(wide, 0)
    [found] = replace(predictor, views=views).probabilities([image])
    torch.testing.assert_close(found, total / 6, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.sum(0), torch.ones(45, 70))


def test_a_mirrored_photo_has_the_mirrored_prediction(predictor: Predictor) -> None:
    """With mirrors among the views, mirroring the photo mirrors the probabilities."""
    image = photo(64, 32)  # of whole strides: else padding lies on one side
    both = replace(predictor, views=Views(flip=True))
    [found], [turned] = (both.probabilities([i]) for i in (image, ImageOps.mirror(image)))
    torch.testing.assert_close(turned.flip(-1), found, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("words", ["", "0", "1,-1", "nan", "5", "1,x", "1,,2"])
def test_scales_out_of_range_are_refused(words: str) -> None:
    """What is no list of numbers above 0 and at most 4 is an error of usage that repeats it."""
    with pytest.raises(UsageError, match=f"--scales {words}"):
        Views.parse(words, flip=False)


def test_views_say_what_they_are() -> None:
    """A single view has no words; others name scales and mirrors."""
    assert Views.parse("1", flip=False) == Views()
    assert Views().words() == ""
    words = Views.parse("0.5,1", flip=True).words()
    assert words == "mean of softmax at scale 0.5, 1, each also mirrored"


def test_tiny_photos_are_seen_at_small_scales(predictor: Predictor) -> None:
    """A photo of one pixel at a tenth of its size is still one pixel."""
    small = replace(predictor, views=Views((0.1, 1.0)))
    assert small.predict(photo(1, 1)).shape == (1, 1)


def test_a_net_is_judged_in_the_numbers_that_it_was_trained_in(trained: Path) -> None:
    """A checkpoint of a run with --precision bf16 predicts in bf16, others as the device suits."""
    checkpoint = load_checkpoint(trained / "last.pt")
    plain = load_predictor(checkpoint, trained, "cpu")
    checkpoint.config["precision"] = "bf16"
    coarse = load_predictor(checkpoint, trained, "cpu")
    assert (plain.precision, coarse.precision) == ("auto", "bf16")
    image = photo(40, 30)
    difference = (coarse.logits(image) - plain.logits(image)).abs().max()
    assert 0 < float(difference) < 0.1 * float(plain.logits(image).abs().max())
