"""A toy mask as SBD stores it: a MAT 5 file whose bytes depend on the ids alone."""

import struct
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

ROOT = "benchmark_RELEASE/dataset"
_TEXT = b"MATLAB 5.0 MAT-file, synthetic: made by segdata toy"
_VERSION = b"\x00\x01IM"  # and the byte order: little-endian
_INT8, _UINT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 2, 5, 6, 14, 15
_STRUCT, _UINT8_ARRAY = 2, 9  # classes of a matrix
_NAME = 32  # bytes of a field's name


def encode_mask(ids: NDArray[np.uint8]) -> bytes:
    """`GTcls` with `Segmentation`, uint8 (H, W), and `CategoriesPresent`, as SBD has them."""
    present = np.setdiff1d(ids, [0]).astype(np.uint8)[None]
    fields = {"Segmentation": ids, "CategoriesPresent": present}
    names = b"".join(name.encode().ljust(_NAME, b"\0") for name in fields)
    parts = [_element(_INT32, struct.pack("<i", _NAME)), _element(_INT8, names)]
    parts += [_array(value) for value in fields.values()]
    whole = _matrix(_STRUCT, (1, 1), b"GTcls", parts)
    packed = zlib.compress(whole)
    return b"".join(
        [_TEXT.ljust(124), _VERSION, struct.pack("<II", _COMPRESSED, len(packed)), packed]
    )


def _array(values: NDArray[np.uint8]) -> bytes:
    data = _element(_UINT8, values.tobytes(order="F"))
    return _matrix(_UINT8_ARRAY, values.shape, b"", [data])


def _matrix(kind: int, shape: tuple[int, ...], name: bytes, parts: Iterable[bytes]) -> bytes:
    head = [
        _element(_UINT32, struct.pack("<II", kind, 0)),
        _element(_INT32, struct.pack(f"<{len(shape)}i", *shape)),
        _element(_INT8, name),
    ]
    return _element(_MATRIX, b"".join([*head, *parts]))


def _element(kind: int, data: bytes) -> bytes:
    """Type, size and data, filled up to a multiple of eight bytes."""
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)
