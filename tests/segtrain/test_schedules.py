"""Tests of segtrain.schedules."""

import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtrain.config import TrainConfig
from segtrain.options.training import Schedule
from segtrain.schedules import learning_rate


def test_the_rate_warms_up_and_decays() -> None:
    """The rate rises in even steps, peaks below lr after the warm-up, and ends near 0."""
    config = TrainConfig(steps=100, lr=0.1, warmup=10, power=0.9).resolved()
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[9]
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[50] == pytest.approx(0.1 * 0.5**0.9)
    assert 0 < rates[99] == pytest.approx(0.1 * 0.01**0.9)
    assert learning_rate(0, TrainConfig(lr=0.1, warmup=0).resolved()) == pytest.approx(0.1)


def power_of(schedule: str, power: float) -> dict[str, Any]:
    """The exponent, for the schedule that has one."""
    return {"power": power} if schedule == "poly" else {}


configs = st.builds(
    lambda schedule, steps, warmup, power: TrainConfig(
        schedule=schedule, steps=steps, warmup=warmup, lr=0.3, **power_of(schedule, power)
    ).resolved(),
    st.sampled_from(get_args(Schedule)),
    st.integers(2, 5000),
    st.integers(0, 300),
    st.floats(0.1, 3),
)


@given(configs)
def test_rates_stay_between_nothing_and_the_peak(config: TrainConfig) -> None:
    """Every rate is above 0 and at most lr; after the warm-up it never rises."""
    warmup = min(config.warmup or 0, config.steps)
    some = range(0, config.steps, max(1, config.steps // 50))
    rates = [learning_rate(step, config) for step in some]
    assert all(0 < rate <= 0.3 for rate in rates)
    later = [learning_rate(s, config) for s in some if s + 1 >= warmup]
    assert later == sorted(later, reverse=True)


@given(configs)
def test_the_end_is_that_of_the_schedule(config: TrainConfig) -> None:
    """One step past the last, poly and cosine stand at 0, constant at its peak."""
    past = learning_rate(config.steps, config) / min(
        1, (config.steps + 1) / max(1, config.warmup or 0)
    )
    assert past == pytest.approx(0.3 if config.schedule == "constant" else 0, abs=1e-12)


@given(configs)
def test_the_warm_up_has_no_jump(config: TrainConfig) -> None:
    """While it warms up, the rate is the schedule's times a straight line from near 0 to 1."""
    bare = TrainConfig(
        schedule=config.schedule, steps=config.steps, warmup=0, power=config.power, lr=0.3
    ).resolved()
    warmup = config.warmup or 0
    for step in range(0, min(config.steps, warmup + 3), max(1, warmup // 20)):
        share = learning_rate(step, config) / learning_rate(step, bare)
        assert share == pytest.approx(min(1, (step + 1) / max(1, warmup)))


def test_schedules_are_the_known_formulas() -> None:
    """Half-way, poly is at 2 ** -power and cosine at a half; constant stays."""
    made = {
        name: TrainConfig(schedule=name, steps=100, warmup=0, lr=1, **power_of(name, 2)).resolved()
        for name in get_args(Schedule)
    }
    assert learning_rate(50, made["poly"]) == pytest.approx(0.25)
    assert learning_rate(50, made["cosine"]) == pytest.approx(0.5)
    assert learning_rate(25, made["cosine"]) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert learning_rate(99, made["constant"]) == 1
