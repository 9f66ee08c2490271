"""Tests of segtrain.optimizer."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segtrain.config import TrainConfig
from segtrain.models.fcn import FCN
from segtrain.optimizer import (
    learning_rate,
    make_optimizer,
    parameter_groups,
    pixel_loss,
    set_learning_rate,
)


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


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_groups_hold_each_parameter_once(norm: str) -> None:
    """Weights decay, biases learn twice as fast and do not, norms do not; none is missed."""
    net = FCN(5, width=0.06, norm=norm, variant="8s", upsampling="learned")
    groups = parameter_groups(net, 0.01)
    seen = [id(p) for group in groups for p in group["params"]]
    assert sorted(seen) == sorted(id(p) for p in net.parameters())
    rules = {id(p): (g["rate"], g["weight_decay"]) for g in groups for p in g["params"]}
    norms = {n for n, m in net.named_modules() if "Norm" in type(m).__name__}
    for name, parameter in net.named_parameters():
        layer, part = name.rsplit(".", 1)
        expected = (1.0, 0.01)
        if layer in norms:
            expected = (1.0, 0.0)
        elif part == "bias":
            expected = (2.0, 0.0)
        assert rules[id(parameter)] == expected, name


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


def test_biases_step_at_twice_the_rate() -> None:
    """With equal gradients and no decay, a bias moves twice as far as a weight."""
    net = FCN(5, width=0.06)
    optimizer = make_optimizer(net, TrainConfig(momentum=0.0, weight_decay=0.0).resolved())
    set_learning_rate(optimizer, 0.5)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in net.named_parameters():
        step = 1.0 if name.endswith("bias") else 0.5
        torch.testing.assert_close(before[name] - parameter, torch.full_like(parameter, step))
