"""Fingerprints: what stays of a photo when it is resized, encoded again, mirrored or recoloured.

A photo's luminance is reduced to 32 x 32 pixels, and its lowest 63 frequencies (discrete cosine
transform) make a vector whose cosine with that of a copy is near 1. This is the perceptual hash of
Zauner (Implementation and Benchmarking of Perceptual Image Hash Functions, 2010) before its last
step: where that keeps one bit a frequency, its sign, we keep a soft sign of the coefficient,
weighted by its frequency since photos have ever less of the higher ones. That costs nothing in an
exhaustive search by matrix products, and finds cropped copies that the bits miss
(`tools/experiments/leak_recall.py`). Mirroring a photo flips the sign of every coefficient of an
odd horizontal frequency, so one search finds mirrored copies too.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VERSION = 1  # of what a copy is: a hold-out is reproducible only by the same one
SIDE = 32  # pixels of a thumbnail
LOW = 8  # frequencies in each direction
FRAME = 0.25  # of a side, at most, that may be frame
PLAIN, ABRUPT, FILLED = 3.0, 12.0, 0.6  # grey levels, and a share of a line; see `_frame`
DETAIL = 1.0  # grey levels: with less contrast between neighbours, a thumbnail says nothing
BLOCK = 1024, 4096  # rows and columns of one matrix product: its result fits the cache

Thumbnails = NDArray[np.uint8]
"""uint8 (N, 32, 32), luminance."""
Vectors = NDArray[np.float32]
"""float32 (N, 63) of length 1; zero where the thumbnail says nothing."""

_FREQUENCY = np.arange(1, LOW * LOW)  # 0, the mean, is left out
_ODD = _FREQUENCY % LOW % 2 == 1  # horizontally
MIRROR = np.where(_ODD, -1, 1).astype(np.float32)
"""A mirrored photo's vector is the photo's times this."""


def _cosines() -> NDArray[np.float64]:
    """Basis of the orthonormal DCT-II, (8, 32)."""
    at = (2 * np.arange(SIDE) + 1) * np.pi / (2 * SIDE)
    basis: NDArray[np.float64] = np.cos(np.arange(LOW)[:, None] * at) * np.sqrt(2 / SIDE)
    basis[0] /= np.sqrt(2)
    return basis


_BASIS = _cosines()
_WEIGHT = np.hypot(*np.divmod(_FREQUENCY, LOW))


def thumbnail(data: bytes) -> Thumbnails:
    """A photo's luminance without a plain frame, uint8 (32, 32).

    A JPEG is decoded at the smallest scale that its blocks give, an eighth at best.

    Raises:
        Exception: it does not decode; one of `images.UNDECODABLE`.
    """
    with Image.open(io.BytesIO(data)) as opened:
        opened.draft("L", (2 * SIDE, 2 * SIDE))
        grey = opened.convert("L")
    box = _content(np.asarray(grey, np.float32))
    small = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)
    return np.asarray(small)


def _content(grey: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what is inside a frame."""
    height, width = grey.shape
    top, bottom = _frame(grey), _frame(grey[::-1])
    left, right = _frame(grey.T), _frame(grey.T[::-1])
    return left, top, width - right, height - bottom


def _frame(lines: NDArray[np.float32]) -> int:
    """How many of the first lines are a frame: plain, of one grey, and unlike most of the next.

    What is cut from one copy must be cut from all of them, so a sky that fades or a studio's
    backdrop that the subject juts into are none.
    """
    most = int(FRAME * len(lines))
    head = lines[: most + 3]
    grey = head[0].mean()
    plain = (head.std(1) < PLAIN) & (abs(head.mean(1) - grey) < PLAIN)
    run = int(np.argmin(plain)) if not plain.all() else len(plain)
    inside = abs(head[run : run + 3] - grey) > ABRUPT  # line `run` may mix both
    if not 0 < run <= most or inside[1:].mean(1).min() < FILLED:
        return 0
    return run if inside[0].mean() >= FILLED else run + 1


def describe(thumbnails: Thumbnails) -> Vectors:
    """The vectors of thumbnails.

    One without detail, such as a black frame or a clear sky, gets a zero vector, which is like
    nothing: its coefficients would be noise, and all such photos would look alike.
    """
    pixels = thumbnails.astype(np.float64)
    # Sums and differences of mirrored columns: a mirrored photo has exactly the opposite ones.
    mirrored = pixels[:, :, ::-1]
    half = slice(SIDE // 2)
    even, odd = (pixels + mirrored)[:, :, half], (pixels - mirrored)[:, :, half]
    columns = np.empty((len(pixels), SIDE, LOW))
    columns[:, :, 0::2] = even @ _BASIS[0::2, half].T
    columns[:, :, 1::2] = odd @ _BASIS[1::2, half].T
    low = (_BASIS @ columns).reshape(len(pixels), LOW * LOW)[:, 1:] * _WEIGHT
    low[detail(thumbnails) < DETAIL] = 0
    scale = np.sqrt((low**2).mean(1, keepdims=True))
    soft = low / np.maximum(abs(low) + scale, 1e-9)
    length = np.sqrt((soft**2).sum(1, keepdims=True))
    vectors: Vectors = (soft / np.maximum(length, 1e-9)).astype(np.float32)
    return vectors


def detail(thumbnails: Thumbnails) -> NDArray[np.float64]:
    """Contrast between neighbouring pixels, float (N,): root mean square of the Laplacian / 4."""
    pixels = thumbnails.astype(np.float64)
    around = pixels[:, 2:, 1:-1] + pixels[:, :-2, 1:-1] + pixels[:, 1:-1, 2:] + pixels[:, 1:-1, :-2]
    contrast: NDArray[np.float64] = pixels[:, 1:-1, 1:-1] - around / 4
    mean: NDArray[np.float64] = (contrast**2).mean((1, 2))
    return np.sqrt(mean)


@dataclass(frozen=True)
class Candidates:
    """Pairs of vectors that are near each other.

    Attributes:
        first: int64 (P,), number of the one, below `second`.
        second: int64 (P,).
        similarity: float32 (P,), cosine.
        mirrored: bool (P,), whether one of them has to be mirrored for it.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float32]
    mirrored: NDArray[np.bool_]


def near_pairs(vectors: Vectors, least: float, progress: Callable[[int], None]) -> Candidates:
    """All pairs whose cosine is at least `least`, mirrored or not; none is missed.

    Every pair is compared, as matrix products over blocks. The cosine of a pair is the sum of a
    part of even and one of odd horizontal frequencies, and mirroring changes the sign of the
    latter, so one pass does for both.

    Args:
        vectors: (N, 63).
        least: cosine, above 0.
        progress: called with the number of vectors that have been compared with all others.
    """
    even, odd = np.ascontiguousarray(vectors[:, ~_ODD]), np.ascontiguousarray(vectors[:, _ODD])
    rows, columns = BLOCK
    found: list[Candidates] = []
    for top in range(0, len(vectors), rows):
        for left in range(top, len(vectors), columns):
            found += _block(even, odd, (top, top + rows), (left, left + columns), least)
        progress(min(top + rows, len(vectors)))
    return Candidates(
        np.concatenate([np.empty(0, np.int64), *(part.first for part in found)]),
        np.concatenate([np.empty(0, np.int64), *(part.second for part in found)]),
        np.concatenate([np.empty(0, np.float32), *(part.similarity for part in found)]),
        np.concatenate([np.empty(0, np.bool_), *(part.mirrored for part in found)]),
    )


def _block(
    even: Vectors, odd: Vectors, rows: tuple[int, int], columns: tuple[int, int], least: float
) -> Iterator[Candidates]:
    """The near pairs between a range of rows and one of columns, each once."""
    same = even[slice(*rows)] @ even[slice(*columns)].T
    change = odd[slice(*rows)] @ odd[slice(*columns)].T
    row, column = np.nonzero(same + abs(change) >= least)
    keep = row + rows[0] < column + columns[0]
    row, column = row[keep], column[keep]
    if len(row):
        parts = same[row, column], change[row, column]
        yield Candidates(row + rows[0], column + columns[0], parts[0] + abs(parts[1]), parts[1] < 0)
