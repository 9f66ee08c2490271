"""Tests of segtrain.remote.folder and .store: opening shards at URLs."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.segtrain.remote.conftest import Web

from segtrain.errors import ShardsError
from segtrain.remote import store
from segtrain.remote.cache import Cache
from segtrain.shards import open_shards


def fails(web: Web, cache: Cache, *words: str, path: str = "") -> None:
    """Opening must fail with these words in one line."""
    with pytest.raises(ShardsError) as caught:
        open_shards(web.address + path, cache).train_set()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word.replace("URL", web.address + path) in str(caught.value)


def test_shards_at_a_url_are_those_of_the_folder(web: Web, cache: Cache, shards: Path) -> None:
    """Manifests, indices and samples are those of the folder, and no shard is read to open it."""
    ours, theirs = open_shards(web.address + "/", cache), open_shards(shards)
    assert ours.hashes == theirs.hashes
    train, expected = ours.train_set(), theirs.train_set()
    assert not web.names(".tar")
    np.testing.assert_array_equal(train.spans, expected.spans)
    np.testing.assert_array_equal(train.keys, expected.keys)
    assert train.remote
    assert not expected.remote
    for n in range(0, len(train), 3):
        assert train.read(n) == expected.read(n)
    assert str(train.shards[0]) == f"{web.address}/coco2017-train-000000.tar"


def test_indices_are_fetched_once(web: Web, cache: Cache) -> None:
    """A second opening asks for manifests only."""
    open_shards(web.address, cache).train_set()
    assert len(web.names(".idx")) == 9
    web.asked.clear()
    open_shards(web.address, cache).train_set()
    assert [name for name, _ in web.asked] == ["info.json", "coco2017.json", "voc2012.json"]


def test_paths_and_urls_mix(web: Web, cache: Cache, shards: Path, tmp_path: Path) -> None:
    """One data set at a URL and one on this machine are trained on together."""
    (tmp_path / "info.json").write_text('{"datasets": ["voc2012"]}')
    web.folder = tmp_path
    for path in shards.glob("voc2012*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    local = tmp_path / "local"
    local.mkdir()
    for path in shards.glob("coco2017*"):
        (local / path.name).write_bytes(path.read_bytes())
    train, expected = open_shards([web.address, local], cache).train_set(), open_shards(shards)
    assert [s.cache is None for s in train.shards] == [True] * 4 + [False] * 5
    assert train.read(30) == expected.train_set().read(30)


def test_without_an_index_the_shard_is_fetched_and_scanned(
    web: Web, cache: Cache, shards: Path, tmp_path: Path
) -> None:
    """A shard without .idx is fetched at opening, and its own headers are read."""
    web.folder = tmp_path
    for path in shards.iterdir():
        if path.name != "voc2012-train-000001.idx":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    train = open_shards(web.address, cache).train_set()
    assert web.names(".tar") == ["voc2012-train-000001.tar"]
    np.testing.assert_array_equal(train.spans, open_shards(shards).train_set().spans)


def test_an_address_without_shards_says_what_was_looked_for(web: Web, cache: Cache) -> None:
    """Without info.json the error names it, and that it tells the manifests."""
    fails(web, cache, "URL/info.json: not found", "tells which manifests", path="/nowhere")
    assert web.count("info.json") == 1  # a wrong address is not tried again


def test_a_manifest_that_is_missing_is_named(web: Web, cache: Cache) -> None:
    """A manifest that info.json lists and the server lacks is named."""
    web.refusals["coco2017.json"] = [404]
    fails(web, cache, "URL/coco2017.json: not found", "info.json lists this manifest")


@pytest.mark.parametrize("status", [401, 403])
def test_what_may_not_be_read_is_told_at_once(web: Web, cache: Cache, status: int) -> None:
    """Access that is denied is not tried again, and its status is told."""
    web.refusals["info.json"] = [status] * 9
    fails(web, cache, f"URL/info.json: access is denied (HTTP {status})", "credentials")
    assert web.count("info.json") == 1


def test_a_server_that_stumbles_is_asked_again(web: Web, cache: Cache) -> None:
    """Troubles that pass, of the server or the connection, are waited out."""
    web.refusals |= {"info.json": [503, 429], "voc2012-train-000000.idx": [500] * 4}
    web.breaks |= {"voc2012.json": 1, "coco2017-train-000001.idx": 2}
    assert len(open_shards(web.address, cache).train_set()) == 37
    web.refusals["info.json"] = [503] * 9
    fails(web, cache, "URL/info.json: the server answers HTTP 503")


def test_no_network_is_told(cache: Cache) -> None:
    """A server that nobody runs is told with its address."""
    with pytest.raises(ShardsError, match=r"http://127\.0\.0\.1:9/x/info\.json: .*connect"):
        open_shards("http://127.0.0.1:9/x", cache)


@pytest.mark.parametrize("text", ["<html>", "[]", '{"a": 1}'])
def test_another_info_json_is_refused(web: Web, cache: Cache, tmp_path: Path, text: str) -> None:
    """Any other file under that name is told."""
    web.folder = tmp_path
    (tmp_path / "info.json").write_text(text)
    fails(web, cache, "URL/info.json: is no info.json of a shards directory")


def test_a_tar_is_no_directory(web: Web, cache: Cache) -> None:
    """The URL of a single shard is told, with the directory's."""
    path = "/voc2012-train-000000.tar"
    fails(web, cache, f"is a single shard; --shards takes .*--shards {web.address}"[:34], path=path)


def test_a_damaged_index_is_not_kept(web: Web, cache: Cache, shards: Path, tmp_path: Path) -> None:
    """After an index was repaired at the URL, the next opening finds it right."""
    web.folder = tmp_path
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    bad = tmp_path / "voc2012-train-000002.idx"
    bad.write_text("nonsense")
    fails(web, cache, "URL/voc2012-train-000002.idx: not a usable index")
    bad.write_bytes((shards / bad.name).read_bytes())
    assert len(open_shards(web.address, cache).train_set()) == 37


def test_kinds_of_urls_that_nobody_knows_are_told(cache: Cache) -> None:
    """A protocol without a package is told with what to install."""
    with pytest.raises(ShardsError, match="URLs of nothing:// need a package"):
        open_shards("nothing://a/b", cache)


def test_packages_that_are_missing_are_named(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without aiohttp the extra that brings it is named."""
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ShardsError, match=re.escape("pip install 'segtrain[http]'")):
        open_shards("https://host/a", cache)


def test_local_shards_never_import_fsspec(shards: Path) -> None:
    """Opening and reading a folder brings neither fsspec nor what it needs."""
    script = (
        "import sys; from segtrain.shards import open_shards\n"
        "open_shards(sys.argv[1]).train_set().read(0)\n"
        "print([m for m in ('fsspec', 'aiohttp', 's3fs') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, shards], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def bucket(shards: Path) -> Iterator[str]:
    """The shared shards in a bucket of an S3 server; the variables are those that users set."""
    s3fs = pytest.importorskip("s3fs", reason="needs the extra s3")
    server = pytest.importorskip("moto.server", reason="needs moto's S3 server")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    with pytest.MonkeyPatch.context() as patch:
        running.start()
        address, port = running.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{address}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()  # another test's server may have been its first
        system = store.open_system("s3://training")[0]
        system.mkdir("training")
        for path in shards.iterdir():
            system.pipe_file(f"training/data/{path.name}", path.read_bytes())
        yield "s3://training/data"
        running.stop()
        s3fs.S3FileSystem.clear_instance_cache()


def test_a_bucket_is_read(bucket: str, cache: Cache, shards: Path) -> None:
    """A bucket gives the folder's samples, found by info.json or, without, by its listing."""
    train, expected = open_shards(bucket, cache).train_set(), open_shards(shards).train_set()
    assert train.read(7) == expected.read(7)
    with pytest.raises(ShardsError, match=r"s3://training/none/info\.json: not found"):
        open_shards("s3://training/none", cache)
    with pytest.raises(ShardsError, match=r"s3://absent/x/info\.json: "):
        open_shards("s3://absent/x", cache)
    system = store.open_system(bucket)[0]
    info = json.loads(system.cat_file("training/data/info.json"))
    system.rm_file("training/data/info.json")
    assert sorted(open_shards(bucket, cache).hashes) == info["datasets"]
