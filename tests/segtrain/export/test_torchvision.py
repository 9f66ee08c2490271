"""A net of torchvision as files: the kinds answer as the trained net does."""

from pathlib import Path

import torch

from segtrain.checkpoint import load_checkpoint
from segtrain.export.command import export_run
from segtrain.export.kinds import KINDS
from segtrain.session import start


def test_a_net_with_an_auxiliary_head_is_exported(shards: Path, tmp_path: Path) -> None:
    """All three kinds answer as the net; the weights are the average that is judged."""
    start({"shards": shards, "out": tmp_path / "run", "model": "deeplabv3_mobilenet_v3_large",
           "steps": 1, "batch": 2, "crop": 64, "device": "cpu", "threads": 1, "workers": 0,
           "val_every": 0})  # fmt: skip
    written = export_run(tmp_path / "run", list(KINDS), tmp_path / "out")
    assert {w.path.suffix for w in written} == {".onnx", ".pt2", ".safetensors"}
    assert all(w.difference.relative < 1e-4 for w in written)
    [weights] = [w.path for w in written if w.kind == "safetensors"]
    saved = load_checkpoint(weights).model
    average = load_checkpoint(tmp_path / "run" / "last.pt").average
    assert average is not None
    assert saved.keys() == average.keys()
    assert all(torch.equal(saved[name], average[name]) for name in average)
