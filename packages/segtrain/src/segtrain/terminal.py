"""What a person sees: progress, tables and errors; coloured on a terminal, plain elsewhere.

Results go to stdout, progress and errors to stderr. Where stdout is no terminal, tables are lines
of tab-separated fields; where stderr is none, there is no progress.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from segtrain.compare import Comparison
    from segtrain.evaluate import SetResult
    from segtrain.intervals import Interval


def print_error(message: str) -> None:
    """One line on stderr that begins with a red `error:`."""
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(("error: ", "bold red"), message)
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)


def print_note(message: str) -> None:
    """A remark that is no error, on stderr."""
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(("note: ", "bold yellow"), message)
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)


def print_line(message: str, style: str = "") -> None:
    """One line of the result, on stdout; at once, so that a log can be followed."""
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(message, style=style), soft_wrap=True)
    sys.stdout.flush()


def print_paragraph(text: str) -> None:
    """A paragraph on stdout: wrapped between words on a terminal, one line elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(text), soft_wrap=not console.is_terminal)


def print_nets(lines: Sequence[str]) -> None:
    """What was judged and how: a line each; empty ones are left out."""
    for line in filter(None, lines):
        print_line(line)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, text: bool = False
) -> None:
    """A table whose first column is text and whose others are numbers, or text, too.

    A first cell may begin with a colour, `#rrggbb `, drawn as a square on a terminal and left out
    elsewhere.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        for row in [columns, *rows]:
            first = row[0][8:] if row[0].startswith("#") else row[0]
            print(first, *row[1:], sep="\t")
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i and not text else "left")
    for name, *numbers in rows:
        colored = Text.assemble(("■ ", name[:7]), name[8:]) if name.startswith("#") else Text(name)
        table.add_row(colored, *numbers)
    console.print(table)


def percent(rate: float | None) -> str:
    """A rate of 0..1 as per cent with one decimal, `-` where there is none."""
    return "-" if rate is None else f"{100 * rate:.1f}"


def file_size(size: int) -> str:
    """Bytes for people: `584 kB`, `2.5 MB`."""
    value, units = float(size), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return (
        f"{value:.0f} {units[0]}"
        if value >= 10 or units[0] == "bytes"
        else f"{value:.1f} {units[0]}"
    )


def coverage(result: "SetResult") -> str:
    """How much of the published split was judged: `450 of 1,449 images`.

    Generated data stand for no published split.
    """
    if result.official and result.official != result.images and not result.synthetic:
        return f"{result.images:,} of {result.official:,} images"
    return f"{result.images:,} images"


def warnings(result: "SetResult") -> str:
    """What keeps the figures from being comparable, in words; empty where nothing does."""
    words = ["resized targets"] * result.resized + ["synthetic data"] * result.synthetic
    return f" ({', '.join(words)})" if words else ""


def interval_words(result: "SetResult") -> str:
    """What the mean IoU of a part of a split is worth."""
    found, images = result.interval, coverage(result)
    if found is None:
        return f"no interval of the mean IoU: {images} are too few for one"
    return (
        f"mean IoU {percent(result.scores.mean_iou)} %, {100 * found.level:.0f} % interval "
        f"{percent(found.low)} to {percent(found.high)}: how far {images} can be trusted for all "
        "like them; it says nothing of training with another seed"
    )


def print_result(result: "SetResult") -> None:
    """The metrics of one data set beside the all-background floor, then a table by class."""
    found, floor = result.scores, result.floor
    title = f"{result.dataset} {result.split}: {coverage(result)}{warnings(result)}"
    print_line(title, "bold")
    print_table(
        "",
        ["metric", "net", "all background"],
        [
            ["pixel accuracy %", percent(found.pixel_accuracy), percent(floor.pixel_accuracy)],
            ["mean accuracy %", percent(found.mean_accuracy), percent(floor.mean_accuracy)],
            ["mean IoU %", percent(found.mean_iou), percent(floor.mean_iou)],
            [
                "frequency weighted IoU %",
                percent(found.frequency_weighted_iou),
                percent(floor.frequency_weighted_iou),
            ],
        ],
    )
    if not result.whole:
        print_line(interval_words(result))
    total = max(1, sum(found.target_pixels))
    by_class = zip(result.classes, found.iou, found.accuracy, found.target_pixels, strict=True)
    rows = [
        [f"#{bytes(c.color).hex()} {c.name}", percent(iou), percent(accuracy),
         percent(pixels / total)]
        for c, iou, accuracy, pixels in by_class
    ]  # fmt: skip
    print_table("", ["class", "IoU %", "accuracy %", "share of pixels %"], rows)
    absent = f", {found.left_out} in neither truth nor prediction and left out of the means"
    print_line(
        f"{found.present} of {len(result.classes)} classes present"
        + (absent if found.left_out else "")
    )


def points(difference: float | None) -> str:
    """A difference of rates in points of per cent, signed; `-` where there is none."""
    return "-" if difference is None else f"{100 * difference:+.1f}"


def ends_words(found: "Interval | None") -> str:
    """An interval of a difference, `-` where there is none."""
    return f"{points(found.low)} to {points(found.high)}" if found else "-"


def verdict_words(found: "Comparison") -> str:
    """What two nets' difference on these images says."""
    images, verdict = coverage(found.first), found.verdict()
    if verdict == "same":
        return f"A and B predict the same on {images}"
    difference = f"{points(found.difference)} points of mean IoU"
    if found.interval is None:
        return f"{images} are too few to tell A and B apart (B less A: {difference})"
    level = f"{100 * found.interval.level:.0f} % interval {ends_words(found.interval)}"
    told = f"{verdict} is better" if verdict else f"{images} do not tell A and B apart"
    return (
        f"{told}: B less A is {difference}, {level} over the choice of images; it says nothing of "
        "training either with another seed"
    )


def difference_tables(found: "Comparison", titles: tuple[str, str]) -> None:
    """The metrics and the classes of two results on one data set, beside each other.

    Args:
        found: Both results.
        titles: What the two are called.
    """
    a_title, b_title = titles
    less = f"{b_title} less {a_title}"
    first, second = found.first.scores, found.second.scores
    about = f"{coverage(found.first)}{warnings(found.first)}"
    print_line(f"{found.first.dataset} {found.first.split}: {about}", "bold")
    names = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
    words = ("pixel accuracy %", "mean accuracy %", "mean IoU %", "frequency weighted IoU %")
    rows = [
        [word, percent(getattr(first, n)), percent(getattr(second, n)),
         points(getattr(second, n) - getattr(first, n))]
        for n, word in zip(names, words, strict=True)
    ]  # fmt: skip
    print_table("", ["metric", a_title, b_title, less], rows)
    by_class = zip(found.first.classes, first.iou, second.iou, found.class_intervals, strict=True)
    rows = [
        [f"#{bytes(c.color).hex()} {c.name}", percent(a), percent(b),
         points(None if a is None or b is None else b - a), ends_words(ends)]
        for c, a, b, ends in by_class
    ]  # fmt: skip
    columns = ["class", f"{a_title} IoU %", f"{b_title} IoU %", less, "95 % interval"]
    print_table("", columns, rows)


def print_comparison(found: "Comparison", named: int) -> None:
    """Two nets on one data set: metrics, classes, images, and what they say."""
    difference_tables(found, ("A", "B"))
    pairs = found.most_different(named)
    if pairs:
        rows = [[p.key, percent(p.first), percent(p.second), points(p.difference)] for p in pairs]
        columns = ["images that differ most", "A IoU %", "B IoU %", "B less A"]
        print_table("", columns, rows)
    ours, theirs, alike = found.wins
    print_line(f"images: A better on {ours:,}, B better on {theirs:,}, alike on {alike:,}")
    print_line(verdict_words(found), "bold")


@contextmanager
def progress_bar(*, plain: bool = False) -> Iterator["Progress"]:
    """A live bar on stderr with what is done, rate and time left; invisible off a terminal.

    Args:
        plain: Whether to show none on a terminal either.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """What the task counts, per second."""

        def render(self, task: Task) -> Text:
            rate = f"{task.speed:.1f} {task.fields['unit']}/s" if task.speed else ""
            return Text(rate, style="dim")

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=plain or not console.is_terminal,
        redirect_stdout=False,
    ) as progress:
        yield progress


def byte_counter(progress: "Progress") -> Callable[[int, int], None]:
    """What shows how far the fetching of shards is; a bar from its first call to the last."""
    task = progress.add_task("fetching shards", total=None, visible=False, unit="MB", note="")

    def show(done: int, total: int) -> None:
        progress.update(task, completed=done // 10**6, total=total // 10**6, visible=done < total)

    return show


def image_counter(progress: "Progress", words: str, total: int) -> Callable[[int], None]:
    """A task of a progress bar; call it with the number of images done."""
    task = progress.add_task(words, total=total, unit="images", note="")

    def show(done: int) -> None:
        progress.update(task, completed=done, visible=done < total)

    return show
