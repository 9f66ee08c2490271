"""Tests of segtrain.sampler."""

import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segtrain.sampler import Order

sizes = st.lists(st.integers(0, 7), min_size=1, max_size=9).filter(sum).map(tuple)
orders = st.builds(Order, sizes, st.integers(0, 5), st.integers(1, 4))


def epoch_of(order: Order, epoch: int) -> list[int]:
    """The samples of one epoch, in order."""
    n = len(order)
    return [order.draw(epoch * n + i).sample for i in range(n)]


@given(orders, st.integers(0, 3))
def test_an_epoch_holds_every_sample_once(order: Order, epoch: int) -> None:
    """Each epoch is a permutation of all samples, drawn in that epoch."""
    assert sorted(epoch_of(order, epoch)) == list(range(len(order)))
    assert {order.draw(epoch * len(order) + i).epoch for i in range(len(order))} == {epoch}


@given(orders, st.integers(1, 9))
def test_batches_cut_the_concatenated_epochs(order: Order, size: int) -> None:
    """Batch k is the stream from k * size on, also where it reaches into the next epochs."""
    stream = [sample for epoch in range(30) for sample in epoch_of(order, epoch)]
    for k in (0, 1, 2):
        expected = stream[k * size : (k + 1) * size]
        assert [draw.sample for draw in order.batch(k, size)] == expected


@given(orders, st.integers(0, 3))
def test_samples_stay_in_the_block_of_their_shard(order: Order, epoch: int) -> None:
    """Cut after every `block` shards of the epoch, each piece holds those shards, whole."""
    shards = order.layout(epoch)[0].tolist()
    assert sorted(shards) == list(range(len(order.shard_sizes)))
    samples = epoch_of(order, epoch)
    ends = np.cumsum([0, *order.shard_sizes])
    for begin in range(0, len(shards), order.block):
        block = shards[begin : begin + order.block]
        expected = sorted(s for shard in block for s in range(ends[shard], ends[shard + 1]))
        piece, samples = samples[: len(expected)], samples[len(expected) :]
        assert sorted(piece) == expected
    assert samples == []


@given(orders, st.integers(0, 10**9), st.integers(1, 4))
@settings(max_examples=50)
def test_any_batch_is_found_without_the_ones_before(order: Order, k: int, size: int) -> None:
    """A fresh or pickled order gives the same far-away batch as one that was used before."""
    fresh = Order(order.shard_sizes, order.seed, order.block)
    order.batch(0, size)
    assert order.batch(k, size) == fresh.batch(k, size)
    assert pickle.loads(pickle.dumps(order)).batch(k, size) == fresh.batch(k, size)  # noqa: S301 - our own bytes


def test_seeds_and_epochs_differ() -> None:
    """Another seed or another epoch is another order."""
    order, other = Order((50, 50), 0), Order((50, 50), 1)
    assert epoch_of(order, 0) != epoch_of(order, 1)
    assert epoch_of(order, 0) != epoch_of(other, 0)


def test_many_shards_stay_quick_to_index() -> None:
    """Only the block that is asked for is shuffled: caches stay small over a long stream."""
    order = Order((10,) * 500, 0)
    for position in range(0, 20_000, 50):
        order.draw(position)
    assert len(order.blocks) <= 4
    assert len(order.layouts) <= 4


@given(orders.filter(lambda order: all(order.shard_sizes)), st.integers(0, 60))
def test_the_shards_of_a_place_are_known(order: Order, position: int) -> None:
    """From a place on come samples of its block's shards, then those of the next, no others."""
    now, later = order.shards_at(position)
    left = sum(order.shard_sizes[s] for s in now) - order.find(position)[2]
    after = sum(order.shard_sizes[s] for s in later)
    samples = [order.draw(position + i).sample for i in range(left + after)]
    shards = [int(np.searchsorted(order.starts, s, side="right")) - 1 for s in samples]
    assert set(shards[:left]) <= set(now)
    assert set(shards[left:]) == set(later)
    assert len(now) <= order.block
    assert order.epochs(position) == {}
