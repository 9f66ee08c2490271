"""Tests of segtrain.mixture and segtrain.mixed_order: what `--mix` promises."""

import math
import pickle
import re
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtrain.errors import UsageError
from segtrain.mixed_order import MixedOrder
from segtrain.mixture import parse_mix, turns, whole_weights
from segtrain.sampler import Draw

weights = st.lists(st.integers(1, 12), min_size=1, max_size=6)
shard_sizes = st.lists(st.integers(1, 5), min_size=1, max_size=7)
NAMES = "abcdef"


@st.composite
def orders(draw: st.DrawFn) -> MixedOrder:
    """Mixtures of a few small data sets."""
    sizes = draw(st.lists(shard_sizes, min_size=1, max_size=4))
    chosen = {name: draw(st.integers(1, 7)) for name, _ in zip(NAMES, sizes, strict=False)}
    return MixedOrder(
        dict(zip(NAMES, sizes, strict=False)),
        {name: Fraction(n) for name, n in chosen.items()},
        seed=draw(st.integers(0, 5)),
        block=draw(st.integers(1, 3)),
    )


def stream_of(order: MixedOrder, length: int) -> list[tuple[int, Draw]]:
    """The beginning of a stream: data set and draw."""
    stops = [*order.firsts[1:], len(order)]
    draws = [order.draw(position) for position in range(length)]
    return [(next(i for i, stop in enumerate(stops) if d.sample < stop), d) for d in draws]


@given(weights)
def test_from_the_start_each_has_its_share(given_weights: list[int]) -> None:
    """After any number of draws each data set has its share of them to within 1 - 1/(2K-2)."""
    whole = tuple(
        whole_weights({str(i): Fraction(w) for i, w in enumerate(given_weights)}).values()
    )
    total, count = sum(whole), len(whole)
    order = turns(whole)
    assert len(order) == total
    bound = Fraction(0) if count == 1 else 1 - Fraction(1, 2 * count - 2)
    drawn = [0] * count
    for place, turn in enumerate(order, start=1):
        drawn[turn] += 1
        for weight, n in zip(whole, drawn, strict=True):
            assert abs(n - Fraction(weight * place, total)) <= bound
    assert drawn == list(whole)


@given(orders(), st.integers(0, 40), st.integers(1, 40))
def test_every_window_has_the_shares(order: MixedOrder, begin: int, length: int) -> None:
    """In any window of two data sets each has its share to within 1, of more to within 2."""
    found = Counter(turn for turn, _ in stream_of(order, begin + length)[begin:])
    bound = 1 if len(order.names) <= 2 else 2
    for i, share in enumerate(order.shares):
        assert abs(found[i] - share * length) <= bound + 1e-9


@given(orders())
def test_each_data_set_goes_through_its_own_epochs(order: MixedOrder) -> None:
    """Of each data set every epoch holds every sample once, told by `Draw.epoch`."""
    sizes = [len(o) for o in order.orders]
    longest = max(3 * size / share for size, share in zip(sizes, order.shares, strict=True))
    stream = stream_of(order, math.ceil(longest) + 1)
    for i, size in enumerate(sizes):
        mine = [draw for turn, draw in stream if turn == i]
        whole = range(order.firsts[i], order.firsts[i] + size)
        for epoch in range(2):
            piece = mine[epoch * size : (epoch + 1) * size]
            assert sorted(draw.sample for draw in piece) == list(whole)
            assert {draw.epoch for draw in piece} == {epoch}


@given(orders(), st.integers(0, 10**9), st.integers(1, 5))
def test_any_batch_is_found_without_the_ones_before(order: MixedOrder, k: int, size: int) -> None:
    """A pickled mixture gives the same far-away batch as one that was used; a pure function."""
    fresh = pickle.loads(pickle.dumps(order))  # noqa: S301 - our own bytes
    order.batch(0, size)
    assert order.batch(k, size) == fresh.batch(k, size)
    assert order.batch(k, size) == [order.draw(k * size + i) for i in range(size)]


@given(orders(), st.integers(0, 60))
def test_the_shards_of_a_place_are_known(order: MixedOrder, position: int) -> None:
    """Each sample lies in a shard that is said to be drawn from at its place or to come next."""
    starts = [s for i, o in enumerate(order.orders) for s in (o.starts[:-1] + order.firsts[i])]
    sample = order.draw(position).sample
    shard = max(n for n, start in enumerate(starts) if start <= sample)
    assert shard in order.shards_at(position)[0]
    if position:
        assert shard in {s for part in order.shards_at(position - 1) for s in part}


@given(orders(), st.integers(0, 50))
def test_epochs_count_what_was_drawn(order: MixedOrder, position: int) -> None:
    """Epochs by data set are its samples drawn so far over its samples."""
    drawn = Counter(turn for turn, _ in stream_of(order, position))
    assert order.drawn(position) == tuple(drawn[i] for i in range(len(order.names)))
    for i, name in enumerate(order.names):
        expected = drawn[i] / len(order.orders[i])
        assert order.epochs(position)[name] == pytest.approx(expected, abs=1e-4)


def test_a_further_data_set_leaves_the_others_streams_alone() -> None:
    """The samples of a data set come in the same order whatever it is mixed with."""
    sizes = {"a": (5, 5), "b": (4, 3)}
    few = MixedOrder(sizes, {"a": Fraction(1), "b": Fraction(1)}, 3)
    rising = dict(zip("abc", map(Fraction, (1, 2, 3)), strict=True))
    more = MixedOrder(sizes | {"c": (9,)}, rising, 3)
    ours, theirs = (
        [d.sample for turn, d in stream_of(order, 60) if turn == 1] for order in (few, more)
    )
    assert ours[:20] == theirs[:20]


def test_seeds_and_data_sets_have_orders_of_their_own() -> None:
    """Another seed is another order, and two data sets of one size are not shuffled alike."""
    sizes, even = {"a": (40,), "b": (40,)}, {"a": Fraction(1), "b": Fraction(1)}
    streams = [stream_of(MixedOrder(sizes, even, seed), 80) for seed in (0, 1)]
    assert streams[0] != streams[1]
    first, second = ([d.sample % 40 for turn, d in streams[0] if turn == i] for i in (0, 1))
    assert first != second


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("voc2012=2,coco2017=1", {"voc2012": 2, "coco2017": 1}),
        (" a = 0.5 , b = 1/3", {"a": 3, "b": 2}),
        ("a=4,b=2", {"a": 2, "b": 1}),
        ("a=7", {"a": 1}),
    ],
)
def test_weights_are_exact(text: str, expected: dict[str, int]) -> None:
    """Whole numbers, decimals and fractions are taken as written; only proportions matter."""
    assert whole_weights(parse_mix(text)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("voc2012", "'voc2012' is no NAME=WEIGHT; write it as --mix voc2012=2,coco2017=1"),
        ("a=1,", "'' is no NAME=WEIGHT"),
        ("=1", "'=1' is no NAME=WEIGHT"),
        ("a=1,a=2", "names a twice"),
        ("a=0,b=1", "the weight of a is 0, it must be above 0; leave a out"),
        ("a=-1", "the weight of a is -1, it must be above 0"),
        ("a=much", "the weight of a is 'much', no number"),
        ("a=nan", "the weight of a is 'nan', no number"),
        ("a=1/0", "the weight of a is '1/0', no number"),
        ("a=1,b=0.0000001", "repeat after 10,000,001 samples only"),
    ],
)
def test_mixtures_that_mean_nothing_are_refused(text: str, words: str) -> None:
    """What is no mixture is a usage error that shows what is wrong."""
    with pytest.raises(UsageError, match=re.escape(words)):
        parse_mix(text)
