"""The command line: each command translates its options and calls the module of its name."""

import inspect
import sys
from pathlib import Path
from typing import Annotated

import typer

from segtrain import (
    __version__,
    cli_demo,
    cli_export,
    cli_index,
    cli_judging,
    recipes_command,
    terminal,
)
from segtrain.command_options import (
    CONFIG_FILE,
    DeviceOption,
    FlipOption,
    RunArgument,
    ScalesOption,
    StatisticsOption,
    flowing,
    give_options,
    given_options,
)
from segtrain.doctor.command import register_doctor
from segtrain.errors import InterruptedRunError, SegtrainError
from segtrain.report import command as report_command

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


register_doctor(app)

app.command("eval", epilog=cli_judging.EVAL_EPILOG)(cli_judging.evaluate)
app.command(epilog=cli_judging.COMPARE_EPILOG)(cli_judging.compare)


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
    statistics: StatisticsOption = "running",
    device: DeviceOption = "auto",
) -> None:
    """Predict photos: NAME.png (class ids as grey values) and NAME.overlay.jpg (for people).

    EXIF orientation is applied; transparent photos are laid on white. A photo that cannot be read
    gets an error, the others are still done, and the exit code is 1.
    """
    from segtrain.predict import Manner, predict_photos
    from segtrain.predictor import Views

    failed = False
    views = Views.parse(scales, flip=flip, statistics=statistics)
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
