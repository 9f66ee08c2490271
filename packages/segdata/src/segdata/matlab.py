"""MAT 5 files, MATLAB's own, as far as index masks need them.

The layout is MathWorks' "MAT-File Format". A file is a header and elements; an element is a type,
a size and data; a matrix is an element made of elements. scipy's reader is not used, for it ends
the whole process where a damaged file misstates a type; here every number is checked.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEADER = 128  # bytes before the first element
ORDERS = {b"IM": "<", b"MI": ">"}  # the header's last two bytes tell the byte order
MATRIX, COMPRESSED = 14, 15
WHOLE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 12: "i8", 13: "u8"}  # element types
TYPES = {*WHOLE, 7, 9, MATRIX, COMPRESSED, 16, 17, 18}  # those, floats and text
STRUCT, WHOLE_ARRAYS = 2, range(8, 16)  # classes of a matrix
COMPLEX = 0x08
MOST = 1 << 28  # bytes that one element may unpack to: far above any mask


@dataclass(frozen=True)
class Matrix:
    """One matrix, its content still elements.

    Attributes:
        kind: its class, such as `STRUCT`.
        flags: bits such as `COMPLEX`.
        shape: its dimensions.
        name: of the variable; empty within a struct.
        parts: type and data of the elements after these.
        order: "<" or ">".
    """

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str
    parts: list[tuple[int, memoryview]]
    order: str

    def fields(self) -> dict[str, "Matrix"]:
        """The fields of a struct of one item; none where it is anything else.

        Raises:
            ValueError: it is not whole.
        """
        if self.kind != STRUCT or math.prod(self.shape) != 1:
            return {}
        (_, width), (_, text) = self.parts[:2] if len(self.parts) > 1 else ((0, b""), (0, b""))
        if len(width) != 4 or not (step := struct.unpack(f"{self.order}i", width)[0]) > 0:
            raise ValueError("a struct without the length of its fields' names")
        names = [bytes(text[i : i + step]).split(b"\0")[0] for i in range(0, len(text), step)]
        if len(names) != len(self.parts) - 2:
            raise ValueError(f"a struct of {len(names)} names and {len(self.parts) - 2} values")
        return {
            name.decode("latin-1"): _matrix(kind, data, self.order)
            for name, (kind, data) in zip(names, self.parts[2:], strict=True)
            if len(data)  # a field that was never set
        }

    def whole_numbers(self) -> NDArray[np.integer] | None:
        """Its content where it is a real array of whole numbers, else None.

        Raises:
            ValueError: it is not whole.
        """
        if self.kind not in WHOLE_ARRAYS or self.flags & COMPLEX:
            return None
        if len(self.parts) != 1 or self.parts[0][0] not in WHOLE:
            raise ValueError("an array of whole numbers without them")
        kind, data = self.parts[0]
        dtype = np.dtype(self.order + WHOLE[kind])
        if len(data) != math.prod(self.shape) * dtype.itemsize:
            raise ValueError(f"{len(data)} bytes for an array of {self.shape}")
        return np.frombuffer(data, dtype).reshape(self.shape, order="F")


def variables(mat: bytes) -> dict[str, Matrix]:
    """The variables of a file by name.

    Raises:
        ValueError: it is no MAT 5 file, or not whole.
    """
    order = ORDERS.get(mat[HEADER - 2 : HEADER])
    if order is None or not mat.startswith(b"MATLAB 5.0"):
        raise ValueError(f"a file that begins with {mat[:19]!r}")
    found = {}
    for kind, data in _elements(memoryview(mat)[HEADER:], order):
        inner = _elements(_unpacked(data), order) if kind == COMPRESSED else [(kind, data)]
        for inner_kind, inner_data in inner:
            matrix = _matrix(inner_kind, inner_data, order)
            found[matrix.name] = matrix
    return found


def _unpacked(data: memoryview) -> memoryview:
    unpacker = zlib.decompressobj()
    try:
        whole = unpacker.decompress(data, MOST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacker.eof:
        raise ValueError(f"a compressed element that is cut, or of more than {MOST:,} bytes")
    return memoryview(whole)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and data of each element, without its padding."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it ends within an element")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        begin = at + 8
        at = begin + size + (-size % 8 if kind != COMPRESSED else 0)
        if kind >> 16:  # the small form: size and type share four bytes, the data has the others
            kind, size, begin = kind & 0xFFFF, kind >> 16, begin - 4
            at = begin + 4
        if kind not in TYPES or begin + size > min(at, len(data)):
            raise ValueError(f"an element of type {kind} and {size:,} bytes")
        yield kind, data[begin : begin + size]


def _matrix(kind: int, data: memoryview, order: str) -> Matrix:
    if kind != MATRIX:
        raise ValueError(f"an element of type {kind} for a matrix")
    parts = list(_elements(data, order))
    if [kind for kind, _ in parts[:3]] != [6, 5, 1] or len(parts[0][1]) != 8:
        raise ValueError("a matrix without class, dimensions and name")
    word = struct.unpack_from(f"{order}I", parts[0][1])[0]
    dimensions = parts[1][1]
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions[: len(dimensions) // 4 * 4])
    if len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"a matrix of {shape}")
    name = bytes(parts[2][1]).decode("latin-1")
    return Matrix(word & 0xFF, word >> 8 & 0xFF, shape, name, parts[3:], order)
