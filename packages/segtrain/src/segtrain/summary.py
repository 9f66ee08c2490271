"""The end of a run in words: what it reached, what that is worth, and what is next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segtrain.config import TrainConfig
from segtrain.pace import duration
from segtrain.runs import RunFolder, quoted
from segtrain.terminal import percent, print_line, print_table


@dataclass(frozen=True)
class Outcome:
    """How a run ended, or where it stands.

    Attributes:
        folder: Its folder.
        config: Its configuration.
        step: Steps taken.
        seconds: Work on it, over all its sessions.
        best: The best validation, as in a checkpoint; None where it never validated.
        lines: Its log.
        quiet: Whether another rank tells it.
    """

    folder: RunFolder
    config: TrainConfig
    step: int
    seconds: float
    best: dict[str, Any] | None
    lines: Sequence[Mapping[str, Any]]
    quiet: bool = False

    @property
    def finished(self) -> bool:
        """Whether all steps were taken."""
        return self.step >= self.config.steps

    def judged(self) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
        """The results to show, by data set, and what they are of."""
        for line in reversed(self.lines):
            if "final" in line:
                return "On all validation images", line["final"]
            if "val" in line:
                return f"Newest validation, step {line['step']:,}", line["val"]
        return "", {}

    def table(self) -> list[list[str]]:
        """A row for each data set: images, mean IoU, its interval, and all background's."""
        return [
            [name, images_words(found), percent(found["mean_iou"]), interval_words(found),
             percent(found["all_background_iou"])]
            for name, found in self.judged()[1].items()
        ]  # fmt: skip

    def words(self) -> list[str]:
        """All else, a line each."""
        config = self.config
        lines = []
        if best := self.best:
            lines.append(
                f"best validation: {best['dataset']} mean IoU {percent(best['mean_iou'])} % on "
                f"{best['images']:,} images, step {best['step']:,}, kept as best.pt"
            )
        if self.seconds and self.step:
            rate = self.step * config.batch / self.seconds
            lines.append(
                f"{self.step:,} of {config.steps:,} steps of {config.batch} images in "
                f"{duration(self.seconds)}: {rate:.1f} images/s with validations and saving"
            )
        lines.append(f"run: {self.folder.path}")
        return [*lines, *self.next_steps()]

    def next_steps(self) -> list[str]:
        """What to do with the net, as commands."""
        if not (self.folder.best.exists() or self.folder.last.exists()):
            return []
        run, shards = quoted(self.folder.path), shards_words(self.config)
        return [
            f"judge it: segtrain eval {run}{shards}",
            f"use it: segtrain predict {run} PHOTO...",
        ]


def print_outcome(outcome: Outcome) -> None:
    """The end of a run on stdout, by one rank for all."""
    if outcome.quiet:
        return
    title, _ = outcome.judged()
    if rows := outcome.table():
        heads = ["data set", "images", "mean IoU %", "interval", "all background %"]
        print_table(title, heads, rows)
    for line in outcome.words():
        print_line(line)


def images_words(found: Mapping[str, Any]) -> str:
    """How much of the published split was judged: `450 of 1,449`."""
    official = found.get("official_images", 0)
    of = f" of {official:,}" if official and official != found["images"] else ""
    return f"{found['images']:,}{of}"


def interval_words(found: Mapping[str, Any]) -> str:
    """The interval of a mean IoU, `-` where there is none."""
    ends = found.get("mean_iou_interval")
    return f"{percent(ends['low'])} to {percent(ends['high'])}" if ends else "-"


def shards_words(config: TrainConfig) -> str:
    """The options that name the shards, nothing where these are the default."""
    default = TrainConfig.__dataclass_fields__["shards"].default
    if config.shards == default:
        return ""
    return "".join(f" --shards {quoted(source)}" for source in config.shards)
