"""Tests of segtrain.occasions."""

from hypothesis import given
from hypothesis import strategies as st

from segtrain.config import TrainConfig
from segtrain.occasions import is_due, is_kept, validates

COUNTS = st.integers(1, 12)


@given(COUNTS, COUNTS, st.integers(0, 12), st.integers(0, 12))
def test_lines_and_validations_fall_on_their_steps(
    steps: int, log_every: int, val_every: int, keep_every: int
) -> None:
    """Lines come every so many steps, at each validation and at the end; 0 is never."""
    config = TrainConfig(
        steps=steps, log_every=log_every, val_every=val_every, keep_every=keep_every
    )
    taken = range(1, steps + 1)
    multiples = {every: set(range(every, steps + 1, every)) for every in range(1, 13)} | {0: set()}
    validations = multiples[val_every] | ({steps} if val_every else set())
    assert {s for s in taken if validates(config, s)} == validations
    assert {s for s in taken if is_due(config, s)} == (multiples[log_every] | validations | {steps})
    assert {s for s in taken if is_kept(config, s)} == multiples[keep_every]
