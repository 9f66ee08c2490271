"""Tests of segtrain.models.sources."""

import hashlib
from pathlib import Path

import pytest
import torch

from segtrain.checkpoint import load_checkpoint, save_checkpoint
from segtrain.config import TrainConfig
from segtrain.errors import CheckpointError, UsageError, WeightsError
from segtrain.models import sources
from segtrain.models.sources import choose_preprocessing, find_source, read_source
from segtrain.preprocessing import PRESETS, Preprocessing

CAFFE, TORCHVISION = PRESETS["caffe"], PRESETS["torchvision"]


def config(**options: object) -> TrainConfig:
    """A thin net's configuration, resolved."""
    return TrainConfig(**({"width": 0.06, "norm": "none"} | options)).resolved()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not a zip", {"a": 1}, [1, 2]])
def test_files_that_hold_no_weights_are_refused(tmp_path: Path, content: object) -> None:
    """Empty, foreign and odd files are one clear error each."""
    path = tmp_path / "odd.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=r"odd\.pth: "):
        read_source(path, config())


def test_a_missing_file_names_the_choices(tmp_path: Path) -> None:
    """A path that is not there names what --weights takes."""
    with pytest.raises(WeightsError, match="imagenet, none, or the path"):
        find_source(config(weights=str(tmp_path / "none.pth")), None)


def test_from_scratch_there_is_no_source() -> None:
    """Without weights nothing is read, and the input is torchvision's unless it is chosen."""
    assert find_source(config(), None) is None
    assert choose_preprocessing(None, None) == TORCHVISION
    assert choose_preprocessing("caffe", None) == CAFFE


def test_a_file_of_unknown_origin_needs_the_word(vgg_file: Path) -> None:
    """Nothing in a plain file tells how its net saw an image: the option decides, and must."""
    source = find_source(config(weights=str(vgg_file)), None)
    assert source is not None
    assert (source.words, source.preprocessing, source.classes) == (str(vgg_file), None, None)
    with pytest.raises(UsageError, match=r"--preprocessing torchvision \(RGB, 0 to 1.*caffe \(BGR"):
        choose_preprocessing(None, source)
    assert choose_preprocessing("caffe", source) == CAFFE
    assert choose_preprocessing("torchvision", source) == TORCHVISION


def test_a_published_file_is_known_under_any_name(
    vgg_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose SHA-256 begins as torchvision publishes it brings its own preprocessing."""
    special = Preprocessing(std=(1 / 255,) * 3)
    digest = hashlib.sha256(vgg_file.read_bytes()).hexdigest()
    published = {"00000000": TORCHVISION, digest[:8]: special}
    monkeypatch.setattr(sources, "known_files", lambda: published)
    source = find_source(config(weights=str(vgg_file)), None)
    assert source is not None
    assert choose_preprocessing(None, source) == special
    with pytest.raises(UsageError, match=r"--preprocessing caffe: the net of .* saw RGB"):
        choose_preprocessing("caffe", source)
    monkeypatch.setattr(sources, "known_files", lambda: {"00000000": TORCHVISION})
    other = find_source(config(weights=str(vgg_file)), None)
    assert other is not None
    assert other.preprocessing is None


def test_a_checkpoint_brings_everything(trained: Path, tmp_path: Path) -> None:
    """Preprocessing, classes and the scales of skips come from a checkpoint, by either option."""
    saved = load_checkpoint(trained / "last.pt")
    saved.preprocessing = CAFFE.fingerprint()
    saved.config["skip_scales"] = "0.5,0.25"
    path = tmp_path / "a.pt"
    save_checkpoint(path, saved)
    names = ("background", "disc", "square", "stripes")
    for source in (
        find_source(config(norm="batch", weights=str(path)), None),
        find_source(config(norm="batch", init=path), load_checkpoint(path)),
    ):
        assert source is not None
        assert (source.preprocessing, source.classes) == (CAFFE, names)
        assert source.pool_scales == (0.5, 0.25)
        assert source.words == f"{path}, FCN-8s at step 12"
        assert choose_preprocessing(None, source) == choose_preprocessing("caffe", source) == CAFFE
        with pytest.raises(UsageError, match=r"saw BGR, 0 to 255, mean 104\.007"):
            choose_preprocessing("torchvision", source)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"norm": "none"}, r"--norm batch, this one has --norm none.*--init .*add --norm batch"),
        ({"trunk": "vgg11", "norm": "batch"}, r"--trunk vgg16, this one has --trunk vgg11"),
    ],
)
def test_a_checkpoint_of_another_net_is_refused(
    trained: Path, options: dict[str, object], words: str
) -> None:
    """A checkpoint whose layers have other numbers is refused, with two ways on."""
    with pytest.raises(WeightsError, match=words):
        find_source(config(weights=str(trained / "last.pt"), **options), None)


def test_a_coarser_variant_does_not_start_from_a_finer(trained: Path) -> None:
    """Going back from 8s to 32s is refused with both names."""
    origin = load_checkpoint(trained / "last.pt")
    with pytest.raises(CheckpointError, match=r"FCN-8s; an FCN-32s"):
        find_source(config(norm="batch", variant="32s", init=trained), origin)


def test_an_unknown_order_of_channels_is_refused(trained: Path, tmp_path: Path) -> None:
    """A checkpoint of a later version with an input that this one does not know says so."""
    saved = load_checkpoint(trained / "last.pt")
    saved.preprocessing = TORCHVISION.fingerprint() | {"channels": "YUV"}
    save_checkpoint(tmp_path / "a.pt", saved)
    with pytest.raises(CheckpointError, match="'YUV'; this version of segtrain knows RGB and BGR"):
        find_source(config(norm="batch", weights=str(tmp_path / "a.pt")), None)
