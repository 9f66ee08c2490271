"""Shards of the real archives against the originals, read here by other means."""

import io
import json
import tarfile
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as pycoco
from tests.segdata.samples_of import read_samples

from segdata.shards import manifests

if TYPE_CHECKING:
    from tests.segdata.conftest import Command

Samples = dict[str, dict[str, Any]]
VOC_OF_COCO = {5: 1, 2: 2, 16: 3, 9: 4, 44: 5, 6: 6, 3: 7, 17: 8, 62: 9, 21: 10, 67: 11, 18: 12,
               19: 13, 4: 14, 1: 15, 64: 16, 20: 17, 63: 18, 7: 19, 72: 20}  # fmt: skip


@pytest.fixture(scope="module")
def samples(real_shards: Path) -> Samples:
    """Every sample: image bytes, decoded mask, facts."""
    return {
        key: {
            "image": parts["jpg"],
            "mask": np.asarray(Image.open(io.BytesIO(parts["seg.png"]))),
            "facts": json.loads(parts["json"]),
        }
        for tar in sorted(real_shards.glob("*.tar"))
        for key, parts in read_samples(tar)
    }


def test_counts(real_shards: Path) -> None:
    """All 160 real images are there but the three that the label policy leaves out of train."""
    found = manifests(real_shards)
    counts = {
        (dataset, name): (split["samples"], split["available"], split["complete"])
        for dataset, manifest in found.items()
        for name, split in manifest["splits"].items()
    }
    assert counts == {
        ("coco2017", "train"): (37, 40, False),
        ("coco2017", "val"): (40, 40, False),
        ("voc2012", "train"): (40, 40, False),
        ("voc2012", "val"): (40, 40, False),
    }
    assert not any(manifest["complete"] or manifest["synthetic"] for manifest in found.values())
    left_out = found["coco2017"]["splits"]["train"]["left_out"]
    assert left_out == {"objects of at most 1000 px": {"count": 3, "ids": ["25", "250", "9"]}}


def test_voc_masks_are_the_palette_indices(real: Path, samples: Samples) -> None:
    """Every VOC mask equals the index mask of the tar at every pixel, every JPEG its bytes."""
    compared = 0
    with tarfile.open(real / "VOCtrainval_11-May-2012.tar") as archive:
        for key, sample in samples.items():
            if not key.startswith("voc2012_"):
                continue
            name = key.removeprefix("voc2012_")
            files = [
                archive.extractfile(f"VOCdevkit/VOC2012/{folder}/{name}.{suffix}")
                for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationClass", "png"))
            ]
            image, png = (file.read() for file in files if file)
            with Image.open(io.BytesIO(png)) as original:
                assert original.mode == "P"
                np.testing.assert_array_equal(sample["mask"], np.asarray(original))
            assert sample["image"] == image
            assert 255 in sample["mask"]
            compared += 1
    assert compared == 80


def coco_records(real: Path, split: str) -> tuple[dict[int, Any], dict[int, list[Any]]]:
    """Image records, and annotations of VOC's classes by image, straight from the zip."""
    with zipfile.ZipFile(real / "annotations_trainval2017.zip") as archive:
        document = json.loads(archive.read(f"annotations/instances_{split}2017.json"))
    notes: dict[int, list[Any]] = {record["id"]: [] for record in document["images"]}
    for note in document["annotations"]:
        if note["category_id"] in VOC_OF_COCO:
            notes[note["image_id"]].append(note)
    return {record["id"]: record for record in document["images"]}, notes


def drawn(note: Any, height: int, width: int) -> Any:  # noqa: ANN401 - JSON and arrays
    """The pixels of an annotation, as torchvision's reference draws them."""
    parts = pycoco.decode(pycoco.frPyObjects(note["segmentation"], height, width))
    return parts.any(axis=2) if parts.ndim == 3 else parts.astype(bool)


def label(layers: list[tuple[Any, Any, int]], y: int, x: int) -> int:
    """The id at a source pixel: the smallest object over it, else 255 under a crowd, else 0."""
    over = [(area, -n, note) for n, (note, pixels, area) in enumerate(layers) if pixels[y, x]]
    objects = [entry for entry in over if not entry[2]["iscrowd"]]
    if objects:
        return VOC_OF_COCO[min(objects, key=lambda entry: entry[:2])[2]["category_id"]]
    return 255 if over else 0


def nearest(i: int, source: int, target: int) -> int:
    """The source pixel under the centre of target pixel i."""
    return int((i + Fraction(1, 2)) * Fraction(source, target))


@pytest.mark.parametrize("split", ["train", "val"])
def test_coco_masks_at_chosen_pixels(real: Path, samples: Samples, split: str) -> None:
    """At pixels all over each image the id is what the policy says of the original's pixel."""
    records, notes = coco_records(real, split)
    random = np.random.default_rng(0)
    resized, seen = 0, set()
    for sample in samples.values():
        facts, mask = sample["facts"], sample["mask"]
        if (facts["dataset"], facts["split"]) != ("coco2017", split):
            continue
        image_id = int(facts["source_id"])
        height, width = records[image_id]["height"], records[image_id]["width"]
        pixels = [drawn(note, height, width) for note in notes[image_id]]
        layers = [(n, p, int(p.sum())) for n, p in zip(notes[image_id], pixels, strict=True)]
        edges = np.argwhere(mask[:, 1:] != mask[:, :-1])  # where a shift would show
        chosen = random.permutation(edges)[:60].tolist()
        chosen += [
            [random.integers(mask.shape[0]), random.integers(mask.shape[1])] for _ in range(40)
        ]
        for y, x in chosen:
            source = nearest(y, height, mask.shape[0]), nearest(x, width, mask.shape[1])
            assert mask[y, x] == label(layers, *source), (facts["key"], y, x)
            seen.add(int(mask[y, x]))
        resized += mask.shape != (height, width)
    assert (resized > 30) == (split == "train")
    assert seen >= set(range(21)) | {255}


def test_coco_images(real: Path, samples: Samples) -> None:
    """Val images are the zip's bytes; train images have 512 pixels at most and show the same."""
    for split in ("train", "val"):
        with zipfile.ZipFile(real / f"{split}2017.zip") as archive:
            for sample in samples.values():
                facts = sample["facts"]
                if (facts["dataset"], facts["split"]) != ("coco2017", split):
                    continue
                original = archive.read(f"{split}2017/{facts['source_file']}")
                if max(facts["source_height"], facts["source_width"]) <= 512 or split == "val":
                    assert sample["image"] == original
                    continue
                assert max(facts["height"], facts["width"]) == 512
                check_similar(sample["image"], original)


def check_similar(resized: bytes, original: bytes) -> None:
    """Both pictures have the same block means: nothing is shifted, flipped or turned."""
    blocks = []
    modes = set()
    for data in (resized, original):
        with Image.open(io.BytesIO(data)) as image:
            modes.add(image.mode)
            small = image.convert("RGB").resize((24, 24), Image.Resampling.BOX)
            blocks.append(np.asarray(small, float))
    assert len(modes) == 1
    assert abs(blocks[0] - blocks[1]).mean() < 1.5


def test_greyscale_stays_greyscale(samples: Samples) -> None:
    """The greyscale JPEG of COCO, image 86, is still one after its resize."""
    with Image.open(io.BytesIO(samples["coco2017_000000000086"]["image"])) as image:
        assert image.mode == "L"


def test_facts(real: Path, samples: Samples) -> None:
    """Objects are the annotations that are no crowds; crowd pixels are there where crowds are."""
    crowds = 0
    for split in ("train", "val"):
        records, notes = coco_records(real, split)
        for sample in samples.values():
            facts = sample["facts"]
            if (facts["dataset"], facts["split"]) != ("coco2017", split):
                continue
            image_id = int(facts["source_id"])
            found = [VOC_OF_COCO[n["category_id"]] for n in notes[image_id] if not n["iscrowd"]]
            assert facts["objects"] == [found.count(i) for i in range(1, 21)]
            crowded = any(n["iscrowd"] for n in notes[image_id])
            assert (facts["crowd_pixels"] > 0) == crowded
            crowds += crowded
            record = records[image_id]
            source = facts["source_height"], facts["source_width"]
            assert source == (record["height"], record["width"])
    assert crowds == 18


def test_sources_are_the_same_from_folders(
    real: Path, real_shards: Path, tmp_path: Path, segdata: "Command"
) -> None:
    """Unpacked, the real archives give the same shards, manifests and digests, byte for byte."""
    with tarfile.open(real / "VOCtrainval_11-May-2012.tar") as archive:
        archive.extractall(tmp_path / "data", filter="data")
    for name in ("train2017", "val2017", "annotations_trainval2017"):
        with zipfile.ZipFile(real / f"{name}.zip") as packed:
            packed.extractall(tmp_path / "data")  # noqa: S202 - our own archive
    out = tmp_path / "out"
    for command in ("build-voc", "build-coco"):
        assert segdata(command, "--data", tmp_path / "data", "--out", out, "--workers", 2).code == 0
    names = sorted(p.name for p in real_shards.iterdir())
    assert sorted(p.name for p in out.iterdir()) == names
    assert [n for n in names if (out / n).read_bytes() != (real_shards / n).read_bytes()] == []
