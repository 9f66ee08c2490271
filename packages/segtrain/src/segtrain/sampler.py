"""The order of training samples: a pure function of seed and epoch.

The stream is the concatenation of epochs; global batch k is `stream[k * B : (k + 1) * B]`,
whatever the number of ranks and workers. Any batch is found at once, by arithmetic.
"""

from collections import OrderedDict
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

BLOCK = 16  # shards whose samples are shuffled together
CACHED = 4  # blocks whose shuffled order is remembered

Ints = NDArray[np.int64]
K = TypeVar("K")
V = TypeVar("V")


class Draw(NamedTuple):
    """One place in the stream: the sample's number and the epoch that draws it."""

    epoch: int
    sample: int


class SampleOrder(Protocol):
    """An order of training samples: a pure function of its seed and the position in the stream."""

    seed: int

    def __len__(self) -> int:
        """Samples that there are."""

    def draw(self, position: int) -> Draw:
        """What the stream holds at `position` (0 and up)."""

    def batch(self, k: int, size: int) -> list[Draw]:
        """Global batch `k` of `size` samples."""

    def shards_at(self, position: int) -> tuple[list[int], list[int]]:
        """The shards that are being drawn from at `position`, and those that come after them."""

    def epochs(self, position: int) -> dict[str, float]:
        """How often each data set of a mixture has been gone through; empty without one."""


class Order:
    """The order of N samples that lie in shards.

    Each epoch holds every sample once. The shards are permuted and cut into blocks of `block`
    shards; the samples of a block are shuffled among themselves. So a reader touches few shards
    at a time, and shards whose own samples were shuffled when built mix well.

    Args:
        shard_sizes: Samples of each shard.
        seed: Any integer from 0 up.
        block: Shards per block, 1 or more.
        key: Numbers that set this order apart from others of the same seed.
    """

    def __init__(
        self,
        shard_sizes: tuple[int, ...],
        seed: int,
        block: int = BLOCK,
        key: tuple[int, ...] = (),
    ) -> None:
        self.shard_sizes = shard_sizes
        self.seed = seed
        self.key = (seed, *key)
        self.block = block
        self.starts: Ints = np.cumsum([0, *shard_sizes], dtype=np.int64)
        self.layouts: OrderedDict[int, tuple[Ints, Ints]] = OrderedDict()
        self.blocks: OrderedDict[tuple[int, int], Ints] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"layouts": OrderedDict(), "blocks": OrderedDict()}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def layout(self, epoch: int) -> tuple[Ints, Ints]:
        """The permuted shards of an epoch, and where each of its blocks begins in the epoch."""
        if epoch not in self.layouts:
            shards = np.random.default_rng([*self.key, epoch]).permutation(len(self.shard_sizes))
            ends = np.cumsum(np.asarray(self.shard_sizes, np.int64)[shards])
            starts = np.concatenate([[0], ends[:-1]])[:: self.block]
            remember(self.layouts, epoch, (shards.astype(np.int64), starts))
        return self.layouts[epoch]

    def block_samples(self, epoch: int, block: int) -> Ints:
        """The samples of one block of an epoch, in order."""
        if (epoch, block) not in self.blocks:
            mine = self.block_shards(epoch, block)
            samples = np.concatenate([np.arange(*self.starts[s : s + 2]) for s in mine])
            rng = np.random.default_rng([*self.key, epoch, 1 + block])
            remember(self.blocks, (epoch, block), rng.permutation(samples))
        return self.blocks[epoch, block]

    def draw(self, position: int) -> Draw:
        """What the stream holds at `position` (0 and up)."""
        epoch, block, place = self.find(position)
        return Draw(epoch, int(self.block_samples(epoch, block)[place]))

    def find(self, position: int) -> tuple[int, int, int]:
        """The epoch at `position`, the block of it, and the place in that."""
        epoch, place = divmod(position, len(self))
        starts = self.layout(epoch)[1]
        block = int(np.searchsorted(starts, place, side="right")) - 1
        return epoch, block, place - int(starts[block])

    def block_shards(self, epoch: int, block: int) -> list[int]:
        """The shards of one block of an epoch."""
        shards = self.layout(epoch)[0]
        return [int(s) for s in shards[block * self.block : (block + 1) * self.block]]

    def shards_at(self, position: int) -> tuple[list[int], list[int]]:
        """The shards that are being drawn from at `position`, and those that come after them."""
        epoch, block, _ = self.find(position)
        after = self.block_shards(epoch, block + 1) or self.block_shards(epoch + 1, 0)
        return self.block_shards(epoch, block), after

    def epochs(self, position: int) -> dict[str, float]:  # noqa: ARG002 - as an order has it
        """Nothing: without a mixture all samples are gone through together."""
        return {}

    def batch(self, k: int, size: int) -> list[Draw]:
        """Global batch `k` of `size` samples."""
        return [self.draw(position) for position in range(k * size, (k + 1) * size)]


def remember(cache: "OrderedDict[K, V]", key: K, value: V) -> None:
    """Put a value into a small cache, the oldest thrown out."""
    cache[key] = value
    while len(cache) > CACHED:
        cache.popitem(last=False)
