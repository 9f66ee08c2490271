"""Tests of segtrain.demo.server and segtrain.cli_demo: addresses, settings, who is let in."""

import asyncio
import importlib.util
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit import config

from segtrain import cli_demo
from segtrain.demo import server
from segtrain.demo.command import announce
from segtrain.demo.server import Guard, Message, Place, Receive, Scope, Send, bind
from segtrain.errors import RunError, UsageError


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port asked for that is taken is an error; without one, the next free one is used."""
    with bind("127.0.0.1", 0) as first:
        port = Place.of(first).port
        with pytest.raises(RunError, match=rf"port {port}: cannot be had.*--port"):
            bind("127.0.0.1", port)
        monkeypatch.setattr(server, "FIRST_PORT", port)
        with bind("127.0.0.1", None) as second:
            assert port < Place.of(second).port < port + server.PORTS
        monkeypatch.setattr(server, "PORTS", 1)
        with pytest.raises(RunError, match=f"none of the ports {port} to {port}"):
            bind("127.0.0.1", None)


def test_hosts_of_other_machines_are_refused() -> None:
    """A name that means nothing, and an address of another machine, are errors with the remedy."""
    with pytest.raises(UsageError, match=r"--host no\.such\.invalid: .*127\.0\.0\.1"):
        bind("no.such.invalid", 0)
    with pytest.raises(RunError, match=r"192\.0\.2\.1, port 0: cannot be had"):
        bind("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "local", "address"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:80"),
        ("127.0.0.2", True, "http://127.0.0.2:80"),
        ("::1", True, "http://[::1]:80"),
        ("0.0.0.0", False, "http://127.0.0.1:80"),  # noqa: S104 - nothing is bound here
        ("::", False, "http://[::1]:80"),
        ("192.168.1.5", False, "http://192.168.1.5:80"),
        ("fe80::1%eth0", False, "http://[fe80::1%eth0]:80"),
    ],
)
def test_places(host: str, local: bool, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The address is one that a browser opens; a warning comes only where others reach it."""
    place = Place(host, 80)
    assert (place.is_local, place.address) == (local, address)
    announce(place, "FCN-8s", Path("runs/a"))
    said = capsys.readouterr()
    assert f"the page is at {address}; Ctrl-C ends it" in said.out
    assert ("everybody who reaches port 80" in said.err) == (not local)


def status(guard: Guard, kind: str = "http", **headers: str) -> tuple[int, list[Message]]:
    """What a request with these headers gets, and the headers that came through."""
    sent: list[Message] = []
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def take(message: Message) -> None:
        sent.append(message)

    async def nothing() -> Message:
        raise AssertionError("nothing is read")

    asyncio.run(guard({"type": kind, "headers": pairs}, nothing, take))
    code = 200 if sent[0].get("code") is None else sent[0]["code"]
    return sent[0].get("status", code), sent


async def inner(scope: Scope, _: Receive, send: Send) -> None:
    """An application that answers with the origin that it sees."""
    origin = dict(scope["headers"]).get(b"origin", b"none")
    headers = [(b"origin", origin), (b"Content-Security-Policy", b"default-src *")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({"host": "127.0.0.1:8501"}, True),
        ({"host": "localhost:8501", "origin": "http://localhost:8501"}, True),
        ({"host": "[::1]:8501", "origin": "http://[::1]:8501"}, True),
        ({"host": "evil.example:8501"}, False),
        ({"host": "evil.example:8501", "origin": "http://evil.example:8501"}, False),
        ({"host": "127.0.0.1:8501", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:9999"}, False),
        ({"host": "127.0.0.1:8501", "origin": "null"}, False),
        ({"host": "[::1", "origin": "http://[::1"}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_only_its_own_page_speaks_to_the_server(
    kind: str, headers: dict[str, str], let_in: bool
) -> None:
    """Other names than this machine's and pages of other servers get 403, or no socket."""
    code, _ = status(Guard(inner, server.LOCAL), kind, **headers)
    assert code == (200 if let_in else {"http": 403, "websocket": 1008}[kind])


def test_on_a_network_any_name_will_do() -> None:
    """Served to a network, the host may have any name, but a page must be its own."""
    open_guard = Guard(inner)
    code, sent = status(open_guard, host="lab-7:8501", origin="http://lab-7:8501")
    assert code == 200
    assert (b"origin", b"http://localhost") in sent[0]["headers"]
    assert status(open_guard, host="lab-7:8501", origin="http://evil.example")[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "::1", "192.168.1.5"])
def test_the_printed_address_is_let_in(host: str) -> None:
    """Whatever address the page is served at, a browser that opens it gets an answer."""
    place = Place(host, 8501)
    name = place.address.removeprefix("http://")
    guard = Guard(inner, place.names)
    assert status(guard, host=name, origin=place.address)[0] == 200
    assert status(guard, host="evil.example:8501")[0] == (403 if place.is_local else 200)


def test_answers_keep_the_browser_here() -> None:
    """Every answer has one policy that allows this server alone."""
    _, sent = status(Guard(inner, server.LOCAL), host="localhost")
    policies = [v for k, v in sent[0]["headers"] if k.lower() == b"content-security-policy"]
    assert policies == [server.POLICY.encode()]
    assert "*" not in server.POLICY
    assert "http" not in server.POLICY


@pytest.fixture
def options() -> Iterator[None]:
    """Streamlit's settings, and what reads them, as they were."""
    before = config.get_config_files
    yield
    config.get_config_files = before
    config.get_config_options(force_reparse=True)


@pytest.mark.usefixtures("options")
def test_streamlits_files_of_settings_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in the folder or the environment for other programs changes nothing here."""
    (tmp_path / ".streamlit").mkdir()
    hostile = '[browser]\ngatherUsageStats = true\n[theme]\nbase = "dark"\n[server]\nport = 1\n'
    (tmp_path / ".streamlit" / "config.toml").write_text(hostile)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "true")
    config.get_config_options(force_reparse=True)
    assert config.get_option("theme.base") == "dark"  # so it is what would be read
    server.configure(7)
    assert config.get_option("theme.base") is None
    assert config.get_option("server.port") == 8501
    assert config.get_option("browser.gatherUsageStats") is False
    assert config.get_option("server.maxUploadSize") == 7


@pytest.mark.usefixtures("options")
def test_a_streamlit_that_takes_no_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Streamlit does not do what it is told, nothing is served."""
    real = config.get_option
    mine = "browser.gatherUsageStats"
    monkeypatch.setattr(config, "get_option", lambda name: name == mine or real(name))
    with pytest.raises(RunError, match=r"does not take its setting browser\.gatherUsageStats"):
        server.configure(7)


def test_without_streamlit_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command without its library says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RunError, match=r'pip install "segtrain\[demo\]"'):
        cli_demo.check_streamlit()


def test_a_browser_is_opened_on_desktops_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desktop and a terminal are needed."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert server.has_desktop()
    monkeypatch.delenv("DISPLAY")
    assert not server.has_desktop()
    monkeypatch.setattr(sys, "platform", "win32")
    assert server.has_desktop()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert not server.has_desktop()


def test_loopback_is_not_reached_from_elsewhere() -> None:
    """A socket for this machine does not answer at its address in the network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: finds the way out
        except OSError:
            pytest.skip("this machine has no network")
        outer = probe.getsockname()[0]
    with bind("127.0.0.1", 0) as listening, pytest.raises(OSError, match=r"."):
        socket.create_connection((outer, Place.of(listening).port), timeout=5)
