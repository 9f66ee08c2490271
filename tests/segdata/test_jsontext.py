"""Large JSON read in parts: the same as read whole, for any layout, and little of it in memory."""

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdata import jsontext
from segdata.jsontext import JsonText

texts = st.text(st.sampled_from('ab"\\{}[],: \n\t\u20ac\x00'), max_size=6) | st.just("}, {")
leaves = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-9, 9, width=16) | texts
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
objects = st.dictionaries(texts, values, max_size=3)
documents = st.dictionaries(texts, st.lists(objects, max_size=12) | values, max_size=4)
layouts = st.sampled_from([(None, (",", ":")), (None, (", ", ": ")), (1, (",", ": ")), (3, None)])


def in_parts(text: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The text in parts of these sizes, over and over."""
    at = number = 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        yield text[at : at + size]
        at, number = at + size, number + 1


def read(text: bytes, sizes: list[int], arrays: set[str]) -> dict[str, Any]:
    """The whole document, the members named in `arrays` record by record."""
    reader = JsonText(in_parts(text, sizes))
    found: dict[str, Any] = {}
    for name in reader.keys():  # noqa: SIM118 - no dictionary
        if name in arrays:
            found[name] = [record for some in reader.records(dict) for record in some]
        else:
            found[name] = msgspec.json.decode(reader.value())
    return found


def arrays_of(document: dict[str, Any]) -> set[str]:
    """Names of the members that are lists of objects."""
    return {
        name
        for name, value in document.items()
        if isinstance(value, list) and all(isinstance(record, dict) for record in value)
    }


sizes_of_parts = st.lists(st.integers(1, 400), min_size=1, max_size=4)


@given(documents, layouts, sizes_of_parts, st.booleans())
def test_any_json_is_read(
    document: dict[str, Any], layout: tuple[Any, Any], sizes: list[int], ascii_only: bool
) -> None:
    """Whatever the content, the layout and the parts, the result is that of the json module."""
    indent, separators = layout
    text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=ascii_only)
    padded = f" \n{text}\t".encode()
    assert read(padded, sizes, arrays_of(document)) == json.loads(text)


@given(documents, sizes_of_parts, st.data())
def test_cut_or_spoiled_json_is_refused(
    document: dict[str, Any], sizes: list[int], data: st.DataObject
) -> None:
    """A text that lacks its end, or has something put in, is read only if it is still JSON."""
    text = json.dumps(document).encode()
    at = data.draw(st.integers(0, len(text) - 1))
    inserted = data.draw(st.sampled_from([b",", b"}", b"]", b"{", b'"', b"x", b"1"]))
    with pytest.raises(ValueError, match=r"."):
        read(text[:at], sizes, arrays_of(document))
    spoiled = text[:at] + inserted + text[at:]
    try:
        expected = json.loads(spoiled)
        names = arrays_of(expected)
    except (ValueError, AttributeError):
        with pytest.raises(ValueError, match=r"."):
            read(spoiled, sizes, arrays_of(document))
    else:
        assert read(spoiled, sizes, names) == expected


def many(gaps: int) -> list[dict[str, Any]]:
    """Records of some hundred bytes, each with so many gaps like those between records."""
    return [
        {"id": i, "parts": [{"text": "}, {"}] * (gaps + 1), "x": [0.5] * 40} for i in range(4000)
    ]


@pytest.mark.parametrize("gaps", [0, 1, 30])
@pytest.mark.parametrize("last", [True, False])
def test_gaps_within_records_are_no_cuts(gaps: int, last: bool) -> None:
    """Records that hold lists of objects themselves are not cut there, at an end or before."""
    document = {"records": many(gaps), "other": many(gaps)[:500]}
    if last:
        document = dict(reversed(document.items()))
    text = json.dumps(document).encode()
    assert read(text, [1 << 16], {"records"}) == document


def test_records_are_checked() -> None:
    """A record of another type is an error that says which it is."""
    text = b'{"a": [%b, {"id": "x"}, {"id": 3}]}' % b",".join(
        b'{"id": %d}' % i for i in range(5000)
    )
    reader = JsonText(in_parts(text, [4096]))
    assert next(reader.keys()) == "a"
    kind = msgspec.defstruct("Record", [("id", int)])
    with pytest.raises(ValueError, match=r"Expected `int`.*in record 5,000"):
        list(reader.records(kind))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": [{}], "a": [{}]}',
        b'{"a": {}}',
        b'{"a": 3}',
        b'{"a": [{},]}',
        b'{"a": [1]}',
        b"{1: 2}",
    ],
    ids=["twice", "object", "number", "comma", "no record", "no name"],
)
def test_other_json_is_refused(text: bytes) -> None:
    """Repeated names, and arrays that are none of records, are errors."""
    with pytest.raises(ValueError, match=r"."):
        read(text, [3], {"a"})


def test_memory_does_not_grow_with_the_text() -> None:
    """Of a text of 40 MB, a few parts are in memory at a time."""
    record = b'{"id": 7, "x": [%b]}' % b",".join([b"0.25"] * 200)
    part = b",".join([record] * 1000)

    def parts() -> Iterator[bytes]:
        yield b'{"a": ['
        for number in range(40):
            yield b"," * bool(number) + part
        yield b"]}"

    kind = msgspec.defstruct("Record", [("id", int), ("x", msgspec.Raw)])
    tracemalloc.start()
    try:
        reader = JsonText(parts())
        count = sum(len(some) for _ in reader.keys() for some in reader.records(kind))  # noqa: SIM118
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 40_000
    assert peak < 8 * len(part) < 40 * len(part) / 4


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(1, 9))
def test_pieces_are_the_text(parts: list[bytes], most: int) -> None:
    """Parts are cut into pieces that are no longer than allowed, and nothing of them is lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "PIECE", most)
        pieces = list(jsontext._pieces(iter(parts)))
    assert b"".join(pieces) == b"".join(parts)
    assert max(map(len, pieces), default=0) <= most
