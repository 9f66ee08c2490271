"""A run as its folder tells it; nothing is computed anew, and nothing is written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from segtrain.config import TrainConfig
from segtrain.counts_files import Kept, read_counts
from segtrain.errors import RunError
from segtrain.log_files import read_lines
from segtrain.manifests import ClassInfo
from segtrain.options.stages import STAGES_FILE, VARIANTS
from segtrain.recipe_tables import words
from segtrain.report.shapes import (
    CONFIG,
    DOCTOR,
    EVALUATION,
    OPTIONAL,
    fits,
    is_number,
    misfit,
    sound_line,
)
from segtrain.runs import RunFolder, quoted
from segtrain.session_record import FILE as SESSIONS
from segtrain.session_record import read_sessions

EVAL_FORMAT = "segtrain-eval/"


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A run, read.

    Attributes:
        folder: Its folder.
        name: What it is called on the page.
        plain: Its config.json.
        config: Its options.
        lines: Its log, up to the first line that is not whole.
        sessions: The record of its sessions.
        remarks: What could not be read of it, in words.
    """

    folder: RunFolder
    name: str
    plain: dict[str, Any]
    config: TrainConfig
    lines: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    remarks: list[str] = field(default_factory=list)

    @cached_property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Its classes in the order of their ids."""
        return tuple(ClassInfo(str(c["name"]), tuple(c["color"])) for c in self.plain["classes"])

    @property
    def step(self) -> int:
        """The last step that log or sessions know of."""
        return max([0, *(int(line["step"]) for line in (*self.lines, *self.sessions))])

    @property
    def finished(self) -> bool:
        """Whether all steps were taken."""
        return self.step >= self.config.steps

    @property
    def floors(self) -> dict[str, float]:
        """The losses at which nothing was learnt, `uniform` and where it is known `prior`."""
        return dict(self.lines[-1].get("loss_floors", {})) if self.lines else {}

    @property
    def validations(self) -> list[dict[str, Any]]:
        """The lines with a validation."""
        return [line for line in self.lines if line.get("val")]

    @property
    def datasets(self) -> list[str]:
        """The data sets that it validated on, the primary first."""
        return list(dict.fromkeys(name for line in self.validations for name in line["val"]))

    @property
    def best(self) -> dict[str, Any] | None:
        """The line of the best validation on the primary data set, the first of equal ones."""
        judged = [line for line in self.validations if is_number(line.get("val_iou"))]
        return max(judged, key=lambda line: line["val_iou"], default=None)

    @property
    def final(self) -> dict[str, Any]:
        """The results on all validation images at the end, by data set; empty before it."""
        found = self.lines[-1].get("final", {}) if self.lines else {}
        return found if isinstance(found, dict) else {}

    @property
    def newest(self) -> tuple[int, dict[str, Any]]:
        """The newest results and their step: those of the end, else of the last validation."""
        if self.final:
            return self.lines[-1]["step"], self.final
        if self.validations:
            return self.validations[-1]["step"], self.validations[-1]["val"]
        return 0, {}

    @cached_property
    def kept(self) -> dict[str, list[Kept]]:
        """What its validations counted by data set: those on the way, then that of the end.

        Files without a line in the log are of a time that a resumed run has left.
        """
        steps = [line["step"] for line in self.validations]
        names = [(step, name) for name in self.datasets for step in (*steps, None)]
        found: dict[str, list[Kept]] = {}
        for step, name in names:
            path = self.folder.counts(step, name)
            if not path.is_file() or (step is None and not self.final):
                continue
            try:
                kept = read_counts(path)
            except RunError as error:
                self.remarks.append(str(error))
                continue
            if kept.result.classes == self.classes:
                found.setdefault(name, []).append(replace(kept, whole=step is None))
            else:
                self.remarks.append(f"{path.name}: is of other classes than the run's")
        return found

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """What `segtrain eval --json` wrote into its folder as `eval*.json`."""
        paths = sorted(self.folder.path.glob("eval*.json"))
        found = []
        for path in paths:
            plain = self.read_json(path)
            if not str(plain.get("format", "")).startswith(EVAL_FORMAT):
                continue
            if wrong := misfit(plain, EVALUATION):
                self.remarks.append(f"{path.name}: {wrong} is not as segtrain eval writes it")
                continue
            found.append(plain | {"file": path.name})
        return found

    @cached_property
    def doctor(self) -> dict[str, Any]:
        """What `segtrain doctor --json` wrote into its folder as `doctor.json`; empty without."""
        path = self.folder.path / "doctor.json"
        plain = self.read_json(path) if path.is_file() else {}
        if plain and not fits(plain, DOCTOR):
            self.remarks.append(f"{path.name}: is not as segtrain doctor writes it")
            return {}
        return plain

    def read_json(self, path: Path) -> dict[str, Any]:
        """A JSON file that somebody put into the folder; empty, with a remark, if it is none."""
        try:
            plain = json.loads(path.read_text("utf-8"))
            return plain if isinstance(plain, dict) else {}
        except (OSError, ValueError) as error:
            self.remarks.append(f"{path.name}: cannot be read as JSON: {error}")
            return {}

    def pictures(self, dataset: str) -> dict[int, Path]:
        """The sheets of a data set's validations by step."""
        steps = (line["step"] for line in self.validations)
        paths = {step: self.folder.picture(step, dataset) for step in steps}
        return {step: path for step, path in paths.items() if path.is_file()}

    @property
    def captures(self) -> list[str]:
        """Names of the files of steps at which numbers were not finite."""
        return sorted(path.name for path in self.folder.path.glob("nonfinite-*.pt"))

    @property
    def checkpoints(self) -> list[str]:
        """Names of its checkpoints."""
        fixed = [p.name for p in (self.folder.best, self.folder.last) if p.is_file()]
        return [*fixed, *(path.name for path in self.folder.kept())]

    def status(self) -> tuple[str, str]:
        """How it stands: `good`, `warn` or `bad`, and words."""
        of = f"step {self.step:,} of {self.config.steps:,}"
        last = self.sessions[-1] if self.sessions else {}
        how = last.get("how") if last.get("event") == "ended" else None
        if how == "failed":
            return "bad", f"failed at {of}"
        if self.finished:
            return "good", f"finished, {self.config.steps:,} steps"
        if how is not None:
            return "warn", f"stopped at {of}"
        if self.sessions:
            return "warn", f"under way, or killed: {of}"
        return "warn", f"not finished: {of}"

    @property
    def resume_command(self) -> str:
        """The command that goes on with it."""
        return self.folder.resume_command


def read_run(path: Path, name: str | None = None) -> RunRecord:
    """The run of a folder.

    Args:
        path: The folder.
        name: What the page shall call it; by default the folder's name.

    Raises:
        RunError: If there is no such folder, it holds no run, or its config.json is damaged.
    """
    folder = RunFolder(path)
    if not path.is_dir():
        raise RunError(f"{path}: there is no such folder; name the folder of a run, its --out")
    if not folder.config_file.is_file():
        raise RunError(
            f"{path}: holds no run (no config.json); name the folder that `segtrain run --out` made"
        )
    config = folder.config()
    try:
        plain = json.loads(folder.config_file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder.config_file}: is damaged: {error}") from error
    if wrong := damaged_key(plain):
        raise RunError(
            f"{folder.config_file}: is damaged: its {wrong!r} is not as segtrain writes it; bring "
            "back the file as it was"
        )
    return RunRecord(
        folder=folder,
        name=name or path.resolve().name,
        plain=plain,
        config=config,
        lines=[sound_line(line) for line in read_lines(folder.log_file)],
        sessions=read_sessions(path / SESSIONS),
    )


def damaged_key(plain: dict[str, Any]) -> str:
    """The first key of a config.json that is not as segtrain writes it; empty where all are."""
    known = {key: shape for key, shape in OPTIONAL.items() if key in plain}
    if wrong := misfit(plain, CONFIG | known):
        return wrong
    weights = plain.get("class_weights")
    return "class_weights" if weights and len(weights) != len(plain["classes"]) else ""


def staged(path: Path) -> bool:
    """Whether a folder holds a run in stages."""
    return (path / STAGES_FILE).is_file()


def stages_of(path: Path) -> Iterator[RunRecord]:
    """The stages of a staged run that have begun, in their order.

    Raises:
        RunError: If none has.
    """
    begun = [path / v for v in VARIANTS if (path / v / "config.json").is_file()]
    if not begun:
        raise RunError(f"{path}: no stage of this run has begun; there is nothing to show yet")
    for folder in begun:
        yield read_run(folder, f"FCN-{folder.name}")


def command_of(run: RunRecord, what: str) -> str:
    """A command about a run's folder, as it is typed."""
    return f"segtrain {what.format(run=quoted(run.folder.path))}"


def option_rows(run: RunRecord) -> list[tuple[str, str]]:
    """Every option of a run with its value, in the order of --help."""
    return [(f"--{name.replace('_', '-')}", words(getattr(run.config, name)))
            for name in run.config.__dataclass_fields__]  # fmt: skip
