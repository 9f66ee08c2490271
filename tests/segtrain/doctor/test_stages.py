"""Tests of segtrain.doctor.stages: what is made of the times; the times are the machine's."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtrain.doctor.examination import Examination
from segtrain.doctor.stages import STAGES, Clock, Stages, fresh_draws

SECONDS = st.floats(1e-4, 1.0)


@given(
    times=st.tuples(SECONDS, SECONDS, SECONDS, SECONDS, SECONDS),
    batch=st.integers(1, 64),
    workers=st.integers(0, 32),
)
def test_workers_as_many_as_needed_leave_nothing_to_wait(
    times: tuple[float, ...], batch: int, workers: int
) -> None:
    """With them, on cores enough, the net waits for nothing, with one less it does; more cores or
    a slower net never make it wait longer.
    """
    found = Stages(*times, batch=batch, workers=workers, cores=10**9, accelerator=True)
    assert 0 <= found.waiting < 1
    needed = found.workers_needed
    assert replace(found, workers=needed).waiting == pytest.approx(0, abs=1e-9)
    if needed > 1:
        assert replace(found, workers=needed - 1).waiting > 0
    assert replace(found, step=2 * found.step).waiting <= found.waiting
    assert replace(found, cores=1).waiting >= found.waiting


def test_without_workers_making_and_computing_take_turns() -> None:
    """A batch of 4 at 3 ms each and a step of 12 ms: half of the time is waiting."""
    found = Stages(0.001, 0.001, 0.001, 0.5, 0.012, 4, 0, 2, accelerator=False)
    assert found.waiting == pytest.approx(0.5)
    assert found.slowest == "read"


def test_a_clock_sums_by_stage() -> None:
    """Each stage has its own sum, none before it was timed."""
    clock = Clock()
    with clock.time("read"):
        pass
    with clock.time("read"):
        pass
    assert clock.spent["read"] > 0
    assert [clock.spent[stage] for stage in STAGES[1:]] == [0, 0, 0]


def test_the_images_timed_were_not_read_before(examine: Callable[..., Examination]) -> None:
    """They follow those of the examination's batches in the run's own order."""
    exam = examine()
    size, batches = exam.patient.config.batch, exam.plan.batches
    order = exam.patient.data.order
    first = [draw for k in range(batches, batches + 2) for draw in order.batch(k, size)]
    assert fresh_draws(exam)[: len(first)] == first
