"""Tests of segtrain.remote.cache, .locks and .settings: copies of shards on this machine."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.segtrain.remote.conftest import Web

from segtrain.errors import ShardsError, UsageError
from segtrain.remote import settings, store
from segtrain.remote.cache import Cache
from segtrain.remote.locks import FileLock
from segtrain.remote.settings import default_folder, parse_size, size_words
from segtrain.shardfile import Shard
from segtrain.shards import open_shards


@pytest.fixture
def remote(web: Web, cache: Cache) -> list[Shard]:
    """Train shards at a URL; the server's record of requests is empty."""
    found = open_shards(web.address, cache).train_set().shards
    web.asked.clear()
    return list(found)


def in_cache(cache: Cache, ending: str = ".tar") -> set[Path]:
    """Files in the cache."""
    return set(cache.folder.glob(f"*/*{ending}"))


def original(web: Web, shard: Shard) -> bytes:
    """The bytes of a shard where it is served from."""
    return (web.folder / shard.record.name).read_bytes()


def test_a_shard_is_copied_once_by_pieces(web: Web, cache: Cache, remote: list[Shard]) -> None:
    """A copy has the shard's bytes, came by ranges, and is not asked for again."""
    for _ in range(2):
        for shard in remote[:3]:
            shard.fetch()
            assert shard.path.read_bytes() == original(web, shard)
    size = remote[0].record.bytes
    asked = [begin for name, begin in web.asked if name == remote[0].record.name]
    assert asked == list(range(0, size, 10_000))
    assert in_cache(cache) == {shard.path for shard in remote[:3]}
    assert not in_cache(cache, ".part")


def test_a_broken_connection_costs_one_piece(web: Web, remote: list[Shard]) -> None:
    """What breaks off is asked for again from where it began, and what came before is kept."""
    name = remote[0].record.name
    web.breaks[name] = 2
    remote[0].fetch()
    assert remote[0].path.read_bytes() == original(web, remote[0])
    assert [begin for _, begin in web.asked[:4]] == [0, 0, 0, 10_000]


def test_a_server_without_ranges_will_do(web: Web, remote: list[Shard]) -> None:
    """Whole files are taken from servers that send nothing else, after a break too."""
    web.ranges = False
    web.breaks[remote[1].record.name] = 1
    remote[1].fetch()
    assert remote[1].path.read_bytes() == original(web, remote[1])
    assert len(web.asked) == 2


def test_a_corrupt_shard_is_named_by_its_checksum(
    web: Web, cache: Cache, remote: list[Shard]
) -> None:
    """Wrong bytes are told with URL and both checksums, and nothing of them is kept."""
    web.wrong.add(remote[0].record.name)
    with pytest.raises(ShardsError) as caught:
        remote[0].fetch()
    message = str(caught.value)
    assert message.startswith(f"{web.address}/{remote[0].record.name}: corrupt shard: ")
    assert f"the manifest says {remote[0].record.sha256}" in message
    assert len(re.findall(r"\b[0-9a-f]{64}\b", message)) == 2
    assert not in_cache(cache) | in_cache(cache, ".part")


def test_a_shard_that_is_gone_is_told(web: Web, cache: Cache, remote: list[Shard]) -> None:
    """A shard that is not there is told at once; one behind lasting trouble after some attempts."""
    web.refusals[remote[0].record.name] = [404]
    with pytest.raises(ShardsError, match=r"000000\.tar: the shard cannot be fetched: not found"):
        remote[0].fetch()
    assert len(web.asked) == 1
    web.asked.clear()
    web.refusals[remote[1].record.name] = [503] * 99
    with pytest.raises(ShardsError, match=r"the server answers HTTP 503.*try again later"):
        remote[1].fetch()
    assert len(web.asked) == store.ATTEMPTS
    assert not in_cache(cache, ".part")


@pytest.mark.parametrize("ranges", [True, False])
def test_a_short_shard_is_told(
    web: Web, cache: Cache, remote: list[Shard], tmp_path: Path, ranges: bool
) -> None:
    """A shard that ends too early at its URL is an error, whatever the server can."""
    web.ranges = ranges
    web.folder = tmp_path
    (tmp_path / remote[0].record.name).write_bytes(b"x" * 12_000)
    with pytest.raises(ShardsError, match=r"ended after [\d,]+ of|ends after 12,000 bytes"):
        remote[0].fetch()
    assert not in_cache(cache) | in_cache(cache, ".part")


def aged(shards: list[Shard]) -> None:
    """Have shards used long ago, the first longest."""
    for age, shard in enumerate(reversed(shards)):
        os.utime(shard.path, (1e9 - age, 1e9 - age))


def test_the_longest_unused_go_first_and_none_in_use(web: Web, remote: list[Shard]) -> None:
    """With room for three shards, the one unused longest makes room; a pinned one never does."""
    assert web.address
    small = Cache(remote[0].path.parent.parent, sum(s.record.bytes for s in remote[:3]))
    for shard in remote[:3]:
        shard.fetch()
    aged(remote[:3])
    pin = small.pin(remote[0].url, remote[0].record)  # now used last
    aged([remote[0]])  # and yet it looks old
    small.fetch(remote[3].url, remote[3].record)
    assert [s.path.exists() for s in remote[:4]] == [True, False, True, True]
    pin.release()
    aged([remote[0], remote[2], remote[3]])
    small.fetch(remote[4].url, remote[4].record)
    assert not remote[0].path.exists()
    held = sum(s.path.stat().st_size for s in remote[:5] if s.path.exists())
    assert held <= small.limit


def test_each_use_counts(web: Web, remote: list[Shard]) -> None:
    """A shard that is asked for again while it is there is the last to go."""
    assert web.address
    small = Cache(remote[0].path.parent.parent, sum(s.record.bytes for s in remote[:2]))
    for shard in remote[:2]:
        shard.fetch()
    aged(remote[:2])
    remote[0].fetch()
    small.fetch(remote[3].url, remote[3].record)
    assert [s.path.exists() for s in remote[:2]] == [True, False]


def test_a_shard_that_another_process_uses_stays(
    remote: list[Shard], cache: Cache, tmp_path: Path
) -> None:
    """A pin of another process keeps a shard; when that process is killed it can be removed."""
    remote[0].fetch()
    script = (
        "import sys, time; from pathlib import Path; from segtrain.remote.cache import Pin\n"
        "pin = Pin(Path(sys.argv[1])); Path(sys.argv[2]).touch(); time.sleep(600)"
    )
    ready = tmp_path / "ready"
    other = subprocess.Popen([sys.executable, "-c", script, remote[0].path, ready])
    try:
        while not ready.exists():
            assert other.poll() is None
        tiny = replace(cache, limit=1)
        tiny.fetch(remote[1].url, remote[1].record)
        assert remote[0].path.exists()
    finally:
        other.kill()
        other.wait()
    tiny.fetch(remote[2].url, remote[2].record)
    assert not remote[0].path.exists()


def test_many_that_want_a_shard_fetch_it_once(web: Web, remote: list[Shard]) -> None:
    """Threads and processes that ask at the same time wait for one copy."""
    script = "import pickle, sys\nfor shard in pickle.load(sys.stdin.buffer): shard.fetch()"
    import pickle

    data = pickle.dumps(remote[:4])
    others = [subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
              for _ in range(2)]  # fmt: skip
    for other in others:
        assert other.stdin is not None
        other.stdin.write(data)
        other.stdin.close()
    threads = [threading.Thread(target=shard.fetch) for shard in remote[:4] for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0]
    assert len(web.asked) == len(set(web.asked))
    assert all(shard.path.read_bytes() == original(web, shard) for shard in remote[:4])


def test_what_a_killed_process_left_is_removed(cache: Cache, remote: list[Shard]) -> None:
    """Half a copy whose process is gone makes room; one that is under way is left alone."""
    parts = [shard.path.with_suffix(".part") for shard in remote[5:7]]
    for part in parts:
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(bytes(1000))
    with FileLock(parts[1].with_suffix(".fetch")):
        remote[0].fetch()
        assert [part.exists() for part in parts] == [False, True]
    assert in_cache(cache) == {remote[0].path}


def test_a_copy_that_vanished_is_fetched_again(web: Web, cache: Cache) -> None:
    """Whoever empties the cache under a reader costs a download, not the run."""
    train = open_shards(web.address, cache).train_set()
    first = train.read(0)
    train.files.close()
    pin = train.shards[0].pin(lambda _: None)
    train.shards[0].path.unlink()
    assert train.read(0) == first
    pin.release()


def test_a_cache_that_cannot_be_written_is_told(
    web: Web, shards: Path, cache: Cache, remote: list[Shard]
) -> None:
    """A file in place of the folder is an error that names --cache."""
    assert web.address
    blocked = Cache(shards / "info.json", 10**9)
    with pytest.raises(ShardsError, match=r"info\.json: the cache of shards.*--cache$"):
        blocked.fetch(remote[0].url, remote[0].record)
    assert not in_cache(cache)


def test_a_shard_without_checksum_has_a_name_too(cache: Cache, remote: list[Shard]) -> None:
    """Where a manifest gives no checksum, a copy is named by its URL and size."""
    plain = replace(remote[0].record, sha256="")
    path = cache.fetch(remote[0].url, plain)
    assert path != remote[0].path
    assert path != cache.path(remote[1].url, plain)
    assert path.stat().st_size == plain.bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50GB", 50 * 10**9),
        ("500 mb", 5 * 10**8),
        ("1.5TiB", 3 * 2**39),
        ("10G", 10**10),
        ("123", 123),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    """Sizes are decimal, and binary with an i."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "0.1", "5 PB", "1iB", "GB"])
def test_other_sizes_are_usage_errors(text: str) -> None:
    """What is no size, or none above 0, names the option."""
    with pytest.raises(UsageError, match="--cache-size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "words"),
    [(999, "999 bytes"), (1500, "1.5 kB"), (1_640_000_000, "1.64 GB"), (5 * 10**13, "50 TB")],
)
def test_sizes_are_told(size: int, words: str) -> None:
    """Sizes are told to three digits."""
    assert size_words(size) == words


@pytest.mark.parametrize(
    ("platform", "variables", "end"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x/c"}, "/x/c/segtrain/shards"),
        ("linux", {}, "/.cache/segtrain/shards"),
        ("darwin", {}, "/Library/Caches/segtrain/shards"),
        ("win32", {"LOCALAPPDATA": "/u/Local"}, "/u/Local/segtrain/shards"),
        ("win32", {}, "/AppData/Local/segtrain/shards"),
    ],
)
def test_the_cache_lies_where_the_platform_says(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], end: str
) -> None:
    """The default folder follows each platform's convention."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(settings.sys, "platform", platform)
    assert default_folder().as_posix().endswith(end)


def test_locks_exclude_as_they_say(tmp_path: Path) -> None:
    """One holder alone, or several together, in threads of one process as between processes."""
    first, second, third = (FileLock(tmp_path / "a.lock") for _ in range(3))
    take: Callable[..., bool] = second.acquire
    assert first.acquire(shared=True)
    assert take(shared=True, wait=False)
    assert not third.acquire(wait=False)
    first.release()
    assert not third.acquire(wait=False)
    second.release()
    assert third.acquire(wait=False)
    assert not first.acquire(shared=True, wait=False)
    third.release()
