"""The command line: it translates options into one call of the library and prints the result."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from segdata.plan import BuildOptions
    from segdata.samples import Source

Splits = Literal["train", "val", "both"]
OnError = Literal["fail", "skip"]
Policy = Literal["segdata", "torchvision", "gluoncv"]

RESUME = "finished shards are kept; the same command goes on from there"
SOURCE, LABELS, IMAGES, SHARDS, RUNNING = "Source", "Labels", "Images", "Shards", "Running"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="PASCAL VOC and MS-COCO as sharded webdataset tars whose masks are provably right.",
    epilog="Start with: [bold]segdata toy --out toy/[/] and [bold]segdata build-coco --data toy/ "
    "--out shards/[/]",
)


def main() -> None:
    """The `segdata` command."""
    app(prog_name="segdata")


def _version(wanted: bool) -> None:
    if wanted:
        from segdata import __version__

        print(f"segdata {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


Data = Annotated[
    Path,
    typer.Option(
        help="Folder that holds the official archives, or what they unpack to.",
        rich_help_panel=SOURCE,
    ),
]
SplitOption = Annotated[Splits, typer.Option(help="Splits to build.", rich_help_panel=SOURCE)]
Limit = Annotated[
    int,
    typer.Option(
        min=0,
        help="Take at most so many samples of each split, chosen by the seed; 0 takes all.",
        rich_help_panel=SOURCE,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse sources that hold fewer samples than the official split. Without it the "
        'manifest says "complete": false, with both counts.',
        rich_help_panel=SOURCE,
    ),
]
Failure = Annotated[
    OnError,
    typer.Option(
        "--on-error",
        help="A broken sample: stop with an error, or leave it out and record it.",
        rich_help_panel=SOURCE,
    ),
]
Classes = Annotated[
    str,
    typer.Option(
        help="'voc' (20 classes), 'coco' (80), or a comma list of names of either. "
        "Everything else is background.",
        rich_help_panel=LABELS,
    ),
]
Size = Annotated[
    int,
    typer.Option(
        min=0,
        help="Longest side of train images in pixels; 0 keeps native sizes. Smaller images "
        "keep their size and their bytes.",
        rich_help_panel=IMAGES,
    ),
]
ValSize = Annotated[
    int,
    typer.Option(
        min=0,
        help="The same for val. Anything but 0 makes every metric one on resized targets.",
        rich_help_panel=IMAGES,
    ),
]
Quality = Annotated[
    int, typer.Option(min=1, max=95, help="Of JPEGs encoded anew.", rich_help_panel=IMAGES)
]
Out = Annotated[
    Path,
    typer.Option(help="The shards directory; several builds may share it.", rich_help_panel=SHARDS),
]
ShardSamples = Annotated[
    int, typer.Option(min=1, help="Samples in a shard, at most.", rich_help_panel=SHARDS)
]
ShardBytes = Annotated[
    int,
    typer.Option(
        min=0,
        help="Instead: bytes of source images in a shard, about; 0 goes by --shard-samples.",
        rich_help_panel=SHARDS,
    ),
]
Seed = Annotated[int, typer.Option(help="Of the order of the samples.", rich_help_panel=SHARDS)]
Workers = Annotated[
    int,
    typer.Option(
        min=0,
        help="Processes; 0 is one for each processor. Any number gives the same bytes.",
        rich_help_panel=RUNNING,
    ),
]


@app.command(
    epilog="[bold]segdata build-voc --data data/ --out shards/[/]   from the tar as it is\n\n"
    "[bold]segdata build-voc --size 0 --classes person,dog,cat[/]   native size, three classes"
)
def build_voc(
    data: Data = Path("data"),
    year: Annotated[
        Literal["2012", "2007"], typer.Option(help="VOC's year.", rich_help_panel=SOURCE)
    ] = "2012",
    split: SplitOption = "both",
    limit: Limit = 0,
    strict: Strict = False,
    on_error: Failure = "fail",
    classes: Classes = "voc",
    size: Size = 512,
    val_size: ValSize = 0,
    quality: Quality = 92,
    out: Out = Path("shards"),
    shard_samples: ShardSamples = 1000,
    shard_bytes: ShardBytes = 0,
    seed: Seed = 0,
    workers: Workers = 0,
) -> None:
    """Build shards from PASCAL VOC's segmentation images, from the tar or its folder."""
    from segdata import terminal

    with terminal.told_errors(RESUME):
        from segdata.classes import ClassSet
        from segdata.voc import open_voc

        chosen = ClassSet.parse(classes)
        options = _options(
            out=out,
            classes=chosen,
            size=size,
            val_size=val_size,
            quality=quality,
            shard_samples=shard_samples,
            shard_bytes=shard_bytes,
            seed=seed,
            limit=limit,
            skip_errors=on_error == "skip",
            strict=strict,
            workers=workers,
        )
        _build(open_voc(data, int(year), chosen, _names(split)), options)


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
    out: Out = Path("shards"),
    shard_samples: ShardSamples = 1000,
    shard_bytes: ShardBytes = 0,
    seed: Seed = 0,
    workers: Workers = 0,
) -> None:
    """Build shards from MS-COCO's images and instances, from the zips or their folders."""
    from segdata import terminal

    with terminal.told_errors(RESUME):
        from segdata.classes import ClassSet
        from segdata.coco import open_coco
        from segdata.labels import LabelPolicy

        chosen = ClassSet.parse(classes)
        policy = LabelPolicy(labels, min_area, void_border)
        options = _options(
            out=out,
            classes=chosen,
            policy=policy,
            size=size,
            val_size=val_size,
            quality=quality,
            shard_samples=shard_samples,
            shard_bytes=shard_bytes,
            seed=seed,
            limit=limit,
            skip_errors=on_error == "skip",
            strict=strict,
            workers=workers,
        )
        _build(open_coco(data, int(year), chosen, _names(split), policy), options)


def _names(split: Splits) -> tuple[str, ...]:
    return ("train", "val") if split == "both" else (split,)


def _options(*, workers: int, **rest: Any) -> "BuildOptions":  # noqa: ANN401 - passed on
    from segdata.engine import default_workers
    from segdata.plan import BuildOptions

    return BuildOptions(workers=workers or default_workers(), **rest)


def _build(source: "Source", options: "BuildOptions") -> None:
    from segdata import terminal
    from segdata.build import build
    from segdata.tables import build_tables

    for note in source.notes:
        terminal.print_note(note)
    with terminal.progress_bar() as progress:
        manifest = build(source, options, progress)
    for table in build_tables(manifest, options.out):
        terminal.print_table(*table)


@app.command(
    epilog="[bold]segdata toy --out toy/[/]   then: segdata build-voc --data toy/, "
    "segdata build-coco --data toy/"
)
def toy(
    out: Annotated[Path, typer.Option(help="Folder for the archives.")] = Path("toy"),
    images: Annotated[int, typer.Option(min=96, help="Images in all.")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pictures.")] = 0,
) -> None:
    """Generate a small data set in VOC's and COCO's official layouts, to try everything with."""
    from segdata import terminal

    with terminal.told_errors("nothing of the toy was kept"):
        from segdata.toy import make_toy, share_out

        with terminal.progress_bar() as progress:
            summary = make_toy(out, **share_out(images), seed=seed, progress=progress)
        rows = [[name, terminal.human_bytes(size)] for name, size in summary.files.items()]
        terminal.print_table(f"Generated data in {out}", ["file", "size"], rows)


@app.command(
    epilog="[bold]segdata verify-masks[/]   shards/, against data/ if it is there\n\n"
    "[bold]segdata verify-masks other/ --data toy/ --json report.json[/]"
)
def verify_masks(
    shards: Annotated[Path, typer.Argument(help="The shards directory.")] = Path("shards"),
    data: Annotated[
        Path | None,
        typer.Option(
            help="Where the archives lie; every mask is then made again by a second "
            "implementation and compared bit by bit. Default: data/, if it is there.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file too.")
    ] = None,
    workers: Workers = 0,
) -> None:
    """Check every sample of the shards, and every mask against its source; exit code 0 or 1."""
    from segdata import terminal

    with terminal.told_errors("nothing was changed"):
        from segdata.engine import default_workers
        from segdata.shards import explained, write_file
        from segdata.verify import verify

        default = Path("data")
        source = data or (default if default.is_dir() else None)
        with terminal.progress_bar() as progress:
            report = verify(
                shards, data=source, workers=workers or default_workers(), progress=progress
            )
        if json_file:
            with explained(json_file.parent):
                write_file(json_file, report.to_json())
        for line in report.lines():
            terminal.print_line(line)
        terminal.print_line(report.summary, "bold green" if report.ok else "bold red")
        raise typer.Exit(0 if report.ok else 1)


@app.command(
    epilog="[bold]segdata show shards/ --out preview/[/]   some of each split\n\n"
    "[bold]segdata show shards/ coco2017_000000000139 --out preview/[/]"
)
def show(
    shards: Annotated[Path, typer.Argument(help="The shards directory.")],
    keys: Annotated[
        list[str] | None, typer.Argument(help="Samples to show.", show_default="some of each split")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("preview"),
    count: Annotated[
        int, typer.Option(min=1, help="Samples of each data set and split, if no key is named.")
    ] = 8,
) -> None:
    """Draw masks in colour over their images: one picture a sample, and a contact sheet."""
    from segdata import terminal

    with terminal.told_errors("the pictures written so far are whole"):
        from segdata import overlays

        for path in overlays.show(shards, keys or [], out, count):
            terminal.print_line(str(path))
