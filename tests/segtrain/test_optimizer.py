"""Tests of segtrain.optimizer."""

import copy

import pytest
import torch

from segtrain.config import TrainConfig
from segtrain.models.fcn import FCN
from segtrain.optimizer import (
    make_optimizer,
    parameter_groups,
    restore_optimizer,
    set_learning_rate,
)
from segtrain.options.training import Optimizer


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


def test_a_state_of_another_device_keeps_this_ones_way() -> None:
    """Restored from another device's state, the momentum is its, the kernel this device's."""
    config = TrainConfig(norm="none").resolved()
    ours, theirs = (make_optimizer(FCN(5, width=0.06), config) for _ in range(2))
    for parameter in theirs.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    set_learning_rate(theirs, 0.1)
    theirs.step()
    state = theirs.state_dict()
    for group in state["param_groups"]:
        group["fused"] = None
    restore_optimizer(ours, state)
    assert [group["fused"] for group in ours.param_groups] == [True, True]
    assert ours.param_groups[0]["rate"] == 1.0
    for mine, other in zip(ours.state.values(), theirs.state.values(), strict=True):
        assert torch.equal(mine["momentum_buffer"], other["momentum_buffer"])


KINDS = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_optimiser_keeps_the_groups(kind: Optimizer) -> None:
    """Without gradient only weights of convolutions decay; with one, biases go twice as far."""
    net = FCN(5, width=0.06, norm="group", score_init="he", skip_init="he")
    config = TrainConfig(optimizer=kind, momentum=0.0, weight_decay=0.1).resolved()
    optimizer = make_optimizer(net, config)
    assert type(optimizer) is KINDS[kind]
    set_learning_rate(optimizer, 0.01)
    norms = {n for n, m in net.named_modules() if isinstance(m, torch.nn.GroupNorm)}
    start = {n: p.detach().clone() for n, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in net.named_parameters():
        decays = name.endswith("weight") and name.rsplit(".", 1)[0] not in norms
        assert torch.equal(start[name], parameter) != decays, name
    optimizer = make_optimizer(net, TrainConfig(
        optimizer=kind, momentum=0.0, weight_decay=0.0).resolved())  # fmt: skip
    set_learning_rate(optimizer, 0.01)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {n: (before[n] - p.detach()).mean().item() for n, p in net.named_parameters()}
    conv, bias, gain = (moved[f"features.{n}"] for n in ("0.weight", "0.bias", "1.weight"))
    assert conv > 0
    assert bias == pytest.approx(2 * conv, rel=1e-3)
    assert gain == pytest.approx(conv, rel=1e-3)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_optimiser_goes_on_from_its_state(kind: Optimizer) -> None:
    """Saved and loaded in the middle, an optimiser takes the very steps it would have taken."""

    def steps(net: FCN, optimizer: torch.optim.Optimizer, seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)
        for parameter in net.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=rng)
        set_learning_rate(optimizer, 0.01)
        optimizer.step()

    config = TrainConfig(optimizer=kind).resolved()
    torch.manual_seed(1)
    net = FCN(3, width=0.05, norm="group")
    optimizer = make_optimizer(net, config)
    steps(net, optimizer, 1)
    other = FCN(3, width=0.05, norm="group")
    other.load_state_dict(net.state_dict())
    resumed = make_optimizer(other, config)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(net, optimizer, 2)
    steps(other, resumed, 2)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
