"""Tests of segtrain.checkpoint."""

import errno
import os
import pickle
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import resnet18

from segtrain import checkpoint as module
from segtrain.checkpoint import (
    Checkpoint,
    check_classes,
    find_checkpoint,
    load_checkpoint,
    load_state,
    save_checkpoint,
    source_commit,
)
from segtrain.config import TrainConfig
from segtrain.errors import CheckpointError, RunError
from segtrain.models import build


def some_checkpoint(**changes: object) -> Checkpoint:
    """A small but complete checkpoint."""
    config = TrainConfig(width=0.06).resolved()
    values = {
        "config": config.plain(),
        "classes": [{"name": "background", "color": [0, 0, 0]}, {"name": "a", "color": [1, 2, 3]}],
        "preprocessing": {"channels": "RGB", "range": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3},
        "manifests": {"voc2012": "ab"},
        "synthetic": False,
        "step": 7,
        "batches": 7,
        "model": {"a": torch.arange(6.0)},
        "optimizer": {"state": {}, "param_groups": []},
        "rng": {"cpu": torch.get_rng_state()},
        "meter": {"loss": 1.5},
        "threads": 1,
    }
    return Checkpoint(**(values | changes))


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    """Every field survives, tensors bit for bit, by a load that runs no code from the file."""
    saved = some_checkpoint(best={"step": 3, "mean_iou": 0.25, "dataset": "voc2012"}, due=True)
    save_checkpoint(tmp_path / "last.pt", saved)
    loaded = load_checkpoint(tmp_path / "last.pt")
    for field in fields(Checkpoint):
        if field.name not in ("model", "rng"):
            assert getattr(loaded, field.name) == getattr(saved, field.name)
    assert torch.equal(loaded.model["a"], saved.model["a"])
    assert saved.rng is not None
    assert loaded.rng is not None
    assert torch.equal(loaded.rng["cpu"], saved.rng["cpu"])
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_one_clear_error(tmp_path: Path, part: float) -> None:
    """Cut anywhere, a checkpoint is an error of one line that names it."""
    path = tmp_path / "last.pt"
    save_checkpoint(path, some_checkpoint())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(CheckpointError, match=r"last\.pt: is truncated") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    """A state dict, a text file and a picture are no checkpoints, and say so."""
    path = tmp_path / "x.pt"
    torch.save(resnet18().state_dict(), path)
    with pytest.raises(CheckpointError, match=r"no checkpoint of segtrain.*--weights FILE"):
        load_checkpoint(path)
    path.write_text("hello")
    with pytest.raises(CheckpointError, match=r"x\.pt: is truncated or"):
        load_checkpoint(path)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    """A pickle that would call a function when loaded is refused without calling it."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "pwned"),)

    path = tmp_path / "evil.pt"
    torch.save({"format": "segtrain/1", "model": Evil()}, path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert not (tmp_path / "pwned").exists()


def test_other_formats_and_incomplete_files_are_refused(tmp_path: Path) -> None:
    """A later major names both formats; a file that lacks fields is not complete."""
    torch.save({"format": "segtrain/2"}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"'segtrain/2'.*'segtrain/1'"):
        load_checkpoint(tmp_path / "a.pt")
    torch.save({"format": "segtrain/1", "step": 3}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match=r"not complete.*config"):
        load_checkpoint(tmp_path / "b.pt")


def test_a_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When writing fails half-way, the old file is untouched and nothing else is left."""
    path = tmp_path / "last.pt"
    save_checkpoint(path, some_checkpoint())
    before = path.read_bytes()

    def full(_: object, part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.torch, "save", full)
    with pytest.raises(RunError, match=r"No space left.*the one before it is kept"):
        save_checkpoint(path, some_checkpoint(step=8))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_run_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    """A folder gives best.pt, else last.pt; a file gives itself; nothing gives a clear error."""
    with pytest.raises(CheckpointError, match=r"nowhere: there is no such run"):
        find_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"holds no checkpoint \(best\.pt or last\.pt\)"):
        find_checkpoint(tmp_path)
    (tmp_path / "last.pt").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "last.pt"
    (tmp_path / "best.pt").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "best.pt"
    assert find_checkpoint(tmp_path / "last.pt") == tmp_path / "last.pt"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variant": "16s"}, "score_pool3"),
        ({"head": "1x1"}, "head.fc6.weight"),
        ({"norm": "batch"}, "features"),
        ({"width": 0.25}, r"\(8,\) there, \(16,\) in this net"),
    ],
)
def test_a_state_of_another_net_names_the_first_layer(options: dict[str, Any], words: str) -> None:
    """Loading a net into one of another variant, head, norm or width names what differs."""
    base: dict[str, Any] = {"width": 0.06, "norm": "none"}
    ours, theirs = (build(TrainConfig(**(base | o)).resolved(), 4) for o in (options, {}))
    with pytest.raises(CheckpointError, match=words):
        load_state(ours, theirs.state_dict(), Path("last.pt"))


def test_other_classes_are_refused_with_the_first_difference() -> None:
    """Another class count tells both counts, another name tells both names."""
    saved = some_checkpoint()
    two = saved.class_infos
    check_classes(saved, two, Path("x"))
    with pytest.raises(CheckpointError, match="has 2 classes, the shards have 1"):
        check_classes(saved, two[:1], Path("x"))
    saved.classes[1]["name"] = "b"
    with pytest.raises(CheckpointError, match="calls class 1 'b', the shards call it 'a'"):
        check_classes(saved, two, Path("x"))


def test_the_commit_is_that_of_our_own_source() -> None:
    """In a checkout the commit is git's, marked where files were changed; it is never guessed."""
    commit = source_commit()
    where = Path(module.__file__).parent
    head = subprocess.run(
        ["git", "-C", str(where), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if commit is None:
        tracked = subprocess.run(
            ["git", "-C", str(where), "ls-files", "--error-unmatch", "checkpoint.py"],
            capture_output=True,
            check=False,
        )
        assert tracked.returncode != 0
    else:
        assert commit.removesuffix("-dirty") == head.stdout.strip()


def test_installed_without_git_there_is_no_commit(tmp_path: Path) -> None:
    """A copy of the package that git does not track has no commit, also within a repository."""
    script = (
        "import segtrain.checkpoint as c, pathlib\n"
        f"c.__file__ = {str(tmp_path / 'checkpoint.py')!r}\n"
        "print(c.source_commit())"
    )
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None"


@pytest.mark.parametrize(
    "spoilt", [{"classes": "x"}, {"classes": [1]}, {"model": {"a": None}}, {"model": 3}]
)
def test_contents_of_other_kinds_are_refused(
    trained: Path, tmp_path: Path, spoilt: dict[str, object]
) -> None:
    """A checkpoint whose classes or weights somebody has replaced is an error with its path."""
    path = tmp_path / "odd.pt"
    torch.save(torch.load(trained / "best.pt", weights_only=True) | spoilt, path)
    with pytest.raises(CheckpointError, match=r"odd.pt: its classes or its weights are not"):
        load_checkpoint(path)


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2"])
def test_an_exported_net_is_told_from_a_damaged_checkpoint(tmp_path: Path, name: str) -> None:
    """What export made for others is no broken file: the error says what can be given."""
    (tmp_path / name).write_bytes(b"net")
    with pytest.raises(CheckpointError, match=r"an exported net.*--format safetensors"):
        load_checkpoint(tmp_path / name)
