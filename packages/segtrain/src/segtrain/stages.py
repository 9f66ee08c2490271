"""Staged training: 32s, then 16s from it, then 8s, each a run of its own in one folder.

The stages lie in `32s/`, `16s/` and `8s/` of the folder; `stages.json` beside them holds what was
asked for. As in the authors' training, a stage begins with the net of the last step of the one
before, not with the one that validated best: the choice would rest on a few images.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from segtrain import session
from segtrain.config import (
    RESUMABLE,
    TrainConfig,
    changed,
    field_values,
    known,
    plain_value,
)
from segtrain.errors import InterruptedRunError, RunError, SegtrainError, UsageError
from segtrain.files import make_folder, write_beside
from segtrain.log_files import read_lines
from segtrain.options.fields import flag
from segtrain.options.stages import STAGES_FILE, VARIANTS
from segtrain.ranks import Ranks, joined
from segtrain.recipes import configure, folder_of
from segtrain.runs import RunFolder
from segtrain.summary import Outcome, images_words, print_outcome
from segtrain.terminal import percent, points, print_line, print_table

FORMAT = "segtrain-stages/1"
# what concerns the first stage only: where it starts, and how hidden layers start
FIRST_ONLY = ("weights", "init", "conv_init", "hidden_bias", "score_init")
# what 32s does not have
SKIPS_ONLY = ("upsampling", "skip_scales", "skip_init")
# what is asked of all stages together
WHOLE = ("staged", "stage_steps", "stage_lr", "variant", "out")


class StageResult(NamedTuple):
    """The result of a stage on one data set.

    Attributes:
        variant: The stage.
        step: Its last step.
        dataset: The data set.
        final: As the log has it: `images`, `mean_iou`, `pixel_accuracy`, ...
    """

    variant: str
    step: int
    dataset: str
    final: dict[str, Any]


@dataclass
class Stages:
    """A staged run.

    Attributes:
        path: Its folder.
        given: The options that were given, by field of `TrainConfig`.
    """

    path: Path
    given: dict[str, Any]

    @property
    def config(self) -> TrainConfig:
        """The options that were given, over the recipe and the defaults."""
        return configure(self.given)

    @property
    def variants(self) -> tuple[str, ...]:
        """The stages in their order."""
        return VARIANTS[: VARIANTS.index(self.config.variant) + 1]

    def folder(self, variant: str) -> RunFolder:
        """The folder of a stage."""
        return RunFolder(self.path / variant)

    def options(self, variant: str) -> dict[str, Any]:
        """The options of a stage's run."""
        first = variant == self.variants[0]
        left_out = {
            *WHOLE,
            *(SKIPS_ONLY if variant == "32s" else ()),
            *(() if first else FIRST_ONLY),
        }
        chosen = {name: value for name, value in self.given.items() if name not in left_out}
        own = {"steps": self.config.steps_of(variant), "lr": self.config.rate_of(variant)}
        chosen |= {name: value for name, value in own.items() if value is not None}
        if not first:
            before = self.variants[self.variants.index(variant) - 1]
            chosen["init"] = self.folder(before).last
            if copies := self.folder(before).watch.copies():
                chosen["watch"] = copies  # the same photos, wherever their files are by then
        return chosen | {"variant": variant, "out": self.folder(variant).path}

    def begun(self) -> list[str]:
        """The stages that have a run, in their order; all of these but the last are finished."""
        return [v for v in self.variants if self.folder(v).config_file.exists()]

    def write(self) -> None:
        """Write `stages.json`.

        Raises:
            RunError: If it cannot be written.
        """
        make_folder(self.path, "--out")
        given = {name: plain_value(value) for name, value in self.given.items()}
        plain = {"format": FORMAT, "stages": list(self.variants), "given": given}
        text = json.dumps(plain, indent=2) + "\n"
        write_beside(self.path / STAGES_FILE, lambda part: part.write_text(text, "utf-8"))

    @classmethod
    def read(cls, path: Path) -> "Stages":
        """The staged run of a folder.

        Raises:
            RunError: If `stages.json` is damaged.
        """
        file = path / STAGES_FILE
        try:
            given = json.loads(file.read_text("utf-8"))["given"]
            stages = cls(path, field_values(given))
            configure(stages.given)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
            raise RunError(f"{file}: is damaged: {error}") from error
        return stages

    def refuse_existing(self) -> None:
        """Refuse a folder that holds a run already, staged or not.

        Raises:
            RunError: If it does.
        """
        RunFolder(self.path).refuse_existing()
        for variant in self.variants:
            self.folder(variant).refuse_existing()

    def remove(self, *, folder: bool) -> None:
        """Undo `write`, with the folder if that was made for it."""
        (self.path / STAGES_FILE).unlink(missing_ok=True)
        if folder and not any(self.path.iterdir()):
            self.path.rmdir()

    def results(self) -> list[StageResult]:
        """The results on all validation images, by stage and data set; from the stages' logs."""
        found = []
        for variant in self.begun():
            for line in read_lines(self.folder(variant).log_file):
                for name, final in line.get("final", {}).items():
                    found.append(StageResult(variant, line["step"], name, final))
        return found

    def announce(self, variant: str) -> None:
        """Say which stage begins or goes on."""
        number = 1 + self.variants.index(variant)
        origin = self.options(variant).get("init")
        start = f", from {origin}" if origin else ""
        print_line(f"stage {number} of {len(self.variants)}: FCN-{variant}{start}", "bold")

    def go_on(self, ranks: Ranks, again: Mapping[str, Any] | None = None) -> Outcome:
        """Train what is left: the rest of the stage that was under way, then the others.

        Args:
            ranks: The processes of the run.
            again: Options that are given anew on resume.

        Returns:
            The outcome of the last stage.

        Raises:
            SegtrainError: As a run does.
        """
        begun = self.begun()
        outcome = None
        for variant in self.variants[max(0, len(begun) - 1) :]:
            with ranks.together():  # what a stage begins with is written by then
                if ranks.main:
                    self.announce(variant)
            try:
                outcome = self.train(variant, again or {})
            except InterruptedRunError as stopped:
                raise self.stopped(variant, stopped) from None
        return known(outcome)

    def train(self, variant: str, again: Mapping[str, Any]) -> Outcome:
        """Train a stage from its start, or from where it stands."""
        if variant in self.begun():
            before = self.options(variant).get("init")  # the whole folder may have been moved
            return session.resume({**again, "out": self.folder(variant).path}, before)
        return session.start(self.options(variant))

    def stopped(self, variant: str, error: InterruptedRunError) -> InterruptedRunError:
        """The same interruption, with the stage that it came in."""
        place = f"stage {1 + self.variants.index(variant)} of {len(self.variants)}"
        told = InterruptedRunError(f"{place}, FCN-{variant}: {error}", error.exit_code - 128)
        told.quiet = error.quiet
        return told


def is_staged(given: Mapping[str, Any], *, resume: bool) -> bool:
    """Whether these options make, or go on with, a staged run."""
    if given.get("staged"):
        return True
    return resume and (folder_of(given) / STAGES_FILE).is_file()


def check_given(given: Mapping[str, Any]) -> None:
    """Refuse options that say the same in two ways.

    Raises:
        UsageError: With both.
    """
    for name in ("steps", "lr"):
        if name in given and f"stage_{name}" in given:
            raise UsageError(
                f"{flag(name)} is the same for all stages and {flag(f'stage_{name}')} is one for "
                "each; give one of them"
            )


def start(given: Mapping[str, Any]) -> tuple[Stages, Outcome]:
    """Start a staged run and train all its stages.

    Args:
        given: Options that were given, by field of `TrainConfig`.

    Raises:
        SegtrainError: As a run does; where the first stage cannot begin, nothing is left behind.
    """
    check_given(given)
    stages = Stages(folder_of(given), dict(given))
    for variant in stages.variants:
        configure(stages.options(variant))  # refuses what cannot be meant, before any work
    with joined(lambda: stages.config.device) as ranks:
        new = not stages.path.exists()
        with ranks.together():
            if ranks.main:
                stages.refuse_existing()
                stages.write()
        try:
            return stages, stages.go_on(ranks)
        except SegtrainError:
            if ranks.main and not stages.begun():
                stages.remove(folder=new)
            raise


def resume(given: Mapping[str, Any]) -> tuple[Stages, Outcome]:
    """Go on with a staged run in the stage where it was.

    Args:
        given: Options that were given, by field of `TrainConfig`; `out` names the run.

    Raises:
        SegtrainError: As a run does; if there is no staged run, or if an option would change what
            it computes.
    """
    path = folder_of(given)
    if not (path / STAGES_FILE).is_file():
        raise RunError(
            f"{path}: holds no staged run (no {STAGES_FILE}); name its folder with --out, or start "
            "one without --resume"
        )
    stages = Stages.read(path)
    changed(stages.config, given)
    again = {name: value for name, value in given.items() if name in RESUMABLE}
    stages.given |= again
    with joined(lambda: stages.config.device) as ranks:
        return stages, stages.go_on(ranks, again)


def print_end(ended: tuple[Stages, Outcome]) -> None:
    """The end of a staged run on stdout: that of its last stage, then all stages in a table."""
    stages, outcome = ended
    print_outcome(outcome)
    if outcome.quiet:
        return
    rows, before = [], dict[str, float]()
    for found in stages.results():
        iou = found.final["mean_iou"]
        gain = iou - before[found.dataset] if found.dataset in before else None
        before[found.dataset] = iou
        rows.append(
            [f"FCN-{found.variant}", f"{found.step:,}", found.dataset, images_words(found.final),
             percent(found.final["pixel_accuracy"]), percent(iou), points(gain)]
        )  # fmt: skip
    if rows:
        heads = ["stage", "steps", "data set", "images", "pixel acc. %", "mean IoU %", "gain"]
        print_table("Stages, on all validation images", heads, rows)
