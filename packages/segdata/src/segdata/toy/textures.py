"""The surfaces of the toy's objects: one pattern per class, as a field between two colours.

A pattern is a function of object coordinates, so that it moves and turns with the object. Its
wavelengths are in pixels of the image: a net sees the same stripes on a near and a far cat.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
Pattern = Callable[[Field, Field, np.random.Generator], Field]


def noise(u: Field, v: Field, cell: float, rng: np.random.Generator) -> Field:
    """Smooth value noise, float32 0..1 of u's shape: random lattice values, eased in between.

    Args:
        u: horizontal coordinates in pixels, any shape.
        v: vertical coordinates, of the same shape.
        cell: distance of the lattice points in pixels.
        rng: draws the lattice, which repeats after 16 cells.
    """
    lattice = rng.random((16, 16), dtype=np.float32)
    x, y = u / cell, v / cell
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    i, j = x0.astype(np.int64) & 15, y0.astype(np.int64) & 15
    i1, j1 = (i + 1) & 15, (j + 1) & 15
    top = lattice[j, i] + (lattice[j, i1] - lattice[j, i]) * fx
    bottom = lattice[j1, i] + (lattice[j1, i1] - lattice[j1, i]) * fx
    return np.asarray(top + (bottom - top) * fy, np.float32)


def _wave(phase: Field) -> Field:
    """A smooth wave, 0..1, of period 1."""
    return np.asarray(0.5 + 0.5 * np.cos(2 * np.pi * phase), np.float32)


def _edge(field: Field, at: float, softness: float = 0.08) -> Field:
    """A soft step: 0 below `at`, 1 above."""
    return np.asarray(np.clip((field - at) / softness + 0.5, 0, 1))


def rivets(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Metal sheets: long seams with a row of rivets on each."""
    del rng
    seam = _edge(_wave(v / 7), 0.93)
    rivet = _edge(_wave(u / 3.5) * _wave(v / 7 + 0.5), 0.8)
    return np.maximum(seam, rivet)


def spokes(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """A fine lattice of crossing wires."""
    del rng
    return _edge(np.maximum(_wave((u + v) / 5), _wave((u - v) / 5)), 0.8)


def feathers(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Rows of overlapping scallops, every other row shifted by half."""
    del rng
    row = np.floor(v / 4.5)
    x = (u / 6 + 0.5 * (row % 2)) % 1 - 0.5
    y = (v / 4.5) % 1
    return np.asarray(np.clip(1.6 * np.abs(y - (1 - 3.4 * x * x)), 0, 1), np.float32)


def planks(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Broad level boards with dark joints and a little grain."""
    grain = noise(u / 5, v, 1.5, rng)
    return np.clip(_edge(_wave(v / 6), 0.75) + 0.3 * grain, 0, 1)


def glassy(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Upright soft reflections, as on a glass bottle."""
    del v
    return _wave(u / 9 + float(rng.random())) ** 3


def livery(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Chequered bands, as on a city bus."""
    del rng
    squares = (np.floor(u / 3.5) + np.floor(v / 3.5)) % 2
    return np.asarray(squares * (np.floor(v / 7) % 2), np.float32)


def lacquer(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Slanting broad gleams over a plain lacquer."""
    return _edge(_wave((u + 0.6 * v) / 22 + float(rng.random())), 0.8, 0.5)


def tabby(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Upright wavering stripes of fur."""
    return _edge(_wave((u + 3 * noise(u, v, 7, rng)) / 6.5), 0.55, 0.3)


def grain(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Wood grain: long wavering lines along the vertical."""
    return _wave((u + 5 * noise(u, v / 4, 6, rng)) / 4) ** 2


def patches(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Large black-and-white patches with sharp borders."""
    return _edge(noise(u, v, 11, rng), 0.52, 0.05)


def gingham(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """A checked tablecloth: crossing bands, darkest where two meet."""
    del rng
    return np.asarray(0.5 * (np.floor(u / 4) % 2) + 0.5 * (np.floor(v / 4) % 2), np.float32)


def spots(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Small round spots in staggered rows."""
    del rng
    row = np.floor(v / 5)
    x = (u / 6 + 0.5 * (row % 2)) % 1 - 0.5
    y = (v / 5) % 1 - 0.5
    return _edge(0.1 - (x * x + y * y), 0.03, 0.05)


def hair(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Short slanting hair, soft and fine."""
    slant = noise((u + v) / 4, u - v, 2.2, rng)
    return np.asarray(0.75 * slant + 0.25 * noise(u, v, 14, rng), np.float32)


def weave(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Carbon weave: small squares shaded in turns to the left and upwards."""
    del rng
    x, y = u / 4, v / 4
    over = (np.floor(x) + np.floor(y)) % 2
    return np.asarray(np.where(over > 0, x % 1, y % 1), np.float32)


def hoops(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Level stripes, as on a sailor's shirt."""
    del u, rng
    return _edge(_wave(v / 5), 0.5, 0.2)


def leaves(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Chevrons: the veins of leaves."""
    zigzag = np.abs((u / 9 + float(rng.random())) % 1 - 0.5) * 9
    return _edge(_wave((v + 1.2 * zigzag) / 5), 0.65, 0.3)


def wool(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Curls of wool: rings around jittered centres."""
    x = u + 4 * noise(u, v, 6, rng)
    y = v + 4 * noise(u, v, 6, rng)
    cx, cy = (x / 6) % 1 - 0.5, (y / 6) % 1 - 0.5
    return _wave(np.sqrt(cx * cx + cy * cy) * 2.2) ** 2


def quilt(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Padded diamonds with a button at each crossing."""
    del rng
    a, b = (u + v) / 11, (u - v) / 11
    pad = np.abs(np.sin(np.pi * a) * np.sin(np.pi * b))
    return np.asarray(pad**0.6, np.float32)


def slats(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """A steel carriage: upright ribs in groups under a broad level line."""
    del rng
    ribs = _edge(_wave(u / 3), 0.5, 0.4)
    return np.asarray(np.where((v / 9) % 1 < 0.35, 1.0, 0.6 * ribs), np.float32)


def screen(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Scan lines over drifting light."""
    return np.asarray(0.6 * noise(u, v, 12, rng) + 0.4 * _wave(v / 2.6), np.float32)


def plain(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Almost one colour: slow, faint clouds."""
    return np.asarray(0.5 * noise(u, v, 15, rng), np.float32)


def gores(u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Broad panels side by side, as on an umbrella or a beach ball."""
    del v, rng
    return _edge(_wave(u / 12), 0.5, 0.06)


PATTERNS: Mapping[str, Pattern] = {
    p.__name__: p
    for p in (
        rivets, spokes, feathers, planks, glassy, livery, lacquer, tabby, grain, patches, gingham,
        spots, hair, weave, hoops, leaves, wool, quilt, slats, screen, plain, gores,
    )
}  # fmt: skip
