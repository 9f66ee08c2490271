"""The batches that a run has still to learn: read in processes, fetched ahead from URLs."""

from collections.abc import Generator

from segtrain.batches import Batch, BatchDataset, batches, fresh_context
from segtrain.data import Data
from segtrain.interruption import Interruption
from segtrain.ranks import default_workers
from segtrain.remote.ahead import fetched_ahead
from segtrain.train import Trainer


def remaining_batches(
    trainer: Trainer, data: Data, stop: Interruption
) -> Generator[Batch, None, None]:
    """The batches that are still to be learnt.

    Args:
        trainer: The run, where it stands.
        data: What it trains on.
        stop: Asked while the first shards of URLs are waited for.
    """
    config, device, ranks = trainer.config, trainer.predictor.device, trainer.ranks
    workers = default_workers(device, ranks) if config.workers is None else config.workers
    pin = device.type == "cuda"
    if data.streams is not None:
        return data.streams.batches(
            config,
            data.augmentation,
            trainer.step,
            config.steps - trainer.step,
            workers=workers,
            pin=pin,
            rank=ranks.rank,
            world=ranks.world,
        )
    dataset = BatchDataset(
        data.train, data.order, data.augmentation, config.batch, ranks.rank, ranks.world
    )
    context = fresh_context() if data.remote else None
    stream = batches(dataset, trainer.step, config.steps, workers, pin, context)
    return shards_ahead(stream, trainer, data, stop) if data.train.remote else stream


def shards_ahead(
    stream: Generator[Batch, None, None], trainer: Trainer, data: Data, stop: Interruption
) -> Generator[Batch, None, None]:
    """The same batches, their shards of URLs fetched ahead; the first ones are waited for."""

    def show(done: int, total: int) -> None:
        trainer.display.fetching(done, total)
        if trainer.ranks.alone:  # several agree on a stop after a step
            stop.check()

    def needed(k: int) -> tuple[list[int], list[int]]:
        return data.order.shards_at(k * trainer.config.batch)

    return fetched_ahead(stream, data.train.shards, needed, trainer.step, show)
