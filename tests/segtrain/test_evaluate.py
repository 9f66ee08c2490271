"""Tests of segtrain.evaluate and segtrain.validation."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segtrain.checkpoint import load_checkpoint
from segtrain.errors import CheckpointError, SampleError
from segtrain.evaluate import (
    SetResult,
    decoded_ahead,
    evaluate_run,
    evaluate_set,
    plain_results,
    write_results,
)
from segtrain.interruption import Interruption
from segtrain.predictor import Predictor, load_predictor
from segtrain.ranks import Ranks
from segtrain.samples import load
from segtrain.sampleset import SampleSet
from segtrain.shards import open_shards
from segtrain.validation import Company, floors, split_first, validate, validation_sets


def silent(*_: object) -> Callable[..., None]:
    """A watcher of data sets and of images that does nothing."""
    return silent


@pytest.fixture(scope="module")
def predictor(trained: Path) -> Predictor:
    """The trained net on the CPU."""
    return load_predictor(load_checkpoint(trained / "last.pt"), trained / "last.pt", "cpu")


@pytest.fixture(scope="module")
def voc_val(shards: Path) -> SampleSet:
    """VOC's val split."""
    return open_shards(shards).sets("val")[0]


def test_the_matrix_is_that_of_predicting_each_image_alone(
    predictor: Predictor, voc_val: SampleSet
) -> None:
    """One matrix over the set counts each labelled pixel as a plain loop does, at its own size."""
    expected = np.zeros((4, 4), np.int64)
    for n in range(len(voc_val)):
        _, image, mask = load(voc_val, n)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        scale = torch.tensor(std).view(1, 3, 1, 1)
        x = (pixels / 255 - torch.tensor(mean).view(1, 3, 1, 1)) / scale
        with torch.no_grad():
            pred = predictor.model(x)[0].argmax(0).numpy()
        for t, p in zip(mask.ravel(), pred.ravel(), strict=True):
            if t != 255:
                expected[t, p] += 1
    found = evaluate_set(predictor, voc_val, range(len(voc_val)), silent)
    assert found.confmat.sum() == expected.sum()
    assert np.abs(found.confmat.numpy() - expected).sum() <= 4  # ties of rounding in normalisation


def test_subsets_add_up_to_the_whole(predictor: Predictor, voc_val: SampleSet) -> None:
    """Matrices of two halves sum to that of the set: images do not influence each other."""
    halves = [evaluate_set(predictor, voc_val, n, silent) for n in (range(3), range(3, 8))]
    both, whole = halves[0] + halves[1], evaluate_set(predictor, voc_val, range(8), silent)
    assert torch.equal(both.confmat, whole.confmat)
    assert both.images.keys == whole.images.keys == tuple(voc_val.key(n) for n in range(8))
    for part, all_of_it in zip(both.images.arrays, whole.images.arrays, strict=True):
        np.testing.assert_array_equal(part, all_of_it)


def test_counts_of_images_sum_to_the_matrix(predictor: Predictor, voc_val: SampleSet) -> None:
    """Over the images, the counts by class are diagonal, row and column sums of the matrix."""
    found = evaluate_set(predictor, voc_val, range(8), silent)
    matrix, images = found.confmat.numpy(), found.images
    np.testing.assert_array_equal(images.true.sum(0), matrix.diagonal())
    np.testing.assert_array_equal(images.targets.sum(0), matrix.sum(1))
    np.testing.assert_array_equal(images.preds.sum(0), matrix.sum(0))
    empty = evaluate_set(predictor, voc_val, [], silent)
    assert empty.images.true.shape == (0, 4)


def test_judging_leaves_the_net_training(predictor: Predictor, voc_val: SampleSet) -> None:
    """A net that was training is training again afterwards, with the same running statistics."""
    predictor.model.train()
    before = {k: v.clone() for k, v in predictor.model.state_dict().items()}
    evaluate_set(predictor, voc_val, [0], silent)
    assert predictor.model.training
    assert all(torch.equal(v, before[k]) for k, v in predictor.model.state_dict().items())
    predictor.model.eval()


def test_images_are_decoded_ahead_in_order(voc_val: SampleSet) -> None:
    """Threads change neither the order nor the number of samples, for any number of them."""
    for count in (0, 1, 7, 8):
        numbers = list(range(count))[::-1]
        keys = [sample.key for sample in decoded_ahead(voc_val, numbers)]
        assert keys == [voc_val.key(n) for n in numbers]


def test_a_broken_sample_stops_judging(
    predictor: Predictor, make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """A sample that cannot be decoded is an error with its key, raised in order."""
    directory = make_shards(tmp_path / "b", train=1, val=5)
    [samples] = open_shards(directory).sets("val")
    data = bytearray(samples.shards[0].path.read_bytes())
    begin = int(samples.spans[3, 0])
    data[begin : begin + 30] = bytes(30)
    samples.shards[0].path.write_bytes(data)
    seen: list[str] = []
    with pytest.raises(SampleError, match="voc2012_val0003"):
        evaluate_set(predictor, samples, range(5), lambda _, sample, __: seen.append(sample.key))
    assert len(seen) == 3


def test_data_sets_are_judged_apart(trained: Path, shards: Path) -> None:
    """Each data set has its own result, with its own images and floor."""
    _, checkpoint, results = evaluate_run(trained, shards, "val", "cpu", silent)
    assert [(r.dataset, r.images, r.official) for r in results] == [
        ("voc2012", 8, 8),
        ("coco2017", 5, 5),
    ]
    assert checkpoint.optimizer is None
    for result in results:
        assert result.floor.iou[1:] == (0.0, 0.0, 0.0)
        assert result.floor.mean_iou == pytest.approx(result.floor.iou[0] / 4)


def test_results_say_what_cannot_be_compared(
    trained: Path, make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """Resized targets and synthetic data are marked in the result and in its JSON."""
    changes = {"synthetic": True, "options": {"size": 512, "val_size": 64}}
    directory = make_shards(tmp_path / "r", train=2, val=2, changes=changes)
    path, checkpoint, results = evaluate_run(trained, directory, "val", "cpu", silent)
    plain = plain_results(path, checkpoint, results)["datasets"]["voc2012"]
    assert (plain["resized_targets"], plain["synthetic"]) == (True, True)
    changes = {"options": {"size": 0, "val_size": 0}}
    directory = make_shards(tmp_path / "n", train=2, val=2, changes=changes)
    for split in ("train", "val"):
        [result] = evaluate_run(trained, directory, split, "cpu", silent)[2]
        assert not result.resized
        assert not result.synthetic


def test_json_holds_everything(trained: Path, shards: Path, tmp_path: Path) -> None:
    """The JSON of an evaluation repeats its figures, and its matrix gives them again."""
    path, checkpoint, results = evaluate_run(trained, shards, "val", "cpu", silent)
    write_results(tmp_path / "r.json", plain_results(path, checkpoint, results))
    plain = json.loads((tmp_path / "r.json").read_text())
    assert plain["format"] == "segtrain-eval/1"
    assert plain["model"] == "FCN-8s"
    for name, found in plain["datasets"].items():
        matrix = np.array(found["confusion"])
        true, union = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        assert found["mean_iou"] == pytest.approx((true / union).mean())
        assert found["pixel_accuracy"] == pytest.approx(true.sum() / matrix.sum())
        assert [c["name"] for c in found["classes"]] == ["background", "disc", "square", "stripes"]
        assert found["all_background"]["mean_iou"] > 0, name


def test_the_fixed_view_is_a_part_of_its_split(
    trained: Path, make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """val100 counts its images among its split's, and JSON has the interval of 25 and more."""
    directory = make_shards(tmp_path / "v", train=1, val=30)
    manifest = json.loads((directory / "voc2012.json").read_text())
    manifest["splits"]["val"]["official"] = 1449
    (directory / "voc2012.json").write_text(json.dumps(manifest))
    path, checkpoint, [result] = evaluate_run(trained, directory, "val100", "cpu", silent)
    assert (result.images, result.official, result.whole) == (30, 1449, False)
    found = plain_results(path, checkpoint, [result])["datasets"]["voc2012"]
    interval = found["mean_iou_interval"]
    assert interval["low"] < found["mean_iou"] < interval["high"]
    assert (interval["level"], interval["over"]) == (0.95, "images")


def test_a_net_of_other_classes_is_refused(
    trained: Path, make_shards: Callable[..., Path], shards: Path, tmp_path: Path
) -> None:
    """Judging on shards of another class count is one clear error."""
    classes = json.loads((shards / "voc2012.json").read_text())["classes"]
    more = [*classes, {"id": 4, "name": "ring", "color": [9, 9, 9]}]
    directory = make_shards(tmp_path / "c", train=1, val=1, classes=more)
    with pytest.raises(CheckpointError, match="has 4 classes, the shards have 5"):
        evaluate_run(trained, directory, "val", "cpu", silent)


def test_val_images_are_the_fixed_view(voc_val: SampleSet) -> None:
    """With as many images as val100 names, those are judged first; else the first in order."""
    keys = ("voc2012_val0006", "voc2012_val0001", "voc2012_val0004")
    chosen = split_first(voc_val, keys, 3)
    assert {voc_val.key(n) for n in chosen.first} == set(keys)
    assert sorted(chosen.first + chosen.rest) == list(range(8))
    assert split_first(voc_val, keys, 2).first == [0, 1]
    assert split_first(voc_val, keys, 0).first == list(range(8))
    assert split_first(voc_val, None, 3).first == [0, 1, 2]


def test_validation_on_the_way_and_in_full_agree(predictor: Predictor, voc_val: SampleSet) -> None:
    """A full validation contains the one on the way; its pictures are spread over the latter."""
    chosen = split_first(voc_val, None, 4)
    seen: list[tuple[int, int]] = []
    alone = Company(Ranks(), Interruption())
    found = validate(predictor, chosen, 2, lambda _, a, b: seen.append((a, b)), alone, full=True)
    assert found.full is not None
    assert (found.result.images, found.full.images) == (4, 8)
    assert seen == [(i, 8) for i in range(1, 9)]
    assert [j.key for j in found.judged] == ["voc2012_val0000", "voc2012_val0002"]
    for judged in found.judged:
        assert judged.preds[0].shape == judged.truth.shape == judged.image.size[::-1]
    every = evaluate_set(predictor, voc_val, range(8), silent)
    assert torch.equal(found.full.confmat, every.confmat)


def test_voc_comes_first(shards: Path) -> None:
    """The primary set is VOC's, whatever the names' order."""
    assert [s.name for s in validation_sets(open_shards(shards), 3)] == ["voc2012", "coco2017"]


def test_floors_of_known_distributions() -> None:
    """An even distribution has equal floors; void does not count; no pixel gives no prior."""
    even = floors(4, np.array([5, 5, 5, 5, 1000]))
    assert even["uniform"] == pytest.approx(even["prior"]) == pytest.approx(np.log(4))
    assert set(floors(4, np.array([0, 0, 0, 0, 9]))) == {"uniform"}


def test_greyscale_and_tiny_images_are_judged(
    predictor: Predictor, make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """An image of one pixel and a greyscale one count like any other."""
    odd = [
        ("voc2012_dot", Image.new("RGB", (1, 1)), np.zeros((1, 1), np.uint8)),
        ("voc2012_grey", Image.new("L", (33, 5), 80), np.ones((5, 33), np.uint8)),
    ]
    directory = make_shards(tmp_path / "o", train=1, val=odd)
    [samples] = open_shards(directory).sets("val")
    counted = evaluate_set(predictor, samples, range(2), silent)
    assert counted.confmat.sum(1).tolist() == [1, 165, 0, 0]
    result = SetResult("voc2012", "val", 2, False, False, samples.classes, counted)
    assert result.scores.present == 2
