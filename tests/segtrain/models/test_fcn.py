"""Tests of segtrain.models.fcn."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from segtrain.config import TrainConfig
from segtrain.loss import pixel_loss
from segtrain.models import build
from segtrain.models.fcn import FCN
from segtrain.models.vgg import DEPTHS
from segtrain.optimizer import make_optimizer, set_learning_rate

THIN = 0.06
VARIANTS = ["32s", "16s", "8s"]


def thin(variant: str = "8s", **options: object) -> FCN:
    """A thin net for 5 classes, ready to predict."""
    torch.manual_seed(0)
    return FCN(5, variant=variant, width=THIN, **options).eval()


def random_image(height: int, width: int, count: int = 1) -> Tensor:
    """Normalised noise `(count, 3, height, width)`."""
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@given(
    st.integers(1, 70), st.integers(1, 70), st.sampled_from(VARIANTS), st.sampled_from([*DEPTHS])
)
@settings(max_examples=20)
def test_logits_have_the_images_size(height: int, width: int, variant: str, trunk: str) -> None:
    """Any image, down to one pixel, gets a score for every class at every pixel."""
    with torch.inference_mode():
        logits = thin(variant, trunk=trunk)(random_image(height, width))
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


@pytest.mark.parametrize("head", ["paper", "1x1"])
def test_a_place_changes_no_figure(head: str) -> None:
    """In the memory order of a CPU logits and gradients are the same; in float64, whose rounding
    turns no maximum of a pooling into another."""
    image, found = random_image(64, 96).double(), []
    net = thin(score_init="he", skip_init="he", norm="group", head=head).double()
    for placed in (net, copy.deepcopy(net).placed(torch.device("cpu"))):
        logits = placed(image.to(memory_format=torch.channels_last))
        logits.square().mean().backward()
        found.append([logits.detach(), *(p.grad for p in placed.parameters())])
    assert placed.score_pool4.weight.is_contiguous(memory_format=torch.channels_last)
    assert placed.fc6.weight.is_contiguous()
    for plain, turned in zip(*found, strict=True):
        torch.testing.assert_close(plain, turned)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "sigmoid"])
@pytest.mark.parametrize("norm", ["none", "group"])
def test_every_layer_learns_under_every_activation(activation: str, norm: str) -> None:
    """From the second step on no weight of the net is without a gradient."""
    gradients = train(thin(norm=norm, activation=activation, trunk="vgg11", dropout=0.0), 2)
    for name, gradient in gradients.items():
        if name.endswith("weight"):
            assert gradient.abs().sum() > 0, name


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_a_hidden_bias_stands_in_front_of_the_activation(norm: str) -> None:
    """With zero weights, fc6 puts out what the activation makes of the bias, whatever the norm."""
    net = thin(norm=norm, conv_init="zero", hidden_bias=0.1, dropout=0.0).train()
    with torch.no_grad():
        first = net.head[: 2 + (norm != "none")](torch.randn(2, 32, 3, 3))
    torch.testing.assert_close(first, torch.full_like(first, 0.1))
    assert torch.count_nonzero(net.get_parameter("score_fr.bias")) == 0
    assert torch.count_nonzero(net.get_parameter("features.0.bias")) == 0


def test_a_hidden_bias_wakes_a_zero_head_as_copies() -> None:
    """fc6 and fc7 at zero with a bias of 0.1 move, and all units of a layer alike."""
    net = thin(conv_init="zero", hidden_bias=0.1, dropout=0.0)
    train(net, 6)
    for name in ("head.fc6.weight", "head.fc7.weight"):
        weight = net.get_parameter(name)
        assert weight.abs().sum() > 0
        assert len(torch.unique(weight.detach().flatten(1), dim=0)) == 1


def test_a_relu_after_zero_scores_stops_everything() -> None:
    """Score layers at zero in front of a ReLU never move, and nothing below them does."""
    gradients = train(thin(score_activation="relu", dropout=0.0), 4)
    assert all(gradient.abs().sum() == 0 for gradient in gradients.values())


def test_an_activation_after_the_scores_holds_for_each_of_them() -> None:
    """With a ReLU after the score layers no logit is negative, from whichever layer it comes."""
    for only in ("score_fr", "score_pool4", "score_pool3"):
        net = thin(score_activation="relu")
        nn.init.normal_(net.get_parameter(f"{only}.weight"))
        with torch.inference_mode():
            logits = net(random_image(64, 64))
        assert logits.min() >= 0
        assert logits.max() > 0


@pytest.mark.parametrize("variant", ["16s", "8s"])
def test_skip_scales_stand_in_front_of_the_score_layers(variant: str) -> None:
    """Scaled pools score as if the weights of their score layers were scaled, biases were not."""
    options = {"variant": variant, "score_init": "he", "skip_init": "he"}
    scaled_net, plain = thin(**options, skip_scales=(0.01, 0.5)), thin(**options)
    for net in (scaled_net, plain):
        nn.init.constant_(net.get_parameter("score_pool4.bias"), 0.3)
    with torch.inference_mode():
        for name, factor in (("score_pool4", 0.01), ("score_pool3", 0.5)):
            if hasattr(plain, name):
                plain.get_parameter(f"{name}.weight").mul_(factor)
        image = random_image(64, 96)
        torch.testing.assert_close(scaled_net(image), plain(image))
        assert not torch.allclose(plain(image), thin(**options)(image), atol=1e-3)


def test_the_configuration_reaches_the_net() -> None:
    """`build` hands every option of the net on."""
    config = TrainConfig(
        variant="16s", trunk="vgg13", head="1x1", norm="group", activation="gelu",
        score_activation="leaky_relu", skip_scales="0.5,0.25", width=0.1, dropout=0.2,
        hidden_bias=0.1, conv_init="zero", score_init="he", skip_init="he", upsampling="learned",
    ).resolved()  # fmt: skip
    net = build(config, 3)
    assert [type(m) for m in (net.features[2], net.head.act6)] == [nn.GELU, nn.GELU]
    assert isinstance(net.score_activation, nn.LeakyReLU)
    assert isinstance(net.features[1], nn.GroupNorm)
    assert (net.variant, net.skip_scales, net.head.drop7.p) == ("16s", (0.5, 0.25), 0.2)
    assert sum(isinstance(m, nn.Conv2d) for m in net.features) == 10
    assert net.head.fc6.weight.shape == (408, 48, 1, 1)
    assert torch.count_nonzero(net.head.fc6.weight) == 0
    assert torch.all(net.head.norm7.bias == 0.1)
    assert torch.count_nonzero(net.score_fr.weight) * torch.count_nonzero(net.score_pool4.weight)
    assert isinstance(net.upscore2.weight, nn.Parameter)


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("part", ["trunk", "head"])
def test_what_is_frozen_stays_and_the_rest_learns(norm: str, part: str) -> None:
    """No weight or statistic of a frozen part moves, and the optimiser does not know it."""
    net = thin(norm=norm, score_init="he", skip_init="he", upsampling="learned")
    net.freeze(part)
    before = {n: v.clone() for n, v in net.state_dict().items()}
    gradients = train(net, 3)
    kept = ("features.", "head.") if part == "head" else ("features.",)
    assert not any(name.startswith(kept) for name in gradients)
    assert {n for n, p in net.named_parameters() if not n.startswith(kept)} == gradients.keys()
    for name, value in net.state_dict().items():
        moved = not torch.equal(value, before[name])
        if name.startswith(kept):
            assert not moved, name
        elif not name.endswith("bias"):
            assert moved, name
    held = [
        p for g in make_optimizer(net, TrainConfig().resolved()).param_groups for p in g["params"]
    ]
    assert sum(p.numel() for p in held) == sum(g.numel() for g in gradients.values())


def test_frozen_batch_norms_use_the_statistics_they_have() -> None:
    """In training mode a frozen trunk computes what it does in evaluation, a free one does not."""
    net = thin(norm="batch")
    image = random_image(64, 64, 2)
    with torch.no_grad():
        expected = net.eval().pools(image)[2]
        free = net.train().pools(image)[2]
        net.load_state_dict(thin(norm="batch").state_dict())
        net.freeze("trunk")
        assert torch.equal(net.train().pools(image)[2], expected)
    assert not torch.allclose(free, expected)
    assert net.head.get_submodule("norm6").training
    assert net.head.get_submodule("drop6").training
    net.freeze("head")
    assert not net.train().head.get_submodule("norm6").training
    assert net.head.get_submodule("drop6").training
