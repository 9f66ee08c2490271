"""`segdata build-voc` and `segdata build-coco`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from segdata.cli.app import app
from segdata.cli.options import (
    LABELS,
    LOCAL,
    RESUME,
    SOURCE,
    Classes,
    Data,
    EngineName,
    Failure,
    Limit,
    Out,
    Quality,
    Resize,
    Scheduler,
    Seed,
    ShardBytes,
    ShardSamples,
    Size,
    SplitOption,
    Splits,
    Strict,
    ValSize,
    Workers,
    local_path,
    refuse_other_engine,
)

if TYPE_CHECKING:
    from segdata.plan import BuildOptions
    from segdata.samples import Source

Policy = Literal["segdata", "torchvision", "gluoncv"]


@app.command(
    epilog="[bold]segdata build-voc --data data/ --out shards/[/]   from the tar as it is\n\n"
    "[bold]segdata build-voc --sbd data/benchmark.tgz[/]   with SBD's images: 10,582 in train\n\n"
    "[bold]segdata build-voc --size 0 --classes person,dog,cat[/]   native size, three classes"
)
def build_voc(
    data: Data = Path("data"),
    year: Annotated[
        Literal["2012", "2007"], typer.Option(help="VOC's year.", rich_help_panel=SOURCE)
    ] = "2012",
    sbd: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar=LOCAL,
            help="SBD's benchmark.tgz, or the folder that it unpacks to: more images for train.",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    protocol: Annotated[
        Literal["trainaug", "fcn2016"] | None,
        typer.Option(
            help="What SBD adds. trainaug: to VOC's train what VOC lists nowhere, judged on VOC's "
            "val. fcn2016: SBD's own train alone, judged on seg11valid. One directory holds one.",
            show_default="trainaug with --sbd",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    split: SplitOption = "both",
    limit: Limit = 0,
    strict: Strict = False,
    on_error: Failure = "fail",
    classes: Classes = "voc",
    size: Size = 512,
    val_size: ValSize = 0,
    quality: Quality = 92,
    resize: Resize = "pillow",
    out: Out = Path("shards"),
    shard_samples: ShardSamples = 1000,
    shard_bytes: ShardBytes = 0,
    seed: Seed = 0,
    workers: Workers = 0,
    engine: EngineName = "local",
    scheduler: Scheduler = "",
) -> None:
    """Build shards from PASCAL VOC's segmentation images, with SBD's or alone, as they lie."""
    from segdata import terminal

    with terminal.told_errors(RESUME):
        from segdata.classes import ClassSet
        from segdata.protocols import open_protocol

        chosen = ClassSet.parse(classes)
        options = build_options(
            out=out,
            classes=chosen,
            size=size,
            val_size=val_size,
            quality=quality,
            resize=resize,
            shard_samples=shard_samples,
            shard_bytes=shard_bytes,
            seed=seed,
            limit=limit,
            skip_errors=on_error == "skip",
            strict=strict,
            workers=workers,
            engine=engine,
            scheduler=scheduler,
        )
        source = open_protocol(data, sbd, protocol, chosen, _names(split), int(year))
        build_and_print(source, options)


@app.command(
    epilog="[bold]segdata build-coco --classes voc --out shards/[/]   from the zips in data/\n\n"
    "[bold]segdata build-coco --labels torchvision[/]   the pixels of torchvision's reference"
)
def build_coco(
    data: Data = Path("data"),
    year: Annotated[
        Literal["2017", "2014"], typer.Option(help="COCO's year.", rich_help_panel=SOURCE)
    ] = "2017",
    split: SplitOption = "both",
    limit: Limit = 0,
    strict: Strict = False,
    on_error: Failure = "fail",
    classes: Classes = "voc",
    labels: Annotated[
        Policy,
        typer.Option(
            help="Who gets a pixel that two objects claim, and what a crowd is. segdata: smaller "
            "objects lie on top, crowds are ignored. torchvision: shared pixels are ignored. "
            "gluoncv: the first in the file wins.",
            rich_help_panel=LABELS,
        ),
    ] = "segdata",
    min_area: Annotated[
        int,
        typer.Option(
            min=0,
            help="Keep a train image only if its objects exceed so many pixels in sum "
            "(gluoncv: val images too).",
            rich_help_panel=LABELS,
        ),
    ] = 1000,
    void_border: Annotated[
        int,
        typer.Option(
            min=0,
            max=50,
            help="Ignore pixels this near to an outline, on both sides; 2 looks like VOC's.",
            rich_help_panel=LABELS,
        ),
    ] = 0,
    size: Size = 512,
    val_size: ValSize = 0,
    quality: Quality = 92,
    resize: Resize = "pillow",
    out: Out = Path("shards"),
    shard_samples: ShardSamples = 1000,
    shard_bytes: ShardBytes = 0,
    seed: Seed = 0,
    workers: Workers = 0,
    engine: EngineName = "local",
    scheduler: Scheduler = "",
) -> None:
    """Build shards from MS-COCO's images and instances, from the zips or their folders."""
    from segdata import terminal

    with terminal.told_errors(RESUME):
        from segdata.classes import ClassSet
        from segdata.coco import open_coco
        from segdata.labels import LabelPolicy

        chosen = ClassSet.parse(classes)
        policy = LabelPolicy(labels, min_area, void_border)
        options = build_options(
            out=out,
            classes=chosen,
            policy=policy,
            size=size,
            val_size=val_size,
            quality=quality,
            resize=resize,
            shard_samples=shard_samples,
            shard_bytes=shard_bytes,
            seed=seed,
            limit=limit,
            skip_errors=on_error == "skip",
            strict=strict,
            workers=workers,
            engine=engine,
            scheduler=scheduler,
        )
        build_and_print(open_coco(data, int(year), chosen, _names(split), policy), options)


def _names(split: Splits) -> tuple[str, ...]:
    return ("train", "val") if split == "both" else (split,)


def build_options(
    *,
    workers: int,
    engine: EngineName,
    scheduler: str,
    **rest: Any,  # noqa: ANN401 - passed on
) -> "BuildOptions":
    """The library's options from those of a command; 0 workers are one for each processor."""
    from segdata.engine import default_workers
    from segdata.plan import BuildOptions

    refuse_other_engine(engine, scheduler, workers)
    if scheduler:
        rest["out"] = rest["out"].absolute()  # workers elsewhere have other working folders
    return BuildOptions(workers=workers or default_workers(), scheduler=scheduler, **rest)


def build_and_print(source: "Source", options: "BuildOptions") -> None:
    """Build, with the source's notes before, a progress bar, and the tables of the result."""
    from segdata import card, terminal
    from segdata.build import build
    from segdata.tables import build_tables

    for note in source.notes:
        terminal.print_note(note)
    with terminal.progress_bar() as progress:
        manifest = build(source, options, progress)
    for name in source.splits:
        if name in manifest.get("splits", {}):
            continue
        terminal.print_note(
            f"{source.dataset} {name} adds nothing: VOC 2012 has brought all of its images to "
            f"{options.out}"
        )
    for table in build_tables(manifest, options.out) if manifest else ():
        terminal.print_table(*table)
    if not card.is_ours(options.out / card.NAME):
        terminal.print_note(card.EDITED)
