"""Tests of segtrain.schedules."""

import dataclasses
import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtrain.config import TrainConfig
from segtrain.errors import UsageError
from segtrain.options.training import Schedule
from segtrain.schedules import learning_rate, with_decay_steps


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
    """The exponent, for the schedule that has one, or the steps between falls."""
    own: dict[str, dict[str, Any]] = {
        "poly": {"power": power},
        "exponential": {"decay": power / 4, "decay_steps": 10 + int(100 * power)},
    }
    return own.get(schedule, {})


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
    """One step past the last, poly and cosine stand at 0, the others where they have fallen to."""
    past = learning_rate(config.steps, config) / min(
        1, (config.steps + 1) / max(1, config.warmup or 0)
    )
    expected = {"poly": 0.0, "cosine": 0.0, "constant": 0.3}
    if config.schedule == "exponential":
        expected["exponential"] = 0.3 * config.decay ** (config.steps // (config.decay_steps or 1))
    assert past == pytest.approx(expected[config.schedule], abs=1e-12)


@given(configs)
def test_the_warm_up_has_no_jump(config: TrainConfig) -> None:
    """While it warms up, the rate is the schedule's times a straight line from near 0 to 1."""
    bare = TrainConfig(
        schedule=config.schedule, steps=config.steps, warmup=0, lr=0.3, power=config.power,
        decay=config.decay, decay_steps=config.decay_steps,
    ).resolved()  # fmt: skip
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


def test_exponential_falls_after_each_pass() -> None:
    """The rate keeps its height for an epoch, then falls by its factor, 0.995 after the first."""
    config = TrainConfig(schedule="exponential", steps=100, batch=3, lr=1, warmup=0).resolved()
    ready = with_decay_steps(config, 29)  # ten steps of three images
    rates = [learning_rate(step, ready) for step in range(100)]
    assert ready.decay_steps == 10
    assert rates[:10] == [1] * 10
    assert rates[10:20] == [0.995] * 10
    assert rates[99] == pytest.approx(0.995**9)
    assert with_decay_steps(dataclasses.replace(config, decay_steps=7), 29).decay_steps == 7
    assert with_decay_steps(TrainConfig().resolved(), 0).decay_steps is None
    with pytest.raises(UsageError, match="a stream does not count them; add --decay-steps"):
        with_decay_steps(config, 0)
