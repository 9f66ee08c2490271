"""Tests of segtrain.models.layouts."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from segtrain.errors import WeightsError
from segtrain.models.fcn import FCN
from segtrain.models.layouts import moves
from segtrain.models.vgg import DEPTHS

MakeVgg = Callable[..., dict[str, Tensor]]
# Caffe's names of VGG16's convolutions, in their order
CAFFE = [f"conv{b}_{i}" for b, depth in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, depth + 1)]


def named_as_caffe(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of VGG16 by Caffe's names, in an order of no meaning."""
    numbers = sorted({int(n.split(".")[1]) for n in state if n.startswith("features")})
    trunk = {f"features.{n}": name for n, name in zip(numbers, CAFFE, strict=True)}
    names = trunk | {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}
    return {
        f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value
        for key, value in reversed(state.items())
    }


@pytest.mark.parametrize("trunk", DEPTHS)
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("ours", ["none", "batch", "group"])
def test_torchvisions_own_layout_fits_at_full_width(trunk: str, norm: str, ours: str) -> None:
    """Every convolution, and batch norms where both have them, find their place and its shape."""
    with torch.device("meta"):
        state = get_model(trunk if norm == "none" else f"{trunk}_bn").state_dict()
        model = FCN(21, trunk=trunk, norm=ours)
        found = moves(state, model, "x")
    assert [move.source for move in found] == list(state)
    net = model.state_dict()
    placed = {move.target: move.value.shape for move in found if move.target}
    convs = [k for k, v in net.items() if k.startswith(("features", "head")) and v.ndim == 4]
    assert set(convs) <= placed.keys()
    assert all(
        shape == net[name].shape
        for name, shape in placed.items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        or ours == "batch"
    )
    homeless = {move.source for move in found if move.reason == "the net has no such norm"}
    norms = {k for k in state if k.startswith("features") and k.endswith("running_mean")}
    assert norms & homeless == (norms if ours != "batch" else set())


def test_the_classifier_becomes_fc6_and_fc7(make_vgg: MakeVgg) -> None:
    """On a 7x7 map, fc6's and fc7's middle is what the classifier computes on the flattened map."""
    model, state = FCN(4, width=0.06), make_vgg()
    values = {move.target: move.value for move in moves(state, model, "x") if move.target}
    model.load_state_dict(values, strict=False)
    pool5 = torch.randn(1, model.head.get_parameter("fc6.weight").shape[1], 7, 7)
    one = nn.functional.linear(
        pool5.flatten(1), state["classifier.0.weight"], state["classifier.0.bias"]
    )
    two = nn.functional.linear(one.relu(), state["classifier.3.weight"], state["classifier.3.bias"])
    ours = model.eval().head(pool5)[:, :, 3, 3]
    torch.testing.assert_close(ours, two.relu(), rtol=1e-4, atol=1e-3)


def test_caffes_names_mean_the_same(make_vgg: MakeVgg) -> None:
    """conv1_1 to conv5_3, fc6 and fc7 find the places of torchvision's names, in any order."""
    model, state = FCN(4, width=0.06), make_vgg()
    expected = {m.target: m.value for m in moves(state, model, "x") if m.target}
    found = moves(named_as_caffe(state), model, "x")
    placed = {move.target: move.value for move in found if move.target}
    assert placed.keys() == expected.keys()
    assert all(torch.equal(placed[name], expected[name]) for name in expected)
    assert {m.source: m.reason for m in found if not m.target} == {
        "fc8.weight": "scores the classes of ImageNet",
        "fc8.bias": "scores the classes of ImageNet",
    }


def test_an_fcn_of_others_gives_its_hidden_layers(make_vgg: MakeVgg) -> None:
    """fc6 and fc7 that are convolutions already fit; scores of unnamed classes have no place."""
    model = FCN(4, width=0.06)
    state = named_as_caffe(make_vgg())
    hidden = state["fc6.weight"].shape[0]
    state["fc6.weight"] = state["fc6.weight"].view(hidden, -1, 7, 7)
    state["fc7.weight"] = state["fc7.weight"].view(hidden, hidden, 1, 1)
    state["score_fr.weight"] = torch.zeros(4, hidden, 1, 1)
    found = {move.source: move for move in moves(state, model, "x")}
    assert found["fc6.weight"].target == "head.fc6.weight"
    assert found["fc7.weight"].value.shape == (hidden, hidden, 1, 1)
    assert found["score_fr.weight"].reason == "scores classes that the file does not name"


@pytest.mark.parametrize("theirs", DEPTHS)
def test_another_trunk_is_refused_with_its_name(theirs: str, make_vgg: MakeVgg) -> None:
    """A VGG of another depth would fit by shape where it does not belong: it is refused."""
    for ours in DEPTHS:
        model = FCN(4, trunk=ours, width=0.06)
        if ours == theirs:
            assert moves(make_vgg(theirs), model, "x")
            continue
        with pytest.raises(WeightsError, match=rf"as {theirs}; this .* --trunk {ours}; add --tr"):
            moves(make_vgg(theirs), model, "x")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "holds no VGG: expected layers named"),
        ({"layer1.0.conv1.weight": torch.zeros(4, 4, 3, 3)}, "holds no VGG"),
        ({"features.0.weight": torch.zeros(8, 3, 3, 3)}, "has 1 convolutions in its trunk; this"),
    ],
)
def test_files_of_other_nets_are_refused(state: dict[str, Tensor], words: str) -> None:
    """A state dict that is no whole VGG is an error with what was expected."""
    with pytest.raises(WeightsError, match=words):
        moves(state, FCN(4, width=0.06), "x")
