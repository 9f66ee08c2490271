"""The commands `segtrain eval` and `segtrain compare`; they import torch only when they run."""

import typing
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from segtrain import terminal
from segtrain.command_options import (
    BatchOption,
    CacheOption,
    CacheSizeOption,
    DeviceOption,
    FlipOption,
    JsonOption,
    JudgedByOption,
    RunArgument,
    ScalesOption,
    ShardsOption,
    SplitOption,
    StatisticsOption,
)
from segtrain.remote.cache import Cache
from segtrain.remote.settings import CACHE_SIZE

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.progress import Progress

    from segtrain.compare import Comparison, Net
    from segtrain.evaluate import SetResult, Watcher
    from segtrain.predictor import Views

EVAL_EPILOG = (
    "[bold]segtrain eval runs/fcn8s[/]   the val split of every data set\n\n"
    "[bold]segtrain eval runs/fcn8s --split val100 --json result.json[/]   100 fixed images\n\n"
    "[bold]segtrain eval runs/fcn8s --scales 0.75,1,1.25 --flip --pictures matrices/[/]\n\n"
    "[bold]segtrain eval runs/fcn8s --statistics both[/]   do running statistics of norms serve?"
)
COMPARE_EPILOG = (
    "[bold]segtrain compare runs/a runs/b[/]   on the val split of every data set\n\n"
    "[bold]segtrain compare runs/a/last.pt runs/a/best.pt --split val100 --pictures differences/[/]"
)


def evaluate(
    run: RunArgument,
    shards: ShardsOption = ["shards"],  # noqa: B006 - typer copies it
    cache: CacheOption = None,
    cache_size: CacheSizeOption = CACHE_SIZE,
    split: SplitOption = "val",
    scales: ScalesOption = "1",
    flip: FlipOption = False,
    statistics: JudgedByOption = "running",
    batch: BatchOption = 1,
    json_file: JsonOption = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Draw each data set's confusion matrix into here."),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Judge a net: four metrics and a table by class, for each data set.

    Every image is predicted at its own size, and one confusion matrix is made over the whole split
    at the masks' own size; pixels of 255 are left out. For a part of a split, the mean IoU has an
    interval over the choice of images. --statistics both judges a net with batch norms twice, and
    says how far the two are apart.
    """
    from segtrain.evaluate import STDOUT, write_matrices, write_results
    from segtrain.files import make_folder
    from segtrain.predictor import Views

    views = Views.parse(
        scales, flip=flip, statistics="batch" if statistics == "batch" else "running"
    )
    check_places(json_file, pictures)
    judge = judge_both if statistics == "both" else judge_once
    with terminal.progress_bar() as progress:
        judged = judge(
            run,
            shards,
            split,
            device,
            image_watchers(progress, split),
            views=views,
            batch=batch,
            cache=Cache.of(cache, cache_size),
            fetching=terminal.byte_counter(progress),
        )
    if json_file != STDOUT:
        judged.show()
    if json_file:
        write_results(json_file, judged.plain)
    if pictures:
        make_folder(pictures, "--pictures")
        for ending, results in judged.results.items():
            write_matrices(pictures, results, ending)


def check_places(json_file: Path | None, pictures: Path | None) -> None:
    """Refuse places for results that cannot be written, before the work is done.

    Raises:
        RunError: With the option and the reason.
    """
    from segtrain.evaluate import check_writable
    from segtrain.files import check_folder

    if json_file:
        check_writable(json_file)
    if pictures:
        check_folder(pictures, "--pictures")


class Judged(NamedTuple):
    """What an evaluation gave: as plain types, results by the ending of their pictures, a view."""

    plain: "dict[str, Any]"
    results: "dict[str, list[SetResult]]"
    show: "Callable[[], None]"


def judge_once(run: Path, *where: Any, views: "Views", **how: Any) -> Judged:  # noqa: ANN401 - as evaluate_run has them
    """Judge a net by one kind of statistics; arguments as of `evaluate_run`."""
    from segtrain.evaluate import evaluate_run, plain_results

    path, checkpoint, results = evaluate_run(run, *where, views=views, **how)

    def show() -> None:
        title = checkpoint.train_config.title
        terminal.print_nets([f"{path}: {title}, step {checkpoint.step:,}", views.words()])
        for result in results:
            terminal.print_result(result)

    return Judged(plain_results(path, checkpoint, results, views), {"": results}, show)


def judge_both(run: Path, *where: Any, views: "Views", **how: Any) -> Judged:  # noqa: ANN401 - as evaluate_both has them
    """Judge a net by running and by batch statistics; arguments as of `evaluate_both`."""
    from segtrain.statistics_gap import evaluate_both, plain_both, print_gap

    net, found = evaluate_both(run, *where, views=views, **how)

    def show() -> None:
        terminal.print_nets([net.words(), views.words()])
        for compared in found:
            print_gap(compared)

    results = {"": [c.first for c in found], "-batch": [c.second for c in found]}
    return Judged(plain_both(net, found, views), results, show)


def image_watchers(progress: "Progress", split: str) -> "Callable[[str, int], Watcher]":
    """What counts the images of each data set in a progress bar."""

    def start(name: str, total: int) -> "Watcher":
        count = terminal.image_counter(progress, f"{name} {split}", total)
        return lambda done, *_: count(done)

    return start


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run's folder or a checkpoint.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    shards: ShardsOption = ["shards"],  # noqa: B006 - typer copies it
    cache: CacheOption = None,
    cache_size: CacheSizeOption = CACHE_SIZE,
    split: SplitOption = "val",
    scales: ScalesOption = "1",
    flip: FlipOption = False,
    statistics: StatisticsOption = "running",
    batch: BatchOption = 1,
    json_file: JsonOption = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Draw the images that differ most into here."),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, help="How many of the images that differ most to name and draw.")
    ] = 10,
    device: DeviceOption = "auto",
) -> None:
    """Compare two nets of the same classes on the same images.

    The difference of their mean IoUs, and of each class's, has an interval over the choice of
    images, both nets being judged on the same ones. It ends with which is better, or that these
    images do not tell.
    """
    from segtrain.compare import compare_runs, plain_comparisons, write_sheets
    from segtrain.evaluate import STDOUT, write_results
    from segtrain.files import make_folder
    from segtrain.predictor import Views

    views = Views.parse(scales, flip=flip, statistics=statistics)
    check_places(json_file, pictures)
    with terminal.progress_bar() as progress:
        start = image_watchers(progress, split)
        nets, found = compare_runs(
            (first, second),
            shards,
            split,
            device,
            start,
            views=views,
            batch=batch,
            cache=Cache.of(cache, cache_size),
            fetching=terminal.byte_counter(progress),
        )
    if json_file != STDOUT:
        print_compared(nets, found, views, count)
    if json_file:
        write_results(json_file, plain_comparisons(nets, views, found))
    if pictures:
        make_folder(pictures, "--pictures")
        write_sheets(pictures, found, nets, count)


def print_compared(
    nets: "Sequence[Net]", found: "Sequence[Comparison]", views: "Views", count: int
) -> None:
    """Which two nets were compared, and what was found on each data set."""
    named = [f"{name}: {net.words()}" for name, net in zip("AB", nets, strict=True)]
    terminal.print_nets([*named, views.words()])
    for compared in found:
        terminal.print_comparison(compared, count)
