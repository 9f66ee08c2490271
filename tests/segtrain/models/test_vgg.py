"""Tests of segtrain.models.vgg."""

import pytest
import torch
from torch import nn
from torchvision import models

from segtrain.models.vgg import DEPTHS, make_trunk


@pytest.mark.parametrize("trunk", DEPTHS)
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_the_trunk_is_torchvisions(trunk: str, norm: str) -> None:
    """Names and shapes of each trunk are those of torchvision's, so weights load by name."""
    with torch.device("meta"):
        ours, ends = make_trunk(trunk, norm, "relu", 1.0)
        theirs = models.get_model(trunk if norm == "none" else f"{trunk}_bn").features
    expected = {k: v.shape for k, v in theirs.state_dict().items()}
    if norm == "group":  # has the weights of a batch norm and no statistics
        expected = {k: v for k, v in expected.items() if k.endswith(("weight", "bias"))}
    assert {k: v.shape for k, v in ours.state_dict().items()} == expected
    assert ends == [i for i, layer in enumerate(theirs) if isinstance(layer, nn.MaxPool2d)]
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("trunk", DEPTHS)
def test_a_trunk_computes_what_torchvisions_does(trunk: str) -> None:
    """With the same weights pool5 is the same, bit for bit."""
    letter = dict(zip(DEPTHS, "ABDE", strict=True))[trunk]
    with torch.device("meta"):
        theirs = models.vgg.make_layers(models.vgg.cfgs[letter])
        ours, _ = make_trunk(trunk, "none", "relu", 1.0)
    state = {k: torch.randn(v.shape) * 0.05 for k, v in theirs.state_dict().items()}
    for net in (theirs, ours):
        net.load_state_dict(state, assign=True)
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(ours(image), theirs(image))


@pytest.mark.parametrize(
    ("activation", "kind"),
    [
        ("relu", nn.ReLU),
        ("leaky_relu", nn.LeakyReLU),
        ("elu", nn.ELU),
        ("gelu", nn.GELU),
        ("sigmoid", nn.Sigmoid),
    ],
)
def test_an_activation_stands_where_torchvision_has_its_relu(
    activation: str, kind: type[nn.Module]
) -> None:
    """Every convolution is followed by the activation that was asked for, and by no other."""
    trunk, _ = make_trunk("vgg11", "none", activation, 0.06)
    kinds = [type(layer) for layer in trunk]
    assert kinds.count(kind) == kinds.count(nn.Conv2d) == 8
    assert set(kinds) == {nn.Conv2d, kind, nn.MaxPool2d}
