"""Tests of segtrain.manifests and segtrain.shards."""

import json
import pickle
import re
import shutil
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segtrain import openfiles
from segtrain.errors import SampleError, ShardsError
from segtrain.indexes import index_shard, read_idx
from segtrain.manifests import ShardRecord
from segtrain.openfiles import OpenFiles
from segtrain.sampleset import SampleSet
from segtrain.shardfile import Shard
from segtrain.shards import open_shards


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    """A copy of the shards that a test may spoil."""
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def stored(directory: Path, dataset: str, split: str) -> dict[str, tuple[bytes, bytes]]:
    """Every sample as tarfile reads it: key to image and mask bytes."""
    found = {}
    for path in sorted(directory.glob(f"{dataset}-{split}-*.tar")):
        with tarfile.open(path) as tar:
            data = {m.name: tar.extractfile(m).read() for m in tar}
        keys = {name.partition(".")[0] for name in data}
        found |= {k: (data[f"{k}.jpg"], data[f"{k}.seg.png"]) for k in keys}
    return found


def test_samples_are_what_tarfile_reads(shards: Path) -> None:
    """Every sample of every data set and split has the bytes that lie in the tar."""
    directory = open_shards(shards)
    for split in ("train", "val"):
        for samples in directory.sets(split):
            read = {s.key: (s.image, s.mask) for s in map(samples.read, range(len(samples)))}
            assert read == stored(shards, samples.datasets[0], split)
            assert len(read) == len(samples)


def test_training_pools_all_data_sets(shards: Path) -> None:
    """The training set holds the train samples of all data sets, and sums their pixels."""
    samples = open_shards(shards).train_set()
    keys = {samples.key(n) for n in range(len(samples))}
    parts = [stored(shards, name, "train") for name in ("coco2017", "voc2012")]
    assert keys == {key for part in parts for key in part}
    assert samples.shard_sizes == (4, 4, 4, 2, 5, 5, 5, 5, 3)
    manifests = [json.loads((shards / f"{n}.json").read_text()) for n in ("coco2017", "voc2012")]
    sums = np.sum([m["splits"]["train"]["pixels"] for m in manifests], axis=0)
    assert samples.pixels is not None
    np.testing.assert_array_equal(samples.pixels, sums)


def test_without_index_the_headers_are_scanned(copy: Path, shards: Path) -> None:
    """Deleting the .idx files changes nothing about what is read."""
    for path in copy.glob("*.idx"):
        path.unlink()
    scanned, indexed = open_shards(copy).train_set(), open_shards(shards).train_set()
    np.testing.assert_array_equal(scanned.spans, indexed.spans)
    np.testing.assert_array_equal(scanned.keys, indexed.keys)


def test_a_pickled_set_reads_the_same(shards: Path) -> None:
    """A set sent to another process reads the same bytes with handles of its own."""
    samples = open_shards(shards).train_set()
    first = samples.read(3)
    other: SampleSet = pickle.loads(pickle.dumps(samples))  # noqa: S301 - our own bytes
    assert not other.files.handles
    assert other.read(3) == first


def test_few_handles_serve_many_shards_and_threads(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for two handles, threads that read all shards at once still get every byte."""
    samples = open_shards(shards).train_set()
    samples.files = OpenFiles(limit=2)
    expected = [open_shards(shards).train_set().read(n) for n in range(len(samples))]
    wrong: list[int] = []

    def reader() -> None:
        wrong.extend(n for n, sample in enumerate(expected) if samples.read(n) != sample)

    threads = [threading.Thread(target=reader) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(samples.files.handles) <= 2
    monkeypatch.delattr(openfiles.os, "pread", raising=False)  # as on Windows
    assert [samples.read(n) for n in range(len(samples))] == expected


def test_views_select_their_keys_in_order(copy: Path) -> None:
    """A named subset holds exactly the manifest's keys, in the manifest's order."""
    path = copy / "voc2012.json"
    manifest = json.loads(path.read_text())
    keys = ["voc2012_val0005", "voc2012_val0002"]
    manifest["views"]["mine"] = {"split": "val", "official": 736, "keys": keys}
    path.write_text(json.dumps(manifest))
    [view] = open_shards(copy).sets("mine")
    assert [view.key(n) for n in range(len(view))] == keys
    expected = stored(copy, "voc2012", "val")
    assert [view.read(n)[1:3] for n in range(2)] == [expected[key] for key in keys]
    assert view.place(1)[0] == keys[1]
    assert view.place(1)[1].path == copy / "voc2012-val-000000.tar"
    assert view.official == 736


@pytest.mark.parametrize("split", ["test", None])
def test_a_view_lies_in_a_split(copy: Path, split: str | None) -> None:
    """A named subset of a split that the manifest does not have is refused."""
    path = copy / "voc2012.json"
    manifest = json.loads(path.read_text())
    manifest["views"]["mine"] = {"split": split, "official": 1, "keys": []}
    path.write_text(json.dumps(manifest))
    fails(copy, "voc2012.json", "not a complete manifest")


def test_subsets_place_samples_in_their_own_shards(shards: Path) -> None:
    """Any choice of samples, in any order, reads the same samples as the whole set."""
    samples = open_shards(shards).train_set()
    numbers = [20, 3, 4, 0, 21, 36]
    part = samples.subset(numbers)
    assert [part.read(i) for i in range(6)] == [samples.read(n) for n in numbers]
    assert [part.place(i) for i in range(6)] == [samples.place(n) for n in numbers]


def fails(directory: Path, *words: str) -> None:
    """Opening and indexing the directory must fail with these words in one line."""
    with pytest.raises(ShardsError) as caught:
        open_shards(directory).train_set()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_directory_says_how_to_make_one(tmp_path: Path) -> None:
    """The error names the directory and the command that makes it."""
    fails(tmp_path / "nowhere", "nowhere", "does not exist", "segdata build-voc", "--shards")


def test_an_empty_directory_says_how_to_fill_it(tmp_path: Path) -> None:
    """The error says that no shards are there."""
    fails(tmp_path, "holds no shards", "segdata build-voc")


def test_shards_without_manifest_say_that_the_build_did_not_end(copy: Path) -> None:
    """Without any manifest the error tells to run the build again."""
    for path in copy.glob("*.json"):
        if not path.name.endswith(".stats.json"):
            path.unlink()
    fails(copy, "no manifest", "again")


def test_a_missing_shard_is_named(copy: Path) -> None:
    """A shard that the manifest lists and that is gone is named."""
    (copy / "voc2012-train-000002.tar").unlink()
    fails(copy, "voc2012-train-000002.tar", "not there")


@pytest.mark.parametrize("lost", [1, 512, 5000])
def test_a_short_shard_is_named_with_both_sizes(copy: Path, lost: int) -> None:
    """A shard cut at its end gives both sizes and the command that looks into it."""
    path = copy / "coco2017-train-000001.tar"
    data = path.read_bytes()
    path.write_bytes(data[:-lost])
    fails(copy, path.name, f"{len(data) - lost:,}", f"{len(data):,}", "segdata verify-masks")


def test_an_index_beyond_the_shard_is_refused(copy: Path) -> None:
    """An index that places a member past the shard's end is an error, not a short read."""
    path = copy / "voc2012-train-000000.idx"
    lines = path.read_text().splitlines()
    words = lines[-1].split(" ")
    words[9] = str(10**9)
    path.write_text("\n".join([*lines[:-1], " ".join(words)]) + "\n")
    fails(copy, "voc2012-train-000000", "1,000,0", "verify-masks")


@pytest.mark.parametrize(
    "text", ["", "v1.2 5\n", "v1.2 x\njpg 1 2 a.jpg", "nonsense", "v1.2 1\njpg 1 a.jpg"]
)
def test_a_damaged_index_says_to_delete_it(copy: Path, text: str) -> None:
    """An index that does not follow the format is an error that names the way on."""
    (copy / "voc2012-train-000000.idx").write_text(text)
    fails(copy, "voc2012-train-000000.idx", "delete it")


def test_an_index_of_too_few_samples_is_refused(copy: Path) -> None:
    """An index that is well-formed but short of the manifest's count is an error."""
    path = copy / "voc2012-train-000000.idx"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["v1.2 4", *lines[1:5]]) + "\n")
    fails(copy, "holds 4 samples", "says 5")


def test_members_in_another_order_are_refused(tmp_path: Path) -> None:
    """A sample without its three members in order is named."""
    shard = Shard("x", ShardRecord("x.tar", 1, 2048), tmp_path / "x.tar")
    text = "v1.2 1\njpg 512 3 k.jpg seg.png 1024 3 k.seg.png\n"
    with pytest.raises(ShardsError, match=re.escape("sample k has the members jpg, seg.png")):
        read_idx(text, shard)


def test_a_tar_that_is_none_is_named(copy: Path) -> None:
    """A shard of the right size that is no tar, without index, is an error."""
    path = copy / "voc2012-train-000000.tar"
    path.write_bytes(b"x" * path.stat().st_size)
    path.with_suffix(".idx").unlink()
    fails(copy, path.name, "not a readable tar")


def change(directory: Path, **fields: object) -> None:
    """Replace fields of one manifest."""
    path = directory / "voc2012.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_an_unknown_major_format_is_refused(copy: Path) -> None:
    """A manifest of another major version is refused with both versions; minors are read."""
    change(copy, format="segdata/1.4")
    assert len(open_shards(copy).manifests) == 2
    change(copy, format="segdata/2")
    fails(copy, "segdata/2", "segdata/1")


def test_data_sets_of_other_classes_are_refused(copy: Path) -> None:
    """Two data sets whose class names differ cannot be trained together."""
    classes = json.loads((copy / "voc2012.json").read_text())["classes"]
    change(copy, classes=classes[:3])
    fails(copy, "4 classes", "3 classes", "stripes", "--classes")


@pytest.mark.parametrize("missing", ["classes", "splits", "views", "options", "ignore_index"])
def test_a_manifest_without_a_field_names_it(copy: Path, missing: str) -> None:
    """A manifest that lacks a field of the format is an error that names the field."""
    path = copy / "voc2012.json"
    plain = json.loads(path.read_text())
    del plain[missing]
    path.write_text(json.dumps(plain))
    fails(copy, "voc2012.json", missing)


def test_a_truncated_manifest_is_an_error(copy: Path) -> None:
    """Half a manifest is damage, not an absent data set."""
    path = copy / "voc2012.json"
    path.write_text(path.read_text()[:200])
    fails(copy, "voc2012.json", "cannot be read as JSON")


def test_reports_kept_beside_the_shards_are_no_manifests(copy: Path) -> None:
    """Other JSON files in the directory are left alone."""
    (copy / "verify.json").write_text('{"format": "segdata/1", "ok": true}')
    (copy / "notes.json").write_text("[1, 2]")
    assert len(open_shards(copy).manifests) == 2


def test_an_unknown_split_lists_those_there_are(shards: Path) -> None:
    """Asking for a split that no data set has names the ones it could have been."""
    with pytest.raises(ShardsError, match=r"'test'.*train, val, val100"):
        open_shards(shards).sets("test")


def test_a_directory_without_train_samples_says_so(
    make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """Only a val split cannot be trained on."""
    fails(make_shards(tmp_path / "v", train=0, val=3), "no data set has a train split")


def test_resized_targets_follow_the_options(
    make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """Val is resized where val_size is not 0, train where size is not 0."""
    options = {"size": 0, "val_size": 256}
    directory = make_shards(tmp_path / "r", train=2, val=2, changes={"options": options})
    opened = open_shards(directory)
    assert [s.resized for s in opened.sets("val")] == [True]
    assert [s.resized for s in opened.sets("train")] == [False]


def test_a_shard_cut_after_opening_names_shard_and_key(copy: Path) -> None:
    """A file that shrinks between indexing and reading fails as a sample, with its key."""
    samples = open_shards(copy).train_set()
    path = samples.shards[-1].path
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SampleError, match=r"voc2012-train-000004.*ends within voc2012_train0022"):
        samples.read(len(samples) - 1)


def test_index_checks_need_no_idx(copy: Path) -> None:
    """The manifest's count is checked against the tar's own headers too."""
    manifest = open_shards(copy).manifests[1]
    record = manifest.splits["train"].shards[0]
    path = copy / record.name
    path.with_suffix(".idx").unlink()
    wrong = replace(record, samples=record.samples + 1)
    with pytest.raises(ShardsError, match="holds 5 samples, the manifest says 6"):
        index_shard(Shard("voc2012", wrong, path))
