"""The folder of a run: config.json, log.jsonl, last.pt, best.pt, pictures/ and what else it has."""

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtrain.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from segtrain.config import TrainConfig
from segtrain.errors import CheckpointError, RunError, UsageError
from segtrain.files import check_folder, make_folder, write_beside
from segtrain.options.stages import STAGES_FILE, VARIANTS
from segtrain.remote.locks import FileLock
from segtrain.terminal import print_note
from segtrain.watching import WatchFolder

# seconds in which the workers of a killed run end, which hold its lock until then
PATIENCE = 10.0


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and the files in it."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The configuration that the run was started with, as JSON."""
        return self.path / "config.json"

    @property
    def log_file(self) -> Path:
        """The log: one JSON object per line, each with `step`."""
        return self.path / "log.jsonl"

    @property
    def last(self) -> Path:
        """The newest checkpoint, from which the run can be resumed."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """The net with the best validation so far."""
        return self.path / "best.pt"

    @property
    def resume_command(self) -> str:
        """The command that goes on with the run; with all stages where it is one of them."""
        staged = self.path.name in VARIANTS and (self.path.parent / STAGES_FILE).is_file()
        return f"segtrain run --out {quoted(self.path.parent if staged else self.path)} --resume"

    def refuse_existing(self) -> None:
        """Refuse a folder that holds a run already.

        Raises:
            RunError: If it does, or if it cannot be written.
        """
        check_folder(self.path, "--out")
        files = (self.config_file, self.log_file, self.last, self.best, self.path / STAGES_FILE)
        held = [f for f in files if f.exists()]
        if held:
            nothing = held == [self.config_file]
            unsaved = "; it has saved nothing: if it has ended, its folder can be deleted" * nothing
            raise RunError(
                f"{self.path}: holds a run already ({held[0].name}); go on with it by "
                f"`{self.resume_command}`, or give a new one another --out{unsaved}"
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, so that no second process trains in it; a killed one holds nothing.

        Where the file system has no locks, that is told, and nobody is kept out.

        Raises:
            RunError: If another process holds it.
        """
        make_folder(self.path, "--out")
        lock = FileLock(self.path / "run.lock")
        try:
            taken = taken_soon(lock)
        except OSError as error:
            taken = True
            print_note(
                f"{lock.path}: cannot be locked ({error}); see to it that no other process trains "
                "in this folder meanwhile"
            )
        if not taken:
            raise RunError(
                f"{self.path}: another process is training in it; let it end, or stop it with "
                "Ctrl-C, and give this command again; a second run needs another --out"
            )
        try:
            yield
        finally:
            lock.release()

    def create(self, config: TrainConfig, facts: dict[str, Any]) -> None:
        """Make the folder and write config.json.

        Args:
            config: The run's configuration.
            facts: What else belongs to the record: classes, parameters, versions.

        Raises:
            RunError: If it cannot be written.
        """
        make_folder(self.path, "--out")
        text = json.dumps({"config": config.plain()} | facts, indent=2) + "\n"
        write_beside(self.config_file, lambda part: part.write_text(text, "utf-8"))

    def config(self) -> TrainConfig:
        """The configuration that the run was started with.

        Raises:
            RunError: If the folder holds no run.
        """
        if not self.config_file.is_file():
            raise RunError(
                f"{self.path}: holds no run to resume (no config.json); name its folder with "
                "--out, or start a new one without --resume"
            )
        try:
            plain = json.loads(self.config_file.read_text("utf-8"))["config"]
            return TrainConfig.from_plain(plain)
        except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
            raise RunError(f"{self.config_file}: is damaged: {error}") from error

    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint; None where the run ended before its first.

        Raises:
            CheckpointError: If it cannot be read; with the way to an older one.
        """
        try:
            return load_checkpoint(self.last) if self.last.exists() else None
        except CheckpointError as error:
            raise CheckpointError(f"{error}: {self.way_back(self.best)}") from error

    def way_back(self, net: Path) -> str:
        """What to do where last.pt is damaged.

        Args:
            net: A checkpoint whose net can be read, if it is there.
        """
        if kept := self.kept():
            copied = f"`cp {quoted(kept[-1])} {quoted(self.last)}`"
            return f"{copied} puts the newest kept step in its place, then resume"
        if net.is_file():
            return (
                f"no step was kept (--keep-every); `--init {quoted(net)}` with another --out "
                "starts a new run from that net"
            )
        return "no other checkpoint was kept (--keep-every); start a new run with another --out"

    def save(self, checkpoint: Checkpoint) -> None:
        """Write last.pt.

        Raises:
            RunError: If it cannot be written; the one before it is kept.
        """
        save_checkpoint(self.last, checkpoint)

    def keep(self, step: int, count: int) -> list[Path]:
        """Keep last.pt as `step-STEP.pt`, and remove the oldest beyond `count` of these.

        Where the file system can, this is a second name of the same file and takes no room until
        last.pt is replaced.

        Args:
            step: Its step.
            count: How many to keep, 0 for all.

        Returns:
            What should have been removed and could not be.

        Raises:
            RunError: If it cannot be written; none is removed then.
        """
        write_beside(self.kept_file(step), lambda part: link_or_copy(self.last, part))
        stuck = []
        for old in self.kept()[:-count] if count else []:
            try:
                old.unlink()
            except OSError:
                stuck.append(old)
        return stuck

    def mend(self, step: int, count: int) -> None:
        """Keep last.pt as `keep` does, if the run was killed before that was done.

        Args:
            step: Its step.
            count: How many to keep, 0 for all.

        Raises:
            RunError: If it cannot be written.
        """
        if not self.kept_file(step).exists() or 0 < count < len(self.kept()):
            self.keep(step, count)

    def kept_file(self, step: int) -> Path:
        """The checkpoint that is kept of a step."""
        return self.path / f"step-{step:06d}.pt"

    def kept(self) -> list[Path]:
        """The kept checkpoints, the oldest first."""
        found = [p for p in self.path.glob("step-*.pt") if p.stem[5:].isdecimal()]
        return sorted(found, key=lambda p: int(p.stem[5:]))

    def picture(self, step: int, dataset: str) -> Path:
        """The picture of a validation."""
        return self.path / "pictures" / f"{step:06d}-{dataset}.png"

    def counts(self, step: int | None, dataset: str) -> Path:
        """What a validation counted; None is that of all images at the end."""
        name = f"{step:06d}" if step is not None else "final"
        return self.path / "validations" / f"{name}-{dataset}.npz"

    @property
    def watch(self) -> WatchFolder:
        """The photos that the run watches."""
        return WatchFolder(self.path / "watch")

    def clean(self) -> None:
        """Remove what a killed process left half-written."""
        for pattern in (".*.part", "*/.*.part", "watch/*/.*.part"):
            for part in self.path.glob(pattern):
                part.unlink(missing_ok=True)


def taken_soon(lock: FileLock) -> bool:
    """Take a lock, waiting for what a killed process left to end; whether it was to be had.

    Raises:
        OSError: If the file system cannot lock, or the file cannot be made.
    """
    until = time.monotonic() + PATIENCE
    while not lock.acquire(wait=False):
        if time.monotonic() >= until:
            return False
        time.sleep(0.1)
    return True


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has none, copy it.

    Raises:
        OSError: If it cannot be copied.
    """
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def quoted(path: Path | str) -> str:
    """A path as it is typed on this system's command line."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))
