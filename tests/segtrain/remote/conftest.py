"""A web server on loopback whose troubles can be chosen, and a cache of its own."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from segtrain.remote import cache as cache_module
from segtrain.remote import store
from segtrain.remote.cache import Cache


@dataclass
class Web:
    """A web server of a folder.

    Attributes:
        folder: What it serves.
        address: Its URL.
        ranges: Whether it knows ranges; without, it always sends whole files.
        breaks: Of each file name, how many more answers end after half of their bytes.
        refusals: Of each file name, the HTTP statuses of the next answers.
        wrong: File names of which the last byte of an answer is another.
        asked: (file name, first byte asked for) of every request.
    """

    folder: Path
    address: str = ""
    ranges: bool = True
    breaks: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, list[int]] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)
    asked: list[tuple[str, int]] = field(default_factory=list)

    def count(self, name: str) -> int:
        """How often a file was asked for."""
        return sum(asked == name for asked, _ in self.asked)

    def names(self, ending: str) -> list[str]:
        """Files with this ending in the order in which they were first asked for."""
        return list(dict.fromkeys(n for n, _ in self.asked if n.endswith(ending)))


class Handler(SimpleHTTPRequestHandler):
    """Answers as its `Web` says."""

    web: Web

    def do_GET(self) -> None:
        web, name = self.web, self.path.rpartition("/")[2]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        begin = int(wanted[1]) if wanted else 0
        web.asked.append((name, begin))
        refusals = web.refusals.get(name, [])
        path = Path(self.translate_path(self.path))
        if refusals or not path.is_file():
            self.send_error(refusals.pop(0) if refusals else 404)
            return
        data = path.read_bytes()
        if wanted and web.ranges:
            total, end = len(data), int(wanted[2] or len(data)) + 1
            data = data[begin:end]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(data) - 1}/{total}")
        else:
            self.send_response(200)
        if name in web.wrong:
            data = data[:-1] + bytes([data[-1] ^ 255])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if web.breaks.get(name, 0):
            web.breaks[name] -= 1
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - its name and types
        pass


@pytest.fixture
def web(shards: Path) -> Iterator[Web]:
    """A server of the shared shards."""
    served = Web(shards)

    class Bound(Handler):
        web = served

        def __init__(self, *words: Any) -> None:  # noqa: ANN401 - as the server calls it
            super().__init__(*words, directory=str(served.folder))

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        served.address = f"http://127.0.0.1:{running.server_address[1]}"
        yield served
        running.shutdown()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache that holds all of the shared shards."""
    return Cache(tmp_path / "cache", 10**9)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds, and pieces of a few kilobytes."""
    monkeypatch.setattr(store, "PAUSE", 0.001)
    monkeypatch.setattr(cache_module, "CHUNK", 10_000)
