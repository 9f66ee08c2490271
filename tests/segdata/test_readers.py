"""The shards in other people's readers: webdataset, Hugging Face datasets, torchvision, OpenCV,
tarfile and Pillow, and their indices by DALI's grammar.

`load_dataset(directory)` is tested with the card that it reads. TensorFlow is too heavy for a test.
"""

import io
import json
import re
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


def decoded(built: Path) -> list[tuple[str, dict[str, bytes]]]:
    """Key and members of every sample."""
    return [sample for path in shards(built) for sample in read_samples(Path(path))]


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")  # torchcodec is next
def test_torchvision(built: Path, masks: Masks) -> None:
    """torchvision decodes a mask to ids, uint8 (1, H, W), unchanged and as it is by default."""
    import torch
    from torchvision.io import ImageReadMode, decode_image, decode_jpeg, decode_png

    samples = []
    for key, parts in decoded(built):
        data = torch.frombuffer(bytearray(parts["seg.png"]), dtype=torch.uint8)
        mask = decode_image(data, ImageReadMode.UNCHANGED)
        assert mask.shape == (1, *masks[key].shape)
        assert mask.equal(decode_png(data))
        image = torch.frombuffer(bytearray(parts["jpg"]), dtype=torch.uint8)
        assert decode_jpeg(image, ImageReadMode.RGB).shape == (3, *masks[key].shape)
        samples.append((key, mask[0].numpy(), json.loads(parts["json"])))
    check(samples, masks)


def test_opencv(built: Path, masks: Masks) -> None:
    """OpenCV decodes a mask to ids, uint8 (H, W), unchanged and as greyscale alike."""
    import cv2

    samples = []
    for key, parts in decoded(built):
        data = np.frombuffer(parts["seg.png"], np.uint8)
        mask = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        assert mask is not None
        np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), mask)
        image = cv2.imdecode(np.frombuffer(parts["jpg"], np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (*masks[key].shape, 3)
        samples.append((key, mask, json.loads(parts["json"])))
    check(samples, masks)


ITEM = re.compile(r"(?P<ext>[^ ./][^ /]*) (?P<offset>[0-9]+) (?P<size>[0-9]+) (?P<name>[^ ]+)")


def test_dali(built: Path) -> None:
    """An index is one by the rules of DALI's reader, and its members are those of the tar.

    The reader takes a first line of version and positive number of samples, then a line a sample
    of `ext offset size name` for each component, offsets multiples of a tar block; the extension
    is what follows the first dot of the name.
    """
    for path in shards(built):
        text = Path(path).with_suffix(".idx").read_bytes().decode("ascii")
        first, *lines = text.splitlines()
        assert text.endswith("\n")
        version, number = first.split(" ")
        assert (version, int(number)) == ("v1.2", len(lines))
        items = [[match.groupdict() for match in ITEM.finditer(line)] for line in lines]
        for line, row in zip(lines, items, strict=True):
            assert " ".join(" ".join(item.values()) for item in row) == line
            assert [item["ext"] for item in row] == ["jpg", "json", "seg.png"]
            assert len({item["name"].partition(".")[0] for item in row}) == 1
            assert all(item["name"].partition(".")[2] == item["ext"] for item in row)
        with tarfile.open(path, "r:") as archive:
            members = [(i.name, i.offset_data, i.size) for i in archive if i.isreg()]
        listed = [(i["name"], int(i["offset"]), int(i["size"])) for row in items for i in row]
        assert listed == members
        assert all(offset % 512 == 0 for _, offset, _ in listed)
