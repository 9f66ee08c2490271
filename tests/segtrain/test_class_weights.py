"""Tests of segtrain.class_weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segtrain.checkpoint import load_checkpoint
from segtrain.class_weights import Census, census, class_weights, inverse_log, median_frequency
from segtrain.errors import UsageError
from segtrain.samples import load
from segtrain.session import resume, start
from segtrain.shards import open_shards


def test_weights_are_those_of_segdata(shards: Path) -> None:
    """Median frequency and inverse log of the training masks are what `segdata info` tells."""
    from segdata.info import shards_info

    train = open_shards(shards).train_set()
    told = shards_info(shards, lambda *_: None)["together"]["train"]["weights"]
    assert class_weights("median-frequency", train) == pytest.approx(told["median_frequency"])
    assert class_weights("inverse-log", train) == pytest.approx(told["inverse_log"])
    assert class_weights("none", train) is None


def test_a_census_counts_every_pixel(shards: Path) -> None:
    """Pixels and the labelled pixels beside them are those that counting one by one finds."""
    train = open_shards(shards).train_set()
    masks = [load(train, n).mask for n in range(len(train))]
    counted = census(train)
    for c in range(4):
        assert counted.pixels[c] == sum((m == c).sum() for m in masks)
        assert counted.present[c] == sum((m != 255).sum() for m in masks if (m == c).any())


def test_mixed_data_sets_count_as_they_are_drawn(shards: Path) -> None:
    """A sample that is drawn twice as often counts twice; one that is never drawn does not."""
    train = open_shards(shards).train_set()
    shares = [2.0 if n < 5 else 0.0 for n in range(len(train))]
    first = census(train.subset(range(5)))
    mixed = census(train, shares)
    np.testing.assert_allclose(mixed.pixels, 2 * first.pixels)
    assert median_frequency(mixed) == pytest.approx(median_frequency(first))
    assert class_weights("inverse-log", train, shares) == pytest.approx(
        inverse_log(first.pixels.tolist())
    )


def test_classes_without_pixels_have_the_formulas_bounds() -> None:
    """A class that never occurs weighs 1 by median frequency and 50.5 by inverse log."""
    counted = Census(np.array([90.0, 10.0, 0.0]), np.array([100.0, 100.0, 0.0]))
    assert median_frequency(counted) == pytest.approx([0.5 / 0.9, 5.0, 1.0])
    assert inverse_log([1, 0]) == pytest.approx([1 / np.log(2.02), 1 / np.log(1.02)])


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ([1, 2, 3], "must hold 4 numbers, by class name or as a list from background to stripes"),
        ("x", "found something else"),
        ({"background": 1, "disc": 1, "square": 1}, "misses stripes"),
        ({"background": 1, "disc": 1, "square": 1, "stripes": 1, "ring": 2}, "unknown class ring"),
        ([1, 2, 3, -1], "stripes has -1; weights are numbers from 0 up"),
        ([1, 2, True, 1], "square has True"),
        ([0, 0, 0, 0], "all weights are 0"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    plain: object, words: str, shards: Path, tmp_path: Path
) -> None:
    """Other classes, other counts and what is no weight are usage errors with the file."""
    file = tmp_path / "w.json"
    file.write_text(json.dumps(plain))
    with pytest.raises(UsageError) as caught:
        class_weights(str(file), open_shards(shards).train_set())
    assert f"--class-weights {file}: " in str(caught.value)
    assert words in str(caught.value)


def test_a_file_gives_weights_by_name_or_by_id(shards: Path, tmp_path: Path) -> None:
    """Names in any order and a list are the same; a missing file or no JSON is a usage error."""
    train = open_shards(shards).train_set()
    file = tmp_path / "w.json"
    file.write_text(json.dumps({"stripes": 4, "background": 0.5, "disc": 2, "square": 0}))
    assert class_weights(str(file), train) == [0.5, 2.0, 0.0, 4.0]
    file.write_text("[0.5, 2, 0, 4]")
    assert class_weights(str(file), train) == [0.5, 2.0, 0.0, 4.0]
    file.write_text("[0.5,")
    with pytest.raises(UsageError, match="is no JSON"):
        class_weights(str(file), train)
    with pytest.raises(UsageError, match=r"cannot be read: No such file.*median-frequency"):
        class_weights("median-frequencies", train)


def test_a_run_keeps_its_weights(
    tiny: dict[str, Any], shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights are told and kept in config.json and checkpoints; a resumed run needs no file."""
    file = tmp_path / "w.json"
    file.write_text("[0.5, 2, 1, 4]")
    more = {"shards": shards, "out": tmp_path / "run", "steps": 2, "val_every": 0}
    outcome = start(tiny | more | {"class_weights": str(file)})
    told = "class weights: background 0.5, disc 2, square 1, stripes 4"
    assert told in capsys.readouterr().out
    facts = json.loads(outcome.folder.config_file.read_text())
    assert facts["class_weights"] == [0.5, 2, 1, 4]
    assert load_checkpoint(outcome.folder.last).class_weights == [0.5, 2, 1, 4]
    file.unlink()
    assert resume({"out": tmp_path / "run"}).step == 2
