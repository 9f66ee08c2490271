"""Tests of segtrain.pace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtrain.pace import Pace, Plan, duration


@given(st.integers(1, 60), st.integers(0, 20), st.data())
def test_what_is_left_is_counted_step_by_step(steps: int, every: int, data: st.DataObject) -> None:
    """Images left to validate on are those of all later validations; the last is on all images."""
    done = data.draw(st.integers(0, steps))
    plan = Plan(steps, val_every=every, first=5, whole=70)
    expected = 0
    for step in range(done + 1, steps + 1):
        if every and step == steps:
            expected += 70
        elif every and step % every == 0:
            expected += 5
    assert plan.images(done) == expected


def test_the_time_left_has_the_validations_in_it() -> None:
    """Steps and validation images count by their own pace, as soon as both are known."""
    plan, pace = Plan(100, val_every=40, first=10, whole=50), Pace()
    assert pace.left(plan, 0) == (None, False)
    pace.trained(4, 8.0)
    assert pace.left(plan, 20) == (160.0, False)
    pace.validated(10, 5.0)
    assert pace.left(plan, 20) == (160.0 + 70 * 0.5, True)
    assert pace.left(plan, 100) == (0.0, True)
    assert Pace(step=2.0).left(Plan(100), 50) == (100.0, True)


def test_later_measures_count_more() -> None:
    """A change of speed is followed, one odd interval is not believed at once."""
    pace = Pace()
    pace.trained(1, 1.0)
    pace.trained(1, 2.0)
    assert pace.step is not None
    assert 1.0 < pace.step < 1.5
    for _ in range(20):
        pace.trained(1, 2.0)
    assert pace.step == pytest.approx(2.0, abs=0.01)
    pace.trained(0, 5.0)
    assert pace.step == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (41.4, "41 s"), (99, "99 s"), (100, "2 min"), (3600, "60 min"),
        (11_520, "3 h 12 min"), (172_000, "47 h 47 min"), (273_600, "3 d 4 h"),
    ],
)  # fmt: skip
def test_a_time_reads_well(seconds: float, words: str) -> None:
    """Two units at most, none of them zero at the front."""
    assert duration(seconds) == words
