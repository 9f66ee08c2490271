"""JPEGs that are sound by their markers, so that their pixels need not be decoded to know it.

A decoder fails for what stands in a JPEG's segments and for a file that ends too early. Of the bits
between them it takes whatever they are. So the segments and the end are looked at here, in a
fraction of the time; for anything but the plainest form the answer is "unknown".
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

START, END, SCAN, RESTARTS = 0xD8, 0xD9, 0xDA, 0xDD
FRAMES = (0xC0, 0xC1)  # sequential, with Huffman codes
HUFFMAN, QUANTISATION = 0xC4, 0xDB
SKIPPED = (*range(0xE0, 0xF0), 0xFE)  # what applications and people note
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # within a scan, but for those that restart it
MOST = 65_500  # rows and columns that decoders take
BLOCKS = 10  # of 8x8 pixels in one unit of a scan, at most
WHOLE_SCAN = bytes((0, 63, 0))  # all coefficients, all bits


@dataclass
class _Tables:
    """What the segments so far have defined."""

    quantisation: set[int] = field(default_factory=set)
    huffman: set[int] = field(default_factory=set)  # 0 to 3, and 16 more where it codes AC
    components: dict[int, int] = field(default_factory=dict)  # id: number of its quantisation


def is_sound(data: bytes) -> bool:
    """Whether a JPEG certainly decodes: sequential, one scan, all tables there, and an end.

    False says only that it must be decoded to know.
    """
    tables = _Tables()
    try:
        for marker, segment, end in _segments(data):
            if marker == SCAN:
                after = MARKER.search(data, end)
                ends = after is not None and after[0][1] == END
                return ends and _is_scan(segment, tables)
            if not _is_understood(marker, segment, tables):
                return False
    except (struct.error, IndexError):
        return False  # a segment is cut
    return False


def _segments(data: bytes) -> Iterator[tuple[int, memoryview, int]]:
    """Markers with their segments' content and where that ends, from the second marker on."""
    if data[:2] != bytes((0xFF, START)):
        return
    view, at = memoryview(data), 2
    while True:
        first, marker, length = struct.unpack_from(">BBH", data, at)
        end = at + 2 + length
        if first != 0xFF or length < 2 or end > len(data):
            return
        yield marker, view[at + 4 : end], end
        at = end


def _is_understood(marker: int, segment: memoryview, tables: _Tables) -> bool:
    if marker in SKIPPED:
        return True
    if marker == RESTARTS:
        return len(segment) == 2
    if marker == QUANTISATION:
        return _quantises(segment, tables)
    if marker == HUFFMAN:
        found = _huffman_tables(bytes(segment))
        tables.huffman |= found
        return bool(found)
    if marker in FRAMES and not tables.components:
        return _is_frame(segment, tables)
    return False


def _quantises(segment: memoryview, tables: _Tables) -> bool:
    at = 0
    while at < len(segment):
        wide, number = divmod(segment[at], 16)
        at += 1 + 64 * (wide + 1)
        if wide > 1 or number > 3:
            return False
        tables.quantisation.add(number)
    return at == len(segment)


@lru_cache(maxsize=64)  # most encoders have one set of tables
def _huffman_tables(segment: bytes) -> frozenset[int]:
    """The numbers of the tables, none where one of them is no code."""
    found, at = set(), 0
    while at < len(segment):
        kind, counts = segment[at], segment[at + 1 : at + 17]
        symbols = segment[at + 17 : at + 17 + sum(counts)]
        at += 17 + sum(counts)
        if kind & 0xEC or at > len(segment) or not _is_code(counts, symbols, ac=kind > 15):
            return frozenset()
        found.add(kind)
    return frozenset(found)


def _is_code(counts: bytes, symbols: bytes, *, ac: bool) -> bool:
    """Whether so many codes of 1 to 16 bits can exist, for symbols that there are."""
    code = 0
    for bits, count in enumerate(counts, 1):
        code += count
        if code >= 1 << bits:  # all ones stay free
            return False
        code <<= 1
    return len(counts) == 16 and len(symbols) <= 256 and (ac or max(symbols, default=0) <= 15)


def _is_frame(segment: memoryview, tables: _Tables) -> bool:
    bits, height, width, count = struct.unpack_from(">BHHB", segment)
    rows = [bytes(segment[at : at + 3]) for at in range(6, len(segment), 3)]
    factors = [divmod(row[1], 16) for row in rows]
    tables.components = {row[0]: row[2] for row in rows}
    return (
        bits == 8
        and 0 < height <= MOST
        and 0 < width <= MOST
        and count in (1, 3)
        and len(segment) == 6 + 3 * count
        and len(tables.components) == count
        and all(across in (1, 2) and down in (1, 2) for across, down in factors)
        and sum(across * down for across, down in factors) <= BLOCKS
    )


def _is_scan(segment: memoryview, tables: _Tables) -> bool:
    """Whether it is the frame's only scan, and all of its tables are there."""
    count = len(tables.components)
    rows = [bytes(segment[at : at + 2]) for at in range(1, 1 + 2 * count, 2)]
    return (
        count > 0
        and segment[0] == count
        and bytes(segment[1 + 2 * count :]) == WHOLE_SCAN
        and [row[0] for row in rows] == list(tables.components)
        and set(tables.components.values()) <= tables.quantisation
        and {row[1] >> 4 for row in rows} | {16 + (row[1] & 15) for row in rows} <= tables.huffman
    )
