"""The shards in other people's readers: webdataset, Hugging Face datasets, tarfile and Pillow."""

import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.segdata.samples_of import read_samples

from segdata.build import build
from segdata.classes import ClassSet
from segdata.coco import open_coco
from segdata.labels import LabelPolicy
from segdata.plan import BuildOptions
from segdata.shards import manifests
from segdata.voc import open_voc

if TYPE_CHECKING:
    from tests.segdata.conftest import Make

Masks = dict[str, NDArray[np.uint8]]


@pytest.fixture(scope="module")
def built(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both small data sets, in shards of three samples."""
    out = tmp_path_factory.mktemp("readers")
    options = BuildOptions(out, ClassSet.parse("voc"), size=48, shard_samples=3)
    splits = ("train", "val")
    build(open_voc(small, 2012, options.classes, splits), options, lambda *_: None)
    coco = open_coco(small, 2017, options.classes, splits, LabelPolicy())
    build(coco, options, lambda *_: None)
    return out


@pytest.fixture(scope="module")
def masks(make: "Make", built: Path) -> Masks:
    """Every mask by key as the shards hold it, VOC's checked against what was drawn."""
    found = {
        key: np.asarray(Image.open(io.BytesIO(parts["seg.png"])))
        for tar in built.glob("*.tar")
        for key, parts in read_samples(tar)
    }
    drawn = make.voc_mask(20, 30, 0)
    np.testing.assert_array_equal(found["voc2012_2007_000000"], drawn)
    assert len(found) == sum(
        split["samples"] for m in manifests(built).values() for split in m["splits"].values()
    )
    return found


def shards(built: Path) -> list[str]:
    """The tars in order."""
    return [str(path) for path in sorted(built.glob("*.tar"))]


def check(samples: list[tuple[str, Any, Any]], masks: Masks) -> None:
    """Key, mask and facts of each sample as they were written."""
    assert sorted(key for key, _, _ in samples) == sorted(masks)
    for key, mask, facts in samples:
        assert np.asarray(mask).dtype == np.uint8
        np.testing.assert_array_equal(np.asarray(mask), masks[key])
        assert (facts["key"], facts["height"], facts["width"]) == (key, *masks[key].shape)
        assert facts["pixels"][:21] == [int((masks[key] == i).sum()) for i in range(21)]


def test_a_stream_and_pillow(built: Path, masks: Masks) -> None:
    """A tar read as a stream and Pillow are all that is needed: grey values are the ids."""
    samples = []
    for path in shards(built):
        with tarfile.open(path, "r|") as archive:
            parts: dict[str, bytes] = {}
            for info in archive:
                file = archive.extractfile(info)
                assert file
                key, _, suffix = info.name.partition(".")
                parts[suffix] = file.read()
                if suffix == "seg.png":
                    with Image.open(io.BytesIO(parts["jpg"])) as image:
                        assert image.size == masks[key].shape[::-1]
                    mask = Image.open(io.BytesIO(parts["seg.png"]))
                    samples.append((key, mask, json.loads(parts["json"])))
    check(samples, masks)


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the library leaves tars open
def test_webdataset(built: Path, masks: Masks) -> None:
    """webdataset's `l8` gives each mask as uint8 (H, W) ids, one sample for three members."""
    import webdataset

    samples = list(webdataset.WebDataset(shards(built), shardshuffle=False).decode("l8"))
    assert {frozenset(s) - {"__key__", "__url__", "__local_path__"} for s in samples} == {
        frozenset({"jpg", "json", "seg.png"})
    }
    check([(s["__key__"], s["seg.png"], s["json"]) for s in samples], masks)


def test_hugging_face_datasets(
    built: Path, masks: Masks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`datasets` streams the shards offline with one schema for all: images, masks and facts."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    stream = datasets.load_dataset(
        "webdataset", data_files={"all": shards(built)}, split="all", streaming=True
    )
    samples = list(stream)
    assert all(sample["seg.png"].mode == "L" for sample in samples)
    check([(s["__key__"], s["seg.png"], s["json"]) for s in samples], masks)
