"""Tests of segtrain.averaging."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segtrain.averaging import WeightAverage, decay_at
from segtrain.models.fcn import FCN


def thin(norm: str = "batch") -> FCN:
    """A thin net."""
    torch.manual_seed(0)
    return FCN(4, width=0.05, norm=norm)


@given(st.integers(1, 10**6), st.floats(0, 0.9999))
def test_the_decay_rises_to_its_value(step: int, decay: float) -> None:
    """The decay never falls, never passes its value, and reaches it."""
    assert 0 <= decay_at(step, decay) <= decay_at(step + 1, decay) <= decay
    assert decay_at(10**9, decay) == decay


def test_the_average_is_the_weighted_sum_of_the_weights_so_far() -> None:
    """After some steps every weight and statistic is the sum that the decays prescribe."""
    net = thin()
    average = WeightAverage(net, 0.4)
    name = "features.0.weight"
    expected = {n: v.double().clone() for n, v in net.state_dict().items()}
    for step in range(1, 6):
        with torch.no_grad():
            for value in net.state_dict().values():
                value.add_(torch.randn(value.shape) if value.is_floating_point() else 1)
        d = min(0.4, (1 + step) / (10 + step))
        expected = {n: d * expected[n] + (1 - d) * v for n, v in net.state_dict().items()}
        average.update(net)
    found = average.model.state_dict()
    for n, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[n], atol=1e-5, rtol=1e-5)
    counters = [n for n in found if n.endswith("num_batches_tracked")]
    assert counters
    assert all(found[n] == 5 for n in counters)
    assert not torch.equal(found[name], net.state_dict()[name])


def test_the_average_shares_nothing_with_the_net() -> None:
    """Training the net leaves its average alone; the average is in evaluation mode."""
    net = thin().train()
    average = WeightAverage(net, 0.9)
    before = {n: v.clone() for n, v in average.model.state_dict().items()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    assert all(torch.equal(before[n], v) for n, v in average.model.state_dict().items())
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())


def test_weights_that_do_not_move_are_their_own_average() -> None:
    """A frozen weight's average is that weight, bit for bit."""
    net = thin("group")
    average = WeightAverage(net, 0.99)
    for _ in range(3):
        average.update(net)
    ours, theirs = average.model.state_dict(), net.state_dict()
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_an_average_goes_on_where_it_was_saved() -> None:
    """Restored, it takes in further steps as if it had never stopped."""
    net = thin()
    whole, first = WeightAverage(net, 0.9), WeightAverage(net, 0.9)
    for step in range(6):
        if step == 3:
            second = WeightAverage(thin("batch"), 0.9)
            second.restore({n: v.clone() for n, v in first.model.state_dict().items()}, 3)
            first = second
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(1.5)
        whole.update(net)
        first.update(net)
    assert first.steps == whole.steps == 6
    ours, theirs = first.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_the_first_steps_count_most() -> None:
    """After one step the average is mostly the net of that step; later it spans many."""
    assert decay_at(1, 0.999) == pytest.approx(2 / 11)
    assert decay_at(90, 0.999) == pytest.approx(0.91)
    assert decay_at(100_000, 0.999) == 0.999
