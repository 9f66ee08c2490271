"""Tests of segtrain.batches."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_all_start_methods
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from tests.segtrain.cuts import apply

from segtrain.batches import Batch, BatchDataset, batches
from segtrain.errors import SampleError, ShardsError
from segtrain.sampler import Order
from segtrain.samples import load
from segtrain.shards import open_shards
from segtrain.transforms import Augmentation


def dataset(directory: Path, size: int = 4, rank: int = 0, world: int = 1) -> BatchDataset:
    """Batches over a directory's training samples."""
    samples = open_shards(directory).train_set()
    order = Order(samples.shard_sizes, 7)
    return BatchDataset(samples, order, Augmentation(48), size, rank, world)


def same(ours: Iterator[Batch], theirs: Iterator[Batch]) -> bool:
    """Whether two streams of batches are equal bit for bit and equally long."""
    return all(
        a.keys == b.keys and torch.equal(a.image, b.image) and torch.equal(a.target, b.target)
        for a, b in zip(ours, theirs, strict=True)
    )


def test_a_batch_is_the_samples_of_the_order_each_cut_by_its_box(shards: Path) -> None:
    """Batch k holds the sampler's samples in order, cut as the transform alone cuts them."""
    made = dataset(shards)
    batch = made.make(3)
    assert batch.image.shape == (4, 3, 48, 48)
    assert batch.image.dtype == batch.target.dtype == torch.uint8
    assert batch.image.is_contiguous(memory_format=torch.channels_last)
    for i, (epoch, number) in enumerate(made.order.batch(3, 4)):
        key, image, mask = load(made.samples, number)
        box = made.augmentation.draw(image.size, 7, epoch, number)
        pixels, target = apply(image, mask, box)
        assert batch.keys[i] == key
        np.testing.assert_array_equal(batch.image[i].permute(1, 2, 0).numpy(), pixels)
        np.testing.assert_array_equal(batch.target[i].numpy(), target)


def test_workers_and_start_change_nothing(shards: Path) -> None:
    """Spawned workers, or none, and a start in the middle give the same batches."""
    made = dataset(shards)
    alone = list(batches(made, 0, 12, 0, pin=False))
    assert same(iter(alone), batches(made, 0, 12, 2, pin=False, context="spawn"))
    assert same(iter(alone[5:]), batches(made, 5, 12, 0, pin=False))


def test_a_worker_puts_samples_into_shared_memory(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker makes is shared from the start, with the same pixels."""
    alone = dataset(shards).make(1)
    assert not alone.image.is_shared()
    monkeypatch.setattr("segtrain.batches.get_worker_info", object)
    batch = dataset(shards).make(1)
    assert batch.image.is_shared()
    assert batch.target.is_shared()
    assert batch.image.is_contiguous(memory_format=torch.channels_last)
    assert same(iter([alone]), iter([batch]))


@pytest.mark.parametrize(("world", "size"), [(1, 4), (2, 4), (2, 5), (3, 4)])
@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the quickest start of a worker
def test_ranks_and_workers_change_nothing(
    shards: Path, world: int, size: int, workers: int
) -> None:
    """The ranks' parts in their order are the global batch of the order, from any worker."""
    fork = "fork" if "fork" in get_all_start_methods() else None
    whole = dataset(shards, size)
    streams = [
        batches(dataset(shards, size, rank, world), 2, 6, workers, pin=False, context=fork)
        for rank in range(world)
    ]
    for k, parts in enumerate(zip(*streams, strict=True), start=2):
        expected = whole.make(k)
        draws = whole.order.batch(k, size)
        assert expected.keys == [whole.samples.key(draw.sample) for draw in draws]
        assert [key for part in parts for key in part.keys] == expected.keys
        assert torch.equal(torch.cat([part.image for part in parts]), expected.image)
        assert torch.equal(torch.cat([part.target for part in parts]), expected.target)
        sizes = [len(part.keys) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) > 0


def test_loading_leaves_torchs_random_numbers_alone(shards: Path) -> None:
    """Making batches draws nothing from the generator that dropout uses."""
    before = torch.get_rng_state()
    list(batches(dataset(shards), 0, 2, 0, pin=False))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_is_our_own(
    make_shards: Callable[..., Path], tmp_path: Path, workers: int
) -> None:
    """A broken sample surfaces as one line with shard and key, from a worker as from here."""
    made = dataset(make_shards(tmp_path / "s", train=4, val=1))
    start = int(made.samples.spans[2, 0])
    data = bytearray(made.samples.shards[0].path.read_bytes())
    data[start : start + 50] = bytes(50)
    made.samples.shards[0].path.write_bytes(data)
    with pytest.raises(SampleError, match=r"000000\.tar: voc2012_train0002: ") as caught:
        list(batches(made, 0, 2, workers, pin=False, context="spawn"))
    assert "Traceback" not in str(caught.value)


def test_a_lost_worker_is_an_error_of_ours(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's error about a dead worker becomes ours, with what to try; others stay as they are."""
    message = "DataLoader worker (pid 7) is killed by signal: Killed."

    class Loader:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __iter__(self) -> Iterator[Batch]:
            raise RuntimeError(message)

    monkeypatch.setattr("segtrain.batches.DataLoader", Loader)
    with pytest.raises(ShardsError, match=r"worker \(pid 7\) is killed.*fewer --workers"):
        next(batches(dataset(shards), 0, 1, 0, pin=False))
    message = "something else"
    with pytest.raises(RuntimeError, match="something else"):
        next(batches(dataset(shards), 0, 1, 0, pin=False))


ORPHANS = """
import sys
from pathlib import Path
import psutil
from segtrain.batches import BatchDataset, batches
from segtrain.sampler import Order
from segtrain.shards import open_shards
from segtrain.transforms import Augmentation

if __name__ == "__main__":
    samples = open_shards(Path(sys.argv[1])).train_set()
    made = BatchDataset(samples, Order(samples.shard_sizes, 7), Augmentation(48), 4)
    stream = batches(made, 0, 1000, 1, pin=False, context=sys.argv[2])
    next(stream)
    print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
@pytest.mark.parametrize("context", ["fork", "forkserver"])
def test_workers_end_with_a_killed_run(shards: Path, tmp_path: Path, context: str) -> None:
    """After kill -9 of the process that trains none of its workers stays, however it started."""
    if context not in get_all_start_methods():
        pytest.skip(f"no {context} here")
    script = tmp_path / "run.py"
    script.write_text(ORPHANS)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", script, shards, context],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in run.stdout.readline().split()]
        run.kill()
    gone, alive = psutil.wait_procs(workers, timeout=60)
    for left in alive:
        left.kill()
    assert gone
    assert not alive
