"""Training, judging and predicting on shards made from the real archives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segtrain.batches import BatchDataset
from segtrain.evaluate import evaluate_run
from segtrain.predict import Manner, predict_photos
from segtrain.sampler import Order
from segtrain.samples import load
from segtrain.session import resume, start
from segtrain.shards import open_shards
from segtrain.transforms import Augmentation


@pytest.fixture(scope="module")
def real_run(real_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a few steps on VOC and COCO together."""
    out = tmp_path_factory.mktemp("real") / "run"
    options: dict[str, Any] = {
        "shards": real_shards, "out": out, "width": 0.06, "crop": 96, "batch": 4, "steps": 4,
        "log_every": 1, "save_every": 2, "val_every": 0, "threads": 1,
        "device": "cpu", "workers": 0,
    }  # fmt: skip
    start(options)
    return out


def test_every_real_sample_agrees_with_its_record(real_shards: Path) -> None:
    """Image, mask and the recorded sizes and pixel counts of every sample agree."""
    directory = open_shards(real_shards)
    assert len(directory.classes) == 21
    for split in ("train", "val"):
        for samples in directory.sets(split):
            counts = np.zeros(22, np.int64)
            for n in range(len(samples)):
                _, image, mask = load(samples, n)
                assert image.size == mask.shape[::-1]
                per_id = np.bincount(mask.ravel(), minlength=256)
                counts += [*per_id[:21], per_id[255]]
            assert samples.pixels is not None
            np.testing.assert_array_equal(counts, samples.pixels)
            assert max(mask.shape) <= 512 or split == "val"


def test_batches_of_real_images_are_whole(real_shards: Path) -> None:
    """One epoch of augmented batches holds known ids only, and pixels of every present class."""
    samples = open_shards(real_shards).train_set()
    dataset = BatchDataset(samples, Order(samples.shard_sizes, 0), Augmentation(160), 7)
    seen = np.zeros(256, bool)
    for k in range(len(samples) // 7):
        batch = dataset.make(k)
        assert batch.image.float().std() > 10
        seen[np.unique(batch.target.numpy())] = True
    assert samples.pixels is not None
    present = {i for i in range(21) if samples.pixels[i]}
    assert set(np.flatnonzero(seen)) <= present | {255}
    assert len(present - set(np.flatnonzero(seen))) <= 2  # a rare class may miss its crops


def test_a_run_on_real_shards_ends_and_can_be_judged(real_run: Path, real_shards: Path) -> None:
    """Its log is whole, it is resumed as finished, and `eval` names how much was judged."""
    lines = [json.loads(text) for text in (real_run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert resume({"out": real_run}).step == 4
    results = evaluate_run(real_run, real_shards, "val", "cpu", lambda *_: lambda *_: None)[2]
    assert [(r.dataset, r.images, r.official) for r in results] == [
        ("voc2012", 40, 1449),
        ("coco2017", 40, 5000),
    ]
    for result in results:
        assert 0 < result.floor.mean_iou < 0.06
        assert result.confmat.sum() == sum(result.scores.target_pixels)
        assert not result.resized


def test_a_real_photo_is_predicted(real_run: Path, real_shards: Path, tmp_path: Path) -> None:
    """A JPEG from VOC gets its index PNG and overlay, at its size."""
    [samples, _] = open_shards(real_shards).sets("val")
    photo = tmp_path / "voc.jpg"
    photo.write_bytes(samples.read(0).image)
    [told] = predict_photos(real_run, [photo], tmp_path / "out", Manner(max_side=256), "cpu")
    assert told.error == ""
    with Image.open(photo) as source, Image.open(tmp_path / "out" / "voc.png") as mask:
        assert source.size == mask.size
        assert np.asarray(mask).max() < 21
