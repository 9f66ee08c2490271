"""Tests of segtrain.models.fc_densenet."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from segtrain.models.counts import count_macs
from segtrain.models.fc_densenet import PLANS, FCDenseNet, Plan

# of the authors' structure, at 11 and at 21 classes
COUNTS = {
    "fc_densenet56": (1_376_795, 1_378_725),
    "fc_densenet67": (3_463_243, 3_466_133),
    "fc_densenet103": (9_322_091, 9_324_661),
}
SMALL = Plan((2, 1, 2, 1, 2, 3, 1, 2, 1, 2, 1), 4)  # no two neighbours alike


def small(norm: str = "batch", width: float = 1.0, dropout: float = 0.0) -> FCDenseNet:
    """A net of few maps whose blocks differ in depth."""
    torch.manual_seed(0)
    return FCDenseNet(3, SMALL, norm=norm, width=width, dropout=dropout)


def by_formula(depths: tuple[int, ...], growth: int, classes: int) -> int:
    """Weights of an FC-DenseNet by sums over its blocks, from the paper's description."""

    def block(channels: int, depth: int) -> int:
        seen = [channels + i * growth for i in range(depth)]
        return sum(2 * c + 9 * c * growth + growth for c in seen)

    total, channels = 48 * 3 * 9 + 48, 48
    skips = []
    for depth in depths[:5]:
        total += block(channels, depth)
        channels += depth * growth
        skips.append(channels)
        total += 2 * channels + channels * channels + channels  # transition down
    total += block(channels, depths[5])
    for before, depth, skip in zip(depths[5:10], depths[6:], skips[::-1], strict=True):
        made = before * growth
        total += 9 * made * made + made  # transition up
        total += block(made + skip, depth)
        channels = made + skip + depth * growth
    return total + classes * channels + classes


@pytest.mark.parametrize("name", COUNTS)
def test_every_net_has_exactly_its_count(name: str) -> None:
    """FC-DenseNet56, 67 and 103 have the weights of the authors' structure, and of its formula."""
    for classes, count in zip((11, 21), COUNTS[name], strict=True):
        with torch.device("meta"):
            net = FCDenseNet(classes, PLANS[name])
        assert sum(p.numel() for p in net.parameters()) == count
        assert by_formula(*PLANS[name], classes) == count


@pytest.mark.parametrize(("name", "layers"), [(f"fc_densenet{n}", n) for n in (56, 67, 103)])
def test_a_net_has_as_many_layers_as_its_name_says(name: str, layers: int) -> None:
    """Convolutions, transposed ones among them, are counted in the name (section 3.4)."""
    with torch.device("meta"):
        net = FCDenseNet(11, PLANS[name])
    assert sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in net.modules()) == layers


class Recorder:
    """What went into and came out of each module of a net, by name."""

    def __init__(self, net: nn.Module, image: Tensor) -> None:
        self.given: dict[str, Tensor] = {}
        self.made: dict[str, Tensor] = {}
        for name, module in net.named_modules():
            module.register_forward_hook(
                lambda _, given, made, name=name: self.note(name, given, made)
            )
        with torch.no_grad():
            net(image)

    def note(self, name: str, given: tuple[Tensor, ...], made: object) -> None:
        """Keep copies: activations work in place."""
        self.given[name] = given[0].clone()
        if isinstance(made, Tensor):
            self.made[name] = made.clone()


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_every_layer_sees_exactly_the_maps_that_it_shall(norm: str) -> None:
    """The input of each layer is the maps of those before it, map by map and bit by bit.

    Within a block all earlier layers and its input; behind the bottleneck and each block of the
    way up only what that made goes up, in front of the stack of the same size from the way down;
    the scores see the whole last stack.
    """
    net = small(norm).eval()
    seen = Recorder(net, torch.randn(2, 3, 64, 96))

    def stack(block: str, depth: int, start: Tensor) -> list[Tensor]:
        """The maps of a block, and a check of what each of its layers saw."""
        maps = [start]
        for i in range(depth):
            assert torch.equal(seen.given[f"{block}.{i}"], torch.cat(maps, 1)), (block, i)
            maps.append(seen.made[f"{block}.{i}"])
        return maps

    maps, skips = [seen.made["first"]], []
    for i, depth in enumerate(SMALL.depths[:5]):
        maps = stack(f"down.{i}", depth, torch.cat(maps, 1))
        skips.append(torch.cat(maps, 1))
        assert torch.equal(seen.given[f"transitions.{i}"], skips[-1])
        maps = [F.max_pool2d(seen.made[f"transitions.{i}"], 2)]
    maps = stack("bottleneck", SMALL.depths[5], maps[0])
    for i, depth in enumerate(SMALL.depths[6:]):
        assert torch.equal(seen.given[f"ups.{i}"], torch.cat(maps[1:], 1))
        skip = skips.pop()
        height, width = skip.shape[2:]
        risen = seen.made[f"ups.{i}.conv"]
        assert risen.shape[2:] == (height + 1, width + 1)
        maps = stack(f"up.{i}", depth, torch.cat([risen[:, :, :height, :width], skip], 1))
    assert torch.equal(seen.given["score"], torch.cat(maps, 1))


def test_every_weight_learns() -> None:
    """Each weight gets a gradient: none stands beside the way to the scores."""
    net = small().train()
    net(torch.randn(2, 3, 64, 64)).square().mean().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert name.endswith("conv.bias") or float(weight.grad.abs().max()) > 0, name


def test_a_layer_is_norm_relu_convolution_and_dropout() -> None:
    """One layer computes what torch's functions say, dropout last and only in training."""
    layer = small(dropout=0.5).down[0][1].eval()
    x = torch.randn(2, layer.conv.in_channels, 8, 8)
    layer.norm.running_mean.normal_()
    layer.norm.running_var.uniform_(0.5, 2)
    norm = layer.norm
    shape = (1, -1, 1, 1)
    normed = (x - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + 1e-4).sqrt()
    expected = F.conv2d(normed.relu(), layer.conv.weight, layer.conv.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)
    dropped = layer.train()(torch.randn(8, layer.conv.in_channels, 16, 16))
    assert 0.3 < float((dropped == 0).float().mean()) < 0.7


def test_weights_start_by_hes_uniform_rule() -> None:
    """Weights lie evenly within the bound of He's rule by fan in; biases start at 0."""
    torch.manual_seed(1)
    net = FCDenseNet(21, PLANS["fc_densenet56"])
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            bound = math.sqrt(6 / module.weight[0].numel())  # sqrt(3) of sqrt(2 / fan in)
            weight = module.weight.detach()
            assert float(weight.abs().max()) <= bound
            if weight.numel() > 1000:
                assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
            assert module.bias is not None
            assert not module.bias.any()


@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_any_size_is_scored_as_its_padded_form(height: int, width: int) -> None:
    """Logits are as large as the image, and those of the image padded by zeros to 32s."""
    net = small(width=0.25).eval()
    image = torch.randn(1, 3, height, width)
    with torch.no_grad():
        scores = net(image)
        padded = net(F.pad(image, (0, -width % 32, 0, -height % 32)))
    assert scores.shape == (1, 3, height, width)
    torch.testing.assert_close(scores, padded[:, :, :height, :width])


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_company_changes_no_logits(norm: str) -> None:
    """An image alone gets the logits that it gets in a batch."""
    net = small(norm, width=0.25).eval()
    images = torch.randn(3, 3, 40, 33)
    with torch.no_grad():
        together = net(images)
        for i in range(3):
            torch.testing.assert_close(net(images[i : i + 1])[0], together[i])


def test_width_thins_the_growth_and_the_first_convolution() -> None:
    """Maps are those of the paper times the width, whole and at least two."""
    for width, first, growth in ((0.25, 12, 3), (0.125, 6, 2), (0.01, 2, 2), (2.0, 96, 24)):
        with torch.device("meta"):
            net = FCDenseNet(21, PLANS["fc_densenet56"], width=width)
        assert net.first.out_channels == first
        assert {layer.conv.out_channels for block in net.down for layer in block} == {growth}


def test_products_are_those_of_its_layers() -> None:
    """The multiply-accumulates of a pass are the weights of each convolution times its places."""
    net = small()
    seen = Recorder(net.eval(), torch.randn(1, 3, 64, 64))
    by_hand = 0
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            by_hand += module.weight.numel() * seen.made[name][0, 0].numel()
        elif isinstance(module, nn.ConvTranspose2d):
            by_hand += module.weight.numel() * seen.given[name][0, 0].numel()
    assert count_macs(small(), 64, 64) == by_hand


def test_the_docs_have_these_counts() -> None:
    """Each row of docs/models/fc_densenet.md is what that net counts."""
    page = (Path(__file__).parents[3] / "docs" / "models" / "fc_densenet.md").read_text("utf-8")
    for name, counts in COUNTS.items():
        with torch.device("meta"):
            net = FCDenseNet(21, PLANS[name])
        sides = ((224, 224), (360, 480), (480, 480), (512, 512))
        macs = [f"{count_macs(net, *side) / 1e9:.2f}" for side in sides]
        cells = [f"`{name}`", *(f"{count:,}" for count in counts), *macs]
        assert f"| {' | '.join(cells)} |" in page
