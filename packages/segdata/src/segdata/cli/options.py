"""Options that several commands share, each with its one name, help and panel."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from segdata.stores import is_url, place

Splits = Literal["train", "val", "both"]
OnError = Literal["fail", "skip"]

RESUME = "finished shards are kept; the same command goes on from there"
PLACE = "<path or URL>"
LOCAL = "<path>"
SOURCE, SPLIT, LABELS, IMAGES = "Source", "Train and val", "Labels", "Images"
SHARDS, RESULT, RUNNING = "Shards", "Result", "Running"


def local_path(text: str) -> Path:
    """A path of this machine; a URL is refused by name instead of taken for a strange path."""
    if is_url(text):
        raise typer.BadParameter(f"{text} is a URL; copy it here first, and name the copy")
    return Path(text)


Data = Annotated[
    Path,
    typer.Option(
        parser=place,
        metavar=PLACE,
        help="Folder that holds the official archives, or what they unpack to; also a URL.",
        rich_help_panel=SOURCE,
    ),
]
ShardsDirectory = Annotated[
    Path,
    typer.Argument(parser=place, metavar="SHARDS", help="The shards directory, or its URL."),
]
JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the result to this file as JSON, too; - prints it so instead of as text.",
        rich_help_panel=RESULT,
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
Resize = Annotated[
    Literal["pillow", "opencv"],
    typer.Option(
        help="Whose antialiased kernel resizes images: Pillow's bilinear, or OpenCV's area (needs "
        "segdata\\[opencv]). One directory holds one of a data set.",
        rich_help_panel=IMAGES,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        parser=place,
        metavar=PLACE,
        help="The shards directory; several builds may share it. Also a URL: s3://bucket/shards.",
        rich_help_panel=SHARDS,
    ),
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
        help="Processes; 0 is one for each processor. Any number gives the same result.",
        rich_help_panel=RUNNING,
    ),
]
EngineName = Annotated[
    Literal["local", "dask"],
    typer.Option(
        help="What makes the shards: processes of this machine, or the workers of a Dask cluster "
        "(needs segdata\\[dask]). Both give the same bytes.",
        rich_help_panel=RUNNING,
    ),
]
Scheduler = Annotated[
    str,
    typer.Option(
        help="Address of the Dask scheduler, with --engine dask: tcp://HOST:8786.",
        show_default=False,
        rich_help_panel=RUNNING,
    ),
]


def refuse_other_engine(engine: str, scheduler: str, workers: int) -> None:
    """Refuse options that the engine has no use for, or lacks.

    Raises:
        UsageError: the message names the option.
    """
    from segdata.errors import UsageError

    if engine == "dask" and not scheduler:
        raise UsageError(
            "--engine dask needs the address of a scheduler",
            advice="add --scheduler tcp://HOST:8786, as `dask scheduler` prints it",
        )
    if engine == "dask" and workers:
        raise UsageError(
            "--workers counts the local engine's processes; a cluster has the workers that it has",
            advice="start workers with `dask worker`, and leave --workers away",
        )
    if engine == "local" and scheduler:
        raise UsageError("--scheduler is of no use to the local engine", advice="add --engine dask")
