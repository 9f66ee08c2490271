"""What is read and how it is cut: a panel of options."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from segtrain.options.fields import about
from segtrain.remote.settings import CACHE_SIZE

Fit = Literal["crop", "squash", "native"]
Reader = Literal["indexed", "webdataset"]


@dataclass(frozen=True)
class DataOptions:
    """What is read and how it is cut; each field's `help` says what it does."""

    shards: tuple[str, ...] = field(
        default=("shards",),
        metadata=about(
            "Data",
            "A shards directory, a path or a URL (https://, s3://, ...); may be given several "
            "times, for data sets in several.",
        ),
    )
    train_split: str = field(
        default="train",
        metadata=about(
            "Data",
            "What to train on: train, or a named subset such as trainaug or a hold-out's "
            "NAME-train. Data sets that have none of that name are left out.",
        ),
    )
    val_split: str = field(
        default="val",
        metadata=about(
            "Data",
            "What to validate on: val, or a named subset such as seg11valid or a hold-out's "
            "NAME-val. It may share no image with the training split.",
        ),
    )
    cache: Path | None = field(
        default=None,
        metadata=about(
            "Data",
            "Folder for copies of shards from URLs, which all runs of a machine may share. By "
            "default segtrain/shards in the user's cache folder.",
        ),
    )
    cache_size: str = field(
        default=CACHE_SIZE,
        metadata=about(
            "Data",
            "How much of them to keep, as 50GB or 1.5TB; those used longest ago go first. It has "
            "to hold two blocks of 16 shards of each data set.",
        ),
    )
    mix: str | None = field(
        default=None,
        metadata=about(
            "Data",
            "Shares of data sets in the samples drawn, such as voc2012=2,coco2017=1: two of VOC to "
            "one of COCO, each gone through again and again at its own pace. Data sets left out "
            "are not trained on. By default each image is drawn as often as any other.",
        ),
    )
    fit: Fit = field(
        default="crop",
        metadata=about(
            "Data",
            "crop: a random square of the scaled image; squash: the whole image as a square, each "
            "axis by its own factor; native: the whole image at its stored size, with --batch 1.",
        ),
    )
    crop: int = field(
        default=320,
        metadata=about(
            "Data",
            "Side of the training squares in pixels; memory and time grow with its square. Not "
            "used by --fit native.",
            min=8,
        ),
    )
    scale_min: float | None = field(
        default=None,
        metadata=about(
            "Data",
            "Smallest random scale of a training image, for --fit crop; 1 keeps the stored size. "
            "By default 0.5.",
            above=0,
        ),
    )
    scale_max: float | None = field(
        default=None,
        metadata=about(
            "Data",
            "Largest random scale, drawn uniformly in its logarithm. By default 2.",
            above=0,
        ),
    )
    flip: bool = field(default=True, metadata=about("Data", "Mirror half of the training images."))
    jitter: int = field(
        default=0,
        metadata=about(
            "Data",
            "Move the cut by up to so many pixels along each axis, also beyond the image's edge; "
            "the papers tried 32.",
            min=0,
        ),
    )
    reader: Reader = field(
        default="indexed",
        metadata=about(
            "Data",
            "indexed: any sample by its place, exact on resume. webdataset: shards read from "
            "beginning to end, for .tar.gz, pipes, and where no index is; its order depends on "
            "--workers, and --resume begins a new one.",
        ),
    )
    classes: str | None = field(
        default=None,
        metadata=about(
            "Data",
            "For --reader webdataset without a manifest: voc, or a class file as segtrain index "
            "takes it. --shards then names a directory of tars, or 'URL/train-{000..009}.tar', or "
            "'pipe:COMMAND'.",
        ),
    )
    buffer: int = field(
        default=500,
        metadata=about(
            "Data",
            "Stored samples among which each worker of --reader webdataset draws the next one; 1 "
            "keeps the order within shards.",
            min=1,
        ),
    )
    workers: int | None = field(
        default=None,
        metadata=about(
            "Data",
            "Processes that read and cut images; 0 does it in this process. By default one per "
            "core, at most 16, beside a GPU, and 0 without one.",
            min=0,
        ),
    )
