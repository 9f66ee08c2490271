"""A hostile web server on loopback: it does to each request what the test's script says."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from segdata.fetch.catalogue import RemoteFile


def zipped(size: int = 60_000, seed: int = 0) -> bytes:
    """A small zip of bytes that nothing repeats."""
    data = b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(size // 32))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("member", data)
    return buffer.getvalue()


def remote(content: bytes, *addresses: str, name: str = "val2017.zip") -> RemoteFile:
    """A catalogue's entry of this content."""
    return RemoteFile(
        name, len(content), {"sha256": hashlib.sha256(content).hexdigest()}, addresses
    )


@dataclass
class Page:
    """What lies at a path, and what to do wrong; lists hold one entry for each request to come.

    Attributes:
        content: the whole file.
        etag: its ETag; "" sends none.
        ranges: whether Range is obeyed.
        careless: obey Range whatever If-Range demands.
        cuts: break the connection after so many bytes of the body.
        statuses: answer with this status and a page instead.
        changes: become this content, with another ETag, before the request is answered.
        length: announce this Content-Length.
        chunked: send chunks without a length.
        gates: after half of the body wait for this event.
        headers: further headers.
        location: redirect to there.
    """

    content: bytes
    etag: str = '"one"'
    modified: str = ""
    ranges: bool = True
    careless: bool = False
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    changes: list[bytes] = field(default_factory=list)
    length: int | None = None
    chunked: bool = False
    gates: list[threading.Event] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = ""


class Host:
    """The server: pages by path, and the requests that came."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def add(self, path: str, page: Page) -> str:
        """Put a page at a path; returns its address."""
        self.pages[path] = page
        return self.url + path

    def ranges(self) -> list[str | None]:
        """The Range headers of all requests."""
        return [headers.get("range") for _, headers in self.asked]


class Answer(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    host: Host

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer as the page says."""
        self.close_connection = True
        path = urlsplit(self.path).path
        self.host.asked.append((path, {k.lower(): v for k, v in self.headers.items()}))
        page = self.host.pages.get(path)
        status = 404 if page is None else page.statuses.pop(0) if page.statuses else 200
        if page is None or status != 200:
            headers = {} if page is None else page.headers
            self._send(status, b"<html>no</html>", Page(b"", etag="", headers=headers))
        elif page.location:
            self._send(302, b"", Page(b"", headers={"Location": page.location}))
        else:
            self._serve(page)

    def _serve(self, page: Page) -> None:
        if page.changes:
            page.content = page.changes.pop(0)
            page.etag = f'"{hashlib.md5(page.content, usedforsecurity=False).hexdigest()}"'
        asked, valid = self.headers.get("Range"), self.headers.get("If-Range")
        valid = page.careless or valid in (None, page.etag, page.modified)
        if not asked or not page.ranges or not valid:
            self._send(200, page.content, page)
            return
        start, size = int(asked.removeprefix("bytes=").rstrip("-")), len(page.content)
        if start >= size:
            self._send(416, b"", page, {"Content-Range": f"bytes */{size}"})
        else:
            where = {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
            self._send(206, page.content[start:], page, where)

    def _send(
        self, status: int, body: bytes, page: Page, more: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        named = {"ETag": page.etag, "Last-Modified": page.modified}
        length = len(body) if page.length is None else page.length
        how = {"Transfer-Encoding": "chunked"} if page.chunked else {"Content-Length": str(length)}
        for key, value in (named | how | dict(page.headers) | dict(more or {})).items():
            if value:
                self.send_header(key, value)
        self.send_header("Connection", "close")
        self.end_headers()
        gate = page.gates.pop(0) if page.gates else None
        cut = page.cuts.pop(0) if page.cuts else len(body)
        half = min(cut, len(body) // 2) if gate else 0
        self._write(body[:half], page)
        if gate:
            self.wfile.flush()
            gate.wait(60)
        self._write(body[half:cut], page)
        if page.chunked and cut >= len(body):
            self.wfile.write(b"0\r\n\r\n")

    def _write(self, data: bytes, page: Page) -> None:
        if not data:
            return
        try:
            if page.chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            self.wfile.write(data)
        except OSError:  # the client has gone
            return


@contextmanager
def hosted() -> Iterator[Host]:
    """A server that ends with the block."""
    handler = type("Handler", (Answer,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        handler.host = host = Host(server.server_port)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield host
        server.shutdown()
        thread.join()
