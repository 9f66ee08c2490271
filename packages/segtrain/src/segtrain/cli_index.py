"""The command `segtrain index`: its options, and what it prints."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segtrain import terminal

if TYPE_CHECKING:
    from segtrain.foreign.index import Indexed

MOST_WORKERS = 16
EPILOG = (
    "[bold]segtrain index shards/ --classes classes.txt[/]   names tell train from val\n\n"
    "[bold]segtrain index shards/ --classes voc --split 'train=*-0*.tar' --split 'val=*-1*.tar'[/]"
    "\n\n[bold]segtrain run --shards shards/[/]   then"
)


def index(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of the tars; folders in it count.")
    ],
    classes: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="What the ids in masks mean: voc, or a class file as segdata build-folder takes "
            "it (TOML, CSV, or a name a line for ids 1, 2, 3, ...).",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Of the data set. By default that of the folder.")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPLIT=PATTERN",
            help="Which tars are train and which val: train=PATTERN, val=PATTERN, each as often "
            "as needed. By default the words train and val in names decide.",
        ),
    ] = None,
    image_ext: Annotated[
        str | None, typer.Option(help="Ending of images, such as jpg, where it is not clear.")
    ] = None,
    mask_ext: Annotated[
        str | None, typer.Option(help="Ending of masks, such as cls.png, where it is not clear.")
    ] = None,
    ignore_index: Annotated[
        int | None,
        typer.Option(min=0, max=255, help="An id in masks to be ignored, beside 255."),
    ] = None,
    pixels: Annotated[
        bool,
        typer.Option(
            help="Count the pixels of each class. Without, ids are checked in training only, and "
            "runs know no loss of the class prior."
        ),
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes. By default one per core, at most 16."),
    ] = None,
) -> None:
    """Make webdataset tars trainable that others made: images and masks, no index, no manifest.

    Each tar is read once and every sample checked. Then a [bold].idx[/] is written beside each, and
    one manifest, [bold]NAME.json[/]. The tars stay as they are.
    """
    from segtrain.foreign.index import IndexOptions
    from segtrain.foreign.index import index as index_shards

    options = IndexOptions(
        directory=directory,
        classes=classes,
        name=name,
        splits=tuple(split or ()),
        image_ext=image_ext,
        mask_ext=mask_ext,
        ignore_index=ignore_index,
        pixels=pixels,
        workers=workers or min(MOST_WORKERS, os.cpu_count() or 1),
    )
    with terminal.progress_bar() as progress:
        task = progress.add_task("reading", total=None, unit="shards", note="")

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        indexed = index_shards(options, show)
    print_indexed(indexed, directory)


def print_indexed(indexed: "Indexed", directory: Path) -> None:
    """What was found and decided, what to know, and the way on."""
    contents = indexed.contents
    manifest = contents.manifest()
    for note in indexed.notes:
        terminal.print_note(note)
    by = {"names": "by the shards' names", "patterns": "by --split"}[contents.divided]
    rows = [
        [
            split,
            f"{len(found):,}",
            f"{sum(len(s.samples) for s in found.values()):,}",
            terminal.file_size(sum(s.bytes for s in found.values())),
            void_share(manifest["splits"][split]["pixels"]),
        ]
        for split, found in contents.splits.items()
    ]
    columns = ["split", "shards", "images", "size", "void pixels"]
    terminal.print_table(contents.dataset, columns, rows)
    images = ", ".join(f".{e}" for e in manifest["members"]["image"])
    count = len(contents.classes.classes)
    terminal.print_line(
        f"data set {contents.dataset}: {count} classes; images {images}, masks .{contents.mask}; "
        f"splits {by}"
    )
    state = "written" if indexed.changed else "is as it was"
    terminal.print_line(f"{indexed.manifest}: {state}; next: segtrain run --shards {directory}")


def void_share(pixels: list[int]) -> str:
    """Of all pixels, those that are ignored; `-` where none were counted."""
    return f"{100 * pixels[-1] / sum(pixels):.1f} %" if sum(pixels) else "-"
