"""`segdata fetch`."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segdata.cli.app import app
from segdata.cli.options import RESULT, RUNNING, SOURCE, Splits

if TYPE_CHECKING:
    from segdata.fetch.download import Fetched
    from segdata.fetch.plan import Planned

GO_ON = "what has arrived is kept as .part files; the same command goes on from there"
CHECKS = "Checks"


class DataSet(StrEnum):
    """The data sets of the catalogue."""

    VOC2012 = "voc2012"
    VOC2007 = "voc2007"
    SBD = "sbd"
    COCO2017 = "coco2017"
    COCO2014 = "coco2014"


@app.command(
    epilog="[bold]segdata fetch voc2012 sbd[/]   into data/, where builds look\n\n"
    "[bold]segdata fetch coco2017 --split val[/]   1.1 GB instead of 20\n\n"
    "[bold]segdata fetch voc2012 --mirror https://mirror.example.org/voc/[/]   tried first\n\n"
    "[bold]segdata fetch coco2017 --dry-run[/]   sizes, addresses and free disk, no download"
)
def fetch(
    names: Annotated[list[DataSet], typer.Argument(metavar="NAMES", help="The data sets.")],
    data: Annotated[
        Path, typer.Option(help="Folder for the archives.", rich_help_panel=RESULT)
    ] = Path("data"),
    split: Annotated[
        Splits,
        typer.Option(
            help="Leave out COCO's images of the other split. The archives of VOC and SBD hold "
            "both.",
            rich_help_panel=SOURCE,
        ),
    ] = "both",
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            help="An address to try first: of a file, or of a folder that holds the files. May be "
            "given several times.",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    checksum: Annotated[
        list[str] | None,
        typer.Option(
            help="Another sum than the published one, for a mirror's own file: "
            "\\[NAME=]md5:…, sha1:…, sha256:… or sha512:…; 'archive' takes whatever is whole by "
            "the archive's own sums.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Read files that are there already and compare their checksums; without it, "
            "their size.",
            rich_help_panel=CHECKS,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            "--list",
            help="Print what would be fetched, and from where; change nothing.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, max=16, help="Files at a time.", rich_help_panel=RUNNING)
    ] = 3,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Seconds without a byte after which a connection counts as broken.",
            rich_help_panel=RUNNING,
        ),
    ] = 30.0,
    retries: Annotated[
        int,
        typer.Option(
            min=0,
            help="Further rounds over all addresses while none gives a new byte.",
            rich_help_panel=RUNNING,
        ),
    ] = 4,
) -> None:
    """Download the official archives; builds read them as they are, nothing is unpacked."""
    from segdata import terminal

    with terminal.told_errors(GO_ON):
        from segdata.fetch.catalogue import files_of
        from segdata.fetch.plan import planned
        from segdata.fetch.wishes import with_checksums, with_mirrors

        files = with_mirrors(files_of(names, split), mirror or [])
        files = with_checksums(files, checksum or [])
        if dry_run:
            _show_plan(planned(files, data), data)
            return
        from segdata.fetch import download

        settings = download.Settings(jobs, timeout, retries + 1, check=check)
        with terminal.byte_bars() as bars:
            results = download.fetch(files, data, settings, bars)
        _show_results(results)


def _show_plan(plan: "Sequence[Planned]", data: Path) -> None:
    from segdata import terminal
    from segdata.fetch.checks import how_checked
    from segdata.fetch.partial import free_bytes

    terminal.print_table(
        "Files",
        ["path", "bytes", "here", "state", "check"],
        [
            [
                str(item.path),
                "unknown" if item.file.size is None else str(item.file.size),
                str(item.here),
                item.state,
                how_checked(item.file),
            ]
            for item in plan
        ],
    )
    for item in plan:
        for address in item.file.addresses:
            terminal.print_fields(item.file.name, address)
    missing = sum(item.missing for item in plan)
    terminal.print_fields("to fetch", missing, terminal.human_bytes(missing))
    free = free_bytes(data)
    terminal.print_fields("free disk", free, terminal.human_bytes(free))


def _show_results(results: "Sequence[Fetched]") -> None:
    """One line a file on stdout, then the errors; exit code 1 if there are any."""
    from segdata import terminal

    rows = [[str(done.path), str(done.size), done.state, done.check] for done in results]
    terminal.print_table("Archives", ["path", "bytes", "state", "check"], rows)
    errors = [done.error for done in results if done.error is not None]
    for error in errors:
        terminal.print_error(error)
    if errors:
        raise typer.Exit(1)
