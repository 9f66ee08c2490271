"""Tests of segtrain.curve."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtrain.curve import BRAILLE, DOTS, draw, place, resampled, scale

NUMBERS = st.floats(-1e6, 1e6)


def heights(rows: list[str], columns: int) -> list[set[int]]:
    """The heights of the dots in each column of dots, from the top, decoded from the text."""
    found: list[set[int]] = [set() for _ in range(2 * columns)]
    for y, text in enumerate(rows):
        for x, char in enumerate(text):
            bits = ord(char) - BRAILLE
            for right in (0, 1):
                for down in range(4):
                    if 0 < bits < 256 and bits & DOTS[right][down]:
                        found[2 * x + right].add(4 * y + down)
    return found


@given(st.lists(NUMBERS, min_size=1, max_size=80), st.integers(1, 30), st.integers(2, 8))
def test_every_column_has_its_value(values: list[float], columns: int, rows: int) -> None:
    """In each column of dots the curve passes through the height of its value, without a gap."""
    drawn = draw(values, {}, columns, rows)
    text = ["".join(cell.text for cell in row.cells) for row in drawn]
    assert {len(line) for line in text} == {columns}
    low, high = scale(values, {})
    dots = heights(text, columns)
    wanted = [place(v, low, high, 4 * rows) for v in resampled(values, 2 * columns)]
    assert all(want in found for want, found in zip(wanted, dots, strict=True))
    for before, found in zip(wanted, dots[1:], strict=False):
        assert min(abs(before - y) for y in found) <= 1


@given(st.lists(NUMBERS, min_size=1, max_size=200), st.integers(1, 50))
def test_resampling_keeps_range_and_ends(values: list[float], columns: int) -> None:
    """Never beyond the values; where there is room the first and the last are kept."""
    found = resampled(values, columns)
    assert len(found) == columns
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= min(found)
    assert max(found) <= max(values) + slack
    if 1 < len(values) <= columns:
        assert found[0] == pytest.approx(values[0])
        assert found[-1] == pytest.approx(values[-1])


def test_means_of_neighbours_stand_for_many_values() -> None:
    """Where values are more than columns each column is the mean of its own."""
    assert resampled([1.0, 3.0, 5.0, 7.0], 2) == [2.0, 6.0]


def test_levels_are_marked_where_they_lie() -> None:
    """A level has its line and its name in its row; one far away does not squeeze the curve."""
    rows = draw([3.0, 2.0, 1.0, 0.0], {"ln C": 3.04, "far": 50.0}, 20, 5)
    assert rows[0].level == "ln C 3.04"
    assert any(cell.kind == "level" for cell in rows[0].cells)
    assert not any("far" in row.level for row in rows)
    assert (rows[0].label, rows[-1].label) == ("3.04", "0")


def test_a_flat_curve_and_a_single_value_are_drawn() -> None:
    """Nothing is divided by a range of zero."""
    for values in ([1.5], [0.0, 0.0, 0.0]):
        rows = draw(values, {}, 10, 3)
        assert any(cell.kind == "curve" for row in rows for cell in row.cells)


def test_without_unicode_there_are_stars() -> None:
    """On a terminal of ASCII the same curve has one star a character."""
    rows = draw([3.0, 1.0], {"ln C": 3.0}, 12, 4, ascii_only=True)
    text = ["".join(cell.text for cell in row.cells) for row in rows]
    assert set("".join(text)) <= set("*- ")
    assert text[0].startswith("*")
    assert text[-1].endswith("*")
    assert math.isclose(sum(line.count("*") for line in text), 12, abs_tol=3)
