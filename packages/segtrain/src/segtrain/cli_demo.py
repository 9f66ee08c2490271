"""The command `segtrain demo`; imports torch and Streamlit only when it runs."""

import importlib.util
from typing import Annotated

import typer

from segtrain.command_options import DeviceOption, FlipOption, RunArgument, ScalesOption
from segtrain.errors import RunError

EPILOG = (
    "[bold]segtrain demo runs/fcn8s[/]   then drop a photo onto the page\n\n"
    "[bold]segtrain demo runs/fcn8s --host 0.0.0.0[/]   for everybody in your network"
)


def check_streamlit() -> None:
    """Refuse to go on without the library of the page.

    Raises:
        RunError: With what to install.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise RunError(
            'the page needs Streamlit, which is not here: pip install "segtrain[demo]"; without '
            "it, segtrain predict writes the same pictures"
        )


def demo(
    run: RunArgument,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen at. By default only this machine reaches the page; 0.0.0.0 "
            "lets in everybody who reaches this machine."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen at; 0 is any free one. By default the first free one from 8501 "
            "to 8520.",
        ),
    ] = None,
    browser: Annotated[
        bool,
        typer.Option(help="Open the page in a browser, on a desktop and from a terminal."),
    ] = True,
    max_side: Annotated[
        int,
        typer.Option(
            min=32,
            help="Longest side in pixels that the net sees; larger photos are reduced for it.",
        ),
    ] = 1024,
    max_megabytes: Annotated[
        int, typer.Option(min=1, max=200, help="Largest file that is taken, in MB of 2^20 bytes.")
    ] = 20,
    max_megapixels: Annotated[
        int,
        typer.Option(
            min=1,
            max=170,
            help="Largest photo that is taken, in million pixels; a pixel takes up to 20 bytes of "
            "memory.",
        ),
    ] = 50,
    scales: ScalesOption = "1",
    flip: FlipOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Show a page on this machine that takes a photo and lays the net's mask over it.

    A photo comes by drag and drop, from a file or from the camera. It stays in memory: nothing is
    written, and nothing is sent to any other machine.
    """
    check_streamlit()
    from segtrain.demo.answers import Limits
    from segtrain.demo.command import Where, demonstrate
    from segtrain.predict import Manner
    from segtrain.predictor import Views

    views = Views.parse(scales, flip=flip)
    limits = Limits(max_megabytes, max_megapixels)
    demonstrate(run, Where(host, port, browser), Manner(max_side), limits, views, device)
