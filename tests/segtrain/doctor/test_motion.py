"""Tests of segtrain.doctor.motion: who has a gradient, and by when."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segtrain.doctor.examination import Examination
from segtrain.doctor.gradients import Gradients, peaks, wake_steps
from segtrain.doctor.motion import motion

# longer chains of zeros multiply so many small numbers that float32 ends before they do
chains = st.lists(st.booleans(), min_size=1, max_size=5).filter(lambda zeros: sum(zeros) <= 3)


@settings(max_examples=30, deadline=None)
@given(zeros=chains, seed=st.integers(0, 99))
def test_a_chain_wakes_in_time_or_never(zeros: list[bool], seed: int) -> None:
    """What has no gradient by `wake_steps` has none for as long again.

    Biases of 0.1 between the layers let zero layers wake one after the other; the last layer has
    no activation, as in an FCN.
    """
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for zero in zeros:
        conv = nn.Conv2d(4, 4, 1)
        nn.init.constant_(conv.bias, 0.1)
        if zero:
            nn.init.zeros_(conv.weight)
        layers += [conv, nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    seen = Gradients.of(net)
    needed = wake_steps(net)
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    image, target = torch.rand(2, 4, 3, 3), torch.randint(4, (2, 3, 3))
    for _ in range(needed):
        step(net, optimizer, image, target)
        seen.see(peaks(net))
    silent = seen.silent
    for _ in range(needed + 3):
        step(net, optimizer, image, target)
        seen.see(peaks(net))
    assert seen.silent == silent


def step(
    net: nn.Module, optimizer: torch.optim.Optimizer, image: torch.Tensor, target: torch.Tensor
) -> None:
    """One step on one batch."""
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(image), target).backward()
    optimizer.step()


def test_the_smallest_gradient_is_one() -> None:
    """A gradient whose square is no number any more is seen; none and zero are not; NaN is."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    net[0].weight.grad = torch.tensor([[0.0, -1e-30], [0.0, 0.0]])
    net[1].weight.grad = torch.full((2, 2), math.nan)
    seen = Gradients.of(net)
    seen.see(peaks(net))
    assert seen.first == {"0.weight": 1, "0.bias": 0, "1.weight": 1}


def test_weight_decay_is_no_learning(examine: Callable[..., Examination]) -> None:
    """Dead layers whose weights decay are dead; the copy's weights moved, the gradient did not."""
    exam = examine(conv_init="zero", variant="32s", norm="none", weight_decay=0.1)
    made = exam.once(motion)
    assert "conv1_1" in [layer.label for layer in made.dead()]
    before = dict(exam.patient.model.named_parameters())["features.0.weight"]
    after = dict(made.learner.predictor.model.named_parameters())["features.0.weight"]
    assert not torch.equal(before, after)


def test_frozen_is_not_dead(examine: Callable[..., Examination]) -> None:
    """Layers that do not want a gradient are not missed."""
    exam = examine()
    for parameter in exam.patient.predictor.model.features.parameters():
        parameter.requires_grad_(requires_grad=False)
    assert exam.once(motion).dead() == []


def test_a_loss_that_breaks_ends_the_watch(examine: Callable[..., Examination]) -> None:
    """NaN is noted with its step, and moves no weight."""
    exam = examine(norm="none")
    with torch.no_grad():
        exam.patient.predictor.model.score_fr.bias.fill_(math.nan)
    made = exam.once(motion)
    assert made.broke == 1
    assert made.losses == []


@pytest.mark.parametrize(
    ("options", "needed"), [({}, 4), ({"score_init": "he", "skip_init": "he"}, 1)]
)
def test_the_steps_needed_count_the_zero_layers(
    options: dict[str, str], needed: int, examine: Callable[..., Examination]
) -> None:
    """Three score layers at zero need four steps at most; none needs one."""
    exam = examine(**options)
    assert wake_steps(exam.patient.model) == needed
