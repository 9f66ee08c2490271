"""Tests of segtrain.models.torchvision_nets: torchvision itself is the oracle."""

import argparse
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model, get_model_weights, list_models, segmentation

from segtrain.batches import Batch
from segtrain.errors import WeightsError
from segtrain.learning import Learner
from segtrain.manifests import ClassInfo
from segtrain.models import downloads
from segtrain.models.counts import (
    count_macs,
    count_parameters,
    count_training_macs,
    layer_macs,
)
from segtrain.models.downloads import coco_classes, coco_url, known_classes, known_files
from segtrain.models.net import Heads
from segtrain.models.sources import Source, coco, imagenet_backbone, load, state_dict
from segtrain.models.torchvision_nets import SEGMENTERS, TorchvisionNet
from segtrain.models.weights import transplant
from segtrain.predictor import Predictor
from segtrain.preprocessing import PRESETS

SMALL = "lraspp_mobilenet_v3_large"
AUXILIARY = "deeplabv3_mobilenet_v3_large"  # the small one that has an auxiliary head
CLASSES = ("background", "cat", "dog", "bird")
TORCHVISION = PRESETS["torchvision"]


def drawn(name: str, classes: int = 4, **options: object) -> TorchvisionNet:
    """A net whose tensors are all random, as one that was trained."""
    torch.manual_seed(3)
    net = TorchvisionNet(name, classes, score_init="he", **options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]  # it has one
    return net.eval()


def theirs(name: str, classes: int = 4, *, aux: bool | None = None) -> nn.Module:
    """Torchvision's own net."""
    options = {} if aux is None else {"aux_loss": aux}
    net: nn.Module = get_model(
        name, weights=None, weights_backbone=None, num_classes=classes, **options
    )
    return net


@pytest.fixture(scope="module")
def small() -> TorchvisionNet:
    """The smallest net, in evaluation; tests only read it."""
    return drawn(SMALL)


@pytest.fixture(scope="module")
def auxiliary() -> TorchvisionNet:
    """The smallest net with an auxiliary head, in evaluation; tests only read it."""
    return drawn(AUXILIARY)


def test_all_of_torchvisions_nets_are_known() -> None:
    """Each net for segmentation that torchvision lists can be built here, and no other."""
    assert sorted(SEGMENTERS) == list_models(module=segmentation)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_weights_and_products_are_those_that_torchvision_publishes(name: str) -> None:
    """At 21 classes: its number of weights, auxiliary head included, and its tensors' names.

    Its products were counted at 520x520, which its ResNets' stride divides.
    """
    meta = get_model_weights(name).COCO_WITH_VOC_LABELS_V1.meta
    aux = None if name == SMALL else True
    with torch.device("meta"):
        ours, original = TorchvisionNet(name, 21), theirs(name, 21, aux=aux)
    assert count_parameters(ours).layers == meta["num_params"]
    shapes = [{k: v.shape for k, v in net.state_dict().items()} for net in (ours, original)]
    assert list(shapes[0]) == list(shapes[1])
    assert shapes[0] == shapes[1]
    if "resnet" in name:
        macs = sum(forward for forward, _ in layer_macs(ours, 520, 520, trained=True))
        assert macs / 1e9 == pytest.approx(meta["_ops"], abs=1e-3)


@pytest.mark.parametrize("name", [SMALL, AUXILIARY, "fcn_resnet50"])
def test_products_are_those_of_torchs_counter(name: str) -> None:
    """Depthwise and dilated layers count as torch counts torchvision's own net."""
    with torch.device("meta"):
        ours, original = TorchvisionNet(name, 5), theirs(name, 5).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        original(torch.empty(1, 3, 96, 64, device="meta"))
    assert count_macs(ours, 96, 64) * 2 == counter.get_total_flops()
    assert count_macs(ours, 96, 64) == count_macs(ours, 95, 57)


def test_training_counts_the_auxiliary_head_too() -> None:
    """Forward and backward of all heads cost what torch counts; the count changes no mode.

    On a ResNet, for torch counts the backward pass of depthwise layers as if they were full ones.
    """
    with torch.device("meta"):
        net = TorchvisionNet("fcn_resnet50", 5).eval()
    with FlopCounterMode(display=False) as counter:
        logits = Heads(net)(torch.empty(1, 3, 64, 64, device="meta"))
        torch.autograd.backward(sum(scores.sum() for scores in logits))
    assert count_training_macs(net, 64, 64) * 2 == counter.get_total_flops()
    assert not net.training


@pytest.mark.parametrize("name", [SMALL, AUXILIARY, "fcn_resnet50"])
def test_state_dicts_go_both_ways(name: str) -> None:
    """Ours loads into torchvision's net, strictly, and gives its scores bit for bit."""
    ours = drawn(name)
    original = theirs(name, aux=ours.aux_classifier is not None or None).eval()
    original.load_state_dict(ours.state_dict(), strict=True)
    image = torch.randn(2, 3, 48, 32)
    with torch.no_grad():
        expected = original(image)
        found = ours.all_logits(image)
    assert torch.equal(ours(image), expected["out"])
    assert torch.equal(found[0], expected["out"])
    assert len(found) == len(expected)
    if "aux" in expected:
        assert torch.equal(found[1], expected["aux"])


@given(height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=12, deadline=None)
def test_any_size_is_scored_as_its_padded_form(
    small: TorchvisionNet, height: int, width: int
) -> None:
    """Logits have the image's size; zeros that fill up to the stride change nothing."""
    image = torch.randn(1, 3, height, width)
    wide = F.pad(image, (0, -width % 16, 0, -height % 16))
    with torch.no_grad():
        found = small(image)
        assert found.shape == (1, 4, height, width)
        assert torch.equal(found, small(wide)[:, :, :height, :width])


def predictor(net: TorchvisionNet) -> Predictor:
    """The net, ready to predict."""
    infos = tuple(ClassInfo(name, (0, 0, 0)) for name in CLASSES)
    return Predictor(net, TORCHVISION, torch.device("cpu"), infos)


@pytest.mark.parametrize("name", [SMALL, AUXILIARY, "fcn_resnet50"])
def test_company_changes_no_image(name: str) -> None:
    """An image's scores are the same alone and in a batch, though parts of the net pool it all."""
    ready = predictor(drawn(name))
    rng = np.random.default_rng(1)
    sizes = [(40, 33), (48, 48), (47, 40)]
    images = [Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8)) for w, h in sizes]
    forms = {ready.form(image.size) for image in images}
    assert forms == {((48, 48),)} or name == "fcn_resnet50"  # whose stride is 8
    for form in forms:
        together = [image for image in images if ready.form(image.size) == form]
        for image, scores in zip(together, ready.batch_logits(together), strict=True):
            torch.testing.assert_close(scores, ready.logits(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "weight"), [(SMALL, 0.5), (AUXILIARY, 0.5), (AUXILIARY, 0.0)])
def test_every_weight_takes_part_in_the_loss(name: str, weight: float) -> None:
    """In the form that trains all parameters get a gradient, so that ranks wait for none."""
    net = drawn(name, auxiliary_weight=weight).train()
    logits = Heads(net)(torch.randn(2, 3, 32, 32))
    assert len(logits) == (2 if name == AUXILIARY and weight else 1)
    torch.autograd.backward(sum(scores.square().sum() for scores in logits))
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def without_chance(net: nn.Module) -> nn.Module:
    """The net in training mode, without dropout."""
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return net


def test_the_objective_is_torchvisions() -> None:
    """The gradient is that of its reference training; the loss that is told, of the main head."""
    ours = drawn(AUXILIARY)
    original = without_chance(theirs(AUXILIARY, aux=True))
    original.load_state_dict(ours.state_dict())
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, 3, 32, 48), dtype=torch.uint8)
    target = torch.randint(0, 4, (3, 32, 48), dtype=torch.uint8)
    target[0, :8] = 255
    found = original(TORCHVISION.normalise(image))
    losses = [F.cross_entropy(found[k], target.long(), ignore_index=255) for k in ("out", "aux")]
    torch.autograd.backward(losses[0] + 0.5 * losses[1])
    ready = predictor(ours)
    without_chance(ours)
    learner = Learner(ready, torch.optim.SGD(ours.parameters(), lr=0.1))
    learnt = learner.gradients(Batch(image, target, ["a", "b", "c"]))
    assert float(learnt.loss) == pytest.approx(float(losses[0].detach()), rel=1e-5)
    for (name, mine), its in zip(ours.named_parameters(), original.parameters(), strict=True):
        error = (mine.grad - its.grad).norm() / its.grad.norm().clamp(min=1e-6)
        assert error < 1e-2, name


def test_score_layers_start_at_zero_all_else_as_torchvisions() -> None:
    """The first scores are equal; hidden layers have the start that torchvision draws."""
    torch.manual_seed(0)
    net = TorchvisionNet(AUXILIARY, 4).eval()
    torch.manual_seed(0)
    original = theirs(AUXILIARY, aux=True).state_dict()
    assert all(not logits.any() for logits in net.all_logits(torch.randn(1, 3, 32, 32)))
    for name, value in net.state_dict().items():
        zero = name.startswith(net.scoring)
        assert torch.equal(value, torch.zeros_like(value) if zero else original[name]), name


@pytest.mark.parametrize("name", [SMALL, AUXILIARY])
def test_frozen_parts_keep_their_weights_and_statistics(name: str) -> None:
    """With the trunk frozen the head learns, with the head frozen only score layers do."""
    net = drawn(name).train()
    net.freeze("trunk")
    learning = {n for n, p in net.named_parameters() if p.requires_grad}
    assert learning == {n for n, _ in net.named_parameters() if not n.startswith("backbone.")}
    assert not any(m.training for m in net.backbone.modules() if isinstance(m, nn.BatchNorm2d))
    net.freeze("head")
    learning = {n for n, p in net.named_parameters() if p.requires_grad}
    assert learning == {n for n, _ in net.named_parameters() if n.startswith(net.scoring)}
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.train()
    net.all_logits(torch.randn(2, 3, 32, 32))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def state_of(net: nn.Module) -> dict[str, Tensor]:
    """A copy of its tensors, all of them drawn."""
    torch.manual_seed(8)
    return {
        k: torch.rand_like(v) if v.is_floating_point() else v.clone()
        for k, v in net.state_dict().items()
    }


def fates_are_whole(net: TorchvisionNet, source: Source, classes: tuple[str, ...]) -> Any:  # noqa: ANN401
    """The report of a transplant, in which every tensor stands once."""
    report = transplant(net, source, classes)
    assert [f.tensor for f in report.fates if f.tensor] == list(net.state_dict())
    assert sorted(f.source for f in report.fates if f.source) == sorted(source.state)
    assert all(f.reason or f.outcome == "loaded" for f in report.fates)
    return report


@pytest.mark.parametrize("backbone", ["mobilenet_v3_large", "resnet50"])
def test_a_classifier_of_images_becomes_the_backbone(backbone: str) -> None:
    """All of the backbone is loaded by its names, nothing of what scores ImageNet's classes."""
    with torch.device("meta" if backbone == "resnet50" else "cpu"):
        net = TorchvisionNet(SMALL if backbone != "resnet50" else "fcn_resnet50", 4)
        state = get_model(backbone, weights=None).state_dict()
    net = net.to_empty(device="cpu") if backbone == "resnet50" else net
    state = {k: torch.rand(v.shape) if v.is_floating_point() else torch.tensor(7)
             for k, v in state.items()}  # fmt: skip
    report = fates_are_whole(net, Source("x", state, None), CLASSES)
    ours = net.state_dict()
    for name in ours:
        loaded = name in report.of("loaded")
        assert loaded == name.startswith("backbone."), name
        if loaded:
            inner = name.removeprefix("backbone.")
            origin = inner if backbone == "resnet50" else f"features.{inner}"
            assert torch.equal(ours[name], state[origin])
    assert set(report.of("unused").values()) == {"belongs to a classifier of images"}
    assert len(report.lines()) == 4
    assert "layers)" in report.lines()[1]


@pytest.mark.parametrize("other", ["resnet101", "mobilenet_v3_large", "vgg16"])
def test_another_backbone_is_refused(other: str) -> None:
    """Layers that happen to have the same names are not mixed into the net."""
    with torch.device("meta"):
        net = TorchvisionNet("fcn_resnet50", 4)
        state = get_model(other, weights=None).state_dict()
    with pytest.raises(WeightsError, match=r"is of another net than fcn_resnet50: .*backbone\."):
        transplant(net, Source("x.pth", state, None), CLASSES)


def test_the_checkpoint_of_torchvisions_references_loads(tmp_path: Path) -> None:
    """Its `model` is taken, beside an optimiser and the options as argparse keeps them."""
    state = state_of(theirs(AUXILIARY, aux=True))
    path = tmp_path / "model_29.pth"
    args = argparse.Namespace(lr=0.02, aux_loss=True, model=AUXILIARY)
    torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 29, "args": args}, path)
    net = TorchvisionNet(AUXILIARY, 4)
    source = Source(str(path), state_dict(load(path), path), None)
    report = fates_are_whole(net, source, CLASSES)
    assert set(report.of("loaded")) == set(net.state_dict())
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert report.lines()[-1] == (
        "  loaded     classifier.4, aux_classifier.4: rows in their order, for the file names no "
        "classes"
    )


def test_a_file_with_other_code_in_it_is_refused(tmp_path: Path) -> None:
    """Only argparse's plain options are let through, nothing that could run."""
    torch.save({"model": {}, "args": Path("x")}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="truncated or was not written"):
        load(tmp_path / "x.pth")


def test_another_number_of_nameless_classes_starts_anew() -> None:
    """Of 21 rows without names none is taken for one of 4 classes."""
    net = TorchvisionNet(SMALL, 4)
    report = fates_are_whole(net, Source("x", state_of(theirs(SMALL, 21)), None), CLASSES)
    reason = "scores 21 classes that the file does not name"
    assert report.of("fresh") == {
        f"classifier.{layer}_classifier.{part}": reason
        for layer in ("low", "high") for part in ("weight", "bias")
    }  # fmt: skip
    assert not any(p.any() for n, p in net.named_parameters() if n.startswith(net.scoring))


def test_an_auxiliary_head_has_no_place_where_there_is_none() -> None:
    """Without the auxiliary loss its tensors are named as not used."""
    net = TorchvisionNet(AUXILIARY, 4, auxiliary_weight=0.0)
    report = fates_are_whole(
        net, Source("x", state_of(theirs(AUXILIARY, aux=True)), None, CLASSES), CLASSES
    )
    assert set(report.of("loaded")) == set(net.state_dict())
    assert {name.split(".")[0] for name in report.of("unused")} == {"aux_classifier"}


def test_published_classes_are_found_by_their_names() -> None:
    """Rows of torchvision's 21 classes go to those of VOC's names, of COCO's, or to none."""
    voc = coco_classes(AUXILIARY)
    assert voc[:2] == ("background", "aeroplane")
    classes = ("background", "tv", "airplane", "zebra", "potted plant", "person")
    net, state = TorchvisionNet(AUXILIARY, 6), state_of(theirs(AUXILIARY, 21, aux=True))
    report = fates_are_whole(net, Source("x", state, None, voc), classes)
    ours = net.state_dict()
    for name in ours:
        if name.startswith(net.scoring):
            rows = state[name][[0, 20, 1, 0, 16, 15]]
            rows[3] = 0  # no class of VOC: as it started
            assert torch.equal(ours[name], rows), name
    names = "background, tv, airplane, potted plant, person"
    reason = f"5 of 6 classes found by name ({names}), the others anew"
    assert set(report.of("partly").values()) == {reason}


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves one file, standing in for torchvision's server."""

    data = b""

    def do_GET(self) -> None:
        """Send it."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        self.wfile.write(self.data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a local server's folder; torch's cache is empty."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def serve(state: dict[str, Tensor], host: str, name: str, folder: Path) -> str:
    """Let the server send a state dict; its address, with its hash."""
    path = folder / "served.pth"
    torch.save(state, path)
    Hub.data = path.read_bytes()
    return f"{host}/{name}-{hashlib.sha256(Hub.data).hexdigest()[:8]}.pth"


def test_a_whole_net_and_a_backbone_are_downloaded(
    hub: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`coco` brings all tensors, the classes and the input; `imagenet` the backbone's."""
    whole = state_of(theirs(SMALL, 21))
    url = serve(whole, hub, "lraspp", tmp_path)
    monkeypatch.setattr("segtrain.models.sources.coco_url", lambda _: url)
    source = coco(SMALL)
    assert source.classes == coco_classes(SMALL)
    assert source.preprocessing == TORCHVISION
    assert all(torch.equal(source.state[k], v) for k, v in whole.items())
    state = state_of(get_model("mobilenet_v3_large", weights=None))
    url = serve(state, hub, "mobilenet", tmp_path)
    monkeypatch.setattr("segtrain.models.sources.backbone_url", lambda _: url)
    source = imagenet_backbone(SMALL)
    assert source.state.keys() == state.keys()
    assert (source.classes, source.preprocessing) == (None, TORCHVISION)


def test_published_files_are_known_by_their_hash() -> None:
    """Each net's file tells its input and its classes, under whatever name it lies."""
    files, classes = known_files(), known_classes()
    assert len(classes) == len(SEGMENTERS)
    for name in SEGMENTERS:
        digits = downloads.hash_prefix(coco_url(name))
        assert files[digits] == TORCHVISION
        assert classes[digits][0] == "background"
        assert len(classes[digits]) == 21
