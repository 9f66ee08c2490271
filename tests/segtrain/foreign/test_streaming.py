"""Tests of segtrain.streaming: shards read from beginning to end by webdataset."""

import gc
import gzip
import io
import itertools
import json
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segtrain.batches import Batch
from segtrain.config import TrainConfig
from segtrain.data import Data, open_data
from segtrain.errors import InterruptedRunError, SegtrainError, ShardsError, UsageError
from segtrain.foreign.index import IndexOptions, index
from segtrain.session import resume, start
from segtrain.streaming.batches import joined, streamed_batches
from segtrain.streaming.pipeline import StreamDataset
from segtrain.train import Trainer
from segtrain.transforms import Augmentation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:webdataset")


def opened(*places: object, **options: object) -> Data:
    """The data of a run that streams these places."""
    shards = tuple(map(str, places))
    return open_data(replace(TrainConfig(shards=shards, reader="webdataset"), **options))


def dataset(data: Data, size: int = 4, **options: object) -> StreamDataset:
    """The stream of a run's data, without scaling or mirroring."""
    assert data.streams is not None
    whole = Augmentation(64, 1, 1, flip=False)
    stream = StreamDataset(data.streams.train, len(data.shards.classes), whole, size, 0, 100)
    return replace(stream, **options)


def keys_of(
    data: Data, count: int, workers: int = 0, size: int = 4, **options: object
) -> list[list[str]]:
    """The keys of the first batches."""
    stream = dataset(data, size, **options)
    return [batch.keys for batch in streamed_batches(stream, count, workers, pin=False)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_holds_every_sample_once(shards: Path, workers: int) -> None:
    """Whatever the number of workers, each epoch gives all samples, every one once, shuffled."""
    data = opened(shards)
    assert len(data.order) == 37
    keys = list(itertools.chain(*keys_of(data, 23, workers, size=5)))  # 115 = 3 epochs and 4
    epochs = [keys[37 * e : 37 * (e + 1)] for e in range(3)]
    stored = sorted(
        [f"coco2017_train{n:04d}" for n in range(14)] + [f"voc2012_train{n:04d}" for n in range(23)]
    )
    assert [sorted(epoch) for epoch in epochs] == [stored] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3  # another order each time
    assert epochs[0] != stored


def test_ranks_share_the_samples_of_an_epoch(shards: Path) -> None:
    """Several ranks read tars of their own: together every sample once, in parts."""
    data = opened(shards)
    whole = Augmentation(64, 1, 1, flip=False)
    assert data.streams is not None
    keys: list[str] = []
    for rank in range(3):
        stream = dataset(data, 1, rank=rank, world=3)
        keys += [b.keys[0] for b in itertools.takewhile(bool, stream) if isinstance(b, Batch)]
        config = replace(data.config, batch=8)
        [part] = data.streams.batches(config, whole, 0, 1, rank=rank, world=3)
        assert len(part.keys) == (2, 3, 3)[rank]
    assert len(keys) == len(set(keys)) == 37
    with pytest.raises(UsageError, match=r"in each of 12 processes.*there are 9 only"):
        data.streams.batches(data.config, whole, 0, 1, rank=0, world=12)


def test_the_order_follows_seed_and_workers(shards: Path) -> None:
    """One seed gives one order, again and again; another seed or number of workers another."""
    data = opened(shards)
    first = keys_of(data, 6)
    assert keys_of(data, 6) == first
    assert keys_of(data, 6, seed=1) != first
    assert keys_of(data, 6, workers=2) != first


def test_masks_arrive_bit_by_bit(foreign: Path, classes: str, kit: ModuleType) -> None:
    """What is streamed from plain tars without an index holds the very ids that were drawn."""
    data = opened(foreign, classes=classes)
    assert len(data.order) == 0
    assert data.streams is not None
    assert data.streams.datasets == ("green-house",)
    [batch] = streamed_batches(dataset(data, size=5), 1, 0, pin=False)
    numbers = {f"train{n:04d}": n % 3 for n in range(5)}
    assert sorted(batch.keys) == sorted(numbers)
    for key, target in zip(batch.keys, batch.target, strict=True):
        ids = kit.blocks(numbers[key])  # lies somewhere in the square of 64, 255 around it
        rows, columns = np.nonzero(target.numpy() != 255)
        top, left = rows.min(), columns.min()
        known_rows, known_columns = np.nonzero(ids != 255)
        part = ids[known_rows.min() :, known_columns.min() :]
        found = target.numpy()[top:, left:][: part.shape[0], : part.shape[1]]
        np.testing.assert_array_equal(found, part[: found.shape[0], : found.shape[1]])


def test_streams_and_indices_give_the_same_masks(foreign: Path, classes: str) -> None:
    """With the manifest of an index, the stream's targets are those that the index reads."""
    from segtrain.samples import load

    index(IndexOptions(foreign, classes), lambda *_: None)
    stream = opened(foreign)
    assert len(stream.order) == 5
    samples = open_data(TrainConfig(shards=(str(foreign),))).train
    counts = {d.key: np.bincount(d.mask.ravel(), minlength=256)
              for d in (load(samples, n) for n in range(5))}  # fmt: skip
    [batch] = streamed_batches(dataset(stream, size=5), 1, 0, pin=False)
    for key, target in zip(batch.keys, batch.target, strict=True):
        found = np.bincount(target.numpy().ravel(), minlength=256)
        np.testing.assert_array_equal(found[:255], counts[key][:255])


def compressed(foreign: Path) -> Path:
    """The same directory with every tar gzipped."""
    target = foreign.with_name("zipped")
    target.mkdir()
    for path in foreign.glob("*.tar"):
        (target / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    return target


@pytest.mark.parametrize("kind", ["directory", "gzip", "file", "pipe", "several"])
def test_tars_come_from_anywhere(foreign: Path, classes: str, kind: str) -> None:
    """Directories, compressed tars, URLs and commands give the same train and val samples."""
    quoted = str(foreign).replace(" ", "\\ ")
    places: dict[str, list[object]] = {
        "directory": [foreign],
        "gzip": [compressed(foreign)],
        "file": [f"file://{foreign}/{{train-000,train-001,val-000}}.tar"],
        "pipe": [f"pipe:cat {quoted}/{name}.tar" for name in ("train-000", "train-001", "val-000")],
        "several": [
            foreign / "train-00{0..1}.tar",
            foreign / "val-000.tar",
        ],
    }
    data = opened(*places[kind], classes=classes, val_images=2)
    [batch] = streamed_batches(dataset(data, size=5), 1, 0, pin=False)
    assert sorted(batch.keys) == [f"train{n:04d}" for n in range(5)]
    [val] = data.val_sets
    assert [val.samples.key(n) for n in range(3)] == [f"val{n:04d}" for n in range(3)]
    assert val.samples.read(2).mask
    assert (len(val.first), len(val.rest)) == (2, 1)
    unpacked = val.samples.shards[0].path
    assert (unpacked.parent != foreign) == (kind in ("gzip", "file", "pipe"))
    del data, val
    gc.collect()
    assert unpacked.exists() == (unpacked.parent == foreign)


def test_a_run_streams_and_goes_on(
    foreign: Path,
    classes: str,
    tiny: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A streamed run learns, validates and, resumed, says that its order begins anew and where."""
    out = tmp_path / "run"
    options = tiny | {"shards": (str(foreign),), "classes": classes, "reader": "webdataset"}
    options |= {"out": out, "steps": 6, "batch": 2, "log_every": 1, "val_every": 3}
    outcome = start(options)
    assert outcome.step == 6
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert {line["order_from"] for line in lines} == {0}
    assert {line["epoch"] for line in lines} == {None}
    assert lines[-1]["final"]["green-house"]["images"] == 3
    assert "train images of green-house, streamed from 2 shards" in capsys.readouterr().out


def stopped_run(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Start a run that gets Ctrl-C in its step `at`."""
    plain = Trainer.advance

    def advance(self: Trainer, *arguments: Any) -> None:  # noqa: ANN401 - handed on
        plain(self, *arguments)
        if self.step == at:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", advance)
        with pytest.raises(InterruptedRunError):
            start(options)


def test_a_resumed_run_begins_a_new_order(
    shards: Path,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After an interruption net and step go on; the log says from which step the order is new."""
    out = tmp_path / "run"
    options = tiny | {"shards": (str(shards),), "reader": "webdataset", "out": out}
    options |= {"steps": 5, "val_every": 0, "log_every": 1}
    stopped_run(options, monkeypatch, at=2)
    outcome = resume({"out": out})
    assert outcome.step == 5
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["order_from"]) for line in lines] == [
        (1, 0), (2, 2), (3, 2), (4, 2), (5, 2)
    ]  # fmt: skip
    assert "a resumed run begins a new one" in capsys.readouterr().out


def test_batches_are_whole_across_epochs(foreign: Path, classes: str) -> None:
    """Batches larger than a shard, or an epoch, are filled from the next one; none is short."""
    data = opened(foreign, classes=classes)
    for size in (1, 2, 3, 7, 12):
        found = list(streamed_batches(dataset(data, size=size), 10, 0, pin=False))
        assert [len(b.keys) for b in found] == [size] * 10
        assert all(b.image.shape == (size, 3, 64, 64) for b in found)
        assert all(b.image.is_contiguous(memory_format=torch.channels_last) for b in found)
        keys = list(itertools.chain(*(b.keys for b in found)))
        for epoch in range(len(keys) // 5):
            assert len(set(keys[5 * epoch : 5 * epoch + 5])) == 5


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut", r"train-001.tar: cannot be read to its end \("),
        ("no tar", r"train-001.tar: cannot be read to its end \("),
        ("gone", r"train-001.tar: cannot be read to its end \(No such file"),
        ("twice", r"train-001.tar: cannot be read to its end \(.*duplicate file name"),
        ("no mask", r"train-001.tar: z has the members jpg: none is the mask"),
        ("colours", r"train-001.tar: z: the mask is a PNG of mode RGB"),
        ("broken", r"train-001.tar: z: cannot be decoded"),
        ("id", r"train-001.tar: z: the mask holds id 9; expected 0..3, 255"),
    ],
)
def test_what_cannot_be_read_is_named(
    kit: ModuleType, foreign: Path, classes: str, how: str, words: str, workers: int
) -> None:
    """Damage in a stream ends it with shard, key and reason, from a worker as well."""
    data = opened(foreign, classes=classes, val_every=0)
    path = foreign / "train-001.tar"
    image, mask = kit.pair("z", 1)
    tars = {
        "twice": [image, image, mask],
        "no mask": [image],
        "colours": [image, ("z.png", kit.photo(32, 24, "PNG"))],
        "broken": [("z.jpg", b"none"), mask],
        "id": [image, ("z.png", kit.png(np.full((24, 32), 9)))],
    }
    if how in tars:
        kit.write_tar(path, tars[how])
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:700] if how == "cut" else b"x" * 4000)
    with pytest.raises(SegtrainError, match=words) as caught:
        list(streamed_batches(dataset(data), 10, workers, pin=False))
    assert "\n" not in str(caught.value)


def test_a_shard_that_lost_samples_is_noticed(kit: ModuleType, foreign: Path, classes: str) -> None:
    """An epoch that gives fewer samples than the manifest says is an error at its end."""
    index(IndexOptions(foreign, classes), lambda *_: None)
    data = opened(foreign)
    kit.write_tar(foreign / "train-001.tar", kit.pair("z", 1))
    stream = streamed_batches(dataset(data, size=2), 10, 0, pin=False, samples=len(data.order))
    with pytest.raises(ShardsError, match="gave 4 samples in an epoch, not the 5"):
        list(stream)


def test_more_workers_than_shards_are_refused(foreign: Path, classes: str) -> None:
    """Each worker needs a shard of its own: the error says how many can be."""
    with pytest.raises(UsageError, match=r"--workers 3: .*there are 2 only; use at most 2 workers"):
        opened(foreign, classes=classes, workers=3)
    assert opened(foreign, classes=classes, workers=2).streams is not None


def test_classes_are_named_once(foreign: Path, classes: str, shards: Path, tmp_path: Path) -> None:
    """Without a manifest --classes is needed, with one it is too much; each error says so."""
    with pytest.raises(ShardsError, match=r"no manifest.*--classes FILE"):
        opened(foreign)
    with pytest.raises(UsageError, match=r"coco2017.json says already what ids mean"):
        opened(shards, classes=classes)
    with pytest.raises(UsageError, match=r"names tars and no directory.*--classes"):
        opened(foreign / "train-000.tar")
    with pytest.raises(UsageError, match=r"a directory at a URL needs a manifest"):
        opened("https://localhost/none", classes=classes)
    with pytest.raises(UsageError, match=r"--classes belongs to --reader webdataset"):
        TrainConfig(classes=classes)
    with pytest.raises(UsageError, match=r"--train-split x needs --reader indexed"):
        TrainConfig(reader="webdataset", train_split="x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ShardsError, match=r"empty: holds no .*tar.* files"):
        opened(tmp_path / "empty", classes=classes)


def test_a_missing_webdataset_says_how_to_get_it(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the library is not installed the error has the command that installs it."""
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(UsageError, match=r"pip install 'segtrain\[webdataset\]'"):
        opened(shards)


def test_a_tar_of_shard_writer_trains(tmp_path: Path, classes: str, kit: ModuleType) -> None:
    """What webdataset's own ShardWriter makes is streamed as it is."""
    import webdataset as wds

    (tmp_path / "d").mkdir()
    with wds.ShardWriter(str(tmp_path / "d" / "train-%04d.tar"), maxcount=4, verbose=0) as writer:
        for n in range(7):
            ids = kit.blocks(n)
            rgb = np.asarray(Image.open(io.BytesIO(kit.photo(32, 24))))
            writer.write({"__key__": f"s{n}", "jpg": rgb, "seg.png": kit.png(ids), "json": [n]})
    data = opened(tmp_path / "d", classes=classes, val_every=0)
    keys = Counter(itertools.chain(*keys_of(data, 7, 2, size=2)))
    assert keys == {f"s{n}": 2 for n in range(7)}


def test_joining_keeps_every_sample() -> None:
    """Short batches are joined to whole ones in order, nothing lost or doubled on the way."""

    def part(start: int, count: int) -> Batch:
        values = torch.arange(start, start + count, dtype=torch.uint8)
        image = values[:, None, None, None].expand(-1, 3, 2, 2)
        return Batch(image, values[:, None, None].expand(-1, 2, 2), [str(int(v)) for v in values])

    parts = [part(0, 3), part(3, 1), part(4, 3), part(7, 2), part(9, 3)]
    found = list(joined(iter(parts), 3))
    assert [b.keys for b in found] == [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"],
                                       ["9", "10", "11"]]  # fmt: skip
    for batch in found:
        assert [str(int(v)) for v in batch.target[:, 0, 0]] == batch.keys
        assert [str(int(v)) for v in batch.image[:, 2, 1, 1]] == batch.keys
