"""Builds from and to URLs: a real S3 API server and a web server on loopback."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from segdata import leases, stores
from segdata.errors import OutputError
from segdata.leases import lease
from segdata.stores import RemotePath, place

if TYPE_CHECKING:
    from tests.segdata.conftest import Command

pytest.importorskip("s3fs", reason="needs the extra s3")
server = pytest.importorskip("moto.server", reason="needs moto's S3 server")

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def bucket() -> Iterator[RemotePath]:
    """An empty bucket of an S3 server; the variables are those that users set."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    with pytest.MonkeyPatch.context() as patch:
        running.start()
        address, port = running.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{address}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        stores._systems.cache_clear()
        stores._systems("s3").mkdir("bucket")
        yield RemotePath("s3://bucket")
        running.stop()
    stores._systems.cache_clear()


def upload(folder: Path, target: RemotePath) -> RemotePath:
    """Put the files of a folder below a URL."""
    for path in folder.rglob("*"):
        if path.is_file():
            (target / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())
    return target


def contents(folder: RemotePath) -> dict[str, bytes]:
    """Every object directly below a URL."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class _Ranges(SimpleHTTPRequestHandler):
    """Files of a folder, by ranges where they are asked for."""

    served: "list[int]" = []  # noqa: RUF012 - shared by all requests on purpose

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        begin, end = 0, len(data)
        if wanted:
            begin, end = int(wanted[1]), min(end, int(wanted[2] or end) + 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        self.wfile.write(data[begin:end])
        self.served.append(end - begin)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - its name and types
        pass


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """A web server of a folder's files; gives its address."""

    def handler(*arguments: Any) -> _Ranges:  # noqa: ANN401 - as the server calls it
        return _Ranges(*arguments, directory=str(folder))

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def arguments(kind: str, data: object, out: object, *more: str) -> list[str]:
    """A build in shards of two samples."""
    return [f"build-{kind}", f"--data={data}", f"--out={out}", "--shard-samples=2", *more]


@pytest.fixture(scope="module")
def whole(
    segdata: "Command", small: Path, tmp_path_factory: pytest.TempPathFactory, read_tree: Tree
) -> dict[str, bytes]:
    """Every file of a local build of COCO."""
    out = tmp_path_factory.mktemp("whole")
    assert segdata(*arguments("coco", small, out, "--workers=1")).code == 0
    return read_tree(out)


def test_a_build_into_a_bucket_has_the_local_bytes(
    segdata: "Command",
    bucket: RemotePath,
    small: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Objects are those files; sidecars follow tars and indices, the manifest follows all shards.

    The result is verified and shown by its URL.
    """
    order: list[str] = []
    replacing = RemotePath.replacing

    def noted(path: RemotePath) -> Any:  # noqa: ANN401 - a context manager
        order.append(path.name)
        return replacing(path)

    monkeypatch.setattr(RemotePath, "replacing", noted)
    out = bucket / "whole"
    done = segdata(*arguments("coco", small, out, "--workers=1"))
    assert (done.code, done.stderr) == (0, "")
    assert contents(out) == whole
    for name in order:
        if name.endswith(".stats.json"):
            shard = name.removesuffix(".stats.json")
            place_of = [order.index(shard + suffix) for suffix in (".tar", ".idx", ".stats.json")]
            assert place_of == sorted(place_of)
    assert order[-3:] == ["coco2017.json", "info.json", "README.md"]
    checked = segdata("verify-masks", out, "--workers=1")
    assert (checked.code, checked.stderr) == (0, ""), checked.stdout
    shown = segdata("show", out, f"--out={tmp_path}", "--count=1")
    assert shown.code == 0
    assert (tmp_path / "contact-sheet.png").exists()


def test_leaks_and_hold_outs_of_a_bucket(
    segdata: "Command", bucket: RemotePath, small: Path, tmp_path: Path
) -> None:
    """Both commands give of a URL what they give of the folder, and write the same manifests."""
    local, out = tmp_path / "local", bucket / "divided"
    assert segdata(*arguments("voc", small, local, "--workers=1")).code == 0
    upload(local, out)
    checked = [segdata("check-leaks", folder, "--workers=1").stdout for folder in (local, out)]
    assert checked[1] == checked[0].replace(str(local), str(out))
    divided = [
        segdata("split", folder, "--name=dev", "--share=0.4", "--workers=1")
        for folder in (local, out)
    ]
    assert [done.code for done in divided] == [0, 0]
    assert divided[1].stdout == divided[0].stdout
    assert contents(out) == {path.name: path.read_bytes() for path in local.iterdir()}


@pytest.mark.parametrize("lost", [2, 7])
def test_a_broken_connection_is_told_and_the_build_goes_on(
    segdata: "Command",
    bucket: RemotePath,
    small: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    lost: int,
) -> None:
    """When the store refuses an object nothing half is there; then finished shards are kept."""
    out = bucket / f"lost-{lost}"
    written: list[str] = []
    system = stores._systems("s3")
    put = system.put_file

    def failing(local: str, name: str, **options: Any) -> None:  # noqa: ANN401 - fsspec's
        if len(written) == lost:
            raise ConnectionResetError(104, "Connection reset by peer")
        put(local, name, **options)
        written.append(name.rpartition("/")[2])

    monkeypatch.setattr(system, "put_file", failing)
    command = arguments("coco", small, out, "--workers=1")
    done = segdata(*command)
    assert done.code == 1
    assert "error: the shards directory cannot be written" in done.stderr
    assert f"where:    {out}" in done.stderr
    assert "found:    Connection reset by peer" in done.stderr
    assert contents(out) == {name: whole[name] for name in written}
    finished = {name for name in written if name.endswith(".stats.json")}
    lost = -1
    written.clear()
    assert segdata(*command).code == 0
    assert contents(out) == whole
    assert not finished & set(written)


@pytest.mark.parametrize("dataset", ["voc", "coco"])
@pytest.mark.parametrize("unpacked", [False, True])
def test_sources_are_read_from_a_bucket(
    segdata: "Command",
    make: Any,  # noqa: ANN401 - the fixture's own
    bucket: RemotePath,
    tmp_path: Path,
    read_tree: Tree,
    dataset: str,
    unpacked: bool,
) -> None:
    """Archives and folders in a bucket give the shards of local ones."""
    local = tmp_path / "data"
    if dataset == "voc" and unpacked:
        make.write_folder(local, make.voc().members)
    elif dataset == "voc":
        make.write_voc(local, make.voc())
    else:
        make.write_coco(local, make.coco(), unpacked=unpacked)
    remote = upload(local, bucket / f"data-{dataset}-{unpacked}")
    trees = []
    for data in (local, remote):
        out = tmp_path / f"out-{len(trees)}"
        done = segdata(*arguments(dataset, data, out, "--workers=1"))
        assert (done.code, done.stderr) == (0, "")
        trees.append(read_tree(out))
    assert trees[0] == trees[1]
    if dataset == "voc":
        checked = segdata("verify-masks", out, f"--data={remote}", "--workers=1")
        assert checked.code == 0
        assert "8 of 8 masks compared" in checked.stdout


def test_a_zip_on_a_web_server_is_read_by_ranges(
    segdata: "Command", small: Path, whole: dict[str, bytes], tmp_path: Path, read_tree: Tree
) -> None:
    """Over HTTP the shards are those of local archives, and no archive is fetched whole."""
    with web(small) as address:
        _Ranges.served.clear()
        done = segdata(*arguments("coco", address, tmp_path / "out", "--workers=1"))
        assert (done.code, done.stderr) == (0, "")
        assert read_tree(tmp_path / "out") == whole
        assert max(_Ranges.served) <= stores.READ_AHEAD
        absent = segdata(*arguments("voc", f"{address}/nowhere", tmp_path / "voc"))
        assert absent.stderr.startswith("error: VOC 2012 was not found\n")
    gone = segdata(*arguments("coco", address, tmp_path / "gone"))
    assert gone.code == 1
    assert gone.stderr.startswith("error: what a URL names cannot be reached\n")
    assert f"where:    {address}" in gone.stderr


def test_absent_buckets_and_packages_are_told(
    segdata: "Command", bucket: RemotePath, small: Path
) -> None:
    """A bucket that is not there, and a protocol that nobody knows, are errors with advice."""
    assert bucket.exists()
    done = segdata(*arguments("voc", small, "s3://no-such-bucket/x"))
    assert done.code == 1
    assert "The specified bucket does not exist" in done.stderr
    done = segdata(*arguments("voc", small, "nothing://x/y"))
    assert done.code == 1
    assert done.stderr.startswith("error: URLs of nothing:// need a package")
    done = segdata("show", "s3://no-such-bucket/x")
    assert done.code == 1
    assert "Traceback" not in done.stderr


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that are renewed and given up in fractions of a second."""
    for name, seconds in (("RENEW", 0.2), ("DEAD", 3.0), ("LOOK", 0.05)):
        monkeypatch.setattr(leases, name, seconds)


@pytest.mark.usefixtures("hasty")
def test_a_held_lease_is_respected_and_a_dead_one_taken_over(bucket: RemotePath) -> None:
    """A renewed lock refuses others; one that nobody renews is taken over; each is removed."""
    path = bucket / ".x.lock"
    with lease(path, "x") as check:
        with pytest.raises(OutputError, match="another build of x"), lease(path, "x"):
            pytest.fail("both have it")
        check()
    assert not path.exists()
    path.write_bytes(b"of a build that was killed")
    with lease(path, "x"):
        assert path.read_bytes() != b"of a build that was killed"
    assert not path.exists()


@pytest.mark.usefixtures("hasty")
def test_a_lost_lease_stops_its_holder(bucket: RemotePath) -> None:
    """Who finds another's lock in place of its own stops, and leaves that lock alone."""
    path = bucket / ".y.lock"
    with lease(path, "y") as check:
        check()
        path.write_bytes(b"another's")
        time.sleep(1.5)
        with pytest.raises(OutputError, match="taken this one for dead"):
            check()
    assert path.read_bytes() == b"another's"


@pytest.mark.usefixtures("hasty")
def test_a_renewal_that_fails_once_loses_nothing(
    bucket: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One renewal that the network swallows leaves the lock with its holder."""
    path, write = bucket / ".z.lock", RemotePath.write_bytes
    written: list[bytes] = []

    def failing(self: RemotePath, data: bytes) -> int:
        written.append(data)
        if len(written) == 1:
            raise OSError("the network is gone")
        return write(self, data)

    monkeypatch.setattr(RemotePath, "write_bytes", failing)
    with lease(path, "z") as check:
        for _ in range(100):
            time.sleep(0.05)
            check()
            if len(written) > 2:
                break
    assert len(written) > 2
    assert not path.exists()


def test_names_of_urls_are_those_of_paths() -> None:
    """The parts of a URL are what pathlib says of such a path; local paths stay pathlib's."""
    url, path = place("s3://bucket/a/b.stats.json"), Path("/bucket/a/b.stats.json")
    assert (url.name, url.stem, url.suffix) == (path.name, path.stem, path.suffix)
    assert str(url.with_suffix(".x")) == "s3://bucket/a/b.stats.x"
    assert str(url.parent / "c") == "s3://bucket/a/c"
    assert place("s3://bucket/") == place("s3://bucket")
    assert type(place("a b/ü")) is type(Path())
    assert not stores.is_url(Path("s3://bucket"))
    assert not stores.is_url("C://data")  # of Windows
    assert not stores.is_url("data/x://y")


def test_local_builds_never_import_fsspec(small: Path, tmp_path: Path) -> None:
    """A build, a check and the pictures of local shards bring neither fsspec nor Dask."""
    code = """
import sys
from typer.testing import CliRunner
from segdata.cli import app
data, out = sys.argv[1:]
for command in (["build-voc", "--data", data, "--out", out, "--workers", "1"],
                ["verify-masks", out, "--data", data, "--workers", "1"]):
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
print(sorted({"fsspec", "distributed", "dask", "s3fs", "aiohttp"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, small, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
