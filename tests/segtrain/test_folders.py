"""Tests of segtrain.places and segtrain.folders: one directory, several, and what they may hold."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from segtrain.errors import ShardsError
from segtrain.places import is_url, plain_places
from segtrain.shards import open_shards

WriteShards = Callable[..., Path]


@pytest.fixture
def apart(shards: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The two data sets of the shared directory, each in a directory of its own."""
    folders = (tmp_path / "a", tmp_path / "b")
    for folder, name in zip(folders, ("voc2012", "coco2017"), strict=True):
        folder.mkdir()
        for path in shards.glob(f"{name}*"):
            shutil.copy(path, folder)
    return folders


def test_several_directories_are_as_one(shards: Path, apart: tuple[Path, Path]) -> None:
    """Data sets in directories of their own, in any order, give the samples of a common one."""
    whole = open_shards(shards).train_set()
    for places in (apart, apart[::-1], [*map(str, apart), str(apart[0])]):
        opened = open_shards(places)
        train = opened.train_set()
        assert train.shard_sizes == whole.shard_sizes
        assert [train.read(n) for n in range(len(train))] == [
            whole.read(n) for n in range(len(whole))
        ]
        assert opened.hashes == open_shards(shards).hashes
        assert [s.datasets for s in opened.sets("val")] == [("voc2012",), ("coco2017",)]


def test_a_data_set_lies_in_one_directory(shards: Path, apart: tuple[Path, Path]) -> None:
    """One name in two directories is an error that names both."""
    words = f"voc2012 lies both in {shards} and in {apart[0]}"
    with pytest.raises(ShardsError, match=re.escape(words)):
        open_shards([shards, apart[0]])


def test_classes_that_differ_are_told_with_their_directories(
    apart: tuple[Path, Path], make_shards: WriteShards, tmp_path: Path
) -> None:
    """Other classes in another directory are refused, and both directories are named."""
    classes = [
        {"id": 0, "name": "background", "color": [0, 0, 0]},
        {"id": 1, "name": "leaf", "color": [0, 200, 0]},
    ]
    plants = make_shards(tmp_path / "c", "plants", train=[], val=[], classes=classes)
    with pytest.raises(ShardsError) as caught:
        open_shards([apart[0], plants])
    assert f"{plants}: plants has the 2 classes background, leaf" in str(caught.value)
    assert f"voc2012 in {apart[0]} has the 4 classes" in str(caught.value)


def test_messages_name_the_directory_that_is_meant(apart: tuple[Path, Path]) -> None:
    """Of several directories the one that is empty, and the shard that is missing, are named."""
    empty = apart[0].parent / "empty"
    empty.mkdir()
    with pytest.raises(ShardsError, match=re.escape(f"{empty}: holds no shards")):
        open_shards([*apart, empty])
    (apart[1] / "coco2017-train-000001.tar").unlink()
    with pytest.raises(ShardsError, match=re.escape(f"{apart[1]}/coco2017-train-000001.tar: ")):
        open_shards(apart).train_set()


def test_a_tar_is_no_directory(shards: Path) -> None:
    """A single shard in place of its directory is told, with the directory to give."""
    tar = shards / "voc2012-train-000000.tar"
    words = f"is a single shard; --shards takes the directory.*--shards {re.escape(str(shards))}$"
    with pytest.raises(ShardsError, match=words):
        open_shards(tar)


def test_an_empty_shard_is_refused(shards: Path, tmp_path: Path) -> None:
    """A manifest that lists a shard of no samples is damaged."""
    copy = Path(shutil.copytree(shards, tmp_path / "copy"))
    manifest = json.loads((copy / "voc2012.json").read_text())
    manifest["splits"]["train"]["shards"][1]["samples"] = 0
    (copy / "voc2012.json").write_text(json.dumps(manifest))
    with pytest.raises(ShardsError, match=r"voc2012-train-000001\.tar is listed with 0 samples"):
        open_shards(copy)


@pytest.mark.parametrize(
    ("place", "remote"),
    [
        ("s3://bucket/shards", True),
        ("https://host/a/", True),
        ("C://shards", False),
        ("C:\\shards", False),
        ("a b/ü://x", False),
        ("shards", False),
    ],
)
def test_urls_are_told_from_paths(place: str, remote: bool) -> None:
    """A scheme of two letters or more makes a URL; a drive does not."""
    assert is_url(place) is remote


def test_places_are_kept_once_in_their_order() -> None:
    """One place or several become texts without a slash at the end, each once."""
    assert plain_places("shards/") == ("shards",)
    assert plain_places(Path("a/b")) == ("a/b",)
    assert plain_places(["https://h/x/", "b/", Path("b")]) == ("https://h/x", "b")
