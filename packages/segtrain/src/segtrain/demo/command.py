"""`segtrain demo`: the net, its page and the server put together."""

from dataclasses import dataclass
from pathlib import Path

from segtrain.checkpoint import find_checkpoint, load_checkpoint
from segtrain.demo import page, server
from segtrain.demo.answers import Answerer, Limits
from segtrain.demo.facts import facts
from segtrain.predict import Manner
from segtrain.predictor import Views, load_predictor
from segtrain.terminal import print_line, print_note


@dataclass(frozen=True)
class Where:
    """Where the page is served.

    Attributes:
        host: Address or name.
        port: None is the first free one from 8501 on.
        browser: Whether to open a browser where there is a desktop.
    """

    host: str
    port: int | None
    browser: bool


def demonstrate(
    run: Path, where: Where, manner: Manner, limits: Limits, views: Views, device: str
) -> None:
    """Serve the page of a run's net until Ctrl-C.

    Args:
        run: A run's folder (its best.pt, else its last.pt) or a checkpoint.
        where: Where.
        manner: How photos are predicted.
        limits: How large they may be.
        views: In which forms the net sees each.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        KeyboardInterrupt: After Ctrl-C.
        CheckpointError: If there is no checkpoint, or it is damaged.
        UsageError: If the host is not of this machine, or there is no such device.
        RunError: If the port is taken, or the server cannot be started.
    """
    path = find_checkpoint(run)
    with server.bind(where.host, where.port) as listening:
        place = server.Place.of(listening)
        checkpoint = load_checkpoint(path)
        predictor = load_predictor(checkpoint, path, device, views)
        known = facts(checkpoint, path, predictor)
        server.configure(limits.megabytes)
        page.opened.append(page.Demo(Answerer(predictor, manner, limits), known))
        announce(place, known.net, path)
        if where.browser and server.has_desktop():
            server.open_browser(place.address)
        try:
            server.serve(listening)
        except KeyboardInterrupt:
            print_note("the page is closed")
            raise


def announce(place: server.Place, net: str, path: Path) -> None:
    """Say what is served, where, and who can reach it."""
    if not place.is_local:
        print_note(
            f"everybody who reaches port {place.port} of this machine can use the page, without a "
            "password, and what is sent is not encrypted; leave out --host to keep it to yourself"
        )
    print_line(f"{path}: {net}")
    print_line(f"the page is at {place.address}; Ctrl-C ends it")
