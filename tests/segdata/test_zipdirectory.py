"""The directory of a zip against the standard library's reading of it."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segdata import zipdirectory

names = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\\", exclude_categories=["Cc"]),
    min_size=1,
    max_size=9,
)
members = st.lists(st.tuples(names, st.binary(max_size=30), st.booleans()), max_size=6)
around = st.binary(max_size=40).filter(lambda data: b"PK" not in data)  # signatures begin so
in_a_folder = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(content: list[tuple[str, bytes, bool]], comment: bytes, before: bytes) -> bytes:
    """A zip of these members (name, content, whether deflated) behind something else."""
    buffer = io.BytesIO()
    buffer.write(before)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, data, deflated in content:
            info = zipfile.ZipInfo(name)
            info.comment = comment[:3]
            info.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
            with archive.open(info, "w", force_zip64=True) as file:
                file.write(data)
        archive.comment = comment
    return buffer.getvalue()


def expected(data: bytes) -> list[tuple[object, ...]]:
    """What `zipfile` says."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [
            (i.orig_filename, i.file_size, i.header_offset, i.compress_size, i.compress_type, i.CRC)
            for i in archive.infolist()
            if not i.is_dir()
        ]


def found(path: Path, data: bytes) -> list[tuple[object, ...]]:
    """What we say."""
    path.write_bytes(data)
    return [tuple(entry)[:-1] for entry in zipdirectory.entries(path)]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("limit", [zipfile.ZIP64_LIMIT, 10], ids=["usual", "zip64"])
@in_a_folder
@given(content=members, comment=around, before=around)
def test_entries_are_those_of_zipfile(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    content: list[tuple[str, bytes, bool]],
    comment: bytes,
    before: bytes,
) -> None:
    """Names, sizes, places, methods and checksums agree, with zip64 fields and without."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    data = written(content, comment, before)
    assert (b"PK\x06\x06" in data) or limit > 10 or not content
    assert found(tmp_path / "x.zip", data) == expected(data)


@in_a_folder
@given(data=st.data())
def test_spoiled_directories_are_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Cut or changed at any place, a zip is read or refused as broken, never anything else."""
    whole = written([("a/b.jpg", b"x" * 9, True), ("\u00e9", b"", False)], b"c", b"")
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + 4 :]
    for text in (whole[:at], changed):
        with suppress(zipfile.BadZipFile):
            found(tmp_path / "x.zip", text)
