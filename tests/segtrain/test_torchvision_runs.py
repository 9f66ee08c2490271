"""Tests of runs, checkpoints and the doctor with torchvision's nets, by the smallest of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from segtrain.capacity import doubled, try_steps
from segtrain.checkpoint import load_checkpoint
from segtrain.config import TrainConfig
from segtrain.doctor.activity import Flow
from segtrain.doctor.examination import Examination, Plan
from segtrain.doctor.patient import admit
from segtrain.doctor.report import examined
from segtrain.errors import UsageError
from segtrain.predictor import load_predictor
from segtrain.recipes import configure
from segtrain.session import resume, start

SMALL = "lraspp_mobilenet_v3_large"
AUXILIARY = "deeplabv3_mobilenet_v3_large"


def thin(tiny: dict[str, Any], **options: object) -> dict[str, Any]:
    """Options of a run of a few steps; these nets have no width."""
    return {k: v for k, v in tiny.items() if k != "width"} | {"crop": 48, "steps": 6} | options


@pytest.mark.parametrize("model", [SMALL, AUXILIARY])
def test_a_resumed_run_ends_with_the_same_weights(
    model: str, shards: Path, tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that stopped after a checkpoint goes on bit for bit, its auxiliary head included."""
    options = thin(tiny, model=model, shards=shards, steps=3, save_every=2, val_every=0)
    start(options | {"out": tmp_path / "whole"})
    from segtrain.train import Trainer

    save = Trainer.save

    def stop(self: Trainer, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever it takes
        save(self, *args, **kwargs)
        if self.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        start(options | {"out": tmp_path / "cut"})
    monkeypatch.undo()
    resume({"out": tmp_path / "cut"})
    ends = [load_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "cut")]
    for name, value in ends[0].model.items():
        assert torch.equal(value, ends[1].model[name]), name
    assert any(name.startswith("aux_") for name in ends[0].model) == (model == AUXILIARY)
    original = get_model(model, weights=None, weights_backbone=None, num_classes=4)
    if model == SMALL:
        original.load_state_dict(ends[0].judged, strict=True)
    found = load_predictor(ends[0], tmp_path, "cpu")
    assert found.model(torch.zeros(1, 3, 20, 30)).shape == (1, 4, 20, 30)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": SMALL, "width": 0.5}, "--width means nothing to --model lraspp"),
        ({"model": SMALL, "dropout": 0.1}, "--dropout means nothing to --model lraspp"),
        ({"model": SMALL, "aux_weight": 0.5}, "--aux-weight means nothing to --model lraspp"),
        ({"model": SMALL, "norm": "group"}, "--norm group"),
        ({"aux_weight": 0.5}, "--aux-weight means nothing to --model fcn"),
        ({"weights": "coco"}, "--weights coco: there are none for FCN"),
        ({"model": AUXILIARY, "batch": 1}, "DeepLabv3 .* a --batch of 2 or more"),
        ({"model": AUXILIARY, "batch": 4, "accumulate": 3}, "a --batch of 6 or more in 3 parts"),
        ({"model": SMALL, "batch": 1, "fit": "native"}, "use --fit crop or squash"),
        ({"model": AUXILIARY, "freeze": "trunk"}, "would keep weights that are random"),
    ],
)
def test_what_such_a_net_cannot_take_is_refused(options: dict[str, Any], words: str) -> None:
    """Options that mean nothing to it, and batches of one where it pools, with the way on."""
    with pytest.raises(UsageError, match=words):
        configure(options).resolved()


def test_the_defaults_follow_the_model() -> None:
    """Batch norm, half the auxiliary loss, the references' rate on weights, a folder by name."""
    found = configure({"model": AUXILIARY, "weights": "coco"}).resolved()
    assert (found.norm, found.aux_weight, found.lr, found.dropout) == ("batch", 0.5, 0.01, None)
    assert found.out == Path("runs") / AUXILIARY
    assert found.title == "DeepLabv3 on MobileNetV3-Large"
    scratch = configure({"model": SMALL}).resolved()
    assert (scratch.norm, scratch.aux_weight, scratch.lr) == ("batch", None, 0.05)
    assert TrainConfig.from_plain(found.plain()) == found


def test_pooling_nets_are_tried_with_two_images() -> None:
    """A batch of one is never tried where batch norm could not take it; two images train."""
    tried: list[int] = []
    assert doubled(lambda batch: not tried.append(batch) and batch <= 8, 64, 2) == 8
    assert tried == [2, 4, 8, 16]
    config = configure({"model": AUXILIARY, "batch": 2, "crop": 32}).resolved()
    assert try_steps(config, 4, torch.device("cpu")) > 0


def test_a_relu_at_several_places_is_seen_at_each() -> None:
    """Channels that are off at one place count, though they are on at the other."""
    flow, relu = Flow("ReLU"), nn.ReLU()
    for _ in range(2):
        flow.see(torch.tensor([[1.0, 0.0]]), relu)
        flow.see(torch.tensor([[0.0, 0.0, 3.0, 2.0]]), relu)
        flow.turn = 0
    assert flow.asleep == pytest.approx(3 / 6)


@pytest.mark.parametrize("model", [SMALL, AUXILIARY])
def test_the_doctor_finds_them_healthy(model: str, shards: Path, tiny: dict[str, Any]) -> None:
    """Nothing fatal; all layers had a gradient; the first loss is ln 4, scores being zero."""
    options = thin(tiny, model=model, shards=shards)
    exam = Examination(admit(options), plan=Plan(batches=2, steps=4, overfit=10, rate_steps=1))
    report = examined(exam)
    assert [f"{f.rule}: {f.verdict}" for f in report.findings if f.severity == "fatal"] == []
    told = {finding.rule for finding in report.findings}
    assert not told & {"dead-layers", "first-loss", "unused-branches", "missed-parameters"}
