"""The server of the page: an address, Streamlit's settings, and who is let in."""

import contextlib
import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.formparsers import MultiPartParser
from starlette.middleware import Middleware
from streamlit import config
from streamlit.starlette import App

from segtrain.errors import RunError, UsageError

FIRST_PORT = 8501
PORTS = 20  # that are tried where none is asked for
CONNECTIONS = 100  # at once; a page needs two to seven
LOCAL = ("localhost", "127.0.0.1", "::1")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

# the browser itself then refuses whatever is not of this server
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; "
    "form-action 'self'; base-uri 'self'"
)


def settings(megabytes: int) -> dict[str, Any]:
    """Streamlit's settings, all that bear on privacy and safety.

    Args:
        megabytes: The most of an upload.
    """
    return {
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "global.developmentMode": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "error",
        "runner.magicEnabled": False,
        "secrets.files": [],
        "server.baseUrlPath": "",
        "server.disconnectedSessionTTL": 30,  # seconds until a closed page's photo is forgotten
        "server.enableCORS": True,
        "server.enableStaticServing": False,
        "server.enableXsrfProtection": True,
        "server.fileWatcherType": "none",
        "server.headless": True,
        "server.maxUploadSize": megabytes,
        "server.runOnSave": False,
        "server.scriptHealthCheckEnabled": False,
    }


def configure(megabytes: int) -> None:
    """Give Streamlit its settings, and keep it from those of other programs on this machine.

    Its files, in the user's home and the current folder, are not read. Uploads, of which Starlette
    would write those of more than 1 MB to a temporary file, stay in memory.

    Args:
        megabytes: The most of an upload.

    Raises:
        RunError: If this Streamlit does not take one of them.
    """
    config.get_config_files = no_files
    MultiPartParser.spool_max_size = (megabytes + 1) * 2**20
    wanted = settings(megabytes)
    config.get_config_options(force_reparse=True, options_from_flags=wanted)
    for name, value in wanted.items():
        if config.get_option(name) != value:
            raise RunError(
                f"this version of Streamlit does not take its setting {name}; install another: "
                'pip install --upgrade "segtrain[demo]"'
            )


def no_files(file_name: str) -> list[str]:  # noqa: ARG001 - Streamlit's own signature
    """The files of settings that Streamlit shall read: none."""
    return []


@dataclass(frozen=True)
class Guard:
    """Lets in who speaks to this server by its own name, from its own page.

    Another web page that the visitor has open could otherwise send requests here, under a name of
    its own that it points at this machine.

    Attributes:
        app: What is guarded.
        hosts: Names that requests may use; any where empty.
    """

    app: Asgi
    hosts: tuple[str, ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 403."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not self.is_welcome(host, origin):
            await refuse(scope, send)
            return
        # of another origin Streamlit would ask a server outside for this machine's address
        known = [(n, b"http://localhost" if n == b"origin" else v) for n, v in scope["headers"]]
        await self.app({**scope, "headers": known}, receive, with_policy(send))

    def is_welcome(self, host: str, origin: str) -> bool:
        """Whether a request may pass, by its headers; one that no page sent has no origin."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            source = urlsplit(origin).netloc if origin else host
        except ValueError:
            return False
        return source == host and (not self.hosts or name in self.hosts)


async def refuse(scope: Scope, send: Send) -> None:
    """Answer 403."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    body = b"This page answers only under its own address, and to itself.\n"
    await send({"type": "http.response.body", "body": body})


def with_policy(send: Send) -> Send:
    """What sends an answer with the headers that keep the browser to this server."""
    ours = [
        (b"content-security-policy", POLICY.encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    ]

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [h for h in message.get("headers", []) if h[0].lower() not in dict(ours)]
            message = {**message, "headers": [*kept, *ours]}
        await send(message)

    return sender


def bind(host: str, port: int | None) -> socket.socket:
    """A socket that listens there already; who connects waits until the server runs.

    Args:
        host: An address or a name of this machine.
        port: Where None, the first free one from 8501 on; 0 is any free one.

    Raises:
        UsageError: If the host is not of this machine.
        RunError: If the port is taken, or may not be used.
    """
    try:
        family, *_, place = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"--host {host}: is no address of this machine; 127.0.0.1 is for this machine alone, "
            "0.0.0.0 for its whole network"
        ) from error
    tried = [port] if port is not None else list(range(FIRST_PORT, FIRST_PORT + PORTS))
    for number in tried:
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            share_no_port(listening)
            listening.bind((place[0], number, *place[2:]))
            listening.listen()
        except OSError as error:
            listening.close()
            if number == tried[-1]:
                raise unbound(host, port, error) from error
        else:
            return listening
    raise AssertionError("unreachable: the last port returns or raises")


def share_no_port(listening: socket.socket) -> None:
    """Refuse a port that another program has; take one that was just left."""
    if os.name == "nt":  # there SO_REUSEADDR would take it from the other program
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        listening.setsockopt(socket.SOL_SOCKET, exclusive, 1)
    else:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def unbound(host: str, port: int | None, error: OSError) -> RunError:
    """Say that an address cannot be had."""
    reason = error.strerror or str(error)
    if port is None:
        ports = f"{FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
        return RunError(f"{host}: none of the ports {ports} can be had: {reason}; name a --port")
    return RunError(
        f"{host}, port {port}: cannot be had: {reason}; name another --port, or leave it out for "
        "the next free one"
    )


@dataclass(frozen=True)
class Place:
    """Where the page is."""

    host: str
    port: int

    @classmethod
    def of(cls, listening: socket.socket) -> "Place":
        """Where a socket listens."""
        name = listening.getsockname()
        return cls(name[0], name[1])

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback

    @property
    def names(self) -> tuple[str, ...]:
        """By which names requests may come; any, and so none, where others reach it."""
        return (*LOCAL, self.host) if self.is_local else ()

    @property
    def address(self) -> str:
        """What a browser of this machine opens."""
        host = self.host
        if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
            host = "[::1]" if ":" in host else "127.0.0.1"
        elif ":" in host:
            host = f"[{host}]"
        return f"http://{host}:{self.port}"


def has_desktop() -> bool:
    """Whether somebody sits here before a terminal on a desktop."""
    graphical = sys.platform in {"win32", "darwin"} or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return graphical and sys.stdout.isatty()


def open_browser(address: str) -> None:
    """Open the page in the user's browser, without waiting for it."""

    def opening() -> None:
        with contextlib.suppress(webbrowser.Error, OSError):  # the address is printed anyway
            webbrowser.open(address)

    threading.Thread(target=opening, daemon=True).start()


def serve(listening: socket.socket) -> None:
    """Serve the page until Ctrl-C or SIGTERM; `configure` was called and the demo is open.

    Args:
        listening: From `bind`; closed at the end.

    Raises:
        KeyboardInterrupt: After Ctrl-C.
        RunError: If the server could not be started.
    """
    guard = Middleware(Guard, hosts=Place.of(listening).names)
    app = App(Path(__file__).with_name("script.py"), middleware=[guard])
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            access_log=False,
            limit_concurrency=CONNECTIONS,
            log_level="error",
            server_header=False,
            timeout_graceful_shutdown=2,
            ws_max_size=2**20,
        )
    )
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()
    if not server.started:
        raise RunError("the page's server could not be started; the lines above say why")
