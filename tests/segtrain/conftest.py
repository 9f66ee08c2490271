"""Fixtures: a writer of shards after docs/shards-format.md, and a trained run."""

import hashlib
import io
import json
import os
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

CLASSES = [
    {"id": 0, "name": "background", "color": [0, 0, 0]},
    {"id": 1, "name": "disc", "color": [200, 30, 30]},
    {"id": 2, "name": "square", "color": [30, 170, 60]},
    {"id": 3, "name": "stripes", "color": [60, 80, 220]},
]
Pair = tuple[str, Image.Image, np.ndarray]
WriteShards = Callable[..., Path]
MakeVgg = Callable[..., dict[str, Tensor]]


def draw_pair(key: str, number: int) -> Pair:
    """A photo-like scene with one or two objects whose colours tell their class, and its mask."""
    rng = np.random.default_rng(number)
    width, height = int(rng.integers(56, 90)), int(rng.integers(48, 80))
    noise = rng.normal(120, 12, (height, width, 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(noise)
    mask = Image.new("L", image.size, 0)
    for _ in range(int(rng.integers(1, 3))):
        label = int(rng.integers(1, 4))
        side = int(rng.integers(18, 34))
        x, y = int(rng.integers(0, width - 18)), int(rng.integers(0, height - 18))
        box = (x, y, x + side, y + side)
        color = tuple(CLASSES[label]["color"])
        for canvas, fill, edge in ((image, color, None), (mask, label, 255)):
            pen = ImageDraw.Draw(canvas)
            shape = pen.ellipse if label == 1 else pen.rectangle
            shape(box, fill=fill, outline=edge)
    return key, image, np.asarray(mask)


def encode(image: Image.Image, kind: str, **options: int) -> bytes:
    """The bytes of an image file."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def sample_members(
    pair: Pair, dataset: str, split: str, num_classes: int
) -> list[tuple[str, bytes]]:
    """The three members of a sample."""
    key, image, mask = pair
    counts = np.bincount(mask.ravel(), minlength=256)
    facts = {
        "key": key,
        "dataset": dataset,
        "split": split,
        "source_id": key.removeprefix(f"{dataset}_"),
        "source_file": f"{key.removeprefix(f'{dataset}_')}.jpg",
        "height": mask.shape[0],
        "width": mask.shape[1],
        "source_height": mask.shape[0],
        "source_width": mask.shape[1],
        "pixels": [*counts[:num_classes].tolist(), int(counts[255])],
        "objects": [0] * (num_classes - 1),
        "crowd_pixels": 0,
    }
    text = json.dumps(facts, sort_keys=True).encode()
    return [
        ("jpg", encode(image, "JPEG", quality=92)),
        ("json", text),
        ("seg.png", encode(Image.fromarray(mask), "PNG")),
    ]


def write_tar(path: Path, samples: list[tuple[str, list[tuple[str, bytes]]]]) -> None:
    """One shard and its index."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in samples:
            for ext, data in members:
                info = tarfile.TarInfo(f"{key}.{ext}")
                info.size, info.mode = len(data), 0o644
                tar.addfile(info, io.BytesIO(data))
    with tarfile.open(path) as tar:
        places = {m.name: (m.offset_data, m.size) for m in tar}
    lines = [f"v1.2 {len(samples)}"]
    for key, members in samples:
        names = [(ext, f"{key}.{ext}") for ext, _ in members]
        lines.append(" ".join(f"{e} {places[n][0]} {places[n][1]} {n}" for e, n in names))
    path.with_suffix(".idx").write_text("\n".join(lines) + "\n", "ascii")


def content_hash(pairs: list[Pair], members: list[list[tuple[str, bytes]]]) -> str:
    """The format's `content_sha256`."""
    digest = hashlib.sha256()
    for (key, _, mask), parts in zip(pairs, members, strict=True):
        digest.update(f"{key}\0{mask.shape[0]}x{mask.shape[1]}\0".encode())
        digest.update(mask.tobytes())
        digest.update(parts[0][1])
    return digest.hexdigest()


def write_split(
    directory: Path, dataset: str, split: str, pairs: list[Pair], per_shard: int, num_classes: int
) -> dict[str, Any]:
    """The shards of a split with their sidecars; returns the manifest's entry."""
    shards, total = [], np.zeros(num_classes + 1, np.int64)
    for number, start in enumerate(range(0, len(pairs), per_shard)):
        chosen = pairs[start : start + per_shard]
        members = [sample_members(pair, dataset, split, num_classes) for pair in chosen]
        path = directory / f"{dataset}-{split}-{number:06d}.tar"
        write_tar(path, [(pair[0], m) for pair, m in zip(chosen, members, strict=True)])
        pixels = np.sum([json.loads(m[1][1])["pixels"] for m in members], axis=0)
        total += pixels
        data = path.read_bytes()
        record = {
            "name": path.name,
            "samples": len(chosen),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "content_sha256": content_hash(chosen, members),
        }
        shards.append(record)
        sidecar = {
            "format": "segdata/1",
            "shard": path.name,
            "dataset": dataset,
            "split": split,
            **{k: v for k, v in record.items() if k != "name"},
            "pixels": pixels.tolist(),
            "crowd_pixels": 0,
            "objects": [0] * (num_classes - 1),
            "object_sizes": [[0] * 21] * (num_classes - 1),
            "images": [sum(bool((p[2] == c).any()) for p in chosen) for c in range(1, num_classes)],
            "left_out": [],
            "plan_sha256": "0" * 64,
            "members": [[f"{p[0]}.jpg", 1, zlib.crc32(b"1")] for p in chosen],
        }
        path.with_suffix(".stats.json").write_text(json.dumps(sidecar))
    return {
        "samples": len(pairs),
        "available": len(pairs),
        "official": len(pairs),
        "complete": True,
        "shards": shards,
        "pixels": total.tolist(),
        "objects": [0] * (num_classes - 1),
        "images": [sum(bool((p[2] == c).any()) for p in pairs) for c in range(1, num_classes)],
        "left_out": {},
    }


def write_dataset(
    directory: Path,
    dataset: str = "voc2012",
    *,
    train: int | list[Pair] = 12,
    val: int | list[Pair] = 4,
    per_shard: int = 5,
    first: int = 0,
    classes: list[dict[str, Any]] | None = None,
    changes: dict[str, Any] | None = None,
) -> Path:
    """Write a data set of drawn scenes, or of the pairs given; returns the directory.

    `changes` replaces fields of the manifest; `first` is the number of the first scene.
    """
    directory.mkdir(parents=True, exist_ok=True)
    classes = classes or CLASSES
    splits = {}
    for split, given, offset in (("train", train, 0), ("val", val, 10_000)):
        keys = range(given) if isinstance(given, int) else range(0)
        drawn = [draw_pair(f"{dataset}_{split}{k:04d}", first + offset + k) for k in keys]
        pairs = drawn if isinstance(given, int) else given
        if pairs:
            splits[split] = write_split(directory, dataset, split, pairs, per_shard, len(classes))
            splits[split]["keys"] = [pair[0] for pair in pairs]
    keys_of = {name: split.pop("keys") for name, split in splits.items()}
    manifest = {
        "format": "segdata/1",
        "dataset": dataset,
        "synthetic": False,
        "classes": classes,
        "ignore_index": 255,
        "labels": {"policy": "voc", "version": 1, "min_area": 0, "void_border": 0},
        "options": {
            "year": 2012,
            "protocol": "voc",
            "size": 512,
            "val_size": 0,
            "quality": 92,
            "resampling": "bilinear",
            "shard_samples": per_shard,
            "shard_bytes": 0,
            "limit": 0,
        },
        "seed": 0,
        "versions": {"segdata": "0.1.0", "pillow": "12", "jpeg": "3", "zlib": "1"},
        "sources": [],
        "splits": splits,
        "views": {"val100": {"split": "val", "official": 100, "keys": keys_of["val"]}}
        if "val" in keys_of
        else {},
        "complete": True,
    } | (changes or {})
    (directory / f"{dataset}.json").write_text(json.dumps(manifest))
    write_info(directory)
    return directory


def write_info(directory: Path) -> None:
    """The sum of all manifests."""
    found = [json.loads(p.read_text()) for p in sorted(directory.glob("*.json"))
             if p.name != "info.json" and not p.name.endswith(".stats.json")]  # fmt: skip
    info = {
        "format": "segdata/1",
        "synthetic": any(m["synthetic"] for m in found),
        "classes": found[0]["classes"],
        "ignore_index": 255,
        "complete": all(m["complete"] for m in found),
        "datasets": [m["dataset"] for m in found],
        "splits": {},
    }
    (directory / "info.json").write_text(json.dumps(info))


@pytest.fixture(scope="session")
def make_shards() -> WriteShards:
    """The writer `write_dataset`."""
    return write_dataset


@pytest.fixture(scope="session")
def make_pair() -> Callable[[str, int], Pair]:
    """The scene painter `draw_pair`."""
    return draw_pair


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shards directory with two data sets; tests only read it."""
    directory = tmp_path_factory.mktemp("data") / "shards"
    write_dataset(directory, "voc2012", train=23, val=8, per_shard=5)
    return write_dataset(directory, "coco2017", train=14, val=5, per_shard=4, first=500)


TINY = {
    "width": 0.06,
    "crop": 64,
    "batch": 4,
    "steps": 12,
    "log_every": 2,
    "save_every": 5,
    "val_every": 6,
    "val_images": 3,
    "pictures": 2,
    "workers": 0,
    "threads": 1,
    "device": "cpu",
    "lr": 0.02,
}


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Options of a run of a few seconds."""
    return dict(TINY)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """The folder of a finished run of `tiny`; tests only read it."""
    from segtrain.session import start

    out = tmp_path_factory.mktemp("runs") / "trained"
    start(TINY | {"shards": shards, "out": out})
    return out


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small nets are quickest on one thread, and a test leaves torch as it found it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def segtrain() -> Callable[..., list[str]]:
    """The command line that starts segtrain in a process of its own."""

    def command(*words: object) -> list[str]:
        return [sys.executable, "-m", "segtrain", *map(str, words)]

    return command


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of such a process: one thread, a plain wide terminal."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "200")
    return dict(os.environ)


def thin_vgg(trunk: str = "vgg16", width: float = 0.06, norm: str = "none") -> dict[str, Tensor]:
    """A state dict of torchvision's names whose shapes fit a thin net."""
    from segtrain.models.fcn import FCN

    torch.manual_seed(5)
    net = FCN(4, trunk=trunk, width=width, norm=norm)
    state = {f"features.{k}": torch.randn_like(v) if v.is_floating_point() else v
             for k, v in net.features.state_dict().items()}  # fmt: skip
    hidden, channels = net.head.get_parameter("fc6.weight").shape[:2]
    state["classifier.0.weight"] = torch.randn(hidden, channels * 49)
    state["classifier.0.bias"] = torch.randn(hidden)
    state["classifier.3.weight"] = torch.randn(hidden, hidden)
    state["classifier.3.bias"] = torch.randn(hidden)
    state["classifier.6.weight"] = torch.randn(1000, hidden)
    state["classifier.6.bias"] = torch.randn(1000)
    return state


@pytest.fixture(scope="session")
def make_vgg() -> MakeVgg:
    """The maker `thin_vgg`."""
    return thin_vgg


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thin VGG16 state dict on disk; tests only read it."""
    path = tmp_path_factory.mktemp("weights") / "vgg.pth"
    torch.save(thin_vgg(), path)
    return path
