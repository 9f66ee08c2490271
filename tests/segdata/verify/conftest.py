"""Fixtures: sources in miniature, and a sound shards directory made of them."""

import copy
import gzip
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.segdata.verify.archives import (
    COCO,
    SBD,
    VOC,
    Members,
    describe,
    instances,
    palette_png,
    picture,
    sbd_indices,
    sbd_mat,
    tar_bytes,
    voc_indices,
)
from tests.segdata.verify.shelf import Sample, Shelf, coco_sample, sbd_sample, voc_sample


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with VOC, SBD and COCO archives of a few images under the official names."""
    folder = tmp_path_factory.mktemp("data")
    members: Members = []
    for split, images in VOC.items():
        lines = "".join(f"{name}\n" for name in images).encode()
        members.append((tarfile.TarInfo(f"ImageSets/Segmentation/{split}.txt"), lines))
        for seed, (name, size) in enumerate(images.items()):
            png = palette_png(voc_indices(seed, *size))
            members.append((tarfile.TarInfo(f"JPEGImages/{name}.jpg"), picture(seed, *size)))
            members.append((tarfile.TarInfo(f"SegmentationClass/{name}.png"), png))
    for info, _ in members:
        info.name = f"VOCdevkit/VOC2012/{info.name}"
    (folder / "VOCtrainval_11-May-2012.tar").write_bytes(tar_bytes(members))
    (folder / "benchmark.tgz").write_bytes(gzip.compress(tar_bytes(sbd_members())))
    with zipfile.ZipFile(folder / "annotations_trainval2017.zip", "w") as annotations:
        for split, images in COCO.items():
            annotations.writestr(f"annotations/instances_{split}2017.json", instances(split))
            with zipfile.ZipFile(folder / f"{split}2017.zip", "w") as archive:
                for name, size in images.items():
                    archive.writestr(f"{split}2017/{name:0>12}.jpg", picture(int(name), *size))
    return folder


def sbd_members() -> Members:
    """SBD's archive."""
    members: Members = []
    for split, images in SBD.items():
        lines = "".join(f"{name}\n" for name in images).encode()
        members.append((tarfile.TarInfo(f"{split}.txt"), lines))
        for name, size in images.items():
            mat = sbd_mat(sbd_indices(name, *size))
            members.append((tarfile.TarInfo(f"img/{name}.jpg"), picture(int(name[-2:]), *size)))
            members.append((tarfile.TarInfo(f"cls/{name}.mat"), mat))
    for info, _ in members:
        info.name = f"benchmark_RELEASE/dataset/{info.name}"
    return members


@pytest.fixture(scope="session")
def _pristine() -> Shelf:
    shards: dict[str, list[Sample]] = {}
    for split, images in VOC.items():
        for index, (name, size) in enumerate(images.items()):
            shard = f"voc2012-{split}-{index // 2:06d}"
            shards.setdefault(shard, []).append(voc_sample(split, name, index, size))
    extra = [("2010_000006", SBD["train"]), ("2010_000007", SBD["val"])]
    shards["voc2012-train-000002"] = [sbd_sample(name, images[name]) for name, images in extra]
    listings: dict[str, list[list[Any]]] = {"voc2012-train": [], "voc2012-val": []}
    for split, images in COCO.items():
        name = f"annotations/instances_{split}2017.json"
        listings[f"coco2017-{split}"] = [describe(name, instances(split))]
        for index, (name, size) in enumerate(list(images.items())[:3]):
            shard = f"coco2017-{split}-{index // 2:06d}"
            shards.setdefault(shard, []).append(coco_sample(split, name, size))
    left_out = {"coco2017-train": {"objects of at most 50 px": ["4"]}}
    return Shelf(shards, left_out, listings)


@pytest.fixture
def shelf(_pristine: Shelf) -> Shelf:
    """A sound shards directory, not yet written."""
    return copy.deepcopy(_pristine)
