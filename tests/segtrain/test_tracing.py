"""Tests of segtrain.tracing: planted faults must be found where they were planted."""

import math

import pytest
import torch
from torch import Tensor, nn

from segtrain.models.fcn import FCN
from segtrain.tracing import Range, Trace, all_finite, broken_weight, watched


def net() -> FCN:
    """A thin net whose every layer passes something on."""
    torch.manual_seed(0)
    return FCN(4, width=0.06, norm="none", score_init="he", skip_init="he", dropout=0.0)


def traced(model: nn.Module) -> Trace:
    """One step of a net on noise."""
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with watched(model) as trace:
        torch.autograd.backward(model(image).float().logsumexp(1).mean())
    return trace


def test_a_healthy_step_has_no_origin() -> None:
    """Every layer and every gradient is seen, all finite; afterwards nothing looks on any more."""
    model = net()
    trace = traced(model)
    assert trace.origin() == ""
    layers = {name for name, m in model.named_modules() if not list(m.children())}
    assert {passage.layer for passage in trace.forward} == layers
    weights = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {g.of for g in trace.backward if g.kind == "weight"} == weights
    seen = len(trace.forward), len(trace.backward)
    model(torch.zeros(1, 3, 32, 32)).sum().backward()
    assert (len(trace.forward), len(trace.backward)) == seen


@pytest.mark.parametrize("layer", ["features.0", "features.7", "head.fc6", "score_pool4"])
def test_the_layer_where_it_began_is_named(layer: str) -> None:
    """Finite weights that overflow in one layer: that layer is found, and its input is finite."""
    model = net()
    with torch.no_grad():
        model.get_submodule(layer).weight.fill_(3e38)  # type: ignore[operator]
    assert broken_weight(model.state_dict().items()) == ""
    origin = traced(model).origin()
    assert origin.startswith(f"it began in {layer} (Conv2d): ")
    assert "of its output are NaN or infinite, while its input is finite (" in origin


class BadGradient(torch.autograd.Function):
    """Passes a tensor on, and a gradient of NaN back."""

    @staticmethod
    def forward(_: object, x: Tensor) -> Tensor:  # type: ignore[override]
        return x.clone()

    @staticmethod
    def backward(_: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * math.nan


def test_a_gradient_that_breaks_is_found_on_the_way_back() -> None:
    """With a finite forward pass the first broken gradient is named, in the order backwards."""
    model = net()
    model.features[9].register_forward_hook(
        lambda _, __, output: BadGradient.apply(output)  # type: ignore[no-untyped-call]
    )
    origin = traced(model).origin()
    assert origin.startswith("the forward pass is finite; it began in the gradient of ")
    assert "the output of features.8: 25 % are" in origin  # a pooling passes back a quarter


def test_what_breaks_between_layers_is_told_as_that() -> None:
    """A sum of two finite scores that overflows belongs to no layer."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(3, 1, 1, bias=False) for _ in range(3))
            with torch.no_grad():
                for conv in (self.a, self.b):
                    conv.weight.fill_(2e38 / 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.c((self.a(x.abs().clamp(1, 1)) + self.b(x.abs().clamp(1, 1))).repeat(
                1, 3, 1, 1))  # fmt: skip
            return y

    assert traced(Sum()).origin() == "it began in what is between the layers, just before c"


def test_a_broken_weight_is_named_with_its_numbers() -> None:
    """The first tensor with a NaN or an infinity, and how many of its numbers are."""
    model = net()
    with torch.no_grad():
        model.features[2].bias[1] = math.inf
        model.features[5].weight.fill_(math.nan)
    assert broken_weight(model.named_parameters()) == "features.2.bias (1 of 8 numbers)"
    counts = [("steps", torch.tensor(3)), ("mean", torch.zeros(2))]
    assert broken_weight(counts) == ""


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_single_bad_number_is_seen(bad: float) -> None:
    """However large the finite ones are, no sum hides or makes an infinity."""
    big = torch.full((1000,), 3e38)
    assert all_finite([big, torch.zeros(3)])
    big[500] = bad
    assert not all_finite([torch.zeros(3), big])
    assert all_finite([])


def test_a_range_is_that_of_the_finite_numbers() -> None:
    """Least, greatest, and the share of the rest; of nothing finite there is no range."""
    found = Range.of(torch.tensor([1.0, math.nan, -2.0, math.inf]))
    assert (found.low, found.high, found.share) == (-2.0, 1.0, 0.5)
    assert found.words() == "-2 to 1"
    assert math.isnan(Range.of(torch.tensor([math.nan])).low)
