"""The verifier's own resize against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segdata.verify.images import Scratch, shrink

SIDE = st.integers(1, 70)


def overlap(centre: float, half: float, pixel: int) -> float:
    """How much of a pixel lies within `half` of a centre."""
    return max(0.0, min(centre + half, pixel + 1) - max(centre - half, pixel))


def weight(resampling: str, centre: float, scale: float, pixel: int) -> float:
    """What a source pixel counts for in an output pixel `scale` pixels wide, before the sum."""
    if resampling == "opencv-area":
        return overlap(centre, scale / 2, pixel)
    return max(0.0, 1 - abs(pixel + 0.5 - centre) / scale)


def resized(line: NDArray[np.float64], length: int, resampling: str) -> NDArray[np.float64]:
    """A resize along the first axis, pixel by pixel."""
    scale = len(line) / length
    out = []
    for i in range(length):
        weights = [weight(resampling, (i + 0.5) * scale, scale, p) for p in range(len(line))]
        out.append(np.tensordot(weights, line, 1) / sum(weights))
    return np.array(out)


@pytest.mark.parametrize("resampling", ["bilinear", "opencv-area"])
@given(size=st.tuples(SIDE, SIDE), data=st.data())
@settings(max_examples=40, deadline=None)
def test_shrink_is_the_mean_under_each_pixel(
    resampling: str, size: tuple[int, int], data: st.DataObject
) -> None:
    """Every pixel is the weighted mean that the resampling's definition says, also at the edges."""
    height, width = (data.draw(st.integers(1, side)) for side in size)
    seed = data.draw(st.integers(0, 2**32 - 1))
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    rows = resized(image.astype(np.float64), height, resampling)
    expected = resized(rows.swapaxes(0, 1), width, resampling).swapaxes(0, 1)
    scratch = Scratch()
    for _ in range(2):  # what is left in the scratch of one image must not show in the next
        found = shrink(image, height, width, resampling=resampling, scratch=scratch)
        np.testing.assert_allclose(found, expected, atol=0.01)
