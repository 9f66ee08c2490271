"""The command `segtrain export`; imports torch only when it runs."""

import typing
from pathlib import Path
from typing import Annotated

import typer

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

    from segtrain.export.command import Written

EPILOG = (
    "[bold]segtrain export runs/fcn8s[/]   exported/fcn8s-best.onnx\n\n"
    "[bold]segtrain export runs/fcn8s/last.pt --format onnx,torch,safetensors --out nets/[/]\n\n"
    "[bold]segtrain export runs/fcn8s --check photos/[/]   tried on photos of your own"
)


def export(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run's folder (its best.pt) or a checkpoint file."),
    ],
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="F,F,...",
            help="onnx: for onnxruntime and others, without torch. torch: a .pt2 of torch.export, "
            "for torch without segtrain. safetensors: the weights alone, and what segtrain needs "
            "to rebuild the net.",
        ),
    ] = "onnx",
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("exported"),
    check: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PHOTO",
            help="Try the files on this photo, or photos of this folder or pattern; may be given "
            "several times. By default on images of the run's val split, where it is here, else "
            "on generated ones.",
        ),
    ] = None,
    shards: Annotated[
        list[str] | None,
        typer.Option(help="Take images for the trials from these shards, a path or a URL."),
    ] = None,
) -> None:
    """Export a net for use without segtrain: pixels in, class ids out.

    Preprocessing, padding and classes are inside; any number, height and width of images is taken.
    Each file is opened again and compared with the net on images of many sizes; if its logits
    differ by more than rounding, nothing is kept. A script that predicts by the file is printed.
    """
    from segtrain import terminal
    from segtrain.errors import UsageError
    from segtrain.export.command import export_run
    from segtrain.export.kinds import parse_kinds

    if check and shards:
        raise UsageError("--check and --shards: the files are tried on either; leave one out")
    kinds = parse_kinds(formats)
    written = export_run(
        run, kinds, out, given=check or (), shards=shards or None, tell=terminal.print_line
    )
    print_written(written)


def print_written(written: "Sequence[Written]") -> None:
    """A table of the files, then a script for each."""
    from segtrain import terminal
    from segtrain.export.kinds import KINDS
    from segtrain.export.scripts import script

    columns = ["file", "kind", "size", "logits differ by", "of their span", "other ids"]
    rows = []
    for file in written:
        found = file.difference
        rows.append([
            str(file.path), KINDS[file.kind].title, terminal.file_size(file.path.stat().st_size),
            f"{found.absolute:.1e}", f"{found.relative:.1e}", f"{found.ids:,} of {found.pixels:,}",
        ])  # fmt: skip
    terminal.print_table("", columns, rows)
    for file in written:
        print(f"\n# to predict by {file.path.name}:")
        print(script(file.kind, file.path), end="")
