"""Tests of segtrain.remote.ahead: shards of URLs in training and judging."""

import contextlib
import json
import multiprocessing
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.segtrain.remote.conftest import Web

from segtrain.batches import BatchDataset, batches, fresh_context
from segtrain.config import TrainConfig
from segtrain.data import open_data
from segtrain.errors import SampleError, ShardsError, UsageError
from segtrain.evaluate import decoded_ahead, evaluate_run
from segtrain.remote import ahead as ahead_module
from segtrain.remote.ahead import Ahead, fetched_ahead
from segtrain.remote.cache import Cache
from segtrain.remote.locks import FileLock
from segtrain.sampler import Order
from segtrain.samples import load
from segtrain.session import resume, start
from segtrain.shards import open_shards
from segtrain.transforms import Augmentation

Options = dict[str, Any]


def dataset(places: Path | str, cache: Cache, block: int = 2) -> BatchDataset:
    """Small batches of all training samples."""
    samples = open_shards(places, cache).train_set()
    order = Order(samples.shard_sizes, 3, block)
    return BatchDataset(samples, order, Augmentation(24), 4)


def held(cache: Cache) -> int:
    """Bytes of shards in the cache, copies under way included."""
    found = 0
    with FileLock(cache.folder / "evict.lock"):  # else one removed and its successor both count
        for path in (p for end in ("tar", "part") for p in cache.folder.glob(f"*/*.{end}")):
            with contextlib.suppress(FileNotFoundError):  # a copy that got its final name
                found += path.stat().st_size
    return found


def test_shards_come_in_the_order_of_the_samples(
    web: Web, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block after block is fetched, and a shard that is needed later is kept until then."""
    monkeypatch.setattr(ahead_module, "AT_ONCE", 1)
    made = dataset(web.address, cache)
    shards = made.samples.shards
    now, later = made.order.shards_at(0)
    with Ahead(shards) as ahead:
        ahead.move(now, later)
        ahead.wait([*now, *later], lambda *_: None)
        assert web.names(".tar") == [shards[n].record.name for n in (*now, *later)]
        assert set(ahead.pins) == {*now, *later}
        ahead.move(later, [])
        assert set(ahead.pins) == set(later)
    assert not ahead.pins


def test_a_small_cache_trains_and_is_never_passed(web: Web, cache: Cache, shards: Path) -> None:
    """With room for two blocks, all batches of two epochs are those of the folder."""
    expected = dataset(shards, cache)
    sizes = sorted(s.record.bytes for s in dataset(web.address, cache).samples.shards)[-4:]
    small = Cache(cache.folder, sum(sizes))
    made = dataset(web.address, small)

    def needed(k: int) -> tuple[list[int], list[int]]:
        return made.order.shards_at(k * made.size)

    shown: list[tuple[int, int]] = []
    stream = fetched_ahead(
        batches(made, 0, 18, 0, pin=False), made.samples.shards, needed, 0,
        lambda *sizes: shown.append(sizes),
    )  # fmt: skip
    for ours, theirs in zip(stream, batches(expected, 0, 18, 0, pin=False), strict=True):
        assert ours.keys == theirs.keys
        assert torch.equal(ours.image, theirs.image)
        assert held(small) <= small.limit
    assert shown[0][1] == sum(made.samples.shards[n].record.bytes for n in needed(0)[0])
    assert shown[-1] == (shown[0][1],) * 2


def test_a_first_shard_that_cannot_be_had_is_told_before_training(web: Web, cache: Cache) -> None:
    """The wait for the first block ends with the error of the shard that is gone."""
    made = dataset(web.address, cache)
    now, later = made.order.shards_at(0)
    web.refusals[made.samples.shards[now[0]].record.name] = [404] * 9
    with Ahead(made.samples.shards) as ahead:
        ahead.move(now, later)
        with pytest.raises(ShardsError, match="not found"):
            ahead.wait(now, lambda *_: None)


def test_a_shard_that_breaks_later_names_the_sample(web: Web, cache: Cache) -> None:
    """A later shard that is corrupt ends the stream with key, URL and checksum."""
    made = dataset(web.address, cache)
    bad = made.order.shards_at(30)[0][0]
    web.wrong.add(made.samples.shards[bad].record.name)

    def needed(k: int) -> tuple[list[int], list[int]]:
        return made.order.shards_at(k * made.size)

    stream = batches(made, 0, 18, 0, pin=False)
    words = rf"^\w+: {web.address}/{made.samples.shards[bad].record.name}: corrupt shard"
    with pytest.raises(SampleError, match=words):
        list(fetched_ahead(stream, made.samples.shards, needed, 0, lambda *_: None))


def test_a_stopped_reader_leaves_nothing_under_way(web: Web, cache: Cache) -> None:
    """What ends the first wait ends the copies too, and lets go of what was kept."""
    made = dataset(web.address, cache)

    class StopHere(Exception):  # noqa: N818 - a signal, not an error
        pass

    def stop(*_: int) -> None:
        raise StopHere

    stream = fetched_ahead(
        batches(made, 0, 4, 0, pin=False), made.samples.shards, made.order.shards_at, 0, stop
    )
    with pytest.raises(StopHere):
        next(stream)
    small = Cache(cache.folder, 1)
    small.fetch(made.samples.shards[0].url, made.samples.shards[0].record)


def test_local_shards_start_no_thread(shards: Path, cache: Cache) -> None:
    """For shards of this machine nothing is fetched, kept or started."""
    made = dataset(shards, cache)
    with Ahead(made.samples.shards) as ahead:
        ahead.move(*made.order.shards_at(0))
        ahead.wait(made.order.shards_at(0)[0], lambda *_: pytest.fail("waited"))
        assert not ahead.threads
    assert not cache.folder.exists()


def test_images_are_judged_in_any_order(web: Web, cache: Cache, shards: Path) -> None:
    """Samples decoded ahead from a URL are those of the folder, in the order asked for."""
    remote, local = (open_shards(place, cache).train_set() for place in (web.address, shards))
    numbers = [36, 0, 7, 8, 9, 20, 3, 3]
    found = list(decoded_ahead(remote, numbers))
    assert [sample.key for sample in found] == [local.key(n) for n in numbers]
    for sample, n in zip(found, numbers, strict=True):
        assert (sample.mask == load(local, n).mask).all()


def test_workers_read_urls(web: Web, cache: Cache, shards: Path) -> None:
    """Worker processes read shards of URLs, and fetch those that nobody has fetched for them."""
    made, expected = dataset(web.address, cache), dataset(shards, cache)
    stream = batches(made, 0, 3, 1, pin=False, context=fresh_context())
    for ours, theirs in zip(stream, batches(expected, 0, 3, 0, pin=False), strict=True):
        assert torch.equal(ours.image, theirs.image)
    assert fresh_context() in multiprocessing.get_all_start_methods()
    assert fresh_context() != "fork"


def test_a_run_from_a_url_is_that_from_the_folder(
    web: Web, cache: Cache, shards: Path, trained: Path, tiny: Options, tmp_path: Path
) -> None:
    """Losses and validations of a run from a URL, resumed from the folder, are those from it."""
    out = tmp_path / "run"
    options = tiny | {"shards": web.address, "cache": cache.folder, "out": out}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segtrain.train.Trainer.advance", broken_at(7))
        with pytest.raises(ZeroDivisionError):
            start(options)
    config = json.loads((out / "config.json").read_text())["config"]
    assert (config["shards"], config["cache"]) == ([web.address], cache.folder.as_posix())
    resume({"out": out, "shards": shards})
    ours, theirs = (
        [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        for run in (out, trained)
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["loss"] == other["loss"]
        assert mine.get("val") == other.get("val")
    judged = [
        evaluate_run(out, place, "val", "cpu", lambda *_: lambda *_: None, cache=cache)[2]
        for place in (web.address, shards)
    ]
    for first, second in zip(*judged, strict=True):
        assert torch.equal(first.confmat, second.confmat)


def broken_at(step: int) -> Any:  # noqa: ANN401 - a method
    """`Trainer.advance` that breaks at a step."""
    from segtrain.train import Trainer

    original = Trainer.advance

    def advance(trainer: Trainer, *words: object) -> None:
        assert 1 // (trainer.step != step)
        original(trainer, *words)  # type: ignore[arg-type]

    return advance


def test_a_cache_too_small_for_two_blocks_is_refused(web: Web, cache: Cache) -> None:
    """What is needed at once is told before training; the folder itself needs no cache."""
    options: Options = {"cache": cache.folder, "cache_size": "100kB"}
    with pytest.raises(UsageError, match=r"--cache-size 100kB is too small: [\d.]+ [kM]B of sha"):
        open_data(TrainConfig(shards=(web.address,), **options))
    open_data(TrainConfig(shards=(str(web.folder),), **options))
    words = open_data(TrainConfig(shards=(web.address,), cache=cache.folder)).lines()
    assert re.fullmatch(r"cache: .*, at most 50 GB; .* of shards at URLs", words[1])
