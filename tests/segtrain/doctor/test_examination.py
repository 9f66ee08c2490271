"""Tests of segtrain.doctor.examination and of the patient that it must leave alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from segtrain.doctor.examination import Examination, still, undisturbed
from segtrain.doctor.motion import motion
from segtrain.doctor.patient import Patient
from segtrain.doctor.report import examined
from segtrain.errors import CheckpointError, ShardsError

Examine = Callable[..., Examination]
Admit = Callable[..., Patient]


def test_an_examination_leaves_no_trace(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, modes, statistics, torch's random numbers and the folder are as they were."""
    monkeypatch.chdir(tmp_path)
    exam = examine(dropout=0.5, crop=32, batch=4)
    model = exam.patient.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    examined(exam)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not list(tmp_path.iterdir())


def test_a_probe_is_made_once_and_repeats(examine: Examine) -> None:
    """The second call gives the first one's result; another examination the same losses."""
    first, second = examine(dropout=0.5), examine(dropout=0.5)
    assert first.once(motion) is first.once(motion)
    assert first.once(motion).losses == second.once(motion).losses


def test_a_still_net_repeats_itself_and_remembers_nothing() -> None:
    """Dropout is off, norms use the batch and leave running statistics alone, modes come back."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    net[1].eval()
    image = torch.randn(2, 3, 5, 5)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with still(net):
        out = net(image)
        assert torch.equal(out, net(image))
    assert torch.allclose(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-6)
    assert [m.training for m in net.modules()] == [True, True, False, True]
    assert net[1].track_running_stats
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())


def test_random_numbers_come_back_after_an_error() -> None:
    """What a probe draws is put back even where it fails."""
    before = torch.get_rng_state()

    def failing() -> None:
        torch.rand(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), undisturbed(torch.device("cpu")):
        failing()
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_those_of_the_run_that_have_labels(
    examine: Examine,
    make_shards: Callable[..., Path],
    make_pair: Callable[..., tuple],
    tmp_path: Path,
) -> None:
    """Batches without a labelled pixel are passed over; where there are no others, it says so."""
    pairs = [make_pair(f"voc2012_{n}", n) for n in range(6)]
    void = [(key, image, mask * 0 + 255) for key, image, mask in pairs]
    mixed = make_shards(tmp_path / "mixed", train=[pairs[0], *void[1:]], val=0, per_shard=2)
    exam = examine(shards=mixed, batch=1, val_every=0, norm="group", scale_min=1, scale_max=1)
    assert {key for batch in exam.batches for key in batch.keys} == {"voc2012_0"}
    empty = make_shards(tmp_path / "void", train=void, val=0)
    manifest = json.loads((empty / "voc2012.json").read_text())
    train = manifest["splits"]["train"]
    train["pixels"] = [0] * len(train["pixels"])  # counted, they would be refused before
    (empty / "voc2012.json").write_text(json.dumps(manifest))
    with pytest.raises(ShardsError, match="hold no labelled pixel at all"):
        _ = examine(shards=empty, batch=2, val_every=0).batches


def test_a_checkpoint_is_examined_with_its_own_options(
    trained: Path, shards: Path, patient: Admit
) -> None:
    """The net, its options and its weights are the checkpoint's; what is given wins."""
    saved = patient(trained, shards=shards, lr=0.5)
    assert saved.trained
    assert (saved.config.width, saved.config.lr) == (0.06, 0.5)
    weights = saved.predictor.model.state_dict()
    assert saved.checkpoint is not None
    assert all(torch.equal(weights[name], t) for name, t in saved.checkpoint.model.items())
    with pytest.raises(CheckpointError, match="no such run"):
        patient(trained / "nowhere", shards=shards)
