"""Tests of segtrain.models.downloads, against a server of our own."""

import hashlib
import http.server
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from segtrain.errors import WeightsError
from segtrain.models import downloads
from segtrain.models.downloads import download, hash_prefix, imagenet_url, known_files
from segtrain.models.sources import imagenet
from segtrain.preprocessing import PRESETS, Preprocessing


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves one file, standing in for torchvision's server."""

    data = b""  # what is sent
    claimed = 0  # the length that is announced
    silent: threading.Event | None = None  # until then nothing is answered

    def do_GET(self) -> None:
        """Send the file, or nothing."""
        if type(self).silent is not None:
            type(self).silent.wait(20)
            return
        if self.path == "/gone.pth":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.claimed))
        self.end_headers()
        self.wfile.write(self.data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_vgg: Callable[..., dict[str, Tensor]]
) -> Iterator[str]:
    """The address of a thin VGG16 on a local server; torch's cache is empty."""
    buffer = io.BytesIO()
    torch.save(make_vgg(), buffer)
    Hub.data, Hub.silent = buffer.getvalue(), None
    Hub.claimed = len(Hub.data)
    digest = hashlib.sha256(Hub.data).hexdigest()[:8]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/vgg16-{digest}.pth"
    monkeypatch.setattr("segtrain.models.sources.imagenet_url", lambda *_: url)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield url
    if Hub.silent is not None:
        Hub.silent.set()
    server.shutdown()
    server.server_close()
    thread.join()


def left_behind(tmp_path: Path) -> list[str]:
    """Names of all files in torch's cache."""
    return [path.name for path in (tmp_path / "hub").rglob("*") if path.is_file()]


@pytest.mark.usefixtures("hub")
def test_imagenet_is_downloaded_once(
    tmp_path: Path, make_vgg: Callable[..., dict[str, Tensor]]
) -> None:
    """The state dict arrives whole, is kept in torch's cache, and is taken from there."""
    source = imagenet("vgg16", "none")
    assert torch.equal(source.state["classifier.0.weight"], make_vgg()["classifier.0.weight"])
    assert source.preprocessing == PRESETS["torchvision"]
    [kept] = (tmp_path / "hub").rglob("*.pth")
    assert kept.read_bytes() == Hub.data
    Hub.data = b"gone"
    assert imagenet("vgg16", "none").state.keys() == source.state.keys()


@pytest.mark.parametrize("spoil", ["cut", "changed", "short of its length"])
def test_a_spoilt_download_is_refused(hub: str, tmp_path: Path, spoil: str) -> None:
    """Bytes that are cut or changed are an error with the ways on, and nothing is kept of them."""
    if spoil == "changed":
        Hub.data = Hub.data[:-1] + bytes([Hub.data[-1] ^ 1])
    else:
        Hub.data = Hub.data[: len(Hub.data) // 2]
        Hub.claimed = len(Hub.data) if spoil == "cut" else 2 * len(Hub.data)
    with pytest.raises(WeightsError, match=r"what came is not that file.*cut or changed") as told:
        download(hub)
    assert "--weights FILE" in str(told.value)
    assert "--weights none" in str(told.value)
    assert left_behind(tmp_path) == []


def test_an_address_without_the_file_is_told(hub: str, tmp_path: Path) -> None:
    """A server that has no such file gives its answer and the ways on; nothing is kept."""
    gone = hub.rpartition("/")[0] + "/gone.pth"
    with pytest.raises(WeightsError, match=r"gone\.pth: could not be downloaded.*404.*FILE"):
        download(gone)
    assert left_behind(tmp_path) == []


def test_a_silent_server_is_given_up(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a wall that swallows the request, the download ends with the ways on."""
    monkeypatch.setattr(downloads, "PATIENCE", 0.05)
    Hub.silent = threading.Event()
    with pytest.raises(WeightsError, match=r"could not be downloaded.*timed out.*--weights FILE"):
        download(hub)
    assert left_behind(tmp_path) == []


def test_without_a_network_the_ways_on_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the address cannot be reached, the error names the cache, FILE and none."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    ways = r"put it at .*hub.checkpoints.vgg-12345678\.pth\), or train from scratch.*none"
    with pytest.raises(WeightsError, match=ways):
        download("http://127.0.0.1:9/vgg-12345678.pth")


def test_a_damaged_file_in_the_cache_is_named(hub: str, tmp_path: Path) -> None:
    """What lies in the cache under the name but has another hash is refused, and not deleted."""
    kept = tmp_path / "hub" / "hub" / "checkpoints" / hub.rpartition("/")[2]
    kept.parent.mkdir(parents=True)
    kept.write_bytes(Hub.data[:1000])
    with pytest.raises(WeightsError, match=r"is damaged: its SHA-256 begins with .*delete it"):
        download(hub)
    assert kept.stat().st_size == 1000


def test_a_cache_that_cannot_be_made_is_told(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache's folder is no folder, the error names the variable that moves it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"could not be downloaded to .*TORCH_HOME"):
        download(hub)


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
    """Each trunk and norm has the file that torchvision publishes for it, known by its hash."""
    for norm, name in (("none", plain), ("group", plain), ("batch", normed)):
        url = imagenet_url(trunk, norm)
        assert url == f"https://download.pytorch.org/models/{name}.pth"
        assert hash_prefix(url) == name[-8:]
        assert known_files()[name[-8:]] == Preprocessing()


def test_published_files_are_known_with_their_own_input() -> None:
    """Nine files of VGGs are known; the one ported from Caffe wants pixels less a mean, in RGB.

    Besides them two of each of three backbones, and torchvision's six nets for segmentation.
    """
    known = known_files()
    assert len(known) == 9 + 2 * 3 + 6
    ported = known["88682ab5"]
    assert ported.channels == "RGB"
    image = torch.full((1, 3, 1, 1), 200, dtype=torch.uint8)
    found = ported.normalise(image).flatten()
    torch.testing.assert_close(found, 200 - 255 * torch.tensor([0.48235, 0.45882, 0.40784]))


def test_a_name_without_a_hash_has_none() -> None:
    """Only eight or more hexadecimal digits at the end of a name are a hash."""
    assert hash_prefix("https://host/vgg16.pth") == hash_prefix("vgg16-12ab.pth") == ""
