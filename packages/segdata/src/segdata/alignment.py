"""Alignment: whether two thumbnails show the same photo, once one is laid upon the other.

A copy may be cropped or framed a little, so one thumbnail is shifted and stretched until it fits
the other best: Gauss-Newton steps on the squared difference, after Lucas and Kanade (An Iterative
Image Registration Technique, 1981), with gain and offset of the brightness as further unknowns.
What then counts is the correlation of their fine structure alone, with the local contrast evened
out. Meadows under skies agree in everything coarse; only copies agree in detail, and everywhere.
"""

import numpy as np
from numpy.typing import NDArray

STEPS = 8
LIMITS = np.array([0.2, 4.0, 0.2, 4.0], np.float32)  # of the pose: shares of the side, and pixels
DAMPING = 0.03  # keeps the equations solvable where an image has no gradient
EDGE = 0.25  # pixels beyond the last centre that still count as inside
FAINT = 0.05  # of an image's deviation: weaker contrast is noise
REACH = 2  # pixels to each side that fine structure is measured against
LEAST = 1e-9
HOPE = 0.25  # where one way round gives less, so will the other
BATCH = 256

Floats = NDArray[np.float32]


def fine_correlation(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Floats:
    """Correlation of the fine structure of pairs of thumbnails after the best alignment found.

    Args:
        first: uint8 (P, S, S).
        second: uint8 (P, S, S), mirrored already where that is meant.

    Returns:
        float (P,), -1..1; the higher of laying the second upon the first and the reverse.
    """
    scores = [np.empty(0, np.float32)]
    for begin in range(0, len(first), BATCH):
        a, b = (_standard(images[begin : begin + BATCH]) for images in (first, second))
        score = _aligned(a, b)
        likely = score >= HOPE
        score[likely] = np.maximum(score[likely], _aligned(b[likely], a[likely]))
        scores.append(score)
    return np.concatenate(scores)


def _standard(images: NDArray[np.uint8]) -> Floats:
    """Images of mean 0 and variance 1 each."""
    pixels = images.astype(np.float32)
    pixels -= pixels.mean((1, 2), keepdims=True)
    pixels /= np.maximum(pixels.std((1, 2), keepdims=True), LEAST)
    return pixels


def _aligned(fixed: Floats, moving: Floats) -> Floats:
    """The correlation (P,) once the moving images lie upon the fixed ones."""
    pose = np.zeros((len(fixed), 4), np.float32)
    for _ in range(STEPS):
        pose = np.clip(pose + _step(fixed, moving, pose), -LIMITS, LIMITS)
    laid, inside = _laid(moving, pose)
    return _correlation(_fine(fixed), _fine(laid), _eroded(inside))


def _step(fixed: Floats, moving: Floats, pose: Floats) -> Floats:
    """One Gauss-Newton step (P, 4) of the pose; see `_laid` for its meaning."""
    laid, inside = _laid(moving, pose)
    down, across = np.gradient(laid, axis=(1, 2))
    count, side, _ = laid.shape
    at = _centred(side)
    columns = [down * at[:, None], down, across * at, across, laid, np.ones_like(laid)]
    slopes = (np.stack(columns, -1) * inside[..., None]).reshape(count, side**2, len(columns))
    missing = ((fixed - laid) * inside).reshape(count, side**2, 1)
    turned = slopes.transpose(0, 2, 1)
    normal = turned @ slopes + DAMPING * np.eye(len(columns), dtype=np.float32)
    step: Floats = np.linalg.solve(normal, turned @ missing)[:, :4, 0]
    return step


def _centred(side: int) -> Floats:
    return np.arange(side, dtype=np.float32) - (side - 1) / 2


def _laid(images: Floats, pose: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The images at a pose, interpolated bilinearly, and where they were inside.

    Args:
        images: (P, S, S).
        pose: (P, 4): stretch and shift in pixels, first vertical, then horizontal. The pixel at y
            from the centre comes from (1 + stretch) * y + shift.
    """
    side = images.shape[1]
    stretch, shift = pose[:, 0::2, None], pose[:, 1::2, None]
    places = (1 + stretch) * _centred(side) + shift + (side - 1) / 2  # (P, 2, S)
    within = (places >= -EDGE) & (places <= side - 1 + EDGE)
    places = np.clip(places, 0, side - 1)
    whole = np.minimum(places.astype(np.int64), side - 2)
    rest = places - whole
    number = np.arange(len(images))[:, None, None]
    y, x = whole[:, 0, :, None], whole[:, 1, None, :]
    down, across = rest[:, 0, :, None], rest[:, 1, None, :]
    upper = (1 - across) * images[number, y, x] + across * images[number, y, x + 1]
    lower = (1 - across) * images[number, y + 1, x] + across * images[number, y + 1, x + 1]
    return (1 - down) * upper + down * lower, within[:, 0, :, None] & within[:, 1, None, :]


def _fine(images: Floats) -> Floats:
    """Images less their mean over 5 x 5 pixels, over the deviation there.

    So every place counts the same, however weak its contrast: one object that two images share
    makes them no copies of each other.
    """
    mean = _blurred(images)
    deviation = np.sqrt(np.maximum(_blurred(images * images) - mean * mean, 0))
    return ((images - mean) / (deviation + FAINT)).astype(np.float32)


def _blurred(images: Floats) -> Floats:
    """The mean over 5 x 5 pixels, the outermost repeated beyond the edge."""
    blurred = np.pad(images, ((0, 0), (REACH, REACH), (REACH, REACH)), "edge")
    for axis in (1, 2):
        windows = np.lib.stride_tricks.sliding_window_view(blurred, 2 * REACH + 1, axis=axis)
        blurred = windows.mean(-1).astype(np.float32)
    return blurred


def _eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the pixels at the edge of what is inside, whose surroundings are not."""
    padded = np.pad(inside, ((0, 0), (1, 1), (1, 1)))
    vertical = padded[:, :-2] & padded[:, 1:-1] & padded[:, 2:]
    return vertical[:, :, :-2] & vertical[:, :, 1:-1] & vertical[:, :, 2:]


def _correlation(first: Floats, second: Floats, where: NDArray[np.bool_]) -> Floats:
    """Pearson's correlation (P,) over the pixels `where`; 0 where one of them is constant."""
    count = np.maximum(where.sum((1, 2), keepdims=True), 1)
    a, b = (
        np.where(where, x - (x * where).sum((1, 2), keepdims=True) / count, 0)
        for x in (first, second)
    )
    power = (a * a).sum((1, 2)) * (b * b).sum((1, 2))
    product: Floats = (a * b).sum((1, 2)) / np.sqrt(np.maximum(power, LEAST))
    return product
