"""`segdata verify-masks`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from segdata.cli.app import app
from segdata.cli.options import (
    LOCAL,
    PLACE,
    RESULT,
    SOURCE,
    JsonFile,
    ShardsDirectory,
    Workers,
    local_path,
)
from segdata.cli.results import write_json
from segdata.stores import place

if TYPE_CHECKING:
    from segdata.verify import Report
    from segdata.verify.foreign import Classes, MasksReport

Level = Literal["integrity", "content"]
MASKS = "Masks instead of shards"


@app.command(
    epilog="[bold]segdata verify-masks[/]   shards/, against data/ if it is there\n\n"
    "[bold]segdata verify-masks other/ --data toy/ --json report.json[/]\n\n"
    "[bold]segdata verify-masks --folder leaves=leaves/images,leaves/masks[/]\n\n"
    "[bold]segdata verify-masks --level integrity[/]   without any source: fast\n\n"
    "[bold]segdata verify-masks --masks labels/ --images photos/ --classes voc[/]   "
    "masks that anybody made\n\n"
    "[bold]segdata verify-masks --masks small/ --reference VOC.tar/VOCdevkit/VOC2012/"
    "SegmentationClass[/]   which rule resized them"
)
def verify_masks(
    shards: ShardsDirectory = Path("shards"),
    data: Annotated[
        Path | None,
        typer.Option(
            parser=place,
            metavar=PLACE,
            help="Where the archives lie; every mask is then made again by a second "
            "implementation and compared bit by bit.",
            show_default="data, if it is there",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    sbd: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar=LOCAL,
            help="SBD's archive or folder, where shards were built with it and it does not lie in "
            "--data.",
            show_default="benchmark.tgz in --data",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    folder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=IMAGES,MASKS",
            help="Where a data set of build-folder came from, to compare it too; may be given "
            "several times.",
            show_default=False,
            rich_help_panel=SOURCE,
        ),
    ] = None,
    level: Annotated[
        Level | None,
        typer.Option(
            help="integrity: the shards alone; content: every mask against its source too.",
            show_default="content, if the source is there",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar=LOCAL,
            help="Check these masks instead of shards: a folder, an archive, or a folder within "
            "one. PNG of ids, palette or colours, .npy.",
            rich_help_panel=MASKS,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar=LOCAL,
            help="With --masks: their images, by the same names.",
            rich_help_panel=MASKS,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar=LOCAL,
            help="With --masks: the same masks as they were before somebody resized, moved or "
            "renumbered them.",
            rich_help_panel=MASKS,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="With --masks: voc, the number of classes without background, or a class file as "
            "build-folder takes it (.toml, .csv, .txt).",
            rich_help_panel=MASKS,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Folder for pictures of what was found.", rich_help_panel=RESULT),
    ] = Path("findings"),
    pictures: Annotated[
        int,
        typer.Option(
            min=0, help="Pictures of each defect, at most; 0 draws none.", rich_help_panel=RESULT
        ),
    ] = 5,
    json_file: JsonFile = None,
    workers: Workers = 0,
) -> None:
    """Check every sample of the shards, and every mask against its source; or anybody's masks.

    Exit code 1 where an error was found, else 0.
    """
    from segdata import terminal

    with terminal.told_errors("nothing was changed"):
        from segdata.engine import default_workers

        options = {"--images": images, "--reference": reference, "--classes": classes}
        _check_options(masks, options, level, data or sbd or folder)
        count = workers or default_workers()
        if masks is None:
            report: Report | MasksReport = _verify_shards(
                shards, data, sbd, folder or [], level, count
            )
        else:
            report = _verify_masks(masks, images, reference, classes, count, pictures)
        _tell(report, json_file, out, pictures)
        raise typer.Exit(0 if report.ok else 1)


def _check_options(
    masks: Path | None, options: Mapping[str, object], level: Level | None, source: object
) -> None:
    from segdata.errors import UsageError

    given = [name for name, value in options.items() if value is not None]
    if masks is None and given:
        raise UsageError(
            f"{given[0]} says something of --masks, which was not given",
            advice=f"add --masks PATH to check masks that anybody made, or leave {given[0]} away",
        )
    if masks is not None and (level or source):
        raise UsageError("--level and sources are for shards, --masks for masks: give one of them")
    if level == "integrity" and source:
        raise UsageError("--level integrity compares with no source: name none")


def _verify_shards(
    shards: Path,
    data: Path | None,
    sbd: Path | None,
    folder: list[str],
    level: Level | None,
    workers: int,
) -> "Report":
    from segdata import terminal
    from segdata.verify import verify

    default = Path("data")
    if level != "integrity" and data is None and (level == "content" or default.is_dir()):
        data = default
    with terminal.progress_bar() as progress:
        return verify(
            shards,
            data=data,
            sbd=sbd,
            folders=_folders(folder),
            workers=workers,
            progress=progress,
        )


def _verify_masks(
    masks: Path,
    images: Path | None,
    reference: Path | None,
    classes: str | None,
    workers: int,
    pictures: int,
) -> "MasksReport":
    from segdata import terminal
    from segdata.verify.foreign import verify_masks

    with terminal.progress_bar() as progress:
        return verify_masks(
            masks,
            images=images,
            reference=reference,
            classes=_classes(classes),
            workers=workers,
            progress=progress,
            views=pictures,
        )


def _tell(report: "Report | MasksReport", json_file: str | None, out: Path, pictures: int) -> None:
    from segdata import terminal
    from segdata.closeups import write_pictures

    written = write_pictures(report.findings, out, pictures)
    if write_json(json_file, report.to_json()):
        return
    for line in report.lines():
        terminal.print_line(line)
    if written:
        count = f"{len(written)} picture{'s' if len(written) > 1 else ''}"
        terminal.print_line(f"{count}: {written[0]}{' …' if len(written) > 1 else ''}")
    terminal.print_verdict(report.summary, ok=report.ok)


def _classes(text: str | None) -> "Classes":
    """What `--classes` says, in the same words as that of build-folder where it is a file."""
    from segdata.labelmap import read_label_map
    from segdata.verify.foreign import listed_classes, parse_classes

    if text is None or text == "voc" or text.isdecimal() or text.endswith(".json"):
        return parse_classes(text)
    said = read_label_map(text)
    rows = [("background", said.background), ("ignore", said.ignore)]
    rows += zip(said.names, said.classes, strict=True)
    return listed_classes((name, entry.ids or (), entry.colors or ()) for name, entry in rows)


def _folders(given: list[str]) -> dict[str, list[tuple[Path, Path]]]:
    """Images and masks by data set, as `--folder` names them."""
    from segdata.errors import UsageError

    found: dict[str, list[tuple[Path, Path]]] = {}
    for text in given:
        name, equals, paths = text.partition("=")
        images, comma, masks = paths.partition(",")
        if not (name and equals and images and comma and masks) or "," in masks:
            raise UsageError("--folder is not understood", expected="NAME=IMAGES,MASKS", found=text)
        found.setdefault(name, []).append((local_path(images), local_path(masks)))
    return found
