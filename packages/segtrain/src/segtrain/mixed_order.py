"""The order of training samples of a mixture: a pure function of seed and position.

Each data set has a stream of its own, the concatenation of its epochs, each shuffled anew; the
mixture takes the next sample of whichever data set has its turn.
"""

import zlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from segtrain.mixture import turns, whole_weights
from segtrain.sampler import BLOCK, Draw, Order


class MixedOrder:
    """The order of samples of several data sets, drawn by weights.

    The number of a sample is that in all data sets, one after the other. `Draw.epoch` is the epoch
    of the sample's own data set, so that it is cut in another way each time it comes.

    Args:
        sizes: Samples of each shard, by data set, in the order of their samples' numbers.
        weights: Above 0, for the same data sets.
        seed: Any integer from 0 up.
        block: Shards per block of each data set.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sequence[int]],
        weights: Mapping[str, Fraction],
        seed: int,
        block: int = BLOCK,
    ) -> None:
        self.seed = seed
        self.names = tuple(sizes)
        whole = whole_weights({name: weights[name] for name in self.names})
        self.weights = tuple(whole.values())
        # by name, so that a further data set changes nothing in the streams of these
        self.orders = tuple(
            Order(tuple(of), seed, block, (zlib.crc32(name.encode()),))
            for name, of in sizes.items()
        )
        counts = [len(order) for order in self.orders]
        self.firsts = tuple(int(n) for n in np.cumsum([0, *counts])[:-1])
        shards = [len(of) for of in sizes.values()]
        self.first_shards = tuple(int(n) for n in np.cumsum([0, *shards])[:-1])
        self.turns = np.array(turns(self.weights), np.int32)
        self.before = np.zeros(len(self.turns), np.int64)  # turns of the same data set before it
        for i, weight in enumerate(self.weights):
            self.before[self.turns == i] = np.arange(weight)

    def __len__(self) -> int:
        return sum(len(order) for order in self.orders)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each data set in the samples drawn; they sum to 1."""
        return tuple(weight / len(self.turns) for weight in self.weights)

    def drawn(self, position: int) -> tuple[int, ...]:
        """How many samples of each data set stand before `position`."""
        periods, place = divmod(position, len(self.turns))
        now = np.bincount(self.turns[:place], minlength=len(self.names))
        return tuple(periods * weight + int(n) for weight, n in zip(self.weights, now, strict=True))

    def draw(self, position: int) -> Draw:
        """What the stream holds at `position` (0 and up)."""
        periods, place = divmod(position, len(self.turns))
        turn = int(self.turns[place])
        epoch, sample = self.orders[turn].draw(
            periods * self.weights[turn] + int(self.before[place])
        )
        return Draw(epoch, self.firsts[turn] + sample)

    def batch(self, k: int, size: int) -> list[Draw]:
        """Global batch `k` of `size` samples."""
        return [self.draw(position) for position in range(k * size, (k + 1) * size)]

    def shards_at(self, position: int) -> tuple[list[int], list[int]]:
        """The shards that are being drawn from at `position`, and those that come after them."""
        now, later = list[int](), list[int]()
        for order, first, drawn in zip(
            self.orders, self.first_shards, self.drawn(position), strict=True
        ):
            these, next_ones = order.shards_at(drawn)
            now += [first + shard for shard in these]
            later += [first + shard for shard in next_ones]
        return now, later

    def epochs(self, position: int) -> dict[str, float]:
        """How often each data set has been gone through before `position`."""
        found = zip(self.names, self.orders, self.drawn(position), strict=True)
        return {name: round(drawn / len(order), 4) for name, order, drawn in found}
