"""Fixtures: shards as others make them, by ShardWriter and by `tar`."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

Members = Sequence[tuple[str, bytes]]
WriteTar = Callable[[Path, Members], Path]


def png(ids: np.ndarray, mode: str = "L") -> bytes:
    """A mask of these values: greyscale, or with a palette of odd colours."""
    image = Image.fromarray(ids.astype(np.uint8))
    if mode == "P":
        image.putpalette([(7 * i + 3 * c) % 256 for i in range(256) for c in range(3)])
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def photo(width: int, height: int, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    """An image file."""
    image = Image.radial_gradient("L").resize((width, height)).convert(mode)
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def write_tar(path: Path, members: Members) -> Path:
    """A tar with these files, as Python writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def blocks(number: int, side: int = 24) -> np.ndarray:
    """Ids 0..3 and 255 in blocks that differ by number, uint8 `(side, side + 8)`."""
    ids = np.random.default_rng(number).choice([0, 1, 2, 3, 255], (side // 8, side // 8 + 1))
    return np.kron(ids, np.ones((8, 8), np.int64)).astype(np.uint8)


def pair(key: str, number: int, image: str = "jpg", mask: str = "png") -> list[tuple[str, bytes]]:
    """The members of one sample."""
    ids = blocks(number)
    height, width = ids.shape
    kinds = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
    kind = kinds[image.rpartition(".")[2].lower()]
    return [(f"{key}.{image}", photo(width, height, kind)), (f"{key}.{mask}", png(ids))]


def split_members(split: str, count: int, first: int = 0) -> list[tuple[str, bytes]]:
    """The members of several samples."""
    return [m for n in range(count) for m in pair(f"{split}{first + n:04d}", hash_of(split) + n)]


def hash_of(split: str) -> int:
    """Another range of numbers for each split."""
    return {"train": 0, "val": 1000}[split]


@pytest.fixture
def kit() -> ModuleType:
    """The functions of this file that draw, and that write tars."""
    return sys.modules[__name__]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A directory of two train shards and one val shard of images and masks, nothing else."""
    directory = tmp_path / "Green House"
    write_tar(directory / "train-000.tar", split_members("train", 3))
    write_tar(directory / "train-001.tar", split_members("train", 2, first=3))
    write_tar(directory / "val-000.tar", split_members("val", 3))
    return directory


@pytest.fixture
def classes(tmp_path: Path) -> str:
    """The path of a class file of three names."""
    path = tmp_path / "classes.txt"
    path.write_text("disc\nsquare\nstripes\n")
    return str(path)


def system_tar(path: Path, folder: Path) -> Path:
    """A tar of a folder, as the program `tar` writes it."""
    subprocess.run(["tar", "--sort=name", "-cf", str(path), "-C", str(folder), "."], check=True)
    return path
