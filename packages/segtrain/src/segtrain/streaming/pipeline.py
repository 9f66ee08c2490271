"""webdataset's pipeline over one epoch of a data set's tars, with our decoding and cutting."""

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import IterableDataset

from segtrain.batches import Batch, Failure
from segtrain.errors import SampleError, ShardsError
from segtrain.foreign.scan import UNDECODABLE
from segtrain.members import Layout, MembersError, chosen_members
from segtrain.samples import decode
from segtrain.sampleset import Sample
from segtrain.streaming.opening import opened
from segtrain.transforms import Augmentation

Found = dict[str, Any]  # a sample in webdataset's form: `__key__`, `__url__`, bytes by extension


class Tar(NamedTuple):
    """A tar to be streamed: its path, URL or command, and which members of it are meant."""

    url: str
    layout: Layout


@dataclass
class StreamDataset(IterableDataset[Batch | Failure]):
    """One epoch after the other of the samples of some tars, in batches; picklable.

    Each time that it is iterated it gives the next epoch. In a worker process it gives the samples
    of that worker's tars, and of several ranks those of its rank's.

    Attributes:
        tars: The tars.
        classes: C.
        augmentation: How samples are cut.
        size: Samples per batch; the last of an epoch may have fewer.
        seed: Decides order and cuts, with the epoch.
        buffer: Samples, as stored, among which the next one is drawn.
        rank: Whose part of the tars to read, 0..world - 1.
        world: Ranks, at most as many as there are tars.
        epoch: The epoch given last, counted from 0.
    """

    tars: tuple[Tar, ...]
    classes: int
    augmentation: Augmentation
    size: int
    seed: int
    buffer: int
    rank: int = 0
    world: int = 1
    epoch: int = -1

    def __iter__(self) -> Iterator[Batch | Failure]:
        self.epoch += 1
        try:
            yield from self.batched(self.pipeline())
        except ShardsError as error:
            yield Failure(str(error))

    def pipeline(self) -> Iterable[Found]:
        """The samples of an epoch, in their order, undecoded."""
        import webdataset as wds

        seed = mixed_seed(self.seed, self.epoch)
        stages = wds.DataPipeline(
            wds.SimpleShardList([tar.url for tar in self.tars], seed=seed),
            self.of_rank,
            wds.split_by_worker,
            expand,
            wds.shuffle(self.buffer, seed=seed) if self.buffer > 1 else None,
        )
        found: Iterable[Found] = iter(stages)
        return found

    def of_rank(self, sources: Iterable[Found]) -> Iterator[Found]:
        """Every so many of the tars; a stage of the pipeline."""
        return itertools.islice(sources, self.rank, None, self.world)

    def batched(self, found: Iterable[Found]) -> Iterator[Batch]:
        """Decoded, cut and stacked samples.

        Raises:
            SampleError: If one is not what it should be.
        """
        parts: list[tuple[np.ndarray, np.ndarray, str]] = []
        for sample in found:
            parts.append(self.cut(sample))
            if len(parts) == self.size:
                yield stack(parts)
                parts = []
        if parts:
            yield stack(parts)

    def cut(self, found: Found) -> tuple[np.ndarray, np.ndarray, str]:
        """One sample decoded and cut: `(H, W, 3)`, `(H, W)` and its key.

        Raises:
            SampleError: If it is not an image and its mask.
        """
        url, key = found["__url__"], found["__key__"].removeprefix("./")
        layout = next(tar.layout for tar in self.tars if tar.url == url)
        members = {k: v for k, v in found.items() if not k.startswith("__")}
        try:
            image, mask = chosen_members(members, layout)
            _, rgb, ids = decode(Sample(key, image, mask, layout), self.classes)
        except MembersError as error:
            raise SampleError(
                f"{url}: {key} has the members {', '.join(members)}: {error} of `segtrain index`; "
                "or is the shard cut there?"
            ) from error
        except UNDECODABLE as error:
            reason = "cannot be decoded" if "BytesIO" in str(error) else str(error)
            raise SampleError(f"{url}: {key}: {reason}") from error
        number = zlib.crc32(key.encode())
        return *self.augmentation.cut(rgb, ids, self.seed, self.epoch, number), key


def mixed_seed(seed: int, number: int) -> int:
    """One seed of two numbers, such as that of an epoch's order."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])


def expand(sources: Iterable[dict[str, Any]]) -> Iterator[Found]:
    """The samples of each tar, one after the other; a stage of the pipeline.

    Raises:
        ShardsError: If a tar cannot be read to its end, or holds a file twice.
    """
    from webdataset.tariterators import group_by_keys, tar_file_expander

    for source in sources:
        with opened(source["url"]) as stream:
            files = tar_file_expander([source | {"stream": stream}], select_files=is_member)
            yield from group_by_keys(files)


def is_member(name: str) -> bool:
    """Whether a file is taken into account: not the hidden ones."""
    return not name.rpartition("/")[2].startswith(".")


def stack(parts: Sequence[tuple[np.ndarray, np.ndarray, str]]) -> Batch:
    """Samples as a batch."""
    images, targets, keys = zip(*parts, strict=True)
    nchw = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (N, 3, H, W)
    return Batch(nchw, torch.from_numpy(np.stack(targets)), list(keys))
