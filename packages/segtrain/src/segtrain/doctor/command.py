"""The command `segtrain doctor`; imports torch only when it runs."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from segtrain.command_options import CONFIG_FILE, JsonOption, give_options, given_options

STDOUT = Path("-")


def run_doctor(given: Mapping[str, Any], checkpoint: Path | None, json_file: Path | None) -> None:
    """Examine what these options make, print the report, and end with 1 if something is fatal.

    Args:
        given: Options of a run that were given.
        checkpoint: A run or checkpoint to examine instead of a new net; None without.
        json_file: Where to write the report, too; `-` prints it instead; None writes none.

    Raises:
        Exit: With code 1 on a fatal finding.
        SegtrainError: See its tree; what a run would refuse is refused here as well.
    """
    from segtrain.doctor import display
    from segtrain.doctor.examination import Examination
    from segtrain.doctor.patient import admit
    from segtrain.doctor.report import examined
    from segtrain.evaluate import check_writable, write_results

    if json_file:
        check_writable(json_file)
    patient = admit(given, checkpoint)
    with display.progress() as progress:
        report = examined(Examination(patient, progress))
    if json_file != STDOUT:
        display.print_report(report)
    if json_file:
        write_results(json_file, report.plain())
    if report.fatal:
        raise typer.Exit(1)


def doctor(
    context: typer.Context,
    config_file: Path | None,
    checkpoint: Path | None,
    json_file: Path | None,
    **options: object,
) -> None:
    """Examine a set-up before it costs anything: can it learn, and will it?

    Takes the options of [bold]segtrain run[/] and trains a throw-away copy for some steps; nothing
    is kept or written. Ends with findings (fatal, warnings, notes), each with evidence, cause and
    remedy; the exit code is 1 only if one is fatal.
    """
    run_doctor(given_options(context, options, config_file), checkpoint, json_file)


def register_doctor(app: typer.Typer) -> None:
    """Give `doctor` the options of a run and its own, and make it a command."""
    examined = Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Examine the net of this run's folder or checkpoint, with its own options where "
            "none are given.",
            rich_help_panel="Doctor",
        ),
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    extra = [
        CONFIG_FILE,
        inspect.Parameter("checkpoint", keyword, default=None, annotation=examined),
        inspect.Parameter("json_file", keyword, default=None, annotation=JsonOption),
    ]
    give_options(doctor, extra)
    app.command(
        epilog="[bold]segtrain doctor --variant 8s --head 1x1[/]   the net that these options make"
        "\n\n"
        "[bold]segtrain doctor --checkpoint runs/fcn8s[/]   the net of a run"
    )(doctor)
