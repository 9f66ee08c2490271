"""Tests of segtrain.loss."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segtrain.loss import Criterion, pixel_loss, pixel_weight


def batch(seed: int, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Random logits and targets with void in them."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 5, 6, 7, generator=rng)
    target = torch.randint(0, 6, (count, 6, 7), generator=rng)
    return logits, target.where(target < 5, torch.tensor(255)).to(torch.uint8)


@given(st.integers(0, 99))
def test_the_loss_is_the_sum_over_valid_pixels(seed: int) -> None:
    """Sum and number are those of the pixels that are not void, counted one by one."""
    logits, target = batch(seed)
    logp = logits.log_softmax(1)
    expected = [
        -logp[n, int(target[n, y, x]), y, x]
        for n in range(3)
        for y in range(6)
        for x in range(7)
        if target[n, y, x] != 255
    ]
    loss, valid = pixel_loss(logits, target)
    assert int(valid) == len(expected)
    torch.testing.assert_close(loss, torch.stack(expected).sum())


@given(st.integers(0, 99), st.integers(1, 2))
def test_parts_of_a_batch_add_up(seed: int, cut: int) -> None:
    """However a batch is divided, sums over numbers give its loss, void unevenly spread or not."""
    logits, target = batch(seed)
    target[0] = 255
    whole, number = pixel_loss(logits, target)
    parts = [pixel_loss(logits[s], target[s]) for s in (slice(cut), slice(cut, None))]
    torch.testing.assert_close(sum(p[0] for p in parts), whole)
    assert sum(int(p[1]) for p in parts) == int(number)


def test_an_all_void_batch_has_loss_and_gradient_zero() -> None:
    """Where no pixel is valid the loss is 0, finite, and pushes nothing."""
    logits, target = batch(0)
    logits.requires_grad_()
    loss, valid = pixel_loss(logits, torch.full_like(target, 255))
    torch.autograd.backward(loss / valid.clamp(min=1))
    assert (loss.item(), int(valid)) == (0.0, 0)
    assert logits.grad is not None
    assert torch.count_nonzero(logits.grad) == 0


def test_memory_format_changes_no_loss() -> None:
    """Logits in channels_last give the loss of the same logits in NCHW."""
    logits, target = batch(4)
    turned = logits.to(memory_format=torch.channels_last)
    assert torch.equal(pixel_loss(logits, target)[0], pixel_loss(turned, target)[0])
    expected = F.cross_entropy(logits, target.long(), ignore_index=255, reduction="sum")
    torch.testing.assert_close(pixel_loss(logits, target)[0], expected)


@given(st.integers(0, 99))
def test_classes_weigh_as_they_are_told(seed: int) -> None:
    """Sum and weight are those of the valid pixels, each by its class's weight, one by one."""
    logits, target = batch(seed)
    weights = torch.tensor([0.5, 2.0, 0.0, 1.0, 7.5])
    logp = logits.log_softmax(1)
    places = [(n, y, x) for n in range(3) for y in range(6) for x in range(7)]
    valid = [(p, int(target[p])) for p in places if target[p] != 255]
    loss, weight = pixel_loss(logits, target, weights)
    expected = sum(-weights[c] * logp[n, c, y, x] for (n, y, x), c in valid)
    torch.testing.assert_close(loss, torch.as_tensor(expected))
    torch.testing.assert_close(weight, torch.stack([weights[c] for _, c in valid]).sum())
    mean = Criterion("mean", weights).mean(loss, weight)
    torch.testing.assert_close(
        mean, F.cross_entropy(logits, target.long(), weights, ignore_index=255)
    )


@pytest.mark.parametrize("weight", [1e-4, 3.0])
def test_equal_weights_change_no_mean_loss(weight: float) -> None:
    """Where all classes weigh alike, and be it next to nothing, the mean is the plain loss's."""
    logits, target = batch(1)
    weights = torch.full((5,), weight)
    plain = Criterion().mean(*pixel_loss(logits, target))
    torch.testing.assert_close(
        Criterion("mean", weights).mean(*pixel_loss(logits, target, weights)), plain
    )


def test_pixels_that_weigh_nothing_push_nothing() -> None:
    """A batch whose pixels are all of a class of weight 0 has loss and gradient 0, not NaN."""
    logits, target = batch(2)
    logits.requires_grad_()
    criterion = Criterion("mean", torch.tensor([0.0, 1, 1, 1, 1]))
    target = torch.zeros_like(target)
    loss = criterion.objective(criterion.total(logits, target), criterion.weight(target))
    torch.autograd.backward(loss)
    assert (loss.item(), float(criterion.weight(target))) == (0.0, 0.0)
    assert logits.grad is not None
    assert torch.count_nonzero(logits.grad) == 0


def test_the_objective_of_sum_is_the_mean_times_the_pixels() -> None:
    """What backward starts from differs by the weight of the valid pixels, and by nothing else."""
    logits, target = batch(3)
    weight = pixel_weight(target)
    total = pixel_loss(logits, target)[0]
    mean, whole = (Criterion(kind).objective(total, weight) for kind in ("mean", "sum"))
    torch.testing.assert_close(mean * weight, whole)
