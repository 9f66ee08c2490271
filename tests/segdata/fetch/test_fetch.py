"""`segdata fetch` as a user meets it: results, kills, interruptions, full disks, real servers."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.segdata.fetch.hosts import Host, Page, remote, zipped

from segdata.fetch import catalogue

if TYPE_CHECKING:
    from tests.segdata.conftest import Command
    from tests.segdata.fetch.conftest import Get

CONTENT = zipped(400_000)
NAME = "val2017.zip"
SCRIPT = """
import json, sys
from segdata.cli import main
from segdata.fetch import catalogue

if __name__ == "__main__":
    limit, entry = int(sys.argv.pop(1)), json.loads(sys.argv.pop(1))
    if limit:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    catalogue.DATASETS["coco2017"] = [catalogue.RemoteFile(**entry)]
    main()
"""
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits as POSIX has them")


@pytest.fixture
def offered(host: Host, monkeypatch: pytest.MonkeyPatch) -> Page:
    """`coco2017` as one small file on the hostile server."""
    page = Page(CONTENT)
    entry = remote(CONTENT, host.add(f"/{NAME}", page))
    monkeypatch.setitem(catalogue.DATASETS, "coco2017", [entry])  # type: ignore[arg-type]
    return page


def start(folder: Path, address: str, *options: str, limit: int = 0) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    script = folder / "fetch.py"
    script.write_text(SCRIPT)
    file = remote(CONTENT, address)
    entry = {"name": NAME, "size": file.size, "digests": file.digests, "addresses": [address]}
    command = [sys.executable, script, str(limit), json.dumps(entry), "fetch", "coco2017"]
    return subprocess.Popen(
        [*command, f"--data={folder / 'data'}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_part(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until some bytes of the part are on the disk."""
    part = folder / "data" / f"{NAME}.part"
    while not (part.is_file() and part.stat().st_size > len(CONTENT) // 4):
        assert process.poll() is None, process.communicate()
        sleep(0.01)


@pytest.mark.usefixtures("offered")
def test_the_result_is_plain(segdata: "Command", tmp_path: Path) -> None:
    """Off a terminal there is one tab-separated line a file and silence else, also again."""
    for state, check in (("fetched", "sha256 as published"), ("present", "size")):
        done = segdata("fetch", "coco2017", "--data", tmp_path / "data")
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        assert (done.code, done.stderr) == (0, "")
        assert rows[0] == ["path", "bytes", "state", "check"]
        assert rows[1:] == [[str(tmp_path / "data" / NAME), str(len(CONTENT)), state, check]]
    checked = segdata("fetch", "coco2017", "--data", tmp_path / "data", "--check")
    assert "\tpresent\tsha256 as published\n" in checked.stdout


def test_a_failure_is_told(segdata: "Command", offered: Page, tmp_path: Path) -> None:
    """What cannot be had ends with exit code 1, its line, and an error with the address."""
    offered.statuses = [404]
    done = segdata("fetch", "coco2017", "--data", tmp_path / "data")
    assert done.code == 1
    assert done.stdout.splitlines()[1].split("\t")[1:3] == ["0", "failed"]
    assert f"error: {NAME} cannot be fetched" in done.stderr
    assert "it answered 404 Not Found" in done.stderr


@pytest.mark.usefixtures("offered")
def test_dry_run(segdata: "Command", host: Host, tmp_path: Path) -> None:
    """A dry run prints sizes, states and addresses, asks nobody and makes nothing."""
    mirror = f"{host.url}/mirror"
    done = segdata(
        "fetch", "coco2017", "--data", tmp_path / "data", "--dry-run", "--mirror", mirror
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[1][1:4] == [str(len(CONTENT)), "0", "absent"]
    assert [row[1] for row in rows[2:-2]] == [
        f"{mirror}/{NAME}",
        f"{host.url}/{NAME}",
    ]
    assert rows[-2][:2] == ["to fetch", str(len(CONTENT))]
    assert rows[-1][0] == "free disk"
    assert (host.asked, (tmp_path / "data").exists()) == ([], False)


@pytest.mark.usefixtures("offered")
def test_a_mirror_comes_first(segdata: "Command", host: Host, tmp_path: Path) -> None:
    """--mirror is tried before the published address, in both places below it."""
    host.add("/pub/a/val2017.zip", Page(CONTENT))
    done = segdata("fetch", "coco2017", "--data", tmp_path, "--mirror", f"{host.url}/pub/a")
    assert done.code == 0
    assert [path for path, _ in host.asked] == ["/pub/a/val2017.zip"]


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["coco"],
        ["coco2017", "--mirror=here"],
        ["coco2017", "--checksum=md5:1"],
        ["coco2017", "--jobs=0"],
        ["coco2017", "--split=test"],
    ],
)
def test_usage(segdata: "Command", arguments: list[str]) -> None:
    """What cannot be meant ends with exit code 2."""
    assert segdata("fetch", *arguments).code == 2


@pytest.mark.parametrize("proxy", ["nonsense://x", "http://[::1"])
@pytest.mark.usefixtures("offered")
def test_a_proxy_that_is_none(
    segdata: "Command", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """A proxy variable without a usable address is named."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    done = segdata("fetch", "coco2017", "--data", tmp_path)
    assert (done.code, "HTTP_PROXY" in done.stderr) == (2, True)


def test_a_proxy(host: Host, get: "Get", monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is asked for a host that only it knows."""
    host.add("/file", Page(CONTENT))
    monkeypatch.setenv("HTTP_PROXY", host.url)
    assert get(remote(CONTENT, "http://unknown.invalid/file")).state == "fetched"
    assert host.asked[0][1]["host"] == "unknown.invalid"


def test_progress_on_a_terminal(
    segdata: "Command", offered: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a bar has the name, bytes and rate; remarks stand above it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    offered.cuts = [300_000]
    done = segdata("fetch", "coco2017", "--data", tmp_path)
    assert done.code == 0
    assert NAME in done.stderr
    assert "MB/s" in done.stderr or "bytes/s" in done.stderr or "kB/s" in done.stderr
    assert "going on at 300 kB" in done.stderr


@pytest.mark.usefixtures("offered")
def test_now_and_then_a_line(
    segdata: "Command", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off a terminal a long download says where it is, with its share."""
    monkeypatch.setattr("segdata.terminal.SILENCE", -1)
    done = segdata("fetch", "coco2017", "--data", tmp_path)
    assert done.stderr.splitlines()[-1] == f"{NAME}: 400 kB of 400 kB, 100%"


@POSIX
def test_killed_and_run_again(host: Host, tmp_path: Path) -> None:
    """After kill -9 in the middle the next run takes the rest, and the file is identical."""
    gate = threading.Event()
    address = host.add("/a", Page(CONTENT, gates=[gate]))
    first = start(tmp_path, address)
    wait_for_part(tmp_path, first)
    first.kill()
    first.communicate()
    kept = (tmp_path / "data" / f"{NAME}.part").stat().st_size
    gate.set()
    second = start(tmp_path, address)
    assert (second.communicate()[1], second.returncode) == ("", 0)
    assert host.ranges() == [None, f"bytes={kept}-"]
    assert (tmp_path / "data" / NAME).read_bytes() == CONTENT


@POSIX
def test_interrupted(host: Host, tmp_path: Path) -> None:
    """Ctrl-C ends with 130 and says that the parts are kept; the next run goes on."""
    gate = threading.Event()
    address = host.add("/a", Page(CONTENT, gates=[gate]))
    process = start(tmp_path, address)
    wait_for_part(tmp_path, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    gate.set()
    assert (process.returncode, out) == (130, "")
    assert err.startswith("interrupted: what has arrived is kept")
    again = start(tmp_path, address)
    again.communicate()
    assert again.returncode == 0
    assert str(host.ranges()[1]).startswith("bytes=")
    assert (tmp_path / "data" / NAME).read_bytes() == CONTENT


@POSIX
def test_a_full_disk(host: Host, tmp_path: Path) -> None:
    """When the disk takes no more the message says what is kept, and the next run goes on."""
    address = host.add("/a", Page(CONTENT))
    full = start(tmp_path, address, limit=150_000)
    out, err = full.communicate()
    assert (full.returncode, out.splitlines()[1].split("\t")[2]) == (1, "partial")
    assert err.startswith(f"error: the disk is full: {NAME} is not whole")
    assert "run the same command again" in err
    assert "Traceback" not in err
    again = start(tmp_path, address)
    again.communicate()
    assert again.returncode == 0
    assert str(host.ranges()[1]).startswith("bytes=")
    assert (tmp_path / "data" / NAME).read_bytes() == CONTENT


@pytest.mark.usefixtures("offered")
def test_a_folder_that_cannot_be(segdata: "Command", tmp_path: Path) -> None:
    """A file where the folder should be is told, and kept."""
    (tmp_path / "data").write_text("mine")
    done = segdata("fetch", "coco2017", "--data", tmp_path / "data" / "deeper")
    assert done.code == 1
    assert "error: " in done.stderr
    assert (tmp_path / "data").read_text() == "mine"


NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/www;
    location /slow/ {{ alias {folder}/www/; limit_rate 100k; limit_rate_after 200k; }}
    location /rangeless/ {{ alias {folder}/www/; max_ranges 0; }}
    location /moved/ {{ return 302 /{name}; }}
    location /busy/ {{ return 503; }}
  }}
  server {{
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    root {folder}/www;
  }}
}}
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A real server with the file: its address, the encrypted one, and the certificate."""
    programs = [shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in PROGRAMS]
    if None in programs:
        pytest.skip(f"{' and '.join(PROGRAMS)} are not both installed")
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "www").mkdir()
    (folder / "www" / NAME).write_bytes(CONTENT)
    folder.chmod(0o755)
    certificate(str(programs[1]), folder)
    port, tls = free_port(), free_port()
    config = NGINX.format(folder=folder, port=port, tls=tls, name=NAME)
    (folder / "nginx.conf").write_text(config)
    process = subprocess.Popen(
        [str(programs[0]), "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"]
    )
    try:
        await_server(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls}", folder / "cert.pem"
    finally:
        process.terminate()
        process.wait()


PROGRAMS = ("nginx", "openssl")


def certificate(openssl: str, folder: Path) -> None:
    """A certificate of this machine that nobody vouches for."""
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    kind = ["-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(
        [openssl, "req", *kind, "-days", "2", *subject, *files], check=True, capture_output=True
    )


def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_server(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a server answers."""
    while True:
        assert process.poll() is None, "nginx did not start"
        try:
            httpx.get(address, trust_env=False)
        except httpx.TransportError:
            continue
        return


@pytest.mark.parametrize("path", ["", "slow/", "rangeless/", "moved/"])
def test_nginx(nginx: tuple[str, str, Path], get: "Get", path: str) -> None:
    """A real server gives the whole file, fast, slowly, without ranges and by a detour."""
    assert get(remote(CONTENT, f"{nginx[0]}/{path}{NAME}")).state == "fetched"
    assert (get.folder / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["", "rangeless/"])
def test_nginx_resumes(nginx: tuple[str, str, Path], get: "Get", path: str) -> None:
    """A real server completes a part that was left by a broken connection to it."""
    address = f"{nginx[0]}/{path}{NAME}"
    etag = httpx.head(address, trust_env=False).headers["etag"]
    origin = {"address": address, "etag": etag, "modified": "", "size": len(CONTENT)}
    get.folder.mkdir()
    (get.folder / f"{NAME}.part").write_bytes(CONTENT[:250_000])
    (get.folder / f"{NAME}.part.json").write_text(json.dumps(origin))
    assert get(remote(CONTENT, address)).state == "fetched"
    assert (get.folder / NAME).read_bytes() == CONTENT
    counts = [done for _, done in get.notes.seen]
    assert (min(counts[1:]) >= 250_000) == (path == "")


def test_nginx_knows_another_version(nginx: tuple[str, str, Path], get: "Get") -> None:
    """A part of an older version is replaced as a whole by what the server has now."""
    address = f"{nginx[0]}/{NAME}"
    origin = {"address": address, "etag": '"older"', "modified": "", "size": len(CONTENT)}
    get.folder.mkdir()
    (get.folder / f"{NAME}.part").write_bytes(b"older" * 1000)
    (get.folder / f"{NAME}.part.json").write_text(json.dumps(origin))
    assert get(remote(CONTENT, address)).state == "fetched"
    assert (get.folder / NAME).read_bytes() == CONTENT
    assert get.notes.said == []


def test_nginx_is_busy(nginx: tuple[str, str, Path], get: "Get") -> None:
    """A real 503 leads to the next address."""
    files = remote(CONTENT, f"{nginx[0]}/busy/{NAME}", f"{nginx[0]}/{NAME}")
    assert get(files).state == "fetched"
    assert "503" in get.notes.said[0]


@pytest.mark.parametrize("trusted", [True, False])
def test_certificates(
    nginx: tuple[str, str, Path], get: "Get", monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    """A certificate that nobody vouches for is refused, unless SSL_CERT_FILE vouches for it."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(nginx[2]))
    done = get(remote(CONTENT, f"{nginx[1]}/{NAME}"))
    assert done.state == ("fetched" if trusted else "failed")
    assert trusted or "certificate is not trusted" in str(done.error)


def test_within_a_running_loop(host: Host, get: "Get") -> None:
    """In a notebook, whose event loop runs already, files are fetched as elsewhere."""
    address = host.add("/a", Page(CONTENT))

    async def cell() -> str:
        return get(remote(CONTENT, address)).state

    assert asyncio.run(cell()) == "fetched"


@POSIX
def test_interrupted_within_a_running_loop(host: Host, get: "Get") -> None:
    """There, too, an interrupt ends the download; what has arrived is kept."""
    gate = threading.Event()
    address = host.add("/a", Page(CONTENT, gates=[gate]))

    def interrupt() -> None:
        while not any(part.stat().st_size for part in get.folder.glob("*.part")):
            sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    async def cell() -> None:
        get(remote(CONTENT, address))

    loop = asyncio.new_event_loop()  # asyncio.run would take the interrupt, as no notebook does
    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell())
    loop.close()
    other.join()
    gate.set()
    assert list(get.folder.glob("*.part"))
