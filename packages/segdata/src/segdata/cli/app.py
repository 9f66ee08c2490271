"""The application that every command registers with."""

from typing import Annotated

import typer

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
