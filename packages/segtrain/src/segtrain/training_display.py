"""How people follow a run: a live view on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segtrain.interruption import Interruption
from segtrain.terminal import percent, print_line, print_note
from segtrain.training_view import View

if TYPE_CHECKING:
    from rich.live import Live


@dataclass
class TrainDisplay:
    """Lines on stdout, and a live view on stderr where it is a terminal.

    Attributes:
        view: What is known of the run.
        live: What keeps the view on the terminal; None where there is none.
        since: When the validation of a data set began, by `time.perf_counter`.
    """

    view: View
    live: "Live | None" = None
    since: float = 0.0

    def line(self, text: str, *, important: bool = True) -> None:
        """Print a line; beside a live view on the same terminal only what is important, above."""
        if self.live is None or not sys.stdout.isatty():
            print_line(text)
        elif important:
            self.live.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a remark that is no error."""
        if self.live is None:
            print_note(text)
        else:
            self.live.console.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)

    def begin(self, step: int, lines: Iterable[dict[str, Any]], stop: Interruption) -> None:
        """Show where a run stands before its first step of this session.

        Args:
            step: Steps taken.
            lines: Its log so far.
            stop: Knows whether a signal came.
        """
        self.view.step, self.view.stop = step, stop
        for line in lines:
            self.view.note(line)

    def report(self, line: dict[str, Any]) -> None:
        """Tell a line of the log: whole where lines are printed, else its validations."""
        self.view.note(line)
        if self.live is None or not sys.stdout.isatty():
            self.line(describe_line(line, self.view.plan.steps))
        else:
            for text in describe_validations(line):
                self.line(f"step {line['step']:,}  {text}")

    def advance(self, step: int) -> None:
        """Note a step."""
        self.view.step = step
        self.doing("training")

    def doing(self, what: str) -> None:
        """Say what is being done from now on."""
        self.view.doing, self.view.part = what, None

    def fetching(self, done: int, total: int) -> None:
        """Show how far the first shards are, in bytes, before training can begin."""
        self.view.doing, self.view.part = "fetching shards, MB", (done // 10**6, total // 10**6)

    def close(self) -> None:
        """Take the live view away; from now on lines are printed."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def validating(self, name: str, done: int, total: int) -> None:
        """Show how far the validation of a data set is."""
        now = time.perf_counter()
        if done == 1:
            self.since = now
        elif done == total:
            self.view.pace.validated(done - 1, now - self.since)
        self.view.doing, self.view.part = f"validating {name}", (done, total)


class SilentDisplay(TrainDisplay):
    """The display of a rank whose run another rank shows."""

    def line(self, text: str, *, important: bool = True) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def report(self, line: dict[str, Any]) -> None:
        """Nothing."""


@contextmanager
def training_display(
    view: View, *, live: bool = True, silent: bool = False
) -> Iterator[TrainDisplay]:
    """The display of a run, from its announcement to its end.

    Args:
        view: What to show.
        live: Whether to show it on a terminal; else there are lines only.
        silent: Whether to show nothing at all, because another rank does.
    """
    if silent:
        yield SilentDisplay(view)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    if not live or not console.is_terminal or console.is_dumb_terminal:
        yield TrainDisplay(view)
        return
    with Live(
        view, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as shown:
        yield TrainDisplay(view, shown)


def describe_line(line: dict[str, Any], steps: int) -> str:
    """A line of the log for people."""
    width = len(str(steps))
    words = [
        f"step {line['step']:>{width}}/{steps}",
        f"loss {line['loss']:.4f}",
        f"train IoU {percent(line['train_iou']):>4}",
        f"lr {line['lr']:.2e}",
        f"{line['images_per_second']:.1f} images/s",
        f"data wait {100 * line['data_wait']:.0f} %",
        *describe_hardware(line),
        *describe_validations(line),
    ]
    if line["void_batches"]:
        words.append(f"{line['void_batches']} batches all void")
    return "  ".join(words)


def describe_hardware(line: dict[str, Any]) -> list[str]:
    """How well a GPU was used, for people; nothing without one whose peak is known."""
    if line.get("mfu") is None:
        return []
    words = [f"MFU {100 * line['mfu']:.0f} %"]
    return [*words, f"{line['peak_memory'] / 2**30:.1f} GiB"] if line.get("peak_memory") else words


def describe_validations(line: dict[str, Any]) -> list[str]:
    """The validations of a line of the log for people, each beside its floor."""
    words = []
    for name, val in line.get("val", {}).items():
        floor = percent(val["all_background_iou"])
        found = val.get("mean_iou_interval")
        ends = f" [{percent(found['low'])} {percent(found['high'])}]" if found else ""
        words.append(f"{name} val IoU {percent(val['mean_iou'])}{ends} (floor {floor})")
    return words
