"""Tests of segtrain.runs."""

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from segtrain.checkpoint import write_beside
from segtrain.config import TrainConfig
from segtrain.errors import CheckpointError, RunError
from segtrain.runs import RunFolder


def test_the_configuration_comes_back_from_its_file(tmp_path: Path) -> None:
    """config.json holds the configuration and the facts given with it."""
    folder = RunFolder(tmp_path / "deep" / "run")
    config = TrainConfig(lr=0.25, out=folder.path)
    folder.create(config, {"commit": "abc"})
    assert folder.config() == config
    assert json.loads(folder.config_file.read_text())["commit"] == "abc"


@pytest.mark.parametrize("name", ["config.json", "log.jsonl", "last.pt", "best.pt"])
def test_a_folder_with_a_run_is_refused(tmp_path: Path, name: str) -> None:
    """Whatever part of a run lies there, the error names --resume and another --out."""
    RunFolder(tmp_path).refuse_existing()
    (tmp_path / "notes.txt").touch()
    RunFolder(tmp_path).refuse_existing()
    (tmp_path / name).touch()
    with pytest.raises(RunError, match=rf"holds a run already \({name}\).*--resume.*another --out"):
        RunFolder(tmp_path).refuse_existing()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A file where the folder should be is refused before anything starts."""
    (tmp_path / "x").touch()
    with pytest.raises(RunError, match="is a file"):
        RunFolder(tmp_path / "x").refuse_existing()


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one holds a folder another is refused, with the way on; afterwards it is free."""
    monkeypatch.setattr("segtrain.runs.PATIENCE", 0.0)
    folder = RunFolder(tmp_path / "run")
    with (
        folder.held(),
        pytest.raises(RunError, match=r"run: another process is training in it; .*another --out"),
        folder.held(),
    ):
        pass
    with folder.held():
        assert [p.name for p in folder.path.iterdir()] == ["run.lock"]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_killed_process_holds_no_folder(tmp_path: Path) -> None:
    """A process killed with SIGKILL leaves its folder free, and the lock's file in it."""
    code = (
        "import os, signal, sys; from pathlib import Path; from segtrain.runs import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).held(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert (tmp_path / "run.lock").exists()
    with RunFolder(tmp_path).held():
        pass


def test_a_file_system_without_locks_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no lock can be had at all, that is told and the run goes on."""

    def none(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("segtrain.remote.locks.FileLock.acquire", none)
    with RunFolder(tmp_path).held():
        assert "cannot be locked" in capsys.readouterr().err


def test_resuming_nothing_says_what_is_missing(tmp_path: Path) -> None:
    """A folder without a run, or with a damaged configuration, cannot be resumed."""
    with pytest.raises(RunError, match=r"no run to resume \(no config\.json\)"):
        RunFolder(tmp_path).config()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        RunFolder(tmp_path).config()


def test_a_damaged_last_checkpoint_names_what_to_go_on_with(tmp_path: Path) -> None:
    """The newest kept step is a command to type; without one best.pt is named; else neither."""
    folder = RunFolder(tmp_path / "my run")
    folder.path.mkdir()
    folder.last.write_bytes(b"half")
    for expected, name in (
        ("no other checkpoint was kept", "best.pt"),
        (f"--init '{folder.best}'", "step-000005.pt"),
        (f"cp '{folder.kept_file(5)}' '{folder.last}'", "step-000010.pt"),
        (f"cp '{folder.kept_file(10)}' '{folder.last}'", "step-x.pt"),
    ):
        with pytest.raises(CheckpointError, match=r"last\.pt: is truncated") as caught:
            folder.checkpoint()
        assert expected in str(caught.value)
        (folder.path / name).touch()


def test_the_resume_command_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    """A shell takes the command apart into just these words, whatever the folder is called."""
    for name in ("run", "my runs", "it's", "a$HOME `x`", 'say "yes"'):
        command = RunFolder(tmp_path / name).resume_command
        assert shlex.split(command) == [
            "segtrain",
            "run",
            "--out",
            str(tmp_path / name),
            "--resume",
        ]


@pytest.mark.parametrize("links", [True, False])
def test_the_newest_checkpoints_are_kept(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """last.pt is kept under its step's name, with hard links or without; the oldest are removed."""
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refused)
    folder = RunFolder(tmp_path)
    (tmp_path / "best.pt").write_text("best")
    for name in ("step-x.pt", "step-1.txt"):
        (tmp_path / name).touch()
    for step in (5, 10, 1_000_000, 15):
        write_beside(folder.last, lambda part, step=step: part.write_text(f"net {step}"))
        assert folder.keep(step, 3) == []
    names = ["step-000010.pt", "step-000015.pt", "step-1000000.pt"]
    assert [p.name for p in folder.kept()] == names
    assert [p.read_text() for p in folder.kept()] == ["net 10", "net 15", "net 1000000"]
    assert folder.last.read_text() == "net 15"
    assert folder.keep(20, 0) == []
    assert len(folder.kept()) == 4
    assert {"best.pt", "step-x.pt", "step-1.txt"} < {p.name for p in tmp_path.iterdir()}
    assert not list(tmp_path.glob(".*"))


def refused(self: Path, _: Path) -> None:
    """What a file system without hard links answers."""
    raise OSError(errno.EPERM, "Operation not permitted", str(self))


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    """Temporary files go, all others stay."""
    (tmp_path / "pictures").mkdir()
    stale = [tmp_path / ".last.pt.part", tmp_path / "pictures" / ".000005-voc2012.png.part"]
    kept = [tmp_path / "last.pt", tmp_path / ".notes", tmp_path / "pictures" / "a.png"]
    for path in stale + kept:
        path.touch()
    RunFolder(tmp_path).clean()
    assert not [p for p in stale if p.exists()]
    assert all(p.exists() for p in kept)
