"""What the live view of a run shows, as text that fits the terminal and never wraps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from segtrain.curve import Row, draw
from segtrain.interruption import Interruption
from segtrain.pace import Pace, Plan, duration
from segtrain.terminal import percent

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

WIDEST = 110  # columns that the view takes at most
CURVE = 7  # lines of the loss curve where there is room
LEAST = 3  # fewer show nothing: the curve is left out
SETS = 4  # data sets whose validation is shown
AXIS = 6  # columns of the curve's axis
GAP = "   "
FLOORS = {"uniform": "ln C", "prior": "prior"}  # names of the levels in the curve
# columns of the table of validations, and how wide the view must be for each
COLUMNS = {"validation": 0, "step": 40, "mean IoU %": 0, "all background": 50, "best": 60,
           "interval": 72}  # fmt: skip
# further figures of a line, where it has them: name, words before, factor, words after
MORE = (
    ("grad_norm", "gradient", 1, ""),
    ("mfu", "MFU", 100, " %"),
    ("peak_memory", "memory", 1 / 2**30, " GiB"),
)


@dataclass
class View:
    """The state of a run, drawn anew at each refresh.

    Attributes:
        title: What is trained, and where.
        plan: What the run has to do.
        floors: Losses at which nothing was learnt.
        step: Steps taken.
        doing: What is being done now.
        part: How much of that is done, and of how much; None where that is not known.
        losses: The loss of each line of the log.
        line: The newest line of the log.
        vals: The newest validation by data set, with `step`.
        best: The best mean IoU by data set, and its step.
        pace: What was measured of time.
        stop: Knows whether a signal came; None before the run begins.
    """

    title: str
    plan: Plan
    floors: Mapping[str, float] = field(default_factory=dict)
    step: int = 0
    doing: str = "starting"
    part: tuple[int, int] | None = None
    losses: list[float] = field(default_factory=list)
    line: dict[str, Any] = field(default_factory=dict)
    vals: dict[str, dict[str, Any]] = field(default_factory=dict)
    best: dict[str, tuple[float, int]] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    stop: Interruption | None = None

    @property
    def stopping(self) -> bool:
        """Whether a signal came."""
        return self.stop is not None and self.stop.number != 0

    def note(self, line: dict[str, Any]) -> None:
        """Take in a line of the log."""
        self.line = line
        self.losses.append(line["loss"])
        if rate := line["images_per_second"]:
            self.pace.trained(1, self.plan.batch / rate)
        for name, val in line.get("val", {}).items():
            self.vals[name] = {"step": line["step"], **val}
            if val["mean_iou"] > self.best.get(name, (-1.0, 0))[0]:
                self.best[name] = val["mean_iou"], line["step"]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich import box
        from rich.panel import Panel

        width = min(options.max_width, WIDEST)
        body = self.body(width - 4, console.size.height - 3, ascii_only=options.ascii_only)
        yield Panel(
            body,
            title=f"[bold]{self.title}[/]" if width > len(self.title) + 8 else None,
            title_align="left",
            box=box.ASCII if options.ascii_only else box.ROUNDED,
            border_style="yellow" if self.stopping else "dim",
            width=width,
            padding=(0, 1),
        )

    def body(self, width: int, height: int, *, ascii_only: bool) -> "RenderableType":
        """The view without its frame, within so many columns and lines."""
        from rich.console import Group

        head = [self.bar(width, ascii_only=ascii_only), self.now()]
        figures = self.figures(width)
        table = self.validations(width)
        room = height - len(head) - len(figures) - sum(t.row_count for t in table)
        if room < 0:
            return Group(*[*head, *figures][: max(1, height)])
        curve = self.curve(width, min(CURVE, room), ascii_only=ascii_only)
        return Group(*head, *curve, *figures, *table)

    def bar(self, width: int, *, ascii_only: bool) -> "Text":
        """How far training is, and how long it still takes."""
        from rich.text import Text

        steps = self.plan.steps
        words = f"{self.step:,} of {steps:,}  {100 * self.step // steps} %  {self.left()}"
        room = max(0, width - len(words) - 2)
        full = room * self.step // steps
        marks = "#-" if ascii_only else "━━"
        bar = Text.assemble((marks[0] * full, "green"), (marks[1] * (room - full), "dim"))
        return fitted(bar.append("  " * bool(room)).append(words))

    def left(self) -> str:
        """How long the run still takes."""
        seconds, complete = self.pace.left(self.plan, self.step)
        if seconds is None:
            return "time left: not known yet"
        return f"{duration(seconds)} left" + ("" if complete else " + validations")

    def now(self) -> "Text":
        """What is being done now."""
        from rich.text import Text

        part = f", {self.part[0]:,} of {self.part[1]:,}" if self.part else ""
        words = Text.assemble(("now ", "dim"), f"{self.doing}{part}")
        if self.stopping:
            words.append("  stopping, to be saved first; Ctrl-C again ends at once", "bold yellow")
        return fitted(words)

    def curve(self, width: int, rows: int, *, ascii_only: bool) -> "list[Text]":
        """The loss since the run began, with the losses of a net that has learnt nothing."""
        levels = {FLOORS.get(name, name): loss for name, loss in self.floors.items()}
        names = max((len(f" {name} {loss:.2f}") for name, loss in levels.items()), default=0)
        columns = width - AXIS - 1 - names
        if not self.losses or rows < LEAST or columns < LEAST:
            return []
        return curve_lines(draw(self.losses, levels, columns, rows, ascii_only=ascii_only))

    def figures(self, width: int) -> "list[Text]":
        """The figures of the newest line of the log, in as many lines as they need."""
        line = self.line
        if not line:
            return []
        pairs = [
            ("loss", f"{line['loss']:.4f}"),
            ("train IoU", f"{percent(line['train_iou'])} %"),
            ("lr", f"{line['lr']:.1e}"),
            ("", f"{line['images_per_second']:.1f} images/s"),
            ("data wait", f"{100 * line['data_wait']:.0f} %"),
        ]
        for name, before, factor, after in MORE:
            if line.get(name) is not None:
                pairs.append((before, f"{line[name] * factor:.3g}{after}"))
        if line.get("void_batches"):
            pairs.append(("all-void batches", str(line["void_batches"])))
        return flowed(pairs, width)

    def validations(self, width: int) -> "list[Table]":
        """The newest validation of each data set, beside its floor; none before the first."""
        from rich.table import Table

        if not self.vals:
            return []
        table = Table.grid(padding=(0, 2, 0, 0))
        heads = [head for head, least in COLUMNS.items() if width >= least]
        for i, _ in enumerate(heads):
            table.add_column(justify="right" if i else "left", no_wrap=True, overflow="ellipsis")
        table.add_row(*heads, style="dim")
        for name, val in list(self.vals.items())[:SETS]:
            row = self.validation(name, val)
            table.add_row(*(row[head] for head in heads))
        return [table]

    def validation(self, name: str, val: Mapping[str, Any]) -> dict[str, str]:
        """The newest validation of one data set, by column."""
        ends = val.get("mean_iou_interval")
        iou, step = self.best[name]
        return {
            "validation": name,
            "step": f"{val['step']:,}",
            "mean IoU %": percent(val["mean_iou"]),
            "all background": percent(val["all_background_iou"]),
            "best": f"{percent(iou)} at {step:,}",
            "interval": f"{percent(ends['low'])} to {percent(ends['high'])}" if ends else "-",
        }


def flowed(pairs: list[tuple[str, str]], width: int) -> "list[Text]":
    """Figures side by side, in as many lines as they need."""
    from rich.text import Text

    lines = [Text()]
    for name, value in pairs:
        words = Text.assemble((f"{name} " if name else "", "dim"), value)
        if lines[-1] and len(lines[-1]) + len(GAP) + len(words) > width:
            lines.append(Text())
        lines[-1].append(GAP if lines[-1] else "").append_text(words)
    return [fitted(line) for line in lines]


def curve_lines(rows: list[Row]) -> "list[Text]":
    """A curve with its axis and the names of its levels."""
    from rich.text import Text

    styles = {"curve": "cyan", "level": "dim yellow", "empty": ""}
    lines = []
    for row in rows:
        line = Text.assemble((f"{row.label:>{AXIS}} ", "dim"))
        for kind, cells in groupby(row.cells, key=lambda cell: cell.kind):
            line.append("".join(cell.text for cell in cells), styles[kind])
        lines.append(fitted(line.append(f" {row.level}", "yellow")))
    return lines


def fitted(text: "Text") -> "Text":
    """Text that is cut at the terminal's edge instead of going on in a second line."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
