"""The page: everything that it shows, put into its template."""

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segtrain import __version__
from segtrain.errors import RunError
from segtrain.pace import duration
from segtrain.report import comparison
from segtrain.report.charts import Offset, charts_of
from segtrain.report.classes import judgements, over_time
from segtrain.report.facts import run_facts
from segtrain.report.gallery import sheets, watched
from segtrain.report.record import (
    RunRecord,
    read_run,
    staged,
    stages_of,
)
from segtrain.summary import images_words
from segtrain.terminal import file_size, percent

if TYPE_CHECKING:
    from markupsafe import Markup


def report_page(paths: Sequence[Path], most: int) -> str:
    """The page of a run, or of several beside each other, as HTML text.

    Args:
        paths: Folders of runs; one with stages stands for its stages.
        most: Steps of which each strip of pictures shows one, at most; 0 shows none.

    Raises:
        RunError: If a folder holds no run, one is damaged, or a library is missing.
    """
    check_libraries()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("segtrain"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Bokeh names a model where it first stands: the order of keys has to stay
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    environment.filters |= {
        "n": "{:,}".format, "pc": percent, "bytes": file_size, "duration": duration,
        "images": images_words, "ticked": ticked,
    }  # fmt: skip
    stages = len(paths) == 1 and staged(paths[0])
    runs = list(stages_of(paths[0])) if stages else named_runs(paths)
    title = (
        paths[0].resolve().name if stages or len(runs) == 1 else " · ".join(r.name for r in runs)
    )
    facts = page_facts(runs, most, stages=stages)
    return environment.get_template("report.html.jinja").render(
        title=title, stages=stages, version=__version__, bokeh=bokeh_script(), **facts
    )


def check_libraries() -> None:
    """Refuse to begin where a library of the page is missing.

    Raises:
        RunError: With the command that brings it.
    """
    try:
        import bokeh  # noqa: F401 - only whether it is there
        import jinja2  # noqa: F401
    except ImportError as error:
        raise RunError(
            f"the report needs the package {error.name}: pip install 'segtrain[report]'"
        ) from error


def bokeh_script() -> str:
    """Bokeh's script, so that the page asks nobody for it."""
    static = resources.files("bokeh") / "server" / "static" / "js" / "bokeh.min.js"
    # the end of a script is the only text that would end it; in the library it stands in strings
    return static.read_text("utf-8").replace("</script", "<\\/script")


def named_runs(paths: Sequence[Path]) -> list[RunRecord]:
    """The runs of some folders; the stages of staged ones each for itself.

    Those of equal names are told apart by the folders above them.

    Raises:
        RunError: If one holds no run, or one is named twice.
    """
    folders: list[Path] = []
    for path in paths:
        folders += [run.folder.path for run in stages_of(path)] if staged(path) else [path]
    real = [folder.resolve() for folder in folders]
    for i, folder in enumerate(real):
        if folder in real[:i]:
            raise RunError(f"{folders[i]}: is named twice; name each run once")
    depth = 1
    while len({folder.parts[-depth:] for folder in real}) < len(real):
        depth += 1
    names = ["/".join(folder.parts[-depth:]) for folder in real]
    return [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]


def page_facts(runs: Sequence[RunRecord], most: int, *, stages: bool) -> dict[str, Any]:
    """Everything of the page that is computed."""
    alone = runs[0] if len(runs) == 1 else None
    facts: dict[str, Any] = {
        "runs": [run_facts(run) for run in runs],
        "generated": any(run.plain.get("synthetic") for run in runs),
        "charts": charts_of(runs, offsets_of(runs, stages=stages)),
        "results": comparison.result_rows(runs),
        "paired": comparison.paired_rows(runs, stages=stages),
        "differing": comparison.option_differences(runs),
        "others": comparison.other_differences(runs),
        "class_tables": comparison.class_table(runs),
        "judged": judgements(alone) if alone else [],
        "times": over_time(alone) if alone else [],
        "sheets": [(run.name, sheets(run, most if alone else min(most, 4))) for run in runs],
        "photos": [(run.name, watched(run, most if alone else min(most, 4))) for run in runs],
    }
    facts["warnings"] = shared_warnings(facts["runs"])
    facts["remarks"] = list(dict.fromkeys(
        f"{run.name}: {remark}" if len(runs) > 1 else remark
        for run in runs for remark in run.remarks))  # fmt: skip
    return facts


def shared_warnings(runs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The warnings of all runs, each once, with the names of the runs that it is of."""
    found: dict[str, list[str]] = {}
    for facts in runs:
        for warning in facts["warnings"]:
            found.setdefault(warning, []).append(facts["run"].name)
    return [(", ".join(names), warning) for warning, names in found.items()]


def ticked(text: str) -> "Markup":
    """Words as HTML, what stands in backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def offsets_of(runs: Sequence[RunRecord], *, stages: bool) -> list[Offset]:
    """Steps, images and hours before each run: those of the stages before it."""
    found: list[Offset] = [(0, 0, 0)]
    for run in runs[:-1]:
        steps, images, hours = found[-1]
        seconds = run.lines[-1].get("seconds", 0) if run.lines else 0
        more = (steps + run.step, images + run.step * run.config.batch, hours + seconds / 3600)
        found.append(more if stages else (0, 0, 0))
    return found
