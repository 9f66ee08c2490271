"""Tests of segtrain.models.fcn."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import vgg16, vgg16_bn

from segtrain.config import TrainConfig
from segtrain.models.fcn import (
    FCN,
    Upsample,
    bilinear_kernel,
    count_parameters,
    norm_groups,
    scaled,
)
from segtrain.optimizer import make_optimizer, pixel_loss, set_learning_rate

THIN = 0.06
LAYERS = {"32s": 134_346_581, "16s": 134_357_354, "8s": 134_362_751}
FULL_UPSAMPLING = {"32s": 1_806_336, "16s": 458_640, "8s": 127_008}  # C x C kernels everywhere
VARIANTS = ["32s", "16s", "8s"]


def thin(variant: str = "8s", **options: object) -> FCN:
    """A thin net for 5 classes, ready to predict."""
    torch.manual_seed(0)
    return FCN(5, variant=variant, width=THIN, **options).eval()


def random_image(height: int, width: int, count: int = 1) -> Tensor:
    """Normalised noise `(count, 3, height, width)`."""
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("variant", VARIANTS)
def test_full_nets_have_the_papers_parameter_counts(variant: str) -> None:
    """At 21 classes and full width the layers without upsampling count exactly as in the paper.

    Fixed upsampling is held as one kernel per class: the paper's full C x C count is C times it.
    """
    with torch.device("meta"):
        count = count_parameters(FCN(21, variant=variant))
    assert count.layers == LAYERS[variant]
    assert count.learned == 0
    assert count.fixed * 21 == FULL_UPSAMPLING[variant]


@pytest.mark.parametrize(("variant", "learned"), [("16s", 7056), ("8s", 14_112)])
def test_learned_upsampling_adds_full_kernels(variant: str, learned: int) -> None:
    """The x2 layers add 21 x 21 kernels of 4 x 4 each; with a full last one, the paper's sum."""
    with torch.device("meta"):
        net = FCN(21, variant=variant, upsampling="learned")
    count = count_parameters(net)
    assert (count.layers, count.learned) == (LAYERS[variant], learned)
    assert count.learned + count.fixed * 21 == FULL_UPSAMPLING[variant]
    assert sum(p.numel() for p in net.parameters()) == LAYERS[variant] + learned


@pytest.mark.parametrize(("norm", "theirs"), [("none", vgg16), ("batch", vgg16_bn)])
def test_the_trunk_is_torchvisions(norm: str, theirs: object) -> None:
    """Names and shapes of the trunk are those of torchvision's VGG16, so weights load by name."""
    with torch.device("meta"):
        ours = FCN(21, norm=norm).features.state_dict()
        expected = theirs().features.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in expected.items()}


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from(VARIANTS))
@settings(max_examples=15)
def test_logits_have_the_images_size(height: int, width: int, variant: str) -> None:
    """Any image, down to one pixel, gets a score for every class at every pixel."""
    with torch.inference_mode():
        logits = thin(variant)(random_image(height, width))
    assert logits.shape == (1, 5, height, width)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_an_image_alone_gives_the_logits_it_gives_in_a_batch(variant: str, norm: str) -> None:
    """In evaluation mode images of a batch do not influence each other."""
    net = thin(variant, norm=norm, score_init="he", skip_init="he")
    images = random_image(40, 70, count=3)
    with torch.inference_mode():
        together = net(images)
        for i in range(3):
            torch.testing.assert_close(net(images[i : i + 1]), together[i : i + 1])


def test_padding_is_cropped_at_the_right_place() -> None:
    """An image of odd size gives the logits of the same image padded with zeros by hand."""
    net = thin(score_init="he", skip_init="he")
    image = random_image(45, 77)
    with torch.inference_mode():
        by_hand = net(F.pad(image, (0, 19, 0, 19)))
        torch.testing.assert_close(net(image), by_hand[:, :, :45, :77])


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


def test_skips_meet_the_deep_scores_where_they_lie() -> None:
    """A mark in the image moves the scores of 8s around the mark, not elsewhere."""
    net = thin("8s", skip_init="he", norm="none")
    image = torch.zeros(1, 3, 128, 128)
    marked = image.clone()
    marked[:, :, 80:96, 16:32] = 3.0
    with torch.inference_mode():
        change = (net(marked) - net(image)).abs().sum((0, 1))  # (H, W)
    rows, columns = change.sum(1), change.sum(0)
    centre = [float((v * torch.arange(128)).sum() / v.sum()) for v in (rows, columns)]
    assert centre == pytest.approx([87.5, 23.5], abs=8)


def test_score_layers_alone_start_at_zero() -> None:
    """By default a fresh net scores 0 everywhere, and every hidden convolution is random."""
    net = thin()
    assert torch.count_nonzero(net(random_image(64, 64))) == 0
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            assert (torch.count_nonzero(module.weight) == 0) == name.startswith("score_"), name


@pytest.mark.parametrize(
    ("option", "layers"),
    [
        ("score_init", ["score_fr"]),
        ("skip_init", ["score_pool4", "score_pool3"]),
        ("conv_init", ["head.fc6", "head.fc7"]),
    ],
)
def test_each_init_option_decides_its_own_layers(option: str, layers: list[str]) -> None:
    """`zero` and `he` change exactly the layers that the option names."""
    nets = {rule: thin(**{option: rule}) for rule in ("zero", "he")}
    for name in ["head.fc6", "head.fc7", "score_fr", "score_pool4", "score_pool3", "features.0"]:
        values = {r: torch.count_nonzero(n.get_submodule(name).weight) for r, n in nets.items()}
        if name in layers:
            assert values["zero"] == 0
            assert values["he"] > 0
        else:
            assert (values["zero"] > 0) == (values["he"] > 0)


def test_he_keeps_the_scale_through_the_trunk() -> None:
    """He's initialisation neither kills nor blows up activations through all 15 hidden layers."""
    torch.manual_seed(0)
    net = FCN(5, width=0.25).eval()
    with torch.inference_mode():
        deep = net.head(net.pools(random_image(96, 96))[-1])
    assert 0.05 < float(deep.std()) < 20


def train(net: FCN, steps: int) -> dict[str, Tensor]:
    """Take steps on one batch; the gradients of the last step, by parameter."""
    net.train()
    config = TrainConfig(lr=0.01, norm="none", momentum=0.0).resolved()
    optimizer = make_optimizer(net, config)
    set_learning_rate(optimizer, 0.01)
    target = torch.randint(0, 5, (2, 64, 64), generator=torch.Generator().manual_seed(2))
    for _ in range(steps):
        loss, valid = pixel_loss(net(random_image(64, 64, 2)), target.to(torch.uint8))
        optimizer.zero_grad()
        torch.autograd.backward(loss / valid)
        optimizer.step()
    return {n: p.grad for n, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_every_layer_learns_from_the_second_step_on(norm: str) -> None:
    """Zero score layers move at once, what lies below them one step later: no layer stays dead."""
    first = train(thin(norm=norm, dropout=0.0), 1)
    assert first["score_fr.weight"].abs().sum() > 0
    assert first["features.0.weight"].abs().sum() == 0
    for name, gradient in train(thin(norm=norm, dropout=0.0), 2).items():
        if norm != "none" and name.endswith("bias") and is_normed(name):
            continue  # a norm takes out what the bias before it adds
        assert gradient.abs().sum() > 0, name


def is_normed(name: str) -> bool:
    """Whether a parameter is that of a layer which may be followed by a norm."""
    return name.startswith(("features.", "head."))


def test_a_hidden_head_at_zero_never_moves() -> None:
    """With fc6 and fc7 at zero and ReLUs behind them, the deep path stays dead, the skips learn."""
    net = thin(conv_init="zero", score_init="he", dropout=0.0)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    gradients = train(net, 6)
    for name in ("head.fc6.weight", "head.fc7.weight", "score_fr.weight"):
        assert gradients[name].abs().sum() == 0, name
    for name in ("head.fc6.weight", "head.fc7.weight"):
        assert torch.equal(net.get_parameter(name), before[name])
    assert gradients["score_pool4.weight"].abs().sum() > 0
    assert not torch.equal(net.get_parameter("score_pool3.weight"), before["score_pool3.weight"])


@pytest.mark.parametrize("head", ["paper", "1x1"])
def test_heads_have_their_kernel_sizes(head: str) -> None:
    """The paper's fc6 is 7x7, the other head's 1x1; fc7 is 1x1 in both; dropout follows each."""
    modules = dict(thin(head=head, dropout=0.3).head.named_children())
    fc6, fc7 = modules["fc6"], modules["fc7"]
    assert isinstance(fc6, nn.Conv2d)
    assert isinstance(fc7, nn.Conv2d)
    assert (fc6.kernel_size, fc7.kernel_size) == ((7, 7) if head == "paper" else (1, 1), (1, 1))
    assert [m.p for m in modules.values() if isinstance(m, nn.Dropout)] == [0.3, 0.3]


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


def test_channels_last_changes_no_figure() -> None:
    """The memory format changes the logits by rounding only."""
    net = thin(score_init="he", skip_init="he", norm="group")
    image = random_image(64, 96)
    with torch.inference_mode():
        plain = net(image)
        turned = net.to(memory_format=torch.channels_last)(
            image.to(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(plain, turned, rtol=1e-4, atol=1e-5)
