"""Tests of segtrain.compare."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.segtrain.comparisons import many

from segtrain.checkpoint import load_checkpoint, save_checkpoint
from segtrain.compare import (
    Comparison,
    Net,
    compare_runs,
    plain_comparisons,
    refuse_other_classes,
    write_sheets,
)
from segtrain.errors import CheckpointError
from segtrain.predictor import Views
from segtrain.samples import load
from segtrain.sampleset import SampleSet
from segtrain.shards import open_shards
from segtrain.terminal import print_comparison

Compared = tuple[tuple[Net, Net], list[Comparison]]


def silent(*_: object) -> Callable[..., None]:
    """A watcher of data sets and of images that does nothing."""
    return silent


@pytest.fixture(scope="module")
def spoilt(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained net with another last bias, so that it prefers class 1."""
    checkpoint = load_checkpoint(trained / "last.pt")
    checkpoint.judged["score_fr.bias"] = checkpoint.judged["score_fr.bias"].clone()
    checkpoint.judged["score_fr.bias"][1] += 2
    path = tmp_path_factory.mktemp("spoilt") / "spoilt.pt"
    save_checkpoint(path, checkpoint)
    return path


@pytest.fixture(scope="module")
def compared(trained: Path, spoilt: Path, shards: Path) -> Compared:
    """The trained net against the spoilt one."""
    runs = (trained / "last.pt", spoilt)
    return compare_runs(runs, shards, "val", "cpu", silent, views=Views())


@pytest.fixture(scope="module")
def voc_val(shards: Path) -> SampleSet:
    """VOC's val split."""
    return open_shards(shards).sets("val")[0]


def test_both_are_judged_on_the_same_images(compared: Compared, voc_val: SampleSet) -> None:
    """Each image's own mean IoU is that of its prediction, pixel by pixel, for A and for B."""
    nets, [found, coco] = compared
    assert (found.first.images, coco.first.images) == (8, 5)
    for pair in found.images:
        key, image, mask = load(voc_val, pair.number)
        assert key == pair.key
        for net, own in zip(nets, (pair.first, pair.second), strict=True):
            pred, valid = net.predictor.predict(image).numpy(), mask != 255
            rates = [
                (valid & (mask == c) & (pred == c)).sum() / union
                for c in range(4)
                if (union := (valid & ((mask == c) | (pred == c))).sum())
            ]
            assert own == pytest.approx(np.mean(rates))
    assert sum(found.wins) == 8


def test_the_images_that_differ_most_come_first(compared: Compared) -> None:
    """They are sorted by how much they differ, either way; none that is alike is named."""
    _, [found, _] = compared
    named = found.most_different(5)
    differences = [abs(pair.difference) for pair in named]
    assert differences == sorted(differences, reverse=True)
    assert all(differences)
    left = [abs(p.difference) for p in found.images if p not in named]
    assert max(left, default=0) <= differences[-1]


def test_a_net_is_the_same_as_itself(trained: Path, shards: Path) -> None:
    """Compared with itself a net has no difference, no image that differs, and no picture."""
    nets, found = compare_runs((trained, trained), shards, "val", "cpu", silent, views=Views())
    assert [c.verdict() for c in found] == ["same", "same"]
    assert found[0].difference == 0
    assert found[0].wins == (0, 0, 8)
    assert found[0].most_different(3) == []
    write_sheets(Path("nowhere"), found, nets, 3)


def test_the_better_net_is_told_and_turned_round(voc_val: SampleSet) -> None:
    """A clear difference names the better one, whichever comes first, with opposite intervals."""
    better, worse = many(voc_val, (0.7, 0.8)), many(voc_val, (0.8, 0.7))
    assert (better.verdict(), worse.verdict()) == ("B", "A")
    assert better.interval is not None
    assert 0.08 < better.interval.low < better.interval.high < 0.25
    known = [ends for ends in better.class_intervals if ends is not None]
    assert len(known) == 4
    assert all(ends.low > 0 for ends in known)
    assert better.wins[1] > 50


def test_equal_nets_are_not_told_apart(voc_val: SampleSet) -> None:
    """Nets of one quality with errors of their own get no verdict; too few images no interval."""
    assert many(voc_val, (0.75, 0.75)).verdict() == ""
    few = many(voc_val, (0.2, 0.9), images=24)
    assert (few.interval, few.verdict()) == (None, "")
    assert few.class_intervals == [None] * 4


@pytest.mark.parametrize(
    ("quality", "images", "words"),
    [
        ((0.6, 0.8), 60, "B is better: B less A is +"),
        ((0.8, 0.6), 60, "A is better: B less A is -"),
        ((0.75, 0.75), 60, "60 of 8 images do not tell A and B apart"),
        ((0.2, 0.9), 24, "24 of 8 images are too few to tell"),
    ],
)
def test_the_verdict_is_said_in_words(
    quality: tuple[float, float],
    images: int,
    words: str,
    voc_val: SampleSet,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last line says who is better, or why that is not known, and what it does not mean."""
    print_comparison(many(voc_val, quality, images), 3)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(words)
    assert ("another seed" in last) == (images == 60)


def test_json_and_pictures_hold_it_all(compared: Compared, tmp_path: Path) -> None:
    """JSON repeats figures and every image; a sheet has photo, truth, A and B side by side."""
    nets, found = compared
    plain = json.loads(json.dumps(plain_comparisons(nets, Views(), found)))
    voc = plain["datasets"]["voc2012"]
    assert plain["format"] == "segtrain-compare/1"
    assert voc["mean_iou_difference"] == pytest.approx(voc["b"]["mean_iou"] - voc["a"]["mean_iou"])
    assert len(voc["by_image"]) == 8
    assert voc["interval"] is None
    assert sum(voc["images_better"].values()) == 8
    write_sheets(tmp_path, found, nets, 2)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"differences-voc2012-val.png", "differences-coco2017-val.png"}
    with Image.open(tmp_path / "differences-voc2012-val.png") as sheet:
        assert sheet.width == 4 * 328 + 8


def test_nets_of_other_classes_are_refused(compared: Compared) -> None:
    """Nets whose classes differ in number or name cannot be compared, and the error says where."""
    (first, second), _ = compared
    fewer = second.predictor.classes[:-1]
    other = second._replace(predictor=replace(second.predictor, classes=fewer))
    with pytest.raises(CheckpointError, match="have 4 and 3 classes"):
        refuse_other_classes(first, other)
    ring = replace(second.predictor.classes[3], name="ring")
    other = second._replace(predictor=replace(second.predictor, classes=(*fewer, ring)))
    with pytest.raises(CheckpointError, match="number 3 is 'stripes' and 'ring'"):
        refuse_other_classes(first, other)
