"""MAT 5 files, read a second time: one pass over the bytes, structs as dicts, arrays as arrays."""

import struct
import zlib
from typing import Any

import numpy as np

NUMBERS = {
    1: np.int8,
    2: np.uint8,
    3: np.int16,
    4: np.uint16,
    5: np.int32,
    6: np.uint32,
    7: np.float32,
    9: np.float64,
    12: np.int64,
    13: np.uint64,
}
LARGEST = 1 << 28  # bytes of an unpacked variable


def load_mat(data: bytes) -> dict[str, Any]:
    """The variables of a file: structs of one item as dicts, real numbers as arrays, else None.

    Raises:
        ValueError: it is no MAT 5 file of little-endian numbers, or not whole.
    """
    if data[124:128] != b"\x00\x01IM":
        raise ValueError("no MAT 5 file")
    found: dict[str, Any] = {}
    reader = _Reader(data, 128)
    while reader.at < len(data):
        kind, content = reader.next()
        if kind == 15:
            inflate = zlib.decompressobj()
            try:
                content = inflate.decompress(content, LARGEST)
            except zlib.error as error:
                raise ValueError(f"a variable does not unpack: {error}") from error
            if not inflate.eof:
                raise ValueError("a variable is cut")
            kind, content = _Reader(content, 0).next()
        name, value = _variable(kind, content)
        found[name] = value
    return found


class _Reader:
    """Takes one element after the other from a stretch of bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def next(self) -> tuple[int, bytes]:
        """Type and content of the next element."""
        tag = self.data[self.at : self.at + 8]
        if len(tag) < 8:
            raise ValueError("an element is missing")
        small, size_if_small = struct.unpack("<HH", tag[:4])
        if size_if_small:
            self.at += 8
            if size_if_small > 4:
                raise ValueError("a short element is too long")
            return small, tag[4 : 4 + size_if_small]
        kind, size = struct.unpack("<II", tag)
        begin = self.at + 8
        content = self.data[begin : begin + size]
        if len(content) < size:
            raise ValueError("an element is cut")
        self.at = begin + size if kind == 15 else begin + (size + 7) // 8 * 8
        return kind, content


def _variable(kind: int, content: bytes) -> tuple[str, Any]:
    """Name and value of a matrix."""
    if kind != 14:
        raise ValueError(f"type {kind} where a matrix should be")
    if not content:
        return "", None  # a field that was never set
    reader = _Reader(content, 0)
    flags, dimensions, name = (reader.next()[1] for _ in range(3))
    if len(flags) != 8 or len(dimensions) % 4 or len(dimensions) < 8:
        raise ValueError("a matrix has no class or no dimensions")
    matrix_class, is_complex = flags[0], bool(flags[1] & 8)
    shape = [int(n) for n in np.frombuffer(dimensions, "<i4")]
    value: Any = None
    if matrix_class == 2 and shape == [1, 1]:
        value = _struct(reader)
    elif 6 <= matrix_class <= 15 and not is_complex:
        kind, data = reader.next()
        if kind not in NUMBERS:
            raise ValueError(f"numbers of type {kind}")
        flat = np.frombuffer(data, np.dtype(NUMBERS[kind]).newbyteorder("<"))
        value = flat.reshape(shape[::-1]).T  # columns come first
    return name.decode("latin-1"), value


def _struct(reader: _Reader) -> dict[str, Any]:
    length = int.from_bytes(reader.next()[1], "little")
    text = reader.next()[1]
    if not length or len(text) % length:
        raise ValueError("a struct has no names")
    names = [text[i : i + length].split(b"\0")[0] for i in range(0, len(text), length)]
    return {name.decode("latin-1"): _variable(*reader.next())[1] for name in names}
