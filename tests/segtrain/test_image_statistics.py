"""Tests of segtrain.image_statistics, and of nets that are judged by it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.segtrain.comparisons import many
from torch import nn

from segtrain.checkpoint import load_checkpoint, save_checkpoint
from segtrain.cli import app
from segtrain.compare import Comparison
from segtrain.compare import Net as NetOfRun
from segtrain.errors import PhotoError, SampleError, UsageError
from segtrain.evaluate import evaluate_run, evaluate_set
from segtrain.image_statistics import image_statistics, trained_norms
from segtrain.models.fc_densenet import FCDenseNet, Plan
from segtrain.models.fcn import FCN
from segtrain.models.net import Net
from segtrain.predict import Manner, predict_photos
from segtrain.predictor import Predictor, Views, load_predictor
from segtrain.samples import load
from segtrain.session import start
from segtrain.shards import open_shards
from segtrain.statistics_gap import evaluate_both, plain_both, plain_gap, print_gap

BATCH = Views(statistics="batch")


def silent(*_: object) -> Callable[..., None]:
    """A watcher of data sets and of images that does nothing."""
    return silent


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise of three colours."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def spoiled(net: Net) -> Net:
    """The net in evaluation mode, its scores, statistics and affine weights at random."""
    torch.manual_seed(3)
    for name, tensor in net.state_dict().items():
        if "var" in name or (tensor.dim() == 1 and tensor.is_floating_point()):
            tensor.copy_(0.5 + torch.rand(tensor.shape))
        elif name.startswith("score"):
            tensor.normal_()
    return net.eval()


def make(kind: str) -> Net:
    """A thin net with batch norm and dropout of one in two."""
    torch.manual_seed(0)
    if kind == "fcn":
        return spoiled(FCN(4, norm="batch", width=0.06).double())
    net = FCDenseNet(4, Plan((1,) * 11, 4), width=1.0, dropout=0.5)
    return spoiled(net.double())


def as_in_training(net: Net, image: torch.Tensor) -> torch.Tensor:
    """The logits of the net in training, dropout off; its state is put back."""
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0
    with torch.no_grad():
        logits: torch.Tensor = net(image)
    net.load_state_dict(state)
    net.eval()
    return logits


@pytest.fixture(scope="module")
def nets() -> dict[str, Net]:
    """A net of each kind."""
    return {kind: make(kind) for kind in ("fcn", "densenet")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, shards: Path, tiny: dict[str, Any]) -> Path:
    """A run with batch norm and averaged weights, its scores at random; tests only read it."""
    out = tmp_path_factory.mktemp("runs") / "norms"
    start(tiny | {"shards": shards, "out": out, "norm": "batch", "ema": 0.9})
    checkpoint = load_checkpoint(out / "last.pt")
    for name in ("score_fr.weight", "score_pool4.weight", "score_pool3.weight"):
        checkpoint.judged[name].normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    for name in ("last.pt", "best.pt"):
        save_checkpoint(out / name, checkpoint)
    return out


def predictor_of(run: Path, views: Views) -> Predictor:
    """The net of a run."""
    return load_predictor(load_checkpoint(run / "last.pt"), run / "last.pt", "cpu", views)


@pytest.mark.parametrize("kind", ["fcn", "densenet"])
@given(height=st.integers(1, 70), width=st.integers(33, 80), seed=st.integers(0, 99))
@settings(max_examples=5)
def test_an_image_is_scored_as_a_batch_of_it_alone_in_training(
    nets: dict[str, Net], kind: str, height: int, width: int, seed: int
) -> None:
    """Within, logits are those of torch's training mode on that image alone, dropout off."""
    net = nets[kind]
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    image = image.double()
    with torch.no_grad(), image_statistics(net):
        found = net(image)
    expected = as_in_training(net, image)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-8)
    with torch.no_grad():
        running = net(image)
    assert not torch.allclose(running, expected, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("kind", ["fcn", "densenet"])
def test_the_net_is_left_as_it_was(nets: dict[str, Net], kind: str) -> None:
    """Bit for bit: every tensor of its state, every mode, and its logits by running statistics."""
    net, image = nets[kind], torch.randn(2, 3, 40, 64).double()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        before = net(image)
        with image_statistics(net):
            net(image)
        after = net(image)
    assert torch.equal(before, after)
    assert all(torch.equal(state[name], t) for name, t in net.state_dict().items())
    assert not any(module.training for module in net.modules())


def test_company_changes_no_score_by_statistics_of_an_image(nets: dict[str, Net]) -> None:
    """In a batch each image has the logits that it has alone."""
    images = torch.randn(3, 3, 64, 64).double() * torch.tensor([0.2, 1.0, 5.0])[:, None, None, None]
    for net in nets.values():
        with torch.no_grad(), image_statistics(net):
            together = net(images)
            alone = torch.cat([net(image[None]) for image in images])
        torch.testing.assert_close(together, alone, atol=1e-8, rtol=1e-8)


def test_synchronised_norms_do_the_same(nets: dict[str, Net]) -> None:
    """A net whose norms are torch's SyncBatchNorm gives the logits of one with BatchNorm2d."""
    torch.manual_seed(0)
    net = FCN(4, norm="batch", width=0.06).double()
    net.load_state_dict(nets["fcn"].state_dict())
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(net).eval()
    image = torch.randn(1, 3, 64, 64).double()
    found = []
    for one in (synchronised, nets["fcn"]):
        with torch.no_grad(), image_statistics(one):
            found.append(one(image))
    assert any(isinstance(m, nn.SyncBatchNorm) for m in synchronised.modules())
    assert torch.equal(*found)


def test_frozen_norms_keep_their_running_statistics() -> None:
    """Norms of a frozen part, which trained by running statistics, are judged by them."""
    net = make("fcn")
    everything = trained_norms(net)
    net.freeze("trunk")
    assert set(trained_norms(net)) == {name for name in everything if name.startswith("head.")}
    net.eval()
    image = torch.randn(1, 3, 64, 64).double()
    with torch.no_grad(), image_statistics(net):
        found = net(image)
    torch.testing.assert_close(found, as_in_training(net, image), atol=1e-8, rtol=1e-8)


def test_one_value_has_no_variance(nets: dict[str, Net]) -> None:
    """A deepest map of 1x1 is refused by the name of its norm, in whatever company."""
    for count in (1, 3):
        with (
            torch.no_grad(),
            image_statistics(nets["fcn"]),
            pytest.raises(PhotoError, match=r"batch norm head.norm6 sees one value of each"),
        ):
            nets["fcn"](torch.randn(count, 3, 32, 32).double())
    with torch.no_grad():
        assert nets["fcn"](torch.randn(1, 3, 32, 32).double()).shape == (
            1,
            4,
            32,
            32,
        )  # no hook is left


def test_a_judged_net_uses_the_statistics_that_were_asked_for(run: Path, shards: Path) -> None:
    """The averaged weights give training mode's scores; whatever the batch, counts are equal."""
    predictor = predictor_of(run, BATCH)
    image = photo(70, 45)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    expected = as_in_training(predictor.model, predictor.preprocessing.normalise(pixels))
    torch.testing.assert_close(predictor.logits(image), expected[0], atol=1e-3, rtol=1e-3)
    [samples, _] = open_shards(shards).sets("val")
    alone = evaluate_set(predictor, samples, range(8), silent)
    together = evaluate_set(predictor, samples, range(8), silent, 4)
    assert torch.equal(alone.confmat, together.confmat)
    plain = evaluate_set(replace(predictor, views=Views()), samples, range(8), silent)
    assert not torch.equal(alone.confmat, plain.confmat)
    default = evaluate_set(predictor_of(run, Views()), samples, range(8), silent)
    assert torch.equal(default.confmat, plain.confmat)


def test_nets_without_batch_norm_are_refused(
    run: Path, tmp_path: Path, shards: Path, tiny: dict[str, Any]
) -> None:
    """A net of --norm group has no such statistics, and the error says its norm."""
    start(tiny | {"shards": shards, "out": tmp_path / "run", "norm": "group", "steps": 1})
    with pytest.raises(UsageError, match="is a net of --norm group; it has no batch norm"):
        predictor_of(tmp_path / "run", BATCH)
    checkpoint = load_checkpoint(run / "last.pt")
    assert load_predictor(checkpoint, run, "cpu", BATCH).model.frozen == ()
    checkpoint.config |= {"freeze": "trunk", "init": "elsewhere"}
    assert load_predictor(checkpoint, run, "cpu", BATCH).model.frozen == ("features",)


def test_images_that_are_too_small_are_named(
    run: Path, make_shards: Callable[..., Path], make_pair: Callable[..., Any], tmp_path: Path
) -> None:
    """Such a sample ends an evaluation by its key; of photos the others are predicted."""
    key, image, mask = make_pair("voc2012_small", 1)
    small = (key, image.crop((0, 0, 32, 20)), mask[:20, :32])
    directory = make_shards(tmp_path / "shards", train=2, val=[make_pair("voc2012_a", 2), small])
    with pytest.raises(SampleError, match=r"voc2012_small: has 32x20 pixels; the batch norm"):
        evaluate_run(run, directory, "val", "cpu", silent, views=BATCH)
    evaluate_run(run, directory, "val", "cpu", silent)
    photo(20, 20).save(tmp_path / "a.png")
    photo(40, 20).save(tmp_path / "b.png")
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    told = list(predict_photos(run, files, tmp_path / "out", Manner(), "cpu", BATCH))
    assert told[0].error.startswith(f"{files[0]}: has 20x20 pixels; the batch norm head.norm6 ")
    assert (told[1].error, (tmp_path / "out" / "b.png").exists()) == ("", True)


@pytest.fixture(scope="module")
def both(run: Path, shards: Path) -> tuple[NetOfRun, list[Comparison]]:
    """The run judged by both statistics."""
    return evaluate_both(run, shards, "val", "cpu", silent, views=Views())


def test_both_are_what_each_is_alone(
    both: tuple[NetOfRun, list[Comparison]], run: Path, shards: Path
) -> None:
    """The results of both are those of an evaluation by each; the net's state is its file's."""
    net, found = both
    for which, views in (("first", Views()), ("second", BATCH)):
        path, _, alone = evaluate_run(run, shards, "val", "cpu", silent, views=views)
        assert path == net.path
        for compared, result in zip(found, alone, strict=True):
            assert getattr(compared, which).plain() == result.plain()
    saved = load_checkpoint(net.path).judged
    state = net.predictor.model.state_dict()
    assert all(torch.equal(saved[name], tensor) for name, tensor in state.items())


def test_json_of_both_has_both_and_the_gap(both: tuple[NetOfRun, list[Comparison]]) -> None:
    """It is an evaluation by running statistics, with that by batch statistics and the gap."""
    net, found = both
    plain = json.loads(json.dumps(plain_both(net, found, Views())))
    assert (plain["format"], plain["statistics"]) == ("segtrain-eval/1", "both")
    for compared in found:
        held = plain["datasets"][compared.first.dataset]
        gap = held["statistics_gap"]
        difference = held["batch_statistics"]["mean_iou"] - held["mean_iou"]
        assert gap["mean_iou_difference"] == pytest.approx(difference)
        assert sum(gap["images_better"].values()) == held["images"]
        assert [c["running"] for c in gap["classes"]] == [c["iou"] for c in held["classes"]]
        assert gap["interval"] is None


@pytest.mark.parametrize(
    ("shares", "images", "begins", "ends"),
    [
        ((0.6, 0.8), 60, "batch statistics are better: batch less running is +", "moved on since"),
        ((0.8, 0.6), 60, "running statistics are better: batch less running is -", "a batch has"),
        ((0.75, 0.75), 60, "60 of 8 images show no gap: batch", "the net saw in training"),
        ((0.2, 0.9), 24, "24 of 8 images are too few to tell: batch", "the gap is real"),
    ],
)
def test_the_gap_is_said_in_words(
    shares: tuple[float, float],
    images: int,
    begins: str,
    ends: str,
    shards: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last line names the better statistics or none, the difference, and what it means."""
    samples = open_shards(shards).sets("val")[0]
    found = many(samples, shares, images)
    print_gap(found)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(begins)
    assert last.endswith(ends)
    better = {"batch": "B", "running": "A", None: ""}[plain_gap(found)["better"]]
    assert better == found.verdict()


def test_the_command_takes_its_statistics(
    run: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """eval judges by one or by both, compare by one; each says and writes by which."""
    given = ["--shards", str(shards), "--device", "cpu"]
    said = {}
    for word in ("running", "batch", "both"):
        file, drawn = tmp_path / f"{word}.json", tmp_path / word
        words = ["eval", str(run), *given, "--statistics", word]
        app([*words, "--json", str(file), "--pictures", str(drawn)], standalone_mode=False)
        said[word] = capsys.readouterr().out
        assert json.loads(file.read_text())["statistics"] == word
        assert len(list(drawn.iterdir())) == (4 if word == "both" else 2)
    assert "own statistics" not in said["running"]
    assert said["batch"].splitlines()[1] == "batch norms by each image's own statistics"
    assert "\nmetric\trunning\tbatch\tbatch less running\n" in said["both"]
    words = ["compare", str(run / "last.pt"), str(run / "best.pt"), *given]
    app([*words, "--statistics", "batch", "--json", "-"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["statistics"] == "batch"


def test_real_images_are_scored_as_in_training(run: Path, real_shards: Path) -> None:
    """A real image of val has, in double precision, the scores of training mode on it alone."""
    predictor = predictor_of(run, BATCH)
    net = predictor.model.double()
    for samples in open_shards(real_shards).sets("val"):
        for number in range(2):
            _, image, _ = load(samples, number)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
            seen = predictor.preprocessing.normalise(pixels).double()
            with torch.no_grad(), image_statistics(net):
                found = net(seen)
            torch.testing.assert_close(found, as_in_training(net, seen), atol=1e-8, rtol=1e-8)
