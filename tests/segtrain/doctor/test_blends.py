"""Tests of segtrain.doctor.blends: lines of ids that lie between those beside them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from segtrain.doctor.blends import THIN, Blends, along_rows, blends


@settings(max_examples=120, deadline=None)
@given(
    mask=arrays(
        np.uint8,
        st.tuples(st.integers(1, 4), st.integers(1, 12)),
        elements=st.sampled_from([0, 2, 3, 5, 255]),
    )
)
def test_rows_are_counted_run_by_run(mask: np.ndarray) -> None:
    """Every run of equal ids and its two neighbours, looked at one by one."""
    borders = blended = 0
    for line in mask.tolist():
        runs: list[list[int]] = []
        for label in line:
            if runs and runs[-1][0] == label:
                runs[-1][1] += 1
            else:
                runs.append([label, 1])
        for (a, _), (b, _) in itertools.pairwise(runs):
            borders += 255 not in (a, b) and abs(a - b) > 1
        for (a, _), (m, n), (b, _) in zip(runs, runs[1:], runs[2:], strict=False):
            blended += 255 not in (a, m, b) and n <= THIN and (a < m < b or b < m < a)
    assert along_rows(mask) == Blends(borders + blended, blended)


@pytest.mark.parametrize(("rule", "invents"), [("BILINEAR", True), ("NEAREST", False)])
@pytest.mark.parametrize("factor", [0.5, 0.8, 1.6])
def test_interpolation_leaves_its_lines(rule: str, factor: float, *, invents: bool) -> None:
    """A bilinear resize blends a third of all borders or more, the nearest rule none."""
    y, x = np.mgrid[:80, :100]
    mask = np.where((y - 40) ** 2 + (x - 45) ** 2 < 900, 12, 0).astype(np.uint8)
    image = Image.fromarray(mask)
    size = (round(100 * factor), round(80 * factor))
    found = blends(np.asarray(image.resize(size, Image.Resampling[rule])))
    assert found.borders > 50
    assert (found.blended > found.borders / 3) if invents else (found.blended == 0)
