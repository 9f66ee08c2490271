"""Training batches: read, decoded and cut in worker processes, in the order of the sampler."""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from segtrain.errors import SampleError, ShardsError
from segtrain.sampler import SampleOrder
from segtrain.samples import load
from segtrain.sampleset import SampleSet
from segtrain.transforms import Augmentation, Box, Cut

PREFETCH = 4  # batches that each worker prepares ahead
GRACE = 30  # seconds that a worker serves after SIGTERM


class Batch(NamedTuple):
    """One global batch, or a rank's part of it.

    Attributes:
        image: uint8 `(N, 3, H, W)`, RGB, channels_last in memory.
        target: uint8 `(N, H, W)`: class ids, 255 = ignore.
        keys: The N keys.
        draws: Epoch and sample of each: its place in the stream, which decides how it was cut.
    """

    image: Tensor
    target: Tensor
    keys: list[str]
    draws: tuple[tuple[int, int], ...] = ()


class Failure(NamedTuple):
    """The message of an error in a worker; raised anew where the batch is taken."""

    message: str


@dataclass
class BatchDataset(Dataset[Batch | Failure]):
    """Global batches by number; picklable, so that any worker process can make any batch.

    Of several ranks each makes its part of every batch; the parts in the order of the ranks are
    the batch, and their sizes differ by one at most.

    Attributes:
        samples: The training samples.
        order: Their order.
        augmentation: How boxes are drawn.
        size: Samples per global batch; 1 where their sizes differ (`native`).
        rank: Whose part to make, 0..world - 1.
        world: Ranks, at most `size`.
    """

    samples: SampleSet
    order: SampleOrder
    augmentation: Augmentation
    size: int
    rank: int = 0
    world: int = 1

    @property
    def part(self) -> slice:
        """Where this rank's part lies in the global batch."""
        return slice(*(self.size * r // self.world for r in (self.rank, self.rank + 1)))

    def __getitem__(self, k: int) -> Batch | Failure:
        try:
            return self.make(k)
        except SampleError as error:
            return Failure(str(error))

    def make(self, k: int) -> Batch:
        """Make global batch `k`, or this rank's part of it.

        Raises:
            SampleError: If one of its samples cannot be read.
        """
        draws = self.order.batch(k, self.size)[self.part]
        keys: list[str] = []
        for place, draw in enumerate(draws):
            cut = Cut(self.augmentation, self.order.seed, *draw)
            key, image, mask = load(self.samples, draw.sample, cut.rows)
            if place == 0:  # all boxes of a batch are of one size
                images, targets = room(len(draws), cut.box)
            cut.put(image, mask, images[place].numpy(), targets[place].numpy())
            keys.append(key)
        places = tuple((draw.epoch, draw.sample) for draw in draws)
        return Batch(images.permute(0, 3, 1, 2), targets, keys, places)


def room(count: int, box: Box) -> tuple[Tensor, Tensor]:
    """Memory for the cuts of so many samples: uint8 `(N, H, W, 3)` and `(N, H, W)`."""
    shape = count, box.cut_height, box.cut_width
    return empty(*shape, 3), empty(*shape)


def empty(*shape: int) -> Tensor:
    """Bytes; a worker's are shared with the process that trains, which else would get a copy."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    new = torch.UntypedStorage._new_shared  # noqa: SLF001 - what torch's own collation calls
    return torch.empty(0, dtype=torch.uint8).set_(new(math.prod(shape))).view(shape)  # type: ignore[no-untyped-call]


def start_worker(_: int) -> None:
    """Leave signals to the main process, which saves before it ends its workers.

    Ctrl-C and many schedulers signal every process of a job: a worker that ended at once would
    break the step that is under way. On SIGTERM it serves half a minute more, then ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """End this process when the one that it works for has ended, also by kill -9.

    Torch's own workers watch for another parent, which a worker of a fork server never gets: the
    server lives as long as its last worker, and both would stay for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def fresh_context() -> str:
    """A way to start workers that copies no thread of this process, as a fork would."""
    there = multiprocessing.get_all_start_methods()
    return "forkserver" if "forkserver" in there else "spawn"


def is_lost_worker(error: RuntimeError) -> bool:
    """Whether torch says by this error that a data worker died; it may do so at any moment."""
    return "DataLoader worker" in str(error)


def batches(
    dataset: BatchDataset,
    first: int,
    stop: int,
    workers: int,
    pin: bool,
    context: str | None = None,
) -> Generator[Batch, None, None]:
    """Global batches `first..stop-1`, in order.

    Args:
        dataset: The batches by number.
        first: The first batch to make; a resumed run starts where it stopped.
        stop: One past the last.
        workers: Worker processes; 0 makes batches in this process.
        pin: Whether to put batches into pinned memory, for copies to a GPU.
        context: How workers start (`fork`, `forkserver`, `spawn`); None is the platform's way.

    Raises:
        SampleError: If a sample cannot be read, also when that happened in a worker.
    """
    loader: DataLoader[Batch | Failure] = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(first, stop),
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=start_worker,
        multiprocessing_context=context if workers else None,
        generator=torch.Generator(),  # else it would draw from the numbers that dropout uses
    )
    try:
        for batch in loader:
            if isinstance(batch, Failure):
                raise SampleError(batch.message)
            yield batch
    except RuntimeError as error:
        if not is_lost_worker(error):
            raise
        raise ShardsError(
            f"a data worker was ended from outside ({error}); if memory ran out, use fewer "
            "--workers"
        ) from error
