"""Batches of a stream: epoch after epoch, by worker processes, each of the wanted size."""

import contextlib
from collections.abc import Generator, Iterator

import torch
from torch.utils.data import DataLoader

from segtrain.batches import PREFETCH, Batch, Failure, fresh_context, is_lost_worker, start_worker
from segtrain.errors import SampleError, SegtrainError, ShardsError, UsageError
from segtrain.places import is_url
from segtrain.streaming.pipeline import StreamDataset


def check_workers(tars: int, workers: int, world: int) -> None:
    """Refuse more readers than tars: some would have nothing to read.

    Raises:
        UsageError: If there are more.
    """
    if max(1, workers) * world > tars:
        ranks = f" in each of {world} processes" if world > 1 else ""
        raise UsageError(
            f"--workers {workers}{ranks}: --reader webdataset gives each worker shards of its own, "
            f"and there are {tars} only; use at most {tars // world} workers, or more and smaller "
            "shards" + ", or --reader indexed, which shares any shard" * (tars > 0)
        )


def part_size(size: int, rank: int, world: int) -> int:
    """Samples that one of several ranks takes of a global batch of `size`."""
    return size * (rank + 1) // world - size * rank // world


def streamed_batches(
    dataset: StreamDataset,
    count: int,
    workers: int,
    *,
    pin: bool,
    samples: int | None = None,
) -> Generator[Batch, None, None]:
    """The next `count` batches, all of the dataset's size; epochs follow without a gap.

    Args:
        dataset: The stream; this process's part of it.
        count: How many batches.
        workers: Worker processes, at most as many as there are tars; 0 reads in this process.
        pin: Whether to put batches into pinned memory, for copies to a GPU.
        samples: Samples of an epoch, where they are known and all are read here: each epoch is
            then held against it.

    Raises:
        ShardsError: If a shard cannot be read, holds fewer samples than it should, or a sample of
            it is not what it should be.
    """
    with contextlib.closing(epochs(dataset, workers, samples)) as parts:
        for batch, _ in zip(joined(parts, dataset.size), range(count), strict=False):
            yield pinned(batch) if pin else batch


def pinned(batch: Batch) -> Batch:
    """A batch in pinned memory."""
    return Batch(batch.image.pin_memory(), batch.target.pin_memory(), batch.keys)


def epochs(
    dataset: StreamDataset, workers: int, samples: int | None
) -> Generator[Batch, None, None]:
    """Batches as workers give them, for ever.

    Raises:
        ShardsError: As `streamed_batches` says.
    """
    apart = workers > 0 and any(is_url(tar.url) for tar in dataset.tars)
    loader: DataLoader[Batch | Failure] = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        persistent_workers=workers > 0,  # they count the epochs
        worker_init_fn=start_worker,
        multiprocessing_context=fresh_context() if apart else None,  # fsspec has threads here
        generator=torch.Generator(),  # else it would draw from the numbers that dropout uses
    )
    failure: SegtrainError | None = None
    while failure is None:
        seen = 0
        try:
            for part in loader:
                if isinstance(part, Failure):
                    failure = SampleError(part.message)
                    break
                seen += len(part.keys)
                yield part
            else:
                failure = incomplete(seen, samples)
        except RuntimeError as error:
            if not is_lost_worker(error):
                raise
            raise ShardsError(
                f"a data worker was ended from outside ({error}); if memory ran out, use fewer "
                "--workers or a smaller --buffer"
            ) from error
    del loader  # its workers end here, and not when somebody forgets the error
    raise failure


def incomplete(seen: int, samples: int | None) -> ShardsError | None:
    """The error of an epoch that gave another number of samples than it should."""
    if seen == samples or (samples is None and seen):
        return None
    return ShardsError(
        f"the shards gave {seen:,} samples in an epoch, not the {samples or 1:,} that they should "
        "hold; one of them is cut or was exchanged: copy them again"
    )


def joined(parts: Iterator[Batch], size: int) -> Iterator[Batch]:
    """Batches of exactly `size` samples, in order, from batches of up to `size`."""
    waiting: list[Batch] = []
    for part in parts:
        waiting.append(part)
        if sum(len(batch.keys) for batch in waiting) < size:
            continue
        whole = part if len(waiting) == 1 else concatenated(waiting)
        yield Batch(whole.image[:size], whole.target[:size], whole.keys[:size])
        rest = Batch(whole.image[size:], whole.target[size:], whole.keys[size:])
        waiting = [rest] if rest.keys else []


def concatenated(batches: list[Batch]) -> Batch:
    """Several batches as one."""
    image = torch.cat([b.image for b in batches]).contiguous(memory_format=torch.channels_last)
    target = torch.cat([b.target for b in batches])
    return Batch(image, target, [key for b in batches for key in b.keys])
