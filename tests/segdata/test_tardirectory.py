"""The headers of a tar against the standard library's reading of them."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segdata import tardirectory

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
KINDS = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.CONTTYPE)
Content = list[tuple[str, bytes, bytes]]
Found = list[tuple[str, int, int]] | type[Exception]

parts = st.text(
    st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters="/"),
    min_size=1,
    max_size=60,
)
names = st.lists(parts, min_size=1, max_size=3).map("/".join) | st.just("\u00e9")
members = st.lists(
    st.tuples(names, st.binary(max_size=600), st.sampled_from(KINDS[:1] * 6 + KINDS)), max_size=6
)
in_a_folder = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(content: Content, kind: int) -> bytes:
    """A tar of these members (name, content, type)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, data, of in content:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = of, "there" if of == tarfile.SYMTYPE else ""
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def expected(path: Path) -> Iterator[tuple[str, int, int]]:
    """What `tarfile` says."""
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            if info.size < 0 or info.issparse():
                raise tarfile.ReadError
            if info.isreg():
                yield info.name, info.size, info.offset_data
        file.seek(archive.offset)
        if file.read(512) != bytes(512):
            raise tarfile.ReadError


def outcome(
    entries: Callable[[Path], Iterator[tuple[str, int, int]]], path: Path, data: bytes
) -> Found:
    """The files that are found, or what kind of error is raised."""
    path.write_bytes(data)
    try:
        return [tuple(entry) for entry in entries(path)]
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        return type(error)


@pytest.mark.parametrize("kind", FORMATS, ids=["ustar", "gnu", "pax"])
@in_a_folder
@given(content=members)
def test_entries_are_those_of_tarfile(tmp_path: Path, kind: int, content: Content) -> None:
    """Names, sizes and places agree, with folders, links, long names and extended headers."""
    try:
        data = written(content, kind)
    except ValueError:  # a name that USTAR has no room for
        return
    found = outcome(tardirectory.entries, tmp_path / "x.tar", data)
    assert found == outcome(expected, tmp_path / "x.tar", data)
    assert isinstance(found, list)


@in_a_folder
@given(data=st.data())
def test_spoiled_headers_are_read_as_tarfile_reads_them(
    tmp_path: Path, data: st.DataObject
) -> None:
    """Cut or changed at any place, a tar shows the same files or the same kind of error."""
    kind = data.draw(st.sampled_from(FORMATS))
    content = [("a/b.jpg", b"x" * 700, tarfile.REGTYPE), ("c", b"", tarfile.DIRTYPE),
               ("d" * 90, b"y", tarfile.AREGTYPE)]  # fmt: skip
    whole = written(content, kind)
    at = data.draw(st.integers(0, 5 * 512))
    changed = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + 4 :]
    for variant in (whole[:at], changed, changed[: -data.draw(st.integers(1, len(whole)))]):
        found = outcome(tardirectory.entries, tmp_path / "x.tar", variant)
        assert found == outcome(expected, tmp_path / "x.tar", variant)
