"""Tests of segtrain.matrix_picture."""

import numpy as np
import pytest

from segtrain.manifests import ClassInfo
from segtrain.matrix_picture import grid, matrix_picture
from segtrain.overlays import PAPER


@pytest.mark.parametrize("size", [2, 21, 60])
def test_every_matrix_is_drawn_whole(size: int) -> None:
    """From two classes to many, names and cells stay on the paper; cells form a square."""
    classes = [ClassInfo(f"a class of number {i}", (i, i, i)) for i in range(size)]
    confmat = np.random.default_rng(0).integers(0, 99, (size, size))
    picture = np.asarray(matrix_picture(confmat, classes, "voc2012 val100, 100 of 1,449 images"))
    assert (picture[:, -4:] == PAPER).all()
    assert (picture[-4:] == PAPER).all()
    assert (picture[:, 0] == PAPER).all()


def test_cells_are_shares_of_their_row() -> None:
    """A row is coloured by its own sum; the diagonal is green, the rest red, empty rows paper."""
    cells = np.asarray(grid(np.array([[8, 0, 0], [10_000, 0, 0], [0, 0, 0]]), 34)).astype(int)
    right, wrong, empty = cells[4, 4], cells[38, 4], cells[72, 4]
    assert right[1] > right[0]
    assert wrong[0] > wrong[1]
    assert tuple(empty) == PAPER
    assert tuple(cells[4, 38]) == PAPER
