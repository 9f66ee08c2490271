"""Tests of segtrain.nonfinite."""

from pathlib import Path

import pytest
import torch

from segtrain.batches import Batch
from segtrain.config import TrainConfig
from segtrain.errors import CheckpointError
from segtrain.nonfinite import Capture, load_capture, named_keys


def capture(step: int = 12, model_step: int = 11) -> Capture:
    """A small but complete capture."""
    image = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    image = image.contiguous(memory_format=torch.channels_last)
    batch = Batch(image, torch.zeros(2, 8, 8, dtype=torch.uint8), ["a", "b"], ((0, 5), (1, 2)))
    return Capture(
        step=step,
        found="the loss became nan",
        batch=batch,
        model={"w": torch.ones(2)},
        model_step=model_step,
        rng={"cpu": torch.get_rng_state()},
        config=TrainConfig().plain(),
        identity={"classes": [{"name": "a", "color": [1, 2, 3]}]},
    )


def test_a_step_comes_back_as_it_was(tmp_path: Path) -> None:
    """Pixels, weights, random numbers and memory layout survive, by a load that runs no code."""
    kept = capture()
    path = kept.save(tmp_path)
    assert path == tmp_path / "nonfinite-000012.pt"
    found = load_capture(path)
    assert torch.equal(found.batch.image, kept.batch.image)
    assert found.batch.image.is_contiguous(memory_format=torch.channels_last)
    assert (found.batch.keys, found.batch.draws) == (kept.batch.keys, kept.batch.draws)
    assert torch.equal(found.rng["cpu"], kept.rng["cpu"])
    assert found.config == kept.config
    assert found.exact
    assert not capture(model_step=5).exact


def test_what_is_no_kept_step_is_refused(tmp_path: Path, trained: Path) -> None:
    """A checkpoint, a later format and a file that lacks something are told apart."""
    with pytest.raises(CheckpointError, match=r"give a nonfinite-STEP\.pt"):
        load_capture(trained / "last.pt")
    torch.save({"format": "segtrain-nonfinite/2"}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"'segtrain-nonfinite/2'.*'segtrain-nonfinite/1'"):
        load_capture(tmp_path / "a.pt")
    torch.save({"format": "segtrain-nonfinite/1", "step": 3}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match="not complete"):
        load_capture(tmp_path / "b.pt")


def test_many_keys_are_counted() -> None:
    """Eight keys are named, the others are counted."""
    assert named_keys(["a", "b"]) == "a, b"
    assert named_keys(map(str, range(11))) == "0, 1, 2, 3, 4, 5, 6, 7 and 3 more"
