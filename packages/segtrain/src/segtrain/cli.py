"""The command line: each command translates its options and calls the module of its name."""

import inspect
import sys
import typing
from pathlib import Path
from typing import Annotated

import typer

from segtrain import __version__, cli_demo, cli_export, cli_index, recipes_command, terminal
from segtrain.command_options import (
    CONFIG_FILE,
    DeviceOption,
    FlipOption,
    JsonOption,
    RunArgument,
    ScalesOption,
    flowing,
    give_options,
    given_options,
)
from segtrain.doctor.command import register_doctor
from segtrain.errors import InterruptedRunError, SegtrainError
from segtrain.remote.cache import Cache
from segtrain.remote.settings import CACHE_SIZE
from segtrain.report import command as report_command

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from segtrain.evaluate import Watcher

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train FCNs for semantic segmentation from shards, those of segdata or of others.",
    epilog="Start with: [bold]segtrain run --shards shards/ --variant 8s[/]",
)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        print(f"segtrain {__version__}")
        raise typer.Exit


@app.callback()
def common(
    _: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """Options of all commands."""


def run(context: typer.Context, config_file: Path | None, resume: bool, **options: object) -> None:
    """Train an FCN.

    Its folder then holds [bold]config.json[/], [bold]log.jsonl[/] (a JSON object per line),
    [bold]last.pt[/] (to resume from), [bold]best.pt[/] (best validation), [bold]step-N.pt[/] (kept
    on the way) and [bold]pictures/[/].
    """
    given = given_options(context, options, config_file)
    from segtrain import session, stages
    from segtrain.summary import print_outcome

    if stages.is_staged(given, resume=resume):
        stages.print_end(stages.resume(given) if resume else stages.start(given))
    else:
        print_outcome(session.resume(given) if resume else session.start(given))


def register_run() -> None:
    """Give `run` the options of the configuration and make it a command."""
    shown = Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out where its last.pt stands. Its options are kept; "
            "those of where and how often (--shards, --device, --workers, --val-every, ...) may "
            "be given anew.",
            rich_help_panel="Output",
        ),
    ]
    extra = [
        CONFIG_FILE,
        inspect.Parameter(
            "resume", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=shown
        ),
    ]
    give_options(run, extra)
    app.command(
        epilog="[bold]segtrain run --weights imagenet --batch 20 --crop 480[/]   "
        "FCN-8s from ImageNet's VGG16\n\n"
        "[bold]segtrain run --staged --weights imagenet --out runs/a[/]   32s, 16s, then 8s\n\n"
        "[bold]segtrain run --variant 16s --init runs/a/32s --out runs/b[/]   from another run\n\n"
        "[bold]segtrain run --out runs/b --resume[/]   go on after Ctrl-C, a crash or a reboot"
    )(run)


register_run()
app.command("index", epilog=cli_index.EPILOG)(cli_index.index)


ShardsOption = Annotated[
    list[str],
    typer.Option(
        help="A shards directory, a path or a URL (https://, s3://, ...); may be given several "
        "times, for data sets in several."
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for copies of shards from URLs. By default segtrain/shards in the user's "
        "cache folder.",
    ),
]
CacheSizeOption = Annotated[
    str,
    typer.Option(help="How much of them to keep, as 50GB or 1.5TB; those used longest ago go."),
]
SplitOption = Annotated[str, typer.Option(help="train, val, or a named subset of either.")]
register_doctor(app)

BatchOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Images at once. Only images that the net pads to one size share a batch, so the "
        "result is that of 1; more is faster on a GPU.",
    ),
]


@app.command(
    "eval",
    epilog="[bold]segtrain eval runs/fcn8s[/]   the val split of every data set\n\n"
    "[bold]segtrain eval runs/fcn8s --split val100 --json result.json[/]   100 fixed images\n\n"
    "[bold]segtrain eval runs/fcn8s --scales 0.75,1,1.25 --flip --pictures matrices/[/]",
)
def evaluate(
    run: RunArgument,
    shards: ShardsOption = ["shards"],  # noqa: B006 - typer copies it
    cache: CacheOption = None,
    cache_size: CacheSizeOption = CACHE_SIZE,
    split: SplitOption = "val",
    scales: ScalesOption = "1",
    flip: FlipOption = False,
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
    interval over the choice of images.
    """
    from segtrain.evaluate import (
        STDOUT,
        check_writable,
        evaluate_run,
        plain_results,
        write_matrices,
        write_results,
    )
    from segtrain.files import check_folder, make_folder
    from segtrain.predictor import Views

    views = Views.parse(scales, flip=flip)
    if json_file:
        check_writable(json_file)
    if pictures:
        check_folder(pictures, "--pictures")
    with terminal.progress_bar() as progress:
        start = image_watchers(progress, split)
        path, checkpoint, results = evaluate_run(
            run,
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
        title = checkpoint.train_config.title
        terminal.print_nets([f"{path}: {title}, step {checkpoint.step:,}", views.words()])
        for result in results:
            terminal.print_result(result)
    if json_file:
        write_results(json_file, plain_results(path, checkpoint, results, views))
    if pictures:
        make_folder(pictures, "--pictures")
        write_matrices(pictures, results)


def image_watchers(progress: "Progress", split: str) -> "Callable[[str, int], Watcher]":
    """What counts the images of each data set in a progress bar."""

    def start(name: str, total: int) -> "Watcher":
        count = terminal.image_counter(progress, f"{name} {split}", total)
        return lambda done, *_: count(done)

    return start


@app.command(
    epilog="[bold]segtrain compare runs/a runs/b[/]   on the val split of every data set\n\n"
    "[bold]segtrain compare runs/a/last.pt runs/a/best.pt --split val100 --pictures differences/[/]"
)
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run's folder or a checkpoint.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    shards: ShardsOption = ["shards"],  # noqa: B006 - typer copies it
    cache: CacheOption = None,
    cache_size: CacheSizeOption = CACHE_SIZE,
    split: SplitOption = "val",
    scales: ScalesOption = "1",
    flip: FlipOption = False,
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
    from segtrain.evaluate import STDOUT, check_writable, write_results
    from segtrain.files import check_folder, make_folder
    from segtrain.predictor import Views

    views = Views.parse(scales, flip=flip)
    if json_file:
        check_writable(json_file)
    if pictures:
        check_folder(pictures, "--pictures")
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
        named = [f"{name}: {net.words()}" for name, net in zip("AB", nets, strict=True)]
        terminal.print_nets([*named, views.words()])
        for compared in found:
            terminal.print_comparison(compared, count)
    if json_file:
        write_results(json_file, plain_comparisons(nets, views, found))
    if pictures:
        make_folder(pictures, "--pictures")
        write_sheets(pictures, found, nets, count)


@app.command(
    epilog="[bold]segtrain predict runs/fcn8s holiday.jpg dog.png[/]   to predictions/\n\n"
    "[bold]segtrain predict runs/fcn8s/last.pt photos/ --out masks/ --max-side 512[/]\n\n"
    "[bold]segtrain predict runs/fcn8s aerial.tif --tile 1024 --probabilities[/]   at full size"
)
def predict(
    run: RunArgument,
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO...",
            help="Photos of any size and kind, folders of them, and patterns such as 'a/**/*.jpg'.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("predictions"),
    max_side: Annotated[
        int,
        typer.Option(
            min=32,
            help="Longest side in pixels that the net sees; larger photos are reduced for it, and "
            "their scores enlarged to the photo's size.",
        ),
    ] = 1024,
    tile: Annotated[
        int | None,
        typer.Option(
            min=128,
            help="See photos at their full size, larger ones in overlapping squares of this side "
            "in pixels, instead of reducing them to --max-side.",
        ),
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also write NAME.npz: probabilities (float16, classes x height x width) and the "
            "classes' names.",
        ),
    ] = False,
    scales: ScalesOption = "1",
    flip: FlipOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Predict photos: NAME.png (class ids as grey values) and NAME.overlay.jpg (for people).

    EXIF orientation is applied; transparent photos are laid on white. A photo that cannot be read
    gets an error, the others are still done, and the exit code is 1.
    """
    from segtrain.predict import Manner, predict_photos
    from segtrain.predictor import Views

    failed = False
    views = Views.parse(scales, flip=flip)
    manner = Manner(max_side, tile or 0, probabilities)
    for line, error in predict_photos(run, photos, out, manner, device, views):
        if error:
            terminal.print_error(error)
        else:
            terminal.print_line(line)
        failed = failed or bool(error)
    if failed:
        raise typer.Exit(1)


app.command(epilog=cli_demo.EPILOG)(cli_demo.demo)
app.command(epilog=report_command.EPILOG)(report_command.report)
app.command(epilog=cli_export.EPILOG)(cli_export.export)
app.command(epilog=recipes_command.EPILOG)(recipes_command.recipes)


@app.command(
    epilog="[bold]segtrain replay runs/fcn8s/nonfinite-000812.pt[/]   where the error named it"
)
def replay(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A nonfinite-STEP.pt of a run's folder.")
    ],
    device: DeviceOption = "auto",
) -> None:
    """Take the step again at which a run's loss became NaN or infinite.

    Batch, weights and random numbers are in the file; no shards are needed. Every layer's output
    and gradient is shown with its range and the share that is not finite, and where it began. The
    exit code is 1 if something is not finite.
    """
    from segtrain import replay as replaying

    found = replaying.replay(file, device)
    replaying.print_replay(found)
    if found.verdict:
        raise typer.Exit(1)


for command in app.registered_commands:
    command.help = command.help or flowing(command.callback and command.callback.__doc__)


def main() -> None:
    """The script `segtrain`: run a command, tell a user's error in one line."""
    try:
        app()
    except SegtrainError as error:
        tell = terminal.print_error
        if isinstance(error, InterruptedRunError):
            tell = terminal.print_note
        if not error.quiet:
            tell(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        terminal.print_note("interrupted")
        sys.exit(130)
