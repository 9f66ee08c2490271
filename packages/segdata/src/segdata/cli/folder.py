"""`segdata build-folder`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from segdata.cli.app import app
from segdata.cli.build import build_and_print, build_options
from segdata.cli.options import (
    LABELS,
    RESUME,
    SOURCE,
    SPLIT,
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
    Splits,
    ValSize,
    Workers,
    local_path,
)


@app.command(
    epilog="[bold]segdata build-folder leaves/images leaves/masks --classes leaves.txt[/]\n\n"
    "[bold]segdata build-folder leftImg8bit.zip gtFine.zip --mask-suffix _gtFine_labelIds "
    "--classes cityscapes.toml --name cityscapes[/]\n\n"
    "A class file in its simplest form is a name a line, for masks whose values are 1, 2, 3 …\n\n"
    "With ids and colours it is TOML: [bold]background = \\[0][/], [bold]ignore = \\[255][/], then "
    'for each class [bold]\\[\\[classes]][/], [bold]name = "road"[/], [bold]ids = \\[7, 8][/], '
    '[bold]colors = \\["#804080"][/]',
)
def build_folder(
    images: Annotated[
        Path,
        typer.Argument(
            parser=local_path, metavar="IMAGES", help="Folder, zip or tar of the images."
        ),
    ],
    masks: Annotated[
        Path,
        typer.Argument(
            parser=local_path,
            metavar="MASKS",
            help="Folder, zip or tar of the masks, under the same names.",
        ),
    ],
    classes: Annotated[
        str,
        typer.Option(
            help="Class file (.toml, .csv with id,name,color, or .txt with a name a line): which "
            "ids or colours of the masks become which class. 'voc': VOC's own ids and colours.",
            rich_help_panel=LABELS,
        ),
    ],
    masks_as: Annotated[
        Literal["auto", "index", "color"],
        typer.Option(
            help="What the masks' pixels are. auto: palette and greyscale files hold ids, RGB "
            "files colours.",
            rich_help_panel=LABELS,
        ),
    ] = "auto",
    name: Annotated[
        str | None,
        typer.Option(
            help="Of the data set, and what its keys begin with.",
            show_default="the common folder's",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    image_suffix: Annotated[
        str | None,
        typer.Option(
            help="What the images' names end with before .jpg, such as _leftImg8bit.",
            show_default="found out",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    mask_suffix: Annotated[
        str | None,
        typer.Option(
            help="The same of the masks, such as _gtFine_labelIds; other files are passed over.",
            show_default="found out",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    unpaired: Annotated[
        Literal["fail", "skip"],
        typer.Option(
            help="An image without mask or the reverse: stop, or leave it out and record it.",
            rich_help_panel=SOURCE,
        ),
    ] = "fail",
    limit: Limit = 0,
    on_error: Failure = "fail",
    split: Annotated[
        Splits,
        typer.Option(
            help="Build one split alone: all images, or those of its folder train/ or val/.",
            rich_help_panel=SPLIT,
        ),
    ] = "both",
    val_list: Annotated[
        Path | None,
        typer.Option(
            help="Without such folders: file of the images of val, a name a line; the rest is "
            "train.",
            rich_help_panel=SPLIT,
        ),
    ] = None,
    val_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Without such folders: hold out this share of the images as val, chosen by "
            "--seed.",
            show_default="0.1",
            rich_help_panel=SPLIT,
        ),
    ] = None,
    group: Annotated[
        str,
        typer.Option(
            metavar="REGEX",
            help="Hold out whole groups, such as videos or patients: the first pair of "
            "parentheses matches the group's name in an image's path.",
            show_default=False,
            rich_help_panel=SPLIT,
        ),
    ] = "",
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
    """Build shards from any images and their masks, in folders or archives."""
    from segdata import terminal

    with terminal.told_errors(RESUME):
        from segdata.division import SplitRule
        from segdata.folder import open_folder
        from segdata.labelmap import read_label_map

        label_map = read_label_map(classes)
        options = build_options(
            out=out,
            classes=label_map.class_set,
            size=size,
            val_size=val_size,
            quality=quality,
            resize=resize,
            shard_samples=shard_samples,
            shard_bytes=shard_bytes,
            seed=seed,
            limit=limit,
            skip_errors=on_error == "skip",
            workers=workers,
            engine=engine,
            scheduler=scheduler,
        )
        if scheduler:
            images, masks = images.absolute(), masks.absolute()  # as for --out
        source = open_folder(
            images,
            masks,
            label_map=label_map,
            rule=SplitRule(split, val_list, val_share, group, seed),
            name=name,
            masks_as=masks_as,
            suffixes=(image_suffix, mask_suffix),
            skip_unpaired=unpaired == "skip",
        )
        build_and_print(source, options)
