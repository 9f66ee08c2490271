"""Downloads from a server that breaks, lies and changes: whole and identical, or not there."""

import json
import threading
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.segdata.fetch.hosts import Host, Page, hosted, remote, zipped

from segdata.fetch import transfer
from segdata.fetch.catalogue import RemoteFile

if TYPE_CHECKING:
    from tests.segdata.fetch.conftest import Get

CONTENT = zipped()
SMALL = zipped(900)
OTHER = zipped(seed=1)
PORTAL = b"<!DOCTYPE html><html><title>Log in to\n Campus&nbsp;WiFi</title>" + bytes(90_000)
WHOLE = ["val2017.zip", "val2017.zip.sha256"]


def of_unknown_size(file: RemoteFile) -> RemoteFile:
    """The same file, known by its sum alone."""
    return replace(file, size=None)


def check_whole(get: "Get", content: bytes = CONTENT) -> None:
    """The file is there, identical, with its sum, and nothing else is."""
    assert (get.folder / "val2017.zip").read_bytes() == content
    assert get.names() == WHOLE


def test_a_download(host: Host, get: "Get") -> None:
    """A file arrives whole, is counted to its end, and its sum is noted as sha256sum does."""
    file = remote(CONTENT, host.add("/a", Page(CONTENT)))
    done = get(file)
    assert (done.state, done.size, done.error) == ("fetched", len(CONTENT), None)
    assert done.check == "sha256 as published"
    check_whole(get)
    assert get.notes.seen[-1] == ("val2017.zip", len(CONTENT))
    sidecar = (get.folder / WHOLE[1]).read_text()
    assert sidecar == f"{file.digests['sha256']}  val2017.zip\n"
    assert host.asked[0][1]["accept-encoding"] == "identity"


def test_again_asks_nothing(host: Host, get: "Get") -> None:
    """A second fetch of a whole file sends no request."""
    file = remote(CONTENT, host.add("/a", Page(CONTENT)))
    get(file)
    again = get(file)
    assert (again.state, again.check, len(host.asked)) == ("present", "size", 1)


def test_a_file_in_a_folder_of_data_counts(host: Host, get: "Get") -> None:
    """An archive that lies in data/coco/, where builds look too, is not fetched again."""
    (get.folder / "coco").mkdir(parents=True)
    (get.folder / "coco" / "val2017.zip").write_bytes(CONTENT)
    done = get(remote(CONTENT, host.url))
    assert (done.state, done.path.parent.name, host.asked) == ("present", "coco", [])


def test_check_reads_what_is_there(host: Host, get: "Get") -> None:
    """--check finds a changed byte in a file of the right size, and leaves it for the user."""
    file = remote(CONTENT, host.add("/a", Page(CONTENT)))
    get(file)
    assert get(file, check=True).check == "sha256 as published"
    (get.folder / "val2017.zip").write_bytes(spoiled := CONTENT[:-1] + b"x")
    assert get(file).state == "present"
    done = get(file, check=True)
    assert done.error is not None
    assert "damaged" in done.error.what
    assert (get.folder / "val2017.zip").read_bytes() == spoiled


def test_a_broken_connection_is_resumed(host: Host, get: "Get") -> None:
    """After a cut the rest is asked for by its range, on condition that the file is the same."""
    file = remote(CONTENT, host.add("/a", Page(CONTENT, cuts=[10_000, 5_000, 0])))
    assert get(file).state == "fetched"
    check_whole(get)
    assert host.ranges() == [None, "bytes=10000-", "bytes=15000-", "bytes=15000-"]
    assert host.asked[1][1]["if-range"] == '"one"'
    assert any("going on at 10.0 kB" in text for text in get.notes.said)


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_a_date_stands_in_for_an_etag(host: Host, get: "Get", etag: str) -> None:
    """Without a strong ETag the condition is the date of the file."""
    date = formatdate(0, usegmt=True)
    page = Page(CONTENT, etag=etag, modified=date, cuts=[9_000])
    assert get(remote(CONTENT, host.add("/a", page))).state == "fetched"
    assert host.asked[1][1]["if-range"] == date
    check_whole(get)


def test_a_server_without_ranges(host: Host, get: "Get") -> None:
    """A server that ignores ranges sends all again, and the file is still right."""
    file = remote(CONTENT, host.add("/a", Page(CONTENT, ranges=False, cuts=[10_000, 30_000])))
    assert get(file).state == "fetched"
    check_whole(get)


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_changes_meanwhile(host: Host, get: "Get", known: bool) -> None:
    """When the server's file changes after a cut, nothing of the old one is kept."""
    old = CONTENT if known else zipped(50_000, seed=5)
    page = Page(old, cuts=[10_000], changes=[old, OTHER])
    file = remote(OTHER, host.add("/a", page))
    if not known:
        file = of_unknown_size(file)
    assert get(file).state == "fetched"
    check_whole(get, OTHER)


def test_a_changed_file_behind_a_careless_server(host: Host, get: "Get") -> None:
    """A server that sends the new file's rest in spite of If-Range is found out by the ETag."""

    page = Page(CONTENT, careless=True, cuts=[10_000], changes=[CONTENT, OTHER])
    assert get(remote(OTHER, host.add("/a", page))).state == "fetched"
    assert host.ranges() == [None, "bytes=10000-", None]
    check_whole(get, OTHER)


def test_a_part_of_unknown_origin(host: Host, get: "Get") -> None:
    """A .part without a note of its origin is used if it fits, and given up if it does not."""
    file = remote(CONTENT, host.add("/a", Page(CONTENT)))
    part = get.folder / "val2017.zip.part"
    for begun, ranges in (
        (CONTENT[:7_000], ["bytes=7000-"]),
        (b"x" * 7_000, ["bytes=7000-", None]),
    ):
        get.folder.mkdir(exist_ok=True)
        part.write_bytes(begun)
        host.asked.clear()
        assert get(file).state == "fetched"
        assert host.ranges() == ranges
        check_whole(get)
        for name in WHOLE:
            (get.folder / name).unlink()


@pytest.mark.parametrize("extra", [0, 500])
def test_a_part_that_is_whole_or_longer(host: Host, get: "Get", extra: int) -> None:
    """A part that has every byte needs no request; one that has too many begins anew."""
    get.folder.mkdir()
    (get.folder / "val2017.zip.part").write_bytes(CONTENT + bytes(extra))
    (get.folder / "val2017.zip.part.json").write_text("{broken")
    assert get(remote(CONTENT, host.add("/a", Page(CONTENT)))).state == "fetched"
    assert len(host.asked) == (1 if extra else 0)
    check_whole(get)


def test_nothing_beyond_the_end(host: Host, get: "Get") -> None:
    """416 about a part that is longer than the server's file begins anew."""
    file = remote(CONTENT, host.add("/a", Page(CONTENT)))
    file = of_unknown_size(file)
    get.folder.mkdir()
    (get.folder / "val2017.zip.part").write_bytes(CONTENT + b"more")
    assert get(file).state == "fetched"
    assert host.ranges() == [f"bytes={len(CONTENT) + 4}-", None]
    check_whole(get)


def test_too_great_a_length_is_announced(host: Host, get: "Get") -> None:
    """Where the size is not known, a false length ends with 416 and the checksum decides."""
    page = Page(CONTENT, length=len(CONTENT) + 99)
    file = remote(CONTENT, host.add("/a", page))
    assert get(of_unknown_size(file)).state == "fetched"
    check_whole(get)


def test_another_length_is_announced(host: Host, get: "Get") -> None:
    """Where the size is known, another one ends the download before it begins."""
    page = Page(CONTENT, length=len(CONTENT) + 99)
    done = get(remote(CONTENT, host.add("/a", page)))
    assert done.state == "failed"
    assert done.error is not None
    assert f"not {len(CONTENT):,}" in str(done.error)
    assert get.names() == []


def test_chunks_without_a_length(host: Host, get: "Get") -> None:
    """A body without a length is taken to its end, also after a cut."""
    file = remote(CONTENT, host.add("/a", Page(CONTENT, chunked=True, cuts=[20_000])))
    assert get(file).state == "fetched"
    check_whole(get)


def test_no_room_for_a_file_of_unknown_size(
    host: Host, get: "Get", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the server tells to be too large is refused, and goes on once there is room."""
    content = zipped(400_000)
    file = of_unknown_size(remote(content, host.add("/a", Page(content))))
    with monkeypatch.context() as full:
        full.setattr(transfer, "free_bytes", lambda _: 1000)
        done = get(file)
    assert str(done.error).startswith("the disk has no room for val2017.zip")
    assert "1.0 kB free" in str(done.error)
    assert done.state == "partial"
    assert get(file).state == "fetched"
    check_whole(get, content)


def test_more_than_the_file_has(host: Host, get: "Get") -> None:
    """A body without a length that does not end is cut off at the known size."""
    page = Page(CONTENT + bytes(10_000), chunked=True)
    done = get(remote(CONTENT, host.add("/a", page)))
    assert "more than" in str(done.error)
    assert get.names() == []


def test_redirects(host: Host, get: "Get") -> None:
    """Redirections are followed, with the range; circles end."""
    host.add("/b", Page(CONTENT, cuts=[10_000]))
    file = remote(CONTENT, host.add("/a", Page(b"", location="/b")))
    assert get(file).state == "fetched"
    assert [path for path, _ in host.asked] == ["/a", "/b", "/a", "/b"]
    check_whole(get)
    round_about = host.add("/c", Page(b"", location="/c"))
    assert "in circles" in str(get(remote(CONTENT, round_about, name="train2017.zip")).error)


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_passing_troubles_pass(host: Host, get: "Get", status: int) -> None:
    """A server in trouble is asked again."""
    file = remote(CONTENT, host.add("/a", Page(CONTENT, statuses=[status, status])))
    assert get(file).state == "fetched"
    assert len(host.asked) == 3
    check_whole(get)


def test_a_server_asks_for_patience(
    host: Host, get: "Get", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After is waited for, as seconds or as a date."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    for value in ("7", formatdate(time() + 50, usegmt=True), "soon"):
        page = Page(CONTENT, statuses=[503], headers={"Retry-After": value})
        get(remote(CONTENT, host.add(f"/{len(waited)}", page), name=f"{len(waited)}.zip"))
    assert waited[0] == 7
    assert 40 < waited[1] <= 50
    assert waited[2] == 0


@pytest.mark.parametrize("status", [403, 404, 410])
def test_the_next_mirror(host: Host, get: "Get", status: int) -> None:
    """An address without the file is asked once, and the next is tried and named."""
    gone = host.add("/gone", Page(b"", statuses=[status] * 9))
    assert get(remote(CONTENT, gone, host.add("/a", Page(CONTENT)))).state == "fetched"
    assert [path for path, _ in host.asked] == ["/gone", "/a"]
    address = host.url.removeprefix("http://")
    assert f"{address}: it answered {status}" in get.notes.said[0]
    assert get.notes.said[0].endswith(f"; trying another address of {address}")


def test_a_host_that_is_not_there(host: Host, get: "Get") -> None:
    """A refused connection leads to the next mirror at once; alone it is told with advice."""
    nobody = "http://127.0.0.1:9/val2017.zip"
    assert get(remote(CONTENT, nobody, host.add("/a", Page(CONTENT)))).state == "fetched"
    assert "127.0.0.1:9: no connection" in get.notes.said[0]
    assert get.notes.said[0].endswith(f"; trying {host.url.removeprefix('http://')}")
    get.notes.said.clear()
    done = get(remote(OTHER, nobody, name="train2017.zip"))
    assert (done.state, done.size) == ("failed", 0)
    again = ["trying again in" in text for text in get.notes.said]
    assert again == [False, *[True] * (len(again) - 1)]  # the same reason is told once
    assert len(again) > 1
    assert done.error is not None
    assert "--mirror" in (done.error.advice or "")


def test_a_mirror_goes_on_where_another_stopped(host: Host, get: "Get") -> None:
    """The published checksum lets a mirror complete what another host began."""
    first = host.add("/a", Page(CONTENT, cuts=[20_000, 0, 0, 0]))
    host.pages["/a"].statuses = [200, 404]
    second = host.add("/b", Page(CONTENT, etag='"two"'))
    assert get(remote(CONTENT, first, second)).state == "fetched"
    assert host.ranges()[-1] == "bytes=20000-"
    assert "if-range" not in host.asked[-1][1]
    check_whole(get)


def test_parts_that_do_not_fit_together(host: Host, get: "Get") -> None:
    """What two mirrors with different files gave together is given up for one whole answer."""
    first = host.add("/a", Page(OTHER, cuts=[20_000]))
    host.pages["/a"].statuses = [200, 404]
    second = host.add("/b", Page(CONTENT, etag='"two"'))
    assert get(remote(CONTENT, first, second)).state == "fetched"
    assert host.ranges()[-2:] == ["bytes=20000-", None]
    check_whole(get)


def test_a_stalled_connection(host: Host, get: "Get") -> None:
    """A connection without bytes is given up after the time limit, and resumed."""
    gate = threading.Event()
    file = remote(CONTENT, host.add("/a", Page(CONTENT, gates=[gate])))
    assert get(file, timeout=0.3).state == "fetched"
    gate.set()
    assert "the connection stalled: no bytes within the time limit" in get.notes.said[0]
    assert len(host.asked) == 2
    check_whole(get)


@pytest.mark.parametrize("begun", [0, 30_000])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_captive_portal(host: Host, get: "Get", begun: int, chunked: bool) -> None:
    """A page in the file's place is named by its title and costs no byte that was there."""
    get.folder.mkdir()
    if begun:
        (get.folder / "val2017.zip.part").write_bytes(CONTENT[:begun])
    page = Page(PORTAL, ranges=False, chunked=chunked)
    file = remote(CONTENT, host.add("/a", page))
    done = get(file)
    assert done.error is not None
    assert "a web page, titled “Log in to Campus WiFi”" in str(done.error)
    assert "firewall" in (done.error.advice or "")
    assert (done.state, done.size) == (("partial", begun) if begun else ("failed", 0))
    host.add("/a", Page(CONTENT))
    assert get(file).state == "fetched"
    assert host.ranges()[-1] == (f"bytes={begun}-" if begun else None)
    check_whole(get)


def test_a_wrong_file_is_kept_aside(host: Host, get: "Get") -> None:
    """A file of the right size and another sum is put aside, and taken back if it was meant."""
    file = remote(CONTENT, host.add("/wrong", Page(OTHER)))
    done = get(file)
    assert (done.state, done.error is not None) == ("failed", True)
    meant = remote(OTHER).digests["sha256"]
    assert f"sha256 {meant}, not sha256" in str(done.error)
    assert get.names() == ["val2017.zip.rejected"]
    host.asked.clear()
    assert get(replace(file, size=None, digests={"sha256": meant})).state == "fetched"
    assert host.asked == []
    check_whole(get, OTHER)


def test_a_wrong_file_then_a_right_one(host: Host, get: "Get") -> None:
    """After a wrong file the next mirror is tried, and success leaves nothing aside."""
    file = remote(CONTENT, host.add("/w", Page(OTHER)), host.add("/a", Page(CONTENT)))
    assert get(file).state == "fetched"
    check_whole(get)


@pytest.mark.parametrize("sound", [True, False])
def test_without_a_sum_the_archive_tells(host: Host, get: "Get", sound: bool) -> None:
    """A file without a known sum is judged by its own, and said to be."""
    content = CONTENT if sound else CONTENT[:30_000] + b"!" + CONTENT[30_001:]
    page = Page(content, cuts=[12_000])
    file = RemoteFile("val2017.zip", None, {}, [host.add("/a", page)])
    done = get(file)
    if sound:
        assert (done.state, "CRC-32" in done.check) == ("fetched", True)
        check_whole(get)
        assert get(file).check == get(file, check=True).check == "sha256 as recorded"
        (get.folder / "val2017.zip").write_bytes(OTHER)
        assert get(file, check=True).error is not None
    else:
        assert "Bad CRC-32" in str(done.error)
        assert get.names() == ["val2017.zip.rejected"]


def test_a_file_of_ones_own(host: Host, get: "Get") -> None:
    """A file that is there is read where nothing is noted of it, or another sum is asked for."""
    get.folder.mkdir()
    path = get.folder / "val2017.zip"
    path.write_bytes(CONTENT)
    right, wrong = of_unknown_size(remote(CONTENT)), of_unknown_size(remote(OTHER))
    unknown = replace(right, digests={})
    assert get(right).check == "sha256 as given"
    assert get(unknown).check == "the zip's own CRC-32"
    assert "another file" in str(get(wrong).error)
    (get.folder / WHOLE[1]).write_text(f"{right.digests['sha256']}  val2017.zip\n")
    assert get(right).check == get(unknown).check == "sha256 as recorded"
    assert "another file" in str(get(wrong).error)
    (get.folder / WHOLE[1]).unlink()
    path.write_bytes(CONTENT[:-30])
    assert "whole archive" in str(get(unknown).error)
    assert host.asked == []


def test_without_a_sum_nothing_is_patched_together(host: Host, get: "Get") -> None:
    """Without a sum a part goes on only where a validator vouches for it."""
    get.folder.mkdir()
    (get.folder / "val2017.zip.part").write_bytes(OTHER[:9_000])
    address = host.add("/a", Page(CONTENT, etag=""))
    assert get(RemoteFile("val2017.zip", None, {}, [address])).state == "fetched"
    assert host.ranges() == [None]
    check_whole(get)


def test_a_file_in_the_way(host: Host, get: "Get") -> None:
    """A file of another size under the final name is left alone, and may become a part."""
    get.folder.mkdir()
    (get.folder / "val2017.zip").write_bytes(CONTENT[:40_000])
    file = remote(CONTENT, host.add("/a", Page(CONTENT)))
    done = get(file)
    assert done.error is not None
    assert "rename it to val2017.zip.part" in (done.error.advice or "")
    assert host.asked == []
    (get.folder / "val2017.zip").rename(get.folder / "val2017.zip.part")
    assert get(file).state == "fetched"
    assert host.ranges() == ["bytes=40000-"]
    check_whole(get)


def test_passwords_are_not_written(host: Host, get: "Get") -> None:
    """An address with a password is used, and shown and stored without it."""
    address = host.add("/a", Page(CONTENT, cuts=[9_000], statuses=[200, 404]))
    secret = address.replace("http://", "http://me:secret@")
    done = get(remote(CONTENT, secret))
    assert host.asked[0][1]["authorization"].startswith("Basic ")
    state = json.loads((get.folder / "val2017.zip.part.json").read_text())
    assert state == {"address": address, "etag": '"one"', "modified": "", "size": len(CONTENT)}
    assert "secret" not in str(done.error) + "".join(get.notes.said)


def test_several_files_side_by_side(host: Host, get: "Get") -> None:
    """One file that cannot be had does not keep the others."""
    files = [
        remote(content := zipped(seed=i), host.add(f"/{i}", Page(content)), name=f"{i}.zip")
        for i in range(5)
    ]
    bad = remote(CONTENT, host.url + "/none", name="bad.zip")
    states = [done.state for done in get.all(*files[:2], bad, *files[2:], jobs=2)]
    assert states == ["fetched", "fetched", "failed", "fetched", "fetched", "fetched"]


def test_one_fetch_of_a_file_at_a_time(host: Host, get: "Get") -> None:
    """A second fetch of the same file says that the first is at it, and disturbs nothing."""
    gate = threading.Event()
    file = remote(CONTENT, host.add("/a", Page(CONTENT, gates=[gate])))
    first: list[object] = []
    thread = threading.Thread(target=lambda: first.append(get(file)))
    thread.start()
    while not any(done for _, done in get.notes.seen):
        thread.join(0.01)
    second = type(get)(get.folder)(file)
    gate.set()
    thread.join()
    assert "another fetch is bringing" in str(second.error)
    assert getattr(first[0], "state", "") == "fetched"
    check_whole(get)


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, len(SMALL)), max_size=8),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", '"e"', 'W/"w"']),
    st.sampled_from([0, 1, 200, len(SMALL) - 1]),
)
def test_any_cuts(cuts: list[int], ranges: bool, chunked: bool, etag: str, begun: int) -> None:
    """However often and wherever the connection breaks, the file is identical in the end."""
    from tests.segdata.fetch.conftest import Get

    with TemporaryDirectory() as folder, hosted() as host:
        if begun:
            Path(folder, "val2017.zip.part").write_bytes(SMALL[:begun])
        page = Page(SMALL, ranges=ranges, chunked=chunked, etag=etag, cuts=list(cuts))
        get = Get(Path(folder))
        assert get(remote(SMALL, host.add("/a", page)), rounds=len(cuts) + 2).state == "fetched"
        check_whole(get, SMALL)
