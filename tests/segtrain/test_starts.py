"""Tests of how runs start from weights, and what they hand on: session with models.sources."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from segtrain.checkpoint import load_checkpoint
from segtrain.errors import UsageError
from segtrain.predictor import load_predictor
from segtrain.preprocessing import PRESETS
from segtrain.session import resume, start

CLASSES = [
    {"id": 0, "name": "background", "color": [0, 0, 0]},
    {"id": 1, "name": "stripes", "color": [60, 80, 220]},
    {"id": 2, "name": "blob", "color": [200, 30, 30]},
]


def short(tiny: dict[str, Any], **options: object) -> dict[str, Any]:
    """Options of a run of two steps without validation."""
    return tiny | {"steps": 2, "val_every": 0, "batch": 2} | options


def test_the_input_goes_with_the_net_from_run_to_run(
    tmp_path: Path, shards: Path, tiny: dict[str, Any]
) -> None:
    """A net that saw Caffe's input sees it on resume, as another run's start, and when judging."""
    first, second = tmp_path / "a", tmp_path / "b"
    start(short(tiny, shards=shards, out=first, preprocessing="caffe"))
    resume({"out": first})
    start(short(tiny, shards=shards, out=second, init=first))
    for run in (first, second):
        saved = load_checkpoint(run / "last.pt")
        assert saved.preprocessing == PRESETS["caffe"].fingerprint()
        assert json.loads((run / "config.json").read_text())["preprocessing"]["channels"] == "BGR"
        assert load_predictor(saved, run, "cpu").preprocessing == PRESETS["caffe"]
    third = short(tiny, shards=shards, out=tmp_path / "c", init=first, preprocessing="torchvision")
    with pytest.raises(UsageError, match="saw BGR"):
        start(third)
    assert not (tmp_path / "c").exists()


def test_weights_of_unknown_origin_start_nothing_without_the_word(
    tmp_path: Path, shards: Path, tiny: dict[str, Any], make_vgg: Callable[..., dict[str, Tensor]],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A plain file needs --preprocessing; with it the run says what became of the weights."""
    path, out = tmp_path / "vgg.pth", tmp_path / "a"
    torch.save(make_vgg(), path)
    options = short(tiny, shards=shards, out=out, weights=str(path))
    with pytest.raises(UsageError, match=r"vgg\.pth: nothing in it tells"):
        start(options)
    assert not out.exists()
    start(options | {"preprocessing": "caffe"})
    said = capsys.readouterr().out
    assert f"weights: {path}: 30 of the net's 36 tensors" in said
    assert "  start anew score_fr, score_pool4, score_pool3: not in the source" in said
    written = json.loads((out / "config.json").read_text())["weights"]
    assert written["loaded"]["head.fc7.bias"] == "classifier.3.bias"


def test_a_run_of_other_classes_starts_from_those_it_shares(
    tmp_path: Path, trained: Path, make_shards: Callable[..., Path], tiny: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """--init and --weights both carry a net to shards of other classes, row by row, and say so."""
    directory = make_shards(tmp_path / "shards", "mine", classes=CLASSES, train=4, val=2)
    saved = load_checkpoint(trained / "best.pt")
    for name, given in (("a", {"init": trained}), ("b", {"weights": str(trained / "best.pt")})):
        options = short(tiny, shards=directory, out=tmp_path / name, norm="batch", lr=1e-12)
        start(options | given | {"steps": 1})
        assert "2 of 3 classes found by name (background, stripes), the others anew" in (
            capsys.readouterr().out
        )
        model = load_checkpoint(tmp_path / name / "last.pt").model
        found, theirs = model["score_fr.weight"], saved.model["score_fr.weight"]
        torch.testing.assert_close(found[:2], theirs[[0, 3]], rtol=0, atol=1e-8)
        assert found[2].abs().max() < 1e-8


def test_a_frozen_run_resumes_where_it_was(
    tmp_path: Path, shards: Path, trained: Path, tiny: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Stopped and resumed, a run with a frozen trunk ends with the same bits as one in a piece."""
    saved = load_checkpoint(trained / "best.pt")
    options = short(tiny, shards=shards, init=trained, freeze="trunk", steps=4, keep_every=2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    start(options | {"out": whole})
    said = capsys.readouterr().out
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    learning = sum(
        value.numel()
        for name, value in saved.model.items()
        if not name.startswith("features.") and not name.endswith(statistics)
    )
    assert f" weights, of which {learning:,} learn; cpu" in said
    shutil.copytree(whole, parts)
    shutil.copy(parts / "step-000002.pt", parts / "last.pt")  # as if it had been killed since
    resume({"out": parts})
    assert "after step 2" in capsys.readouterr().out
    ended, other = (load_checkpoint(run / "last.pt").model for run in (whole, parts))
    assert all(torch.equal(ended[name], other[name]) for name in ended)
    for name, value in ended.items():
        if name.startswith("features."):
            assert torch.equal(value, saved.model[name]), name
    assert not torch.equal(ended["score_fr.weight"], saved.model["score_fr.weight"])
