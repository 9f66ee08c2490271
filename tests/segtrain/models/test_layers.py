"""Tests of segtrain.models.layers."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segtrain.models.layers import Upsample, bilinear_kernel, norm_groups, scaled


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_the_kernel_is_bilinear(factor: int) -> None:
    """The kernel follows the tent of bilinear interpolation; shifted by its stride it sums to 1."""
    kernel = bilinear_kernel(factor)
    assert kernel.shape == (2 * factor, 2 * factor)
    tent = [1 - abs(i - (factor - 0.5)) / factor for i in range(2 * factor)]
    for i in (0, factor - 1, factor, 2 * factor - 1):
        for j in (0, factor):
            assert kernel[i, j] == pytest.approx(tent[i] * tent[j])
    overlap = kernel.view(2, factor, 2, factor).sum((0, 2))
    torch.testing.assert_close(overlap, torch.ones(factor, factor))


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
@pytest.mark.parametrize("learned", [True, False])
def test_upsampling_starts_as_bilinear_interpolation(factor: int, learned: bool) -> None:
    """Fixed and learned layers both interpolate between cell centres, up to the border."""
    layer = Upsample(3, factor, learned=learned)
    scores = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(layer(scores), expected)
    assert len(list(layer.parameters())) == int(learned)
    assert len(layer.state_dict()) == int(learned)


@given(st.integers(1, 5000), st.floats(0.01, 2))
def test_widths_suit_group_norms(channels: int, width: float) -> None:
    """Scaled channel counts are multiples of 8 that group norm can divide, nearest to the exact."""
    count = scaled(channels, width)
    assert count % 8 == 0
    assert count == 8 or abs(count - channels * width) <= 4
    groups = norm_groups(count)
    assert count % groups == 0
    assert 1 <= groups <= 32
    assert count // groups >= 4


def test_a_memory_format_does_not_turn_a_fixed_kernel() -> None:
    """Buffers that ranks share stay contiguous, and channels_last changes no output."""
    layer = Upsample(3, 8, learned=False)
    scores = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = layer(scores)
    turned = layer.to(memory_format=torch.channels_last)
    assert [buffer.is_contiguous() for buffer in turned.buffers()] == [True]
    torch.testing.assert_close(
        turned(scores.contiguous(memory_format=torch.channels_last)), expected
    )
