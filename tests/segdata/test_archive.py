"""Archives: one view of zip, tar, tgz and folder, and no damage that passes unseen."""

import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
import tempfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdata.archive import Archive, locate, open_archive
from segdata.errors import SourceError

if TYPE_CHECKING:
    from tests.segdata.conftest import Make

MEMBERS = {
    "a/one.txt": b"one" * 500,
    "a/b/two.bin": bytes(range(256)) * 5,
    "three": b"",
    "a/z": b"z",
}
names = st.text("abcXYZ019_-.é ", min_size=1, max_size=8).filter(lambda t: t.strip(". ") == t)
paths = st.lists(names, min_size=1, max_size=3).map(
    lambda parts: "/".join(f"{depth}{part}" for depth, part in enumerate(parts))
)
trees = st.dictionaries(
    paths,
    st.binary(max_size=2000),
    min_size=1,
    max_size=6,
).filter(lambda t: not any(b.startswith(a + "/") for a in t for b in t))


def contents(archive: Archive) -> dict[str, bytes]:
    """Every member read, whole and in parts."""
    read = {name: member.read() for name, member in archive.members.items()}
    for name, member in archive.members.items():
        parts = member.parts()
        assert b"".join(parts) == read[name]
        assert (parts.size, parts.crc32) == (len(read[name]), zlib.crc32(read[name]))
    return read


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of one example."""
    with TemporaryDirectory() as name:
        yield Path(name)


@given(trees)
@settings(max_examples=25)
def test_every_kind_shows_the_same(make: "Make", tree: dict[str, bytes]) -> None:
    """A stored zip, a packed zip, a tar and a folder of one tree have the same names and bytes."""
    with folder() as place:
        kinds = [
            make.write_zip(place / "s.zip", tree),
            make.write_zip(place / "d.zip", tree, zipfile.ZIP_DEFLATED),
            make.write_tar(place / "t.tar", tree),
            make.write_folder(place / "f", tree),
        ]
        for path in kinds:
            archive = open_archive(path)
            assert contents(archive) == tree
            assert {n: m.size for n, m in archive.members.items()} == {
                n: len(data) for n, data in tree.items()
            }


@pytest.mark.parametrize("kind", ["zip", "tar", "folder"])
def test_members_travel_to_other_processes(make: "Make", tmp_path: Path, kind: str) -> None:
    """A pickled member reads the same bytes, for it holds no open file."""
    path = getattr(make, f"write_{kind}")(tmp_path / f"x.{kind}", MEMBERS)
    archive = pickle.loads(pickle.dumps(open_archive(path)))  # noqa: S301 - our own bytes
    assert contents(archive) == MEMBERS


def test_every_truncated_zip_is_refused(make: "Make", tmp_path: Path) -> None:
    """A zip cut after any byte but its last is no archive."""
    whole = make.write_zip(tmp_path / "whole.zip", MEMBERS, zipfile.ZIP_DEFLATED).read_bytes()
    cut = tmp_path / "cut.zip"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(SourceError, match="cut short"):
            contents(open_archive(cut))


def test_every_truncated_tar_is_refused(make: "Make", tmp_path: Path) -> None:
    """A tar cut before the end of its first closing block is refused; later nothing is lost."""
    whole = make.write_tar(tmp_path / "whole.tar", MEMBERS).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as archive:
        last = archive.getmembers()[-1]
    end = last.offset_data + 512 + 512  # the last member's one block, then the closing one
    cut = tmp_path / "cut.tar"
    for length in sorted({*range(0, len(whole), 101), *range(0, len(whole), 512), end - 1}):
        cut.write_bytes(whole[:length])
        if length < end:
            with pytest.raises(SourceError, match="cut short"):
                open_archive(cut)
        else:
            assert contents(open_archive(cut)) == MEMBERS


@pytest.mark.parametrize("length", [0, 100, 512, 5000])
@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_garbage_is_refused(tmp_path: Path, name: str, length: int) -> None:
    """A file of other bytes is refused under either suffix, naming its path."""
    (tmp_path / name).write_bytes(b"garbage!" * (length // 8))
    with pytest.raises(SourceError, match="broken or cut short") as error:
        open_archive(tmp_path / name)
    assert error.value.where == str(tmp_path / name)


@given(st.integers(0, 1279), st.integers(1, 255))
@settings(max_examples=60)
def test_a_changed_byte_in_a_zip_is_found(make: "Make", position: int, flip: int) -> None:
    """Any changed byte of a zip member's data is found by its checksum when it is read."""
    with folder() as place:
        path = make.write_zip(place / "x.zip", MEMBERS)
        data = bytearray(path.read_bytes())
        data[data.index(MEMBERS["a/b/two.bin"]) + position] ^= flip
        path.write_bytes(data)
        archive = open_archive(path)
        assert archive["a/one.txt"].read() == MEMBERS["a/one.txt"]
        with pytest.raises(SourceError, match="damaged"):
            list(archive["a/b/two.bin"].parts())
        with pytest.raises(SourceError, match="damaged") as error:
            archive["a/b/two.bin"].read()
        assert "member a/b/two.bin" in str(error.value.where)
        assert "CRC-32" in str(error.value.expected)


def test_damaged_packed_data_is_found(make: "Make", tmp_path: Path) -> None:
    """Broken deflate data is told as a damaged member, not as zlib's exception."""
    path = make.write_zip(tmp_path / "x.zip", MEMBERS, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    start = open_archive(path)["a/one.txt"].offset + 30 + len("a/one.txt")
    data[start : start + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(SourceError, match="cannot be read"):
        open_archive(path)["a/one.txt"].read()
    with pytest.raises(SourceError, match="cannot be read"):
        list(open_archive(path)["a/one.txt"].parts())


def test_large_and_streamed_zips_are_read(tmp_path: Path) -> None:
    """Zip64 members, and those written to a pipe with sizes after the data, read right."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer, as io has it
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type] # a pipe
        with archive.open("big", "w", force_zip64=True) as member:
            member.write(b"big" * 1000)
        archive.writestr("next", b"next")
    (tmp_path / "x.zip").write_bytes(pipe.data)
    assert contents(open_archive(tmp_path / "x.zip")) == {"big": b"big" * 1000, "next": b"next"}


def test_other_compressions_are_refused(make: "Make", tmp_path: Path) -> None:
    """A zip packed by a method that we do not read is refused when it is opened."""
    path = make.write_zip(tmp_path / "x.zip", MEMBERS, zipfile.ZIP_BZIP2)
    with pytest.raises(SourceError) as error:
        open_archive(path)
    assert "packed by method 12" in str(error.value.found)


def patched(zipped: Path, *fields: tuple[int, bytes]) -> Path:
    """The zip with other bytes at these places of its only directory entry."""
    data = bytearray(zipped.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    for place, value in fields:
        data[entry + place : entry + place + len(value)] = value
    zipped.write_bytes(data)
    return zipped


def test_a_member_that_inflates_beyond_its_size_takes_no_memory(
    make: "Make", tmp_path: Path
) -> None:
    """A member that claims 1,000 bytes and unpacks to 30 MB is refused without unpacking them."""
    bomb = make.write_zip(tmp_path / "x.zip", {"a": bytes(30_000_000)}, zipfile.ZIP_DEFLATED)
    member = open_archive(patched(bomb, (24, struct.pack("<L", 1000))))["a"]
    tracemalloc.start()
    with pytest.raises(SourceError) as error:
        member.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.value.expected == "1,000 bytes"
    assert peak < 1_000_000


@pytest.mark.parametrize("place", [20, 42], ids=["packed", "offset"])
@pytest.mark.parametrize("value", [1000, 2**31, 2**32 - 2])
def test_a_member_beyond_its_zip_is_refused(
    make: "Make", tmp_path: Path, place: int, value: int
) -> None:
    """A zip whose directory names bytes that it does not have is refused when it is opened."""
    path = patched(
        make.write_zip(tmp_path / "x.zip", {"a": b"a"}), (place, struct.pack("<L", value))
    )
    with pytest.raises(SourceError) as error:
        open_archive(path)
    assert "member a does not lie before the directory" in str(error.value.found)


def test_a_zip64_record_beyond_its_zip_is_refused(make: "Make", tmp_path: Path) -> None:
    """A locator that points behind everything is an error of the zip, not of ours."""
    data = make.write_zip(tmp_path / "x.zip", MEMBERS).read_bytes()
    end = data.rindex(b"PK\x05\x06")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 2**64 - 1, 1)
    (tmp_path / "x.zip").write_bytes(data[:end] + locator + data[end:])
    with pytest.raises(SourceError):
        open_archive(tmp_path / "x.zip")


@pytest.mark.parametrize(
    "header",
    [
        {"GNU.sparse.map": "x,y"},
        {"GNU.sparse.size": "many"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"GNU.sparse.map": "0,4", "GNU.sparse.size": "4"},
        {"size": "-512"},
    ],
    ids=" ".join,
)
def test_tars_that_one_seek_cannot_read_are_refused(tmp_path: Path, header: dict[str, str]) -> None:
    """Members with holes or senseless sizes are refused when the tar is opened."""
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a")
        info.size, info.pax_headers = 4, header
        archive.addfile(info, io.BytesIO(b"data"))
    with pytest.raises(SourceError) as error:
        open_archive(tmp_path / "x.tar")
    assert error.value.what == "an archive is broken or cut short"


def test_folders_and_links_are_no_members(make: "Make", tmp_path: Path) -> None:
    """Directories in archives and dangling links in folders are passed over."""
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("first", "last"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
            if name == "first":
                info = tarfile.TarInfo("./first/file")
                info.size = 4
                archive.addfile(info, io.BytesIO(b"data"))
    assert contents(open_archive(path)) == {"first/file": b"data"}
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.mkdir("only")
    assert contents(open_archive(tmp_path / "x.zip")) == {}
    tree = make.write_folder(tmp_path / "tree", {"a/file": b"data"})
    (tree / "link").symlink_to(tree / "a" / "file")
    (tree / "dangling").symlink_to(tree / "nowhere")
    assert contents(open_archive(tree)) == {"a/file": b"data", "link": b"data"}


@pytest.mark.parametrize("kind", ["zip", "tar", "folder"])
def test_a_change_after_indexing_is_found(make: "Make", tmp_path: Path, kind: str) -> None:
    """A member whose bytes are gone when a worker reads it is an error that names it."""
    path = getattr(make, f"write_{kind}")(tmp_path / f"x.{kind}", MEMBERS)
    member = open_archive(path)["a/b/two.bin"]
    victim = path / "a/b/two.bin" if kind == "folder" else path
    victim.write_bytes(victim.read_bytes()[:100])
    for read in (member.read, lambda: list(member.parts())):
        with pytest.raises(SourceError, match=r"cannot be read|cut short or has changed") as error:
            read()
    assert "two.bin" in str(error.value.where)
    victim.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        member.read()


def test_an_absent_member_is_named(make: "Make", tmp_path: Path) -> None:
    """Asking for a member that is not there names it and the archive."""
    archive = open_archive(make.write_zip(tmp_path / "x.zip", MEMBERS))
    assert "nothing" not in archive
    with pytest.raises(SourceError, match="missing") as error:
        archive["nothing"]
    assert (error.value.where, error.value.expected) == (str(tmp_path / "x.zip"), "nothing")


def find(data: Path) -> Path:
    """Look for a made-up data set."""
    return locate(data, places=["", "sub"], names=["x.zip", "x"], what="X", advice="get it")


def test_locate_prefers_archives_in_order(make: "Make", tmp_path: Path) -> None:
    """An archive comes before its folder, and the first place before the next."""
    make.write_folder(tmp_path / "sub" / "x", MEMBERS)
    assert find(tmp_path) == tmp_path / "sub" / "x"
    make.write_zip(tmp_path / "sub" / "x.zip", MEMBERS)
    assert find(tmp_path) == tmp_path / "sub" / "x.zip"
    make.write_folder(tmp_path / "x", MEMBERS)
    assert find(tmp_path) == tmp_path / "x"
    assert find(tmp_path / "sub" / "x") == tmp_path / "sub" / "x"


@pytest.mark.parametrize("name", ["", "absent", "file"])
def test_locate_says_where_it_looked(tmp_path: Path, name: str) -> None:
    """When nothing is there the error names the places, the names and the way to get it."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError, match="X was not found") as error:
        find(tmp_path / name)
    assert str(tmp_path / name / "sub") in str(error.value.where)
    assert ("does not exist" in str(error.value.where)) == (name == "absent")
    assert (error.value.expected, error.value.advice) == ("x.zip or x", "get it")


def test_locate_refuses_what_may_not_be_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may not be entered is named; it is not taken for one without the archive."""

    def forbidden(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", forbidden)
    with pytest.raises(SourceError) as error:
        find(tmp_path)
    assert error.value.where == str(tmp_path / "x.zip")
    assert (error.value.found, "permissions" in error.value.advice) == ("Permission denied", True)


def test_a_tar_that_ends_in_a_zip_is_a_tar(make: "Make", tmp_path: Path) -> None:
    """A tar whose last member is a zip shows its own members, not the zip's."""
    inner = make.write_zip(tmp_path / "inner.zip", MEMBERS).read_bytes()
    path = make.write_tar(tmp_path / "x.tar", {"one": b"1", "inner.zip": inner})
    assert contents(open_archive(path)) == {"one": b"1", "inner.zip": inner}


def test_linked_folders_are_entered(make: "Make", tmp_path: Path) -> None:
    """A folder of images may be a link to where there is room for them."""
    make.write_folder(tmp_path / "elsewhere", {"a.jpg": b"a"})
    tree = make.write_folder(tmp_path / "tree", {"list.txt": b"a"})
    (tree / "JPEGImages").symlink_to(tmp_path / "elsewhere")
    assert contents(open_archive(tree)) == {"list.txt": b"a", "JPEGImages/a.jpg": b"a"}


def test_a_gzipped_tar_shows_what_the_tar_shows(tmp_path: Path) -> None:
    """A tgz, even one named .tar, has a tar's members; messages name it, not its unzipped copy."""
    for name in ("set.tgz", "set.tar.gz", "set.tar"):
        with tarfile.open(tmp_path / name, "w:gz") as tar:
            for member, data in MEMBERS.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        found = open_archive(tmp_path / name)
        assert {n: member.read() for n, member in found.members.items()} == MEMBERS
        assert found["three"].where == f"{tmp_path / name}, member three"


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
def test_no_room_to_unzip(tmp_path: Path) -> None:
    """Where the unzipped copy does not fit, the error says where it would lie and what to do."""
    import resource

    path = tmp_path / "set.tgz"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(SourceError, match="a gzipped archive cannot be unzipped") as caught:
            open_archive(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.where == str(path)
    assert tempfile.gettempdir() in str(caught.value.expected)
    assert "TMPDIR" in str(caught.value.advice)


@pytest.mark.parametrize("kept", [1, 2, 9, 40, 90])
def test_a_truncated_gzip_is_refused(tmp_path: Path, kept: int) -> None:
    """However much of a tgz is there, an incomplete one is an error that names it."""
    path = tmp_path / "set.tgz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("a")
        info.size = 5000
        tar.addfile(info, io.BytesIO(bytes(range(250)) * 20))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * kept // 100])
    with pytest.raises(SourceError) as caught:
        open_archive(path)
    assert caught.value.where == str(path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are Unicode")
def test_names_of_other_encodings_can_be_written(tmp_path: Path) -> None:
    """A name that is no UTF-8 gets one that is, from a folder and from a tar, and is read."""
    odd = tmp_path / "folder" / os.fsdecode(b"h\xe9.txt")
    odd.parent.mkdir()
    odd.write_bytes(b"content")
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(odd, odd.name)
    for source in (odd.parent, tmp_path / "x.tar"):
        (name,) = open_archive(source).members
        assert name.encode() == rb"h\udce9.txt"
        assert open_archive(source)[name].read() == b"content"
