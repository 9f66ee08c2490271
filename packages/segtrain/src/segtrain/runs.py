"""The folder of a run: config.json, log.jsonl, last.pt, best.pt and pictures/."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from segtrain.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, write_beside
from segtrain.config import TrainConfig
from segtrain.errors import RunError


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
        """The command that goes on with the run."""
        return f"segtrain run --out {self.path} --resume"

    def refuse_existing(self) -> None:
        """Refuse a folder that holds a run already.

        Raises:
            RunError: If it does, or if it is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path}: is a file; name a folder with --out")
        held = [f for f in (self.config_file, self.log_file, self.last, self.best) if f.exists()]
        if held:
            raise RunError(
                f"{self.path}: holds a run already ({held[0].name}); go on with it by "
                f"`{self.resume_command}`, or give a new one another --out"
            )

    def create(self, config: TrainConfig, facts: dict[str, Any]) -> None:
        """Make the folder and write config.json.

        Args:
            config: The run's configuration.
            facts: What else belongs to the record: classes, parameters, versions.

        Raises:
            RunError: If it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be made: {error}") from error
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
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.config_file}: is damaged: {error}") from error

    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint; None where the run ended before its first.

        Raises:
            CheckpointError: If it cannot be read.
        """
        return load_checkpoint(self.last) if self.last.exists() else None

    def save(self, checkpoint: Checkpoint) -> None:
        """Write last.pt.

        Raises:
            RunError: If it cannot be written; the one before it is kept.
        """
        save_checkpoint(self.last, checkpoint)

    def log(self, line: dict[str, Any]) -> None:
        """Append one line to the log.

        Raises:
            RunError: If it cannot be written.
        """
        try:
            with self.log_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise RunError(f"{self.log_file}: cannot be written: {error}") from error

    def rewind_log(self, step: int, *, due: bool) -> None:
        """Drop lines that a resumed run writes again: those past its checkpoint, and half ones.

        Args:
            step: The checkpoint's step.
            due: Whether the line of that step itself is still to be written.
        """
        if not self.log_file.exists():
            return
        kept = []
        for text in self.log_file.read_text("utf-8").splitlines():
            try:
                at = json.loads(text)["step"]
            except (ValueError, KeyError, TypeError):
                break  # a line that was being written when the run was killed
            if at > step or (due and at == step):
                break
            kept.append(text + "\n")
        write_beside(self.log_file, lambda part: part.write_text("".join(kept), "utf-8"))

    def save_picture(self, name: str, picture: Image.Image) -> Path:
        """Write `pictures/NAME.png`.

        Raises:
            RunError: If it cannot be written.
        """
        path = self.path / "pictures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        write_beside(path, lambda part: picture.save(part, format="PNG"))
        return path
