"""Tests of segtrain.models.weights."""

import hashlib
import http.server
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import vgg16, vgg16_bn

from segtrain.checkpoint import load_checkpoint, save_checkpoint
from segtrain.config import TrainConfig
from segtrain.errors import CheckpointError, WeightsError
from segtrain.models import build, weights
from segtrain.models.fcn import FCN
from segtrain.models.weights import (
    download_imagenet,
    from_torchvision,
    load_origin,
    load_weights,
    read_weights,
)
from segtrain.session import start


def thin_vgg(width: float = 0.06) -> dict[str, Tensor]:
    """A state dict of torchvision's names whose shapes fit a thin net."""
    torch.manual_seed(5)
    net = FCN(4, width=width)
    state = {f"features.{k}": torch.randn_like(v) for k, v in net.features.state_dict().items()}
    fc6, fc7 = net.head.get_submodule("fc6"), net.head.get_submodule("fc7")
    assert isinstance(fc6, nn.Conv2d)
    assert isinstance(fc7, nn.Conv2d)
    hidden, channels = fc6.weight.shape[:2]
    state["classifier.0.weight"] = torch.randn(hidden, channels * 49)
    state["classifier.0.bias"] = torch.randn(hidden)
    state["classifier.3.weight"] = torch.randn(hidden, hidden)
    state["classifier.3.bias"] = torch.randn(hidden)
    state["classifier.6.weight"] = torch.randn(1000, hidden)
    state["classifier.6.bias"] = torch.randn(1000)
    return state


def config(**options: object) -> TrainConfig:
    """A thin net's configuration, resolved."""
    return TrainConfig(**({"width": 0.06, "norm": "none"} | options)).resolved()


@pytest.fixture
def vgg_file(tmp_path: Path) -> Path:
    """A thin VGG16 state dict on disk."""
    path = tmp_path / "vgg.pth"
    torch.save(thin_vgg(), path)
    return path


def test_the_classifier_becomes_fc6_and_fc7(vgg_file: Path) -> None:
    """On a 7x7 map, fc6's and fc7's middle is what the classifier computes on the flattened map."""
    model = build(config(), 4)
    load_weights(model, config(weights=str(vgg_file)))
    state = thin_vgg()
    pool5 = torch.randn(1, model.head.get_parameter("fc6.weight").shape[1], 7, 7)
    one = nn.functional.linear(
        pool5.flatten(1), state["classifier.0.weight"], state["classifier.0.bias"]
    )
    two = nn.functional.linear(one.relu(), state["classifier.3.weight"], state["classifier.3.bias"])
    ours = model.eval().head(pool5)[:, :, 3, 3]
    torch.testing.assert_close(ours, two.relu(), rtol=1e-4, atol=1e-3)


def test_the_report_names_everything(vgg_file: Path) -> None:
    """Loaded, unused and fresh tensors together are all of both sides, each with its reason."""
    model = build(config(), 4)
    report = load_weights(model, config(weights=str(vgg_file)))
    assert report is not None
    assert {*report.loaded, *report.fresh} == set(model.state_dict())
    assert set(report.fresh) == {
        f"score_{n}.{p}" for n in ("fr", "pool4", "pool3") for p in ("weight", "bias")
    }
    assert report.unused == {
        f"classifier.6.{p}": "scores the classes of ImageNet" for p in ("weight", "bias")
    }
    text = "\n".join(report.lines())
    assert "30 tensors loaded" in text
    assert "score_fr, score_pool4, score_pool3 (not in the source)" in text
    assert torch.equal(model.features.get_parameter("0.weight"), thin_vgg()["features.0.weight"])


@pytest.mark.parametrize(("norm", "theirs"), [("none", vgg16), ("batch", vgg16_bn)])
@pytest.mark.parametrize("ours", ["none", "batch", "group"])
def test_torchvisions_own_layout_fits_at_full_width(
    norm: str, theirs: Callable[[], nn.Module], ours: str
) -> None:
    """Every convolution of VGG16, and batch norms where both have them, find place and shape."""
    with torch.device("meta"):
        state, model = theirs().state_dict(), FCN(21, norm=ours)
        named, unused = from_torchvision(state, model)
    net = model.state_dict()
    convs = [k for k, v in net.items() if k.startswith(("features", "head")) and v.ndim == 4]
    assert set(convs) <= named.keys()
    shapes = {k: v.shape for k, v in named.items() if not k.endswith("num_batches_tracked")}
    assert shapes == {k: net[k].shape for k in shapes}
    norms = {k for k in state if k.startswith("features") and k.endswith("running_mean")}
    assert bool(norms & unused.keys()) == (norm == "batch" and ours != "batch")


def test_a_1x1_head_takes_the_trunk_only(vgg_file: Path) -> None:
    """Without a 7x7 fc6 the classifier has no place, and the report says why."""
    chosen = config(weights=str(vgg_file), head="1x1")
    report = load_weights(build(chosen, 4), chosen)
    assert report is not None
    assert all(name.startswith("features.") for name in report.loaded)
    assert "no 7x7 layer" in report.unused["classifier.0.weight"]


def test_zeros_that_were_asked_for_stay(vgg_file: Path) -> None:
    """With --conv-init zero the classifier is not transplanted over the zeros."""
    chosen = config(weights=str(vgg_file), conv_init="zero")
    model = build(chosen, 4)
    report = load_weights(model, chosen)
    assert report is not None
    assert torch.count_nonzero(model.head.get_parameter("fc6.weight")) == 0
    assert report.unused["head.fc6.weight"] == "--conv-init zero asks for zeros"


def test_a_net_of_another_width_is_refused(vgg_file: Path) -> None:
    """Weights of which nothing fits are an error with both shapes."""
    chosen = config(width=0.25, weights=str(vgg_file))
    with pytest.raises(WeightsError, match=r"nothing of it fits.*\(8, 3, 3, 3\) there, \(16, 3, 3"):
        load_weights(build(chosen, 4), chosen)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not a zip", {"a": 1}, [1, 2]])
def test_files_that_hold_no_weights_are_refused(tmp_path: Path, content: object) -> None:
    """Empty, foreign and odd files are one clear error each."""
    path = tmp_path / "odd.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=r"odd\.pth: "):
        read_weights(path, "none")


def test_a_missing_file_names_the_choices(tmp_path: Path) -> None:
    """A path that is not there names what --weights takes."""
    with pytest.raises(WeightsError, match="imagenet, none, or the path"):
        read_weights(tmp_path / "none.pth", "none")


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves one file, standing in for torch's hub."""

    data = b""

    def do_GET(self) -> None:
        """Send the file."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        self.wfile.write(self.data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[http.server.HTTPServer]:
    """A local server with a thin VGG16 under the address where torchvision's is looked for."""
    buffer = io.BytesIO()
    torch.save(thin_vgg(), buffer)
    Hub.data = buffer.getvalue()
    digest = hashlib.sha256(Hub.data).hexdigest()[:8]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/vgg16-{digest}.pth"
    monkeypatch.setattr(weights, "imagenet_url", lambda *_: url)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.usefixtures("hub")
def test_imagenet_is_downloaded_once(tmp_path: Path) -> None:
    """The state dict arrives whole, is kept in torch's cache, and is taken from there."""
    state = download_imagenet("vgg16", "none")
    assert torch.equal(state["classifier.0.weight"], thin_vgg()["classifier.0.weight"])
    [kept] = (tmp_path / "hub").rglob("*.pth")
    assert kept.read_bytes() == Hub.data
    Hub.data = b"gone"
    assert state.keys() == download_imagenet("vgg16", "none").keys()


@pytest.mark.usefixtures("hub")
def test_a_spoilt_download_is_refused(tmp_path: Path) -> None:
    """Bytes of another hash are an error, and nothing is kept of them."""
    Hub.data = Hub.data[:-1] + b"x"
    with pytest.raises(WeightsError, match=r"could not be downloaded.*hash"):
        download_imagenet("vgg16", "none")
    assert not list((tmp_path / "hub").rglob("*.pth"))


def test_without_a_network_both_ways_on_are_named(hub: http.server.HTTPServer) -> None:
    """Where the address cannot be reached the error names --weights FILE and --weights none."""
    hub.shutdown()
    hub.server_close()
    with pytest.raises(WeightsError, match=r"--weights FILE.*--weights none"):
        download_imagenet("vgg16", "none")


@pytest.mark.parametrize(
    ("trunk", "plain", "normed"),
    [
        ("vgg11", "vgg11-8a719046", "vgg11_bn-6002323d"),
        ("vgg13", "vgg13-19584684", "vgg13_bn-abd245e5"),
        ("vgg16", "vgg16-397923af", "vgg16_bn-6c64b313"),
        ("vgg19", "vgg19-dcbb9e9d", "vgg19_bn-c79401a0"),
    ],
)
def test_the_real_addresses_are_torchvisions(trunk: str, plain: str, normed: str) -> None:
    """Each trunk and norm has the file that torchvision publishes for it."""
    for norm, name in (("none", plain), ("group", plain), ("batch", normed)):
        url = weights.imagenet_url(trunk, norm)
        assert url == f"https://download.pytorch.org/models/{name}.pth"


def test_our_checkpoints_are_weights_too(trained: Path) -> None:
    """A checkpoint given as --weights loads every tensor of the same net."""
    saved = load_checkpoint(trained / "last.pt")
    chosen = config(norm="batch", weights=str(trained / "last.pt"))
    model = build(chosen, 4)
    report = load_weights(model, chosen)
    assert report is not None
    assert not report.fresh
    assert all(torch.equal(v, saved.model[k]) for k, v in model.state_dict().items())


def test_score_layers_of_other_classes_start_anew(trained: Path) -> None:
    """With another class count the hidden layers load, the score layers do not, and it is said."""
    chosen = config(norm="batch", weights=str(trained / "last.pt"))
    report = load_weights(build(chosen, 7), chosen)
    assert report is not None
    assert all(name.startswith("score_") for name in report.fresh)
    assert "another shape" in report.unused["score_fr.weight"]


def test_a_finer_variant_starts_from_a_coarser(
    tmp_path: Path, shards: Path, tiny: dict[str, Any]
) -> None:
    """16s starts with everything of 32s, its new layers fresh, so that it predicts the same."""
    run = tmp_path / "a"
    start(tiny | {"shards": shards, "out": run, "variant": "32s", "steps": 3})
    origin = load_checkpoint(run / "last.pt")
    chosen = config(norm="batch", variant="16s", init=run)
    model = build(chosen, 4)
    report = load_origin(model, chosen, origin, origin.class_infos)
    assert set(report.loaded) == set(origin.model)
    assert set(report.fresh) == {"score_pool4.weight", "score_pool4.bias"}
    assert "FCN-32s at step 3" in report.source
    coarse = build(origin.train_config, 4)
    coarse.load_state_dict(origin.model)
    image = torch.randn(1, 3, 64, 96)
    fine_logits, coarse_logits = model.eval()(image), coarse.eval()(image)
    middle = (..., slice(16, -16), slice(16, -16))
    difference = (fine_logits - coarse_logits)[middle].abs().mean()
    assert difference < 0.2 * coarse_logits[middle].std()  # x2 then x16 is nearly x32


def test_a_coarser_variant_does_not_start_from_a_finer(trained: Path) -> None:
    """Going back from 8s to 32s is refused with both names."""
    origin = load_checkpoint(trained / "last.pt")
    chosen = config(norm="batch", variant="32s", init=trained)
    with pytest.raises(CheckpointError, match=r"FCN-8s; an FCN-32s"):
        load_origin(build(chosen, 4), chosen, origin, origin.class_infos)


def test_init_checks_the_classes(trained: Path, tmp_path: Path) -> None:
    """A net of other classes is no start: both counts are told."""
    origin = load_checkpoint(trained / "last.pt")
    origin.classes = origin.classes[:3]
    save_checkpoint(tmp_path / "other.pt", origin)
    chosen = config(norm="batch", init=tmp_path / "other.pt")
    everything = load_checkpoint(trained / "last.pt").class_infos
    with pytest.raises(CheckpointError, match="has 3 classes, the shards have 4"):
        load_origin(build(chosen, 4), chosen, origin, everything)


def test_a_checkpoint_of_another_norm_is_refused(tmp_path: Path) -> None:
    """A checkpoint whose net has another norm is refused: its layers have other numbers."""
    path = tmp_path / "other.pt"
    torch.save({"format": "segtrain/1", "config": {"norm": "batch"}, "model": {}}, path)
    with pytest.raises(WeightsError, match="--init"):
        read_weights(path, "none")
