"""Tests of segtrain.data: splits of a run, and what is known of them."""

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segtrain.batches import BatchDataset, batches
from segtrain.config import TrainConfig, known
from segtrain.data import Data, open_data
from segtrain.errors import ShardsError, UsageError
from segtrain.samples import load
from segtrain.session import start
from segtrain.transforms import Augmentation
from segtrain.validation import floors

WriteShards = Callable[..., Path]


@pytest.fixture
def held(make_shards: WriteShards, tmp_path: Path) -> Path:
    """Two data sets, one of them with the views of a hold-out of train and a part of val."""
    directory = make_shards(tmp_path / "held", "voc2012", train=12, val=6, per_shard=4)
    make_shards(directory, "coco2017", train=5, val=3, first=700)
    path = directory / "voc2012.json"
    manifest = json.loads(path.read_text())
    keys = [f"voc2012_train{n:04d}" for n in range(12)]
    views = {"dev-val": keys[9:1:-3], "dev-train": [k for k in keys if k not in keys[9:1:-3]]}
    views["most"] = keys[11:3:-1]
    for name, chosen in views.items():
        manifest["views"][name] = {"split": "train", "official": 0, "keys": chosen}
    manifest["views"]["few"] = {"split": "val", "official": 6, "keys": ["voc2012_val0004"]}
    path.write_text(json.dumps(manifest))
    return directory


def opened(directory: Path, **options: Any) -> Data:  # noqa: ANN401 - of any field
    """The data of a run."""
    return open_data(TrainConfig(shards=(str(directory),), **options))


def test_a_hold_out_is_trained_and_validated_on(held: Path) -> None:
    """The views of a hold-out are the train and val sets, and the lines say so."""
    data = opened(held, train_split="dev-train", val_split="dev-val", val_images=2)
    keys = {data.train.key(n) for n in range(len(data.train))}
    [chosen] = data.val_sets
    val = {chosen.samples.key(n) for n in range(len(chosen.samples))}
    assert keys | val == {f"voc2012_train{n:04d}" for n in range(12)}
    assert not keys & val
    assert (len(val), len(chosen.first), len(chosen.rest)) == (3, 2, 1)
    assert data.lines() == [
        "data: 9 train images of voc2012 dev-train",
        "not trained on: coco2017, which has no dev-train",
        "val: voc2012 dev-val, 2 of 3 images, picks best.pt",
    ]


def test_training_on_a_view_keeps_shards_whole(held: Path) -> None:
    """Samples of a view are trained on in stored order, so each shard is there once."""
    data = opened(held, train_split="most", val_split="few")
    assert data.train.shard_sizes == (4, 4)
    keys = [data.train.key(n) for n in range(8)]
    assert keys == [f"voc2012_train{n:04d}" for n in range(4, 12)]


@pytest.mark.parametrize("split", ["train", "most"])
def test_pixels_are_those_of_the_masks(held: Path, split: str) -> None:
    """Counted by the manifest or by records, the pixels by class are those that masks hold."""
    data = opened(held, train_split=split, val_split="few")
    counts = np.zeros(257, np.int64)
    for n in range(len(data.train)):
        counts += np.bincount(load(data.train, n).mask.ravel(), minlength=257)
    assert data.pixels is not None
    assert data.pixels.tolist() == [*counts[:4].tolist(), counts[255]]


def test_without_records_the_prior_is_not_known(held: Path) -> None:
    """Where no sample has a record, the floors are those that need no pixels."""
    data = opened(held, train_split="most", val_split="few")
    data.train.facts[:] = 0
    from segtrain.sampleset import counted_pixels

    assert counted_pixels(data.train) is None
    assert floors(4, None) == {"uniform": pytest.approx(np.log(4))}


def test_an_image_of_both_splits_is_refused(held: Path) -> None:
    """A validation on images that are trained on is an error with their number and one key."""
    words = "3 samples of voc2012 stand in both --train-split train and --val-split dev-val"
    with pytest.raises(ShardsError, match=re.escape(words)) as caught:
        opened(held, val_split="dev-val")
    assert "voc2012_train0003 first" in str(caught.value)
    assert not opened(held, val_split="dev-val", val_every=0).val_sets


@pytest.mark.parametrize(("option", "words"), [("train_split", "there are: "), ("val_split", "-")])
def test_unknown_splits_list_those_there_are(held: Path, option: str, words: str) -> None:
    """A split that no data set has is told with the names of those that there are."""
    with pytest.raises(ShardsError, match="no data set has a split 'dev'") as caught:
        opened(held, **{option: "dev"})
    assert "dev-train, dev-val, few, most, train, val, val100" in str(caught.value)
    assert words in str(caught.value)


def test_validations_on_a_view_draw_the_same_images_each_time(held: Path) -> None:
    """Of a named subset, images are drawn by chance, always the same."""
    first = [opened(held, train_split="few", val_split="most", val_images=4) for _ in range(2)]
    chosen = [data.val_sets[0].first for data in first]
    assert chosen[0] == chosen[1] == sorted(set(chosen[0]))
    assert chosen[0] != [0, 1, 2, 3]


def test_a_mixture_draws_by_shares_and_weighs_the_prior(held: Path) -> None:
    """Data sets are drawn by weight, those left out are named, and the prior is of the mixture."""
    data = opened(held, mix="voc2012=1,coco2017=3")
    assert data.lines()[0] == (
        "data: 17 train images of coco2017, voc2012; of those drawn 75 % coco2017, 25 % voc2012"
    )
    drawn = [data.train.key(d.sample)[:3] for d in data.order.batch(0, 40)]
    assert (drawn.count("coc"), drawn.count("voc")) == (30, 10)
    parts = [opened(held, mix=f"{name}=1") for name in ("coco2017", "voc2012")]
    assert "not trained on: voc2012, which --mix leaves out" in parts[0].lines()
    means = [known(part.pixels) / len(part.train) for part in parts]
    expected = 0.75 * means[0] + 0.25 * means[1]
    pixels = known(data.pixels)
    np.testing.assert_allclose(pixels / pixels.sum(), expected / expected.sum(), rtol=1e-12)


def test_a_mixture_names_data_sets_that_are_there(held: Path) -> None:
    """An unknown data set, and one without such a split, are told with the way on."""
    with pytest.raises(UsageError, match=r"--mix names ade20k, which .*: coco2017, voc2012$"):
        opened(held, mix="voc2012=1,ade20k=1")
    with pytest.raises(ShardsError, match="coco2017 has no samples in most, but --mix gives"):
        opened(held, mix="voc2012=1,coco2017=1", train_split="most", val_split="few")


def test_a_mixture_is_the_same_for_all_workers_and_ranks(held: Path) -> None:
    """Batches of a mixture are equal made in workers and in parts of ranks, from any start."""
    data = opened(held, mix="voc2012=1,coco2017=2")
    whole = BatchDataset(data.train, data.order, Augmentation(24), 5)
    alone = list(batches(whole, 0, 6, 0, pin=False))
    spread = list(batches(whole, 2, 6, 2, pin=False))
    parts = [replace(whole, rank=rank, world=2) for rank in (0, 1)]
    joined = zip(*(batches(part, 0, 6, 0, pin=False) for part in parts), strict=True)
    for ours, theirs in zip(alone[2:], spread, strict=True):
        assert torch.equal(ours.image, theirs.image)
    for ours, (first, second) in zip(alone, joined, strict=True):
        assert ours.keys == first.keys + second.keys
        assert torch.equal(ours.image, torch.cat([first.image, second.image]))


def test_a_run_on_a_hold_out_and_one_on_a_mixture_end(
    held: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """A run on views validates on its own; a mixture's log has the epochs of each data set."""
    few = tiny | {"shards": held, "steps": 2, "val_every": 2, "pictures": 1}
    views = {"train_split": "dev-train", "val_split": "dev-val"}
    start(few | views | {"out": tmp_path / "views"})
    start(few | {"mix": "voc2012=1,coco2017=3", "out": tmp_path / "mixed"})
    first, second = (
        json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1])
        for name in ("views", "mixed")
    )
    assert first["val"]["voc2012"]["images"] == 3
    assert first["loss_floors"].keys() == {"uniform", "prior"}
    assert "epochs" not in first
    assert second["epoch"] == round(8 / 17, 4)
    assert second["epochs"] == {"coco2017": round(6 / 5, 4), "voc2012": round(2 / 12, 4)}


def test_options_of_before_are_still_read(held: Path) -> None:
    """A configuration with one path of shards, as older versions wrote it, becomes a list."""
    plain = TrainConfig().plain()
    assert plain["shards"] == ["shards"]
    old = TrainConfig.from_plain(plain | {"shards": held.as_posix()})
    assert old.shards == (held.as_posix(),)
    assert dataclasses.replace(old, shards=Path("x/y")).shards == ("x/y",)  # type: ignore[arg-type]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_of_void_alone_is_refused(
    make_shards: WriteShards, make_pair: Callable[..., Any], tmp_path: Path, split: str
) -> None:
    """A split whose every mask pixel is 255 is named before a step is taken or a zero is scored."""
    pairs = [make_pair(f"voc2012_{split}{n:04d}", n) for n in range(3)]
    void = [(key, image, np.full_like(mask, 255)) for key, image, mask in pairs]
    counts: dict[str, Any] = {"train": 4, "val": 2} | {split: void}
    directory = make_shards(tmp_path / "void", "voc2012", **counts)
    words = rf"every mask pixel of the {split} images of voc2012 is 255, ignored.*segdata show"
    with pytest.raises(ShardsError, match=words):
        opened(directory)
