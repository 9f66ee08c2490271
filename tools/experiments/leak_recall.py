"""How many copies of a photo `segdata check-leaks` finds, and how often it is wrong.

Takes the JPEGs below a folder as photos of which no two are one. Every pair of them that the search
calls one photo is a false alarm (look at it: real data sets do hold duplicates, so pairs are listed
by name). Then it makes copies of a seeded choice of them, one kind at a time, and counts how many
are told to be copies of their photo: recall.

    python tools/experiments/leak_recall.py FOLDER [--copies 400] [--seed 0]
"""

import argparse
import io
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from segdata import alignment, fingerprints
from segdata.duplicates import CERTAIN, SIMILAR

Change = Callable[[Image.Image, random.Random], Image.Image]
SHOWN = 12


def scaled(factor: float) -> Change:
    """Resized by a factor."""
    return lambda image, _: image.resize(
        (max(1, int(image.width * factor)), max(1, int(image.height * factor))),
        Image.Resampling.BICUBIC,
    )


def cropped(most: float) -> Change:
    """Up to so much cut from each side."""

    def crop(image: Image.Image, rng: random.Random) -> Image.Image:
        width, height = image.size
        left, top, right, bottom = (rng.uniform(0, most) for _ in range(4))
        box = (left * width, top * height, width - right * width, height - bottom * height)
        return image.crop(tuple(round(edge) for edge in box))  # type: ignore[arg-type] # four

    return crop


def framed(share: float, color: str) -> Change:
    """A frame of so much of each side."""
    return lambda image, _: ImageOps.expand(
        image, (round(share * image.width), round(share * image.height)), color
    )


def gamma(image: Image.Image, _: random.Random) -> Image.Image:
    """Brightness to the power of 1.5."""
    return image.point([round(255 * (i / 255) ** 1.5) for i in range(256)] * 3)


def everything(image: Image.Image, rng: random.Random) -> Image.Image:
    """Mirrored, halved, grey and cropped."""
    half = scaled(0.5)(ImageOps.mirror(image), rng)
    return cropped(0.03)(half, rng).convert("L")


def same(image: Image.Image, _: random.Random) -> Image.Image:
    """Unchanged."""
    return image


COPIES: dict[str, tuple[Change, dict[str, int]]] = {
    "JPEG quality 20": (same, {"quality": 20}),
    "JPEG quality 50": (same, {"quality": 50}),
    "JPEG quality 95": (same, {"quality": 95}),
    "JPEG 4:4:4, quality 75": (same, {"quality": 75, "subsampling": 0}),
    "JPEG 4:2:0, quality 75": (same, {"quality": 75, "subsampling": 2}),
    "greyscale": (lambda image, _: image.convert("L"), {}),
    "half size": (scaled(0.5), {}),
    "1.7 times the size": (scaled(1.7), {}),
    "160 x 120, nearest, quality 60": (
        lambda image, _: image.resize((160, 120), Image.Resampling.NEAREST),
        {"quality": 60},
    ),
    "mirrored": (lambda image, _: ImageOps.mirror(image), {}),
    "brightness x 1.3": (lambda image, _: ImageEnhance.Brightness(image).enhance(1.3), {}),
    "brightness x 0.7": (lambda image, _: ImageEnhance.Brightness(image).enhance(0.7), {}),
    "contrast x 1.4": (lambda image, _: ImageEnhance.Contrast(image).enhance(1.4), {}),
    "gamma 1.5": (gamma, {}),
    "cropped, up to 3 % a side": (cropped(0.03), {}),
    "cropped, up to 5 % a side": (cropped(0.05), {}),
    "cropped, up to 8 % a side": (cropped(0.08), {}),
    "black frame, 5 % a side": (framed(0.05, "black"), {}),
    "white frame, 15 % a side": (framed(0.15, "white"), {}),
    "mirrored, half, grey, cropped, quality 40": (everything, {"quality": 40}),
}


def encoded(image: Image.Image, options: dict[str, int]) -> bytes:
    """As a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **({"quality": 85} | options))
    return buffer.getvalue()


def recall(
    files: Sequence[Path], thumbnails: NDArray[np.uint8], name: str, seed: int
) -> tuple[float, float]:
    """Share of the copies that are candidates, and that are found."""
    change, options = COPIES[name]
    rng = random.Random(seed)
    copies = []
    for file in files:
        with Image.open(file) as opened:
            copies.append(
                fingerprints.thumbnail(encoded(change(opened.convert("RGB"), rng), options))
            )
    made = np.stack(copies)
    first, second = fingerprints.describe(thumbnails), fingerprints.describe(made)
    straight, turned = (first * second).sum(1), (first * fingerprints.MIRROR * second).sum(1)
    made = np.where((turned > straight)[:, None, None], made[:, :, ::-1], made)
    near = np.maximum(straight, turned) >= SIMILAR
    found = near & (alignment.fine_correlation(thumbnails, made) >= CERTAIN)
    return float(near.mean()), float(found.mean())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    files = sorted(options.folder.rglob("*.jpg"))
    begin = time.perf_counter()
    thumbnails = np.stack([fingerprints.thumbnail(file.read_bytes()) for file in files])
    seconds = time.perf_counter() - begin
    print(f"{len(files):,} photos, {len(files) / seconds:.0f} thumbnails/s in one process")
    false_alarms(files, thumbnails)
    chosen = sorted(random.Random(options.seed).sample(range(len(files)), options.copies))
    print(f"\n| {options.copies} copies each | candidates | found |\n| --- | ---: | ---: |")
    for name in COPIES:
        some = [files[i] for i in chosen]
        near, found = recall(some, thumbnails[chosen], name, options.seed)
        print(f"| {name} | {100 * near:.2f} % | {100 * found:.2f} % |", flush=True)


def false_alarms(files: Sequence[Path], thumbnails: NDArray[np.uint8]) -> None:
    """Print how many pairs of different photos are candidates, and are called one photo."""
    vectors = fingerprints.describe(thumbnails)
    near = fingerprints.near_pairs(vectors, SIMILAR, lambda _: None)
    second = thumbnails[near.second]
    second = np.where(near.mirrored[:, None, None], second[:, :, ::-1], second)
    scores = alignment.fine_correlation(thumbnails[near.first], second)
    pairs = len(files) * (len(files) - 1) // 2
    alarms = int((scores >= CERTAIN).sum())
    print(
        f"{pairs:,} pairs: {len(scores):,} candidates ({1e6 * len(scores) / pairs:.0f} in a "
        f"million), {alarms} called one photo; the nearest others:"
    )
    for i in np.argsort(-scores)[:SHOWN]:
        names = f"{files[near.first[i]].stem} {files[near.second[i]].stem}"
        print(f"  {names}: similarity {near.similarity[i]:.3f}, correlation {scores[i]:.3f}")


if __name__ == "__main__":
    main()
