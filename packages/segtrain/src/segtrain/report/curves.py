"""Charts of what a log holds, by Bokeh: lines over steps, images or time, with their floors."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from segtrain.report.record import RunRecord
from segtrain.report.shapes import is_number
from segtrain.report.thinning import thinned

HEIGHT = 300  # pixels
COLORS = ("#2b62c9", "#b4560a", "#0b7a75", "#8b2fa0", "#6a6d00", "#b0244c", "#3d6b1f", "#5a4fcf")
FLOOR = "#555e68"
SPAN = 1000  # between highest and lowest, from which an axis is logarithmic
AXES = ("step", "images", "time")


@dataclass(frozen=True)
class Trace:
    """One curve.

    Attributes:
        name: What it is, for the legend.
        number: Which colour it has.
        points: Step, images, hours and value of each point.
        marks: Whether points are marked, for curves of few.
        ends: Lower and upper end of each point's interval; empty where it has none.
        faint: Whether it stands behind others.
    """

    name: str
    number: int
    points: list[tuple[float, float, float, float]]
    marks: bool = False
    ends: list[tuple[float, float]] = field(default_factory=list)
    faint: bool = False


@dataclass(frozen=True)
class Floor:
    """A level that means that nothing was learnt."""

    name: str
    level: float
    number: int | None = None


@dataclass(frozen=True)
class Chart:
    """A chart of the page.

    Attributes:
        key: Its id on the page.
        title: What it shows, with the unit.
        summary: The same in words, for those who do not see it.
        traces: Its curves.
        floors: Its levels.
        item: What Bokeh's script draws.
        note: A remark under it.
    """

    key: str
    title: str
    summary: str
    traces: list[Trace]
    floors: list[Floor]
    item: dict[str, Any]
    note: str = ""


def points_of(
    run: RunRecord,
    value: Callable[[Mapping[str, Any]], Any],
    offset: tuple[float, float, float] = (0, 0, 0),
) -> list[tuple[float, float, float, float]]:
    """Step, images, hours and value of the lines that have it; NaN where it is no finite number.

    Args:
        run: The run.
        value: Gives a line's value; None where it has none.
        offset: Steps, images and hours before the first, of earlier stages.
    """
    found = []
    for line in run.lines:
        given = value(line)
        if given is not None:
            step = line["step"]
            hours = line.get("seconds", 0) / 3600
            number = float(given) if is_number(given) else math.nan
            images = float(step * run.config.batch)
            found.append((step + offset[0], images + offset[1], hours + offset[2], number))
    return found


def kept_points(trace: Trace) -> list[int]:
    """Which points of a curve are drawn."""
    return thinned([point[3] for point in trace.points])


def words_of(trace: Trace, form: str) -> str:
    """A curve in words: where it begins and ends, its lowest and highest point."""
    finite = [p for p in trace.points if math.isfinite(p[3])]
    if not finite:
        return f"{trace.name}: no value yet"
    low, high = min(finite, key=lambda p: p[3]), max(finite, key=lambda p: p[3])
    first, last = finite[0], finite[-1]
    return (
        f"{trace.name}: {form % first[3]} at step {first[0]:,.0f}, {form % last[3]} at step "
        f"{last[0]:,.0f}; lowest {form % low[3]} at step {low[0]:,.0f}, highest {form % high[3]} "
        f"at step {high[0]:,.0f}"
    )


def chart(
    key: str,
    title: str,
    traces: Sequence[Trace],
    floors: Iterable[Floor] = (),
    *,
    form: str = "%.4g",
    note: str = "",
    log: bool | None = None,
) -> Chart | None:
    """A chart; None where no curve has a point.

    Args:
        key: Its id on the page.
        title: What it shows.
        traces: Its curves.
        floors: Its levels.
        form: How a value is written.
        note: A remark under it.
        log: Whether the axis of values is logarithmic; None decides by their range.
    """
    shown = [t for t in traces if any(math.isfinite(p[3]) for p in t.points)]
    if not shown:
        return None
    levels = list(floors)
    told = [words_of(t, form) for t in shown]
    told += [f"{floor.name}: {form % floor.level}" for floor in levels]
    values = [p[3] for t in shown for p in t.points if math.isfinite(p[3])]
    wide = min(values) > 0 and max(values) / min(values) > SPAN
    item = drawn(key, shown, levels, log=wide if log is None else log)
    return Chart(key, title, ". ".join(told) + ".", shown, levels, item, note)


def drawn(
    key: str, traces: Sequence[Trace], floors: Sequence[Floor], *, log: bool
) -> dict[str, Any]:
    """What Bokeh's script draws, as plain types; equal charts are equal."""
    models: Any = import_module("bokeh.models")
    plot: Any = import_module("bokeh.plotting").figure(
        height=HEIGHT,
        sizing_mode="stretch_width",
        y_axis_type="log" if log else "linear",
        tools="box_zoom,pan,wheel_zoom,reset",
        active_drag="box_zoom",
        active_scroll=None,
        toolbar_location="above",
        min_border_right=12,
        x_axis_label="step",
    )
    plot.toolbar.logo = None
    plot.xaxis.formatter = models.NumeralTickFormatter(format="0,0.[00]")
    plot.xaxis.ticker.desired_num_ticks = 5
    lines = [line for trace in traces for line in draw_trace(plot, trace)]
    for floor in floors:
        color = FLOOR if floor.number is None else color_of(floor.number)
        tags = [tag_of(floor.number)]
        span = models.Span(location=floor.level, dimension="width", line_color=color,
                           line_dash="dashed", line_width=1.5, tags=tags)  # fmt: skip
        plot.add_layout(span)
    include_levels(plot, [floor.level for floor in floors], traces, log=log)
    tips = [("step", "@step{0,0}"), ("images", "@images{0,0}"), ("hours", "@time{0.00}"),
            ("value", "@value{0.[00000]}")]  # fmt: skip
    if len(traces) > 1:
        tips.insert(0, ("curve", "$name"))
    plot.add_tools(
        models.HoverTool(tooltips=tips, renderers=lines, mode="mouse", line_policy="nearest")
    )
    return renumbered(import_module("bokeh.embed").json_item(plot, key))


def include_levels(
    plot: Any,  # noqa: ANN401 - Bokeh is not annotated
    levels: Sequence[float],
    traces: Sequence[Trace],
    *,
    log: bool,
) -> None:
    """Let the axis begin with room for the levels as well as for the curves."""
    values = [p[3] for t in traces for p in t.points if math.isfinite(p[3])]
    values += [end for t in traces for pair in t.ends for end in pair]
    low, high = min([*values, *levels]), max([*values, *levels])
    room = 0.05 * (high - low) or abs(high) * 0.05 or 1.0
    plot.y_range.start = low / 1.3 if log else low - room
    plot.y_range.end = high * 1.3 if log else high + room


def draw_trace(plot: Any, trace: Trace) -> list[Any]:  # noqa: ANN401 - Bokeh is not annotated
    """Draw a curve; what people can point at."""
    models: Any = import_module("bokeh.models")
    at = kept_points(trace)
    columns = list(zip(*(trace.points[i] for i in at), strict=True))
    data = dict(zip((*AXES, "value"), map(list, columns), strict=True))
    if trace.ends:
        data |= {"low": [trace.ends[i][0] for i in at], "high": [trace.ends[i][1] for i in at]}
    source = models.ColumnDataSource(data=data)
    color, tags = color_of(trace.number), [tag_of(trace.number)]
    alpha = 0.4 if trace.faint else 1.0
    line = plot.line("step", "value", source=source, line_color=color, line_alpha=alpha,
                     line_width=1.2 if trace.faint else 2, name=trace.name, tags=tags)  # fmt: skip
    if trace.marks:
        plot.scatter("step", "value", source=source, fill_color=color, line_color=color, size=6,
                     name=trace.name, tags=tags)  # fmt: skip
    if trace.ends:
        whisker = models.Whisker(base="step", upper="high", lower="low", source=source,
                                 line_color=color, line_alpha=0.6, tags=tags)  # fmt: skip
        whisker.upper_head.size = whisker.lower_head.size = 6
        plot.add_layout(whisker)
    return [line]


def color_of(number: int) -> str:
    """The colour of a curve on white; the page's script takes that of its theme by the tag."""
    return COLORS[number % len(COLORS)]


def tag_of(number: int | None) -> str:
    """What the page's script knows a curve's colour by."""
    return "floor" if number is None else f"s{number % len(COLORS)}"


def renumbered(item: dict[str, Any]) -> dict[str, Any]:
    """The same with ids that count from 1 in order of appearance.

    Bokeh's count all models that the process has made.
    """
    known: dict[str, str] = {}

    def again(node: Any, key: str = "") -> Any:  # noqa: ANN401 - JSON
        if isinstance(node, dict):
            return {k: again(v, k) for k, v in node.items()}
        if isinstance(node, list):
            return [again(value) for value in node]
        if key in ("id", "root_id") and isinstance(node, str):
            return known.setdefault(node, f"{item['target_id']}-{len(known) + 1}")
        return node

    found: dict[str, Any] = again(item)
    return found
