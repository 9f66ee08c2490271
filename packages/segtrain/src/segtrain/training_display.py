"""How people follow a run: a live view on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from segtrain.terminal import percent, print_line, print_note, progress_bar

if TYPE_CHECKING:
    from rich.progress import Progress


class TrainDisplay:
    """How people follow a run: lines on stdout, and a live bar on stderr where it is a terminal."""

    def __init__(self, progress: "Progress", steps: int) -> None:
        self.progress = progress
        self.live = not progress.disable
        self.steps = progress.add_task("training", total=steps, unit="steps", note="")
        self.images = progress.add_task(
            "validating", total=None, visible=False, unit="images", note=""
        )

    def line(self, text: str, *, important: bool = True) -> None:
        """Print a line; beside a live bar only what is important, above it."""
        if not self.live:
            print_line(text)
        elif important and sys.stdout.isatty():
            self.progress.console.print(text, highlight=False, markup=False, soft_wrap=True)
        elif not sys.stdout.isatty():
            print_line(text)

    def note(self, text: str) -> None:
        """Print a remark, above a live bar."""
        if self.live:
            self.progress.console.print(
                f"note: {text}", highlight=False, markup=False, soft_wrap=True
            )
        else:
            print_note(text)

    def update(self, step: int, line: dict[str, Any]) -> None:
        """Show where training stands; `line` is the log's."""
        note = f"loss {line['loss']:.3f}  train IoU {percent(line['train_iou'])}"
        note += f"  wait {100 * line['data_wait']:.0f} %"
        self.progress.update(self.steps, completed=step, note=note)
        self.progress.update(self.images, visible=False)

    def advance(self, step: int) -> None:
        """Move the bar."""
        self.progress.update(self.steps, completed=step)

    def validating(self, name: str, done: int, total: int) -> None:
        """Show a validation."""
        self.progress.update(
            self.images, description=f"validating {name}", completed=done, total=total, visible=True
        )


@contextmanager
def training_display(steps: int, *, live: bool = True) -> Iterator[TrainDisplay]:
    """The display of a run of so many steps; without `live` always in lines."""
    with progress_bar(plain=not live) as progress:
        yield TrainDisplay(progress, steps)


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
    ]
    for name, val in line.get("val", {}).items():
        floor = percent(val["all_background_iou"])
        found = val.get("mean_iou_interval")
        ends = f" [{percent(found['low'])} {percent(found['high'])}]" if found else ""
        words.append(f"{name} val IoU {percent(val['mean_iou'])}{ends} (floor {floor})")
    if line["void_batches"]:
        words.append(f"{line['void_batches']} batches all void")
    return "  ".join(words)
