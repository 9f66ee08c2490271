"""Small folders of images and masks, as files by name, in the layouts that people have."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZES = [(20, 30), (1, 9), (33, 7), (64, 64), (90, 61), (48, 80)]


def encoded(pixels: NDArray[Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    """The pixels as an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colour, uint8 (H, W, 3), another one for each seed."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * (3 + seed % 4) + 40 * c + y * (seed % 5)) % 256 for c in range(3)]
    return np.stack(planes, -1).astype(np.uint8)


def blocks(height: int, width: int, seed: int, values: int) -> NDArray[np.int64]:
    """Blocks of 4 pixels of the numbers 0..values-1, (H, W)."""
    random = np.random.default_rng(seed)
    cells = random.integers(0, values, (height // 4 + 1, width // 4 + 1))
    return np.kron(cells, np.ones((4, 4), np.int64))[:height, :width]


@dataclass
class FolderSet:
    """Images and masks by name, and what every pixel of each mask means.

    Attributes:
        images: files by name below the images' root.
        masks: likewise.
        truth: our ids of every mask's pixels, by id.
    """

    images: dict[str, bytes] = field(default_factory=dict)
    masks: dict[str, bytes] = field(default_factory=dict)
    truth: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


CITIES = {"train": ("aachen", "bochum"), "val": ("lindau",), "test": ("bonn",)}


def cityscapes(ids: Mapping[int, int], per_city: int = 2) -> FolderSet:
    """Cityscapes' tree: three masks an image, cities below train, val and test."""
    found = FolderSet()
    for split, cities in CITIES.items():
        for city in cities:
            for number in range(per_city):
                stem = f"{split}/{city}/{city}_{number:06d}_000019"
                seed = len(found.truth)
                values = blocks(*SIZES[seed % len(SIZES)], seed, 34)
                found.images[f"{stem}_leftImg8bit.png"] = encoded(photo(*values.shape, seed))
                names = f"{stem}_gtFine_"
                found.masks[f"{names}labelIds.png"] = encoded(values.astype(np.uint8))
                found.masks[f"{names}instanceIds.png"] = encoded((values * 1000).astype(np.uint16))
                found.masks[f"{names}polygons.json"] = b"{}"
                table = np.array([ids[i] for i in range(34)], np.uint8)
                found.truth[stem] = table[values]
    return found


COLORS = {0: (0, 0, 0), 1: (200, 30, 40), 2: (10, 90, 250), 255: (255, 255, 255)}


def plain(count: int, kind: str = "index") -> FolderSet:
    """Images and masks of one name: classes 1 and 2, as `index`, `palette`, `color` or `16 bits`.

    Of 16 bits the ids are 0, 300, 60000 and 65535 for ignore.
    """
    found = FolderSet()
    for seed in range(count):
        values = blocks(*SIZES[seed % len(SIZES)], seed, 4)
        truth = np.array([0, 1, 2, 255], np.uint8)[values]
        found.images[f"{seed:03d}.jpg"] = encoded(photo(*values.shape, seed), "JPEG")
        found.masks[f"{seed:03d}.png"] = encoded(drawn(truth, kind))
        found.truth[f"{seed:03d}"] = truth
    return found


def drawn(truth: NDArray[np.uint8], kind: str) -> NDArray[Any] | Image.Image:
    """A mask of our ids as some tool would have drawn it."""
    if kind == "palette":
        image = Image.frombytes("P", truth.shape[::-1], truth.tobytes())
        image.putpalette([channel for i in range(256) for channel in COLORS.get(i, (i, i, i))])
        return image
    if kind == "color":
        return np.array([COLORS.get(i, (0, 0, 0)) for i in range(256)], np.uint8)[truth]
    if kind == "16 bits":
        table = np.zeros(256, np.uint16)
        table[[1, 2, 255]] = 300, 60000, 65535
        return table[truth]
    return truth


CLASSES = {
    "index": 'ignore = [255]\nclasses = ["leaf", "stem"]',
    "palette": 'ignore = [255]\nclasses = ["leaf", "stem"]',
    "color": 'ignore = ["#ffffff"]\n[[classes]]\nname = "leaf"\ncolor = "#c81e28"\n'
    '[[classes]]\nname = "stem"\ncolor = [10, 90, 250]',
    "16 bits": 'ignore = [65535]\n[[classes]]\nname = "leaf"\nids = [300]\n'
    '[[classes]]\nname = "stem"\nids = [60000]',
}
