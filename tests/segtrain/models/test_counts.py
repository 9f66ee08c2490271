"""Tests of segtrain.models.counts."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from segtrain.models.counts import count_macs, count_parameters, count_training_macs
from segtrain.models.fcn import FCN

# published by torchvision for its classifiers of 1,000 classes: without norm, with batch norm
PUBLISHED = {
    "vgg11": (132_863_336, 132_868_840),
    "vgg13": (133_047_848, 133_053_736),
    "vgg16": (138_357_544, 138_365_992),
    "vgg19": (143_667_240, 143_678_248),
}
LAYERS = {"32s": 134_346_581, "16s": 134_357_354, "8s": 134_362_751}  # on VGG16, 21 classes
FULL_UPSAMPLING = {"32s": 1_806_336, "16s": 458_640, "8s": 127_008}  # C x C kernels everywhere
VARIANTS = ["32s", "16s", "8s"]
# out and in channels of VGG16's convolutions at the full side, a half, a quarter, ...
VGG16 = [
    [(64, 3), (64, 64)],
    [(128, 64), (128, 128)],
    [(256, 128), (256, 256), (256, 256)],
    [(512, 256), (512, 512), (512, 512)],
    [(512, 512), (512, 512), (512, 512)],
]


def shapes_only(classes: int, **options: object) -> FCN:
    """A net without values."""
    with torch.device("meta"):
        return FCN(classes, **options)


def by_hand(trunk: str, variant: str, norm: str, classes: int) -> int:
    """Weights without upsampling: torchvision's count with the last layer exchanged for scores."""
    scores = {"32s": [4096], "16s": [4096, 512], "8s": [4096, 512, 256]}[variant]
    kept = PUBLISHED[trunk][norm != "none"] - (4096 * 1000 + 1000)
    norms = 0 if norm == "none" else 2 * (2 * 4096)  # of fc6 and fc7, which torchvision's has not
    return kept + norms + sum(classes * (channels + 1) for channels in scores)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("trunk", PUBLISHED)
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_every_net_has_exactly_its_count(trunk: str, variant: str, norm: str) -> None:
    """All trunks, variants and norms count as torchvision's published numbers say."""
    for classes in (2, 21):
        net = shapes_only(classes, trunk=trunk, variant=variant, norm=norm)
        assert count_parameters(net).layers == by_hand(trunk, variant, norm, classes)


@pytest.mark.parametrize("variant", VARIANTS)
def test_full_nets_have_the_papers_parameter_counts(variant: str) -> None:
    """At 21 classes and full width the layers without upsampling count exactly as in the paper.

    Fixed upsampling is held as one kernel per class: the paper's full C x C count is C times it.
    """
    count = count_parameters(shapes_only(21, variant=variant))
    assert count.layers == LAYERS[variant] == by_hand("vgg16", variant, "none", 21)
    assert count.learned == 0
    assert count.fixed * 21 == FULL_UPSAMPLING[variant]


@pytest.mark.parametrize(("variant", "learned"), [("16s", 7056), ("8s", 14_112)])
def test_learned_upsampling_adds_full_kernels(variant: str, learned: int) -> None:
    """The x2 layers add 21 x 21 kernels of 4 x 4 each; with a full last one, the paper's sum."""
    net = shapes_only(21, variant=variant, upsampling="learned")
    count = count_parameters(net)
    assert (count.layers, count.learned) == (LAYERS[variant], learned)
    assert count.learned + count.fixed * 21 == FULL_UPSAMPLING[variant]
    assert sum(p.numel() for p in net.parameters()) == LAYERS[variant] + learned


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_1x1_head_counts_48_kernels_less(variant: str) -> None:
    """fc6 of 1x1 has a forty-ninth of the 7x7 one's weights; all else is equal."""
    count = count_parameters(shapes_only(21, variant=variant, head="1x1"))
    assert count.layers == LAYERS[variant] - 48 * 512 * 4096


def macs_by_hand(side: int, classes: int, variant: str) -> int:
    """Products of FCN on VGG16 at a square whose side 32 divides, layer by layer."""
    total, at = 0, side
    for block in VGG16:
        total += sum(at * at * 9 * out * into for out, into in block)
        at //= 2
    total += at * at * (4096 * 512 * 49 + 4096 * 4096 + 4096 * classes)
    last = {"32s": 32, "16s": 16, "8s": 8}[variant]
    if variant != "32s":
        total += (at + 2) ** 2 * classes * 4 * 4 + (2 * at) ** 2 * 512 * classes
    if variant == "8s":
        total += (2 * at + 2) ** 2 * classes * 4 * 4 + (4 * at) ** 2 * 256 * classes
    return total + (side // last + 2) ** 2 * classes * (2 * last) ** 2


@pytest.mark.parametrize(("side", "billions"), [(320, 43.3), (480, 97.4), (512, 110.8)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_products_are_those_of_the_layers(side: int, billions: float, variant: str) -> None:
    """The count is the sum over the layers, and rounds to the known numbers."""
    found = count_macs(shapes_only(21, variant=variant), side, side)
    assert found == macs_by_hand(side, 21, variant)
    assert found / 1e9 == pytest.approx(billions, abs=0.15)


@pytest.mark.parametrize("trunk", PUBLISHED)
@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
def test_torchs_own_counter_agrees(trunk: str, upsampling: str) -> None:
    """torch counts twice as many floating-point operations, for odd sizes and any trunk."""
    net = shapes_only(7, trunk=trunk, width=0.25, upsampling=upsampling, head="1x1", norm="batch")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.empty(1, 3, 100, 70, device="meta"))
    assert count_macs(net, 100, 70) * 2 == counter.get_total_flops()


def test_counting_leaves_the_net_as_it_was() -> None:
    """Mode, statistics and hooks of a net are untouched by the count."""
    torch.manual_seed(0)
    net = FCN(4, width=0.06, norm="batch").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    count_macs(net, 64, 64)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("frozen", ["none", "trunk", "head"])
@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
def test_torchs_own_counter_agrees_on_training(frozen: str, upsampling: str) -> None:
    """Forward and backward cost what torch counts on the same shapes, a part frozen or not."""
    net = shapes_only(7, width=0.25, upsampling=upsampling, norm="group")
    net.freeze(frozen)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(net(torch.empty(1, 3, 64, 64, device="meta")).sum())
    assert count_training_macs(net, 64, 64) * 2 == counter.get_total_flops()


def test_training_costs_about_three_forward_passes() -> None:
    """Only the first layer, whose input has no gradient, and the upsampling cost fewer."""
    net = shapes_only(21, variant="8s")
    passes = count_training_macs(net, 320, 320) / count_macs(net, 320, 320)
    assert 2.9 < passes < 3


def test_the_docs_have_these_counts() -> None:
    """Each row of docs/models/fcn.md is what the net of that trunk and variant counts."""
    page = (Path(__file__).parents[3] / "docs" / "models" / "fcn.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| vgg")]
    assert [(row[0], row[1]) for row in rows] == [(t, v) for t in PUBLISHED for v in VARIANTS]
    for trunk, variant, *found in rows:
        options = {"trunk": trunk, "variant": variant}
        plain = shapes_only(21, **options)
        small = shapes_only(21, head="1x1", **options)
        nets = [plain, shapes_only(21, norm="batch", **options), small]
        weights = [f"{count_parameters(net).layers:,}" for net in nets]
        macs = [count_macs(plain, side, side) for side in (320, 480, 512)]
        macs.append(count_macs(small, 480, 480))
        assert found == [*weights, *(f"{m / 1e9:.2f}" for m in macs)]
