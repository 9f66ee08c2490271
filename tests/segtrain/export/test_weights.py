"""Exported weights are a checkpoint: they are judged, predict, and start runs."""

import dataclasses
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from segtrain.checkpoint import load_checkpoint
from segtrain.config import TrainConfig
from segtrain.errors import CheckpointError
from segtrain.evaluate import evaluate_run
from segtrain.export.command import Written
from segtrain.export.metadata import metadata
from segtrain.models.sources import read_source
from segtrain.session import start


@pytest.fixture(scope="module")
def weights(exported: list[Written]) -> Path:
    """The safetensors of the trained net."""
    return exported[2].path


def test_weights_are_the_checkpoint(weights: Path, trained: Path) -> None:
    """Every field that describes the net comes back, and each tensor bit by bit."""
    ours, theirs = load_checkpoint(weights), load_checkpoint(trained / "best.pt")
    for name in ("classes", "preprocessing", "manifests", "synthetic", "step", "batches", "best"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.judged.keys() == theirs.judged.keys() == load_file(weights).keys()
    for name, value in theirs.judged.items():
        assert torch.equal(ours.judged[name], value)
    assert ours.train_config.variant == theirs.train_config.variant
    assert weights.stat().st_mode == (trained / "best.pt").stat().st_mode


def test_options_tell_no_path(trained: Path) -> None:
    """Of options that name files of the run's machine, names stay at most."""
    checkpoint = load_checkpoint(trained / "best.pt")
    places = {"watch": ["home/me/dog.jpg"], "weights": "home/me/vgg.pth", "init": "home/me/a",
              "class_weights": "C:\\home\\me\\weights.json"}  # fmt: skip
    strings = metadata(dataclasses.replace(checkpoint, config=checkpoint.config | places))
    config = json.loads(strings["config"])
    assert "home" not in strings["config"]
    assert (config["weights"], config["class_weights"]) == ("vgg.pth", "weights.json")
    assert TrainConfig.from_plain(config).watch is None


def test_weights_are_judged_alike(weights: Path, trained: Path, shards: Path) -> None:
    """`eval` counts the same pixels with them as with the run."""
    found = [
        evaluate_run(run, [str(shards)], "val", "cpu", lambda *_: lambda *_: None)[2]
        for run in (weights, trained)
    ]
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours.confmat, theirs.confmat)


def test_weights_start_a_run(
    weights: Path, shards: Path, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    """`--weights FILE.safetensors` and `--init` begin with every tensor of it."""
    for option, given in (("weights", str(weights)), ("init", weights)):
        out = tmp_path / option
        start(tiny | {"shards": shards, "out": out, "steps": 1, "norm": "batch", option: given})
        report = json.loads((out / "config.json").read_text("utf-8"))["weights"]
        assert (report["fresh"], report["unused"], report["partly"]) == ({}, {}, {})
        assert str(weights) in report["source"]
        assert len(report["loaded"]) == len(load_file(weights))


def test_foreign_safetensors_are_a_state_dict(
    tmp_path: Path, make_vgg: Callable[..., dict[str, Tensor]]
) -> None:
    """A VGG's tensors by torchvision's names are taken as from a file of torch."""
    state = make_vgg()
    save_file(state, tmp_path / "vgg.safetensors")
    source = read_source(tmp_path / "vgg.safetensors", TrainConfig())
    assert source.state.keys() == state.keys()
    assert source.preprocessing is None
    with pytest.raises(CheckpointError, match="is no checkpoint of segtrain"):
        load_checkpoint(tmp_path / "vgg.safetensors")


@pytest.mark.parametrize("damage", ["cut", "header", "field", "json"])
def test_damaged_weights_are_named(weights: Path, tmp_path: Path, damage: str) -> None:
    """Cut off, garbled or with a field missing: the error names the file, with no traceback."""
    data = weights.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "header":
        data = data[:8] + b"{" * length + data[8 + length :]
    else:
        notes = header["__metadata__"]
        notes.pop("config") if damage == "field" else notes.update(step="one")
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        data = struct.pack("<Q", len(text)) + text + data[8 + length :]
    path = tmp_path / "odd.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: is damaged")


def test_the_package_is_named_where_it_is_missing(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without safetensors, its files are refused with what to install."""
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(CheckpointError, match=r'pip install "segtrain\[export\]"'):
        load_checkpoint(weights)
