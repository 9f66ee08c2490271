"""How often the doctor's label checks are right: false alarms on real data, and planted faults.

Takes the images and masks of a shards directory as sound, plants one fault after the other in all
of them, draws sets of images again and again, and asks for each what the doctor would say:

    python tools/experiments/label_checks.py shards/ [--images 250] [--draws 400] [--sizes 16,64]

The table that it prints stands in docs/doctor.md.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain.doctor.blends import blends
from segtrain.doctor.edges import Fit, Floats, fit, profile
from segtrain.doctor.rules.interpolated_masks import BLENDED, FEWEST
from segtrain.samples import load
from segtrain.sampleset import SampleSet
from segtrain.shards import open_shards

Bytes = NDArray[np.uint8]
Pair = tuple[Bytes, Bytes]  # brightness and mask
Fault = Callable[[Sequence[Pair], int], Pair]


def moved(right: int, down: int) -> Fault:
    """The mask lies so many pixels off; what it leaves is void."""

    def plant(pairs: Sequence[Pair], number: int) -> Pair:
        grey, mask = pairs[number]
        out = np.full_like(mask, 255)
        height, width = mask.shape
        to = (
            slice(max(0, down), height + min(0, down)),
            slice(max(0, right), width + min(0, right)),
        )
        of = (
            slice(max(0, -down), height + min(0, -down)),
            slice(max(0, -right), width + min(0, -right)),
        )
        out[to] = mask[of]
        return grey, out

    return plant


def floor_resized(factor: float) -> Fault:
    """The image is resized with antialiasing, the mask by the floor rule, as OpenCV's nearest."""

    def plant(pairs: Sequence[Pair], number: int) -> Pair:
        grey, mask = pairs[number]
        height, width = (max(32, int(side * factor)) for side in mask.shape)
        rows = np.arange(height) * mask.shape[0] // height
        columns = np.arange(width) * mask.shape[1] // width
        image = Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image), mask[rows[:, None], columns]

    return plant


def turned(turn: Callable[[Bytes], Bytes]) -> Fault:
    """Only the mask is mirrored or turned."""
    return lambda pairs, number: (pairs[number][0], turn(pairs[number][1]))


def swapped(pairs: Sequence[Pair], number: int) -> Pair:
    """The mask of the next image, cut or filled up to this one's size."""
    grey, mask = pairs[number][0], pairs[(number + 1) % len(pairs)][1]
    out = np.zeros(grey.shape, np.uint8)
    height, width = (min(sides) for sides in zip(grey.shape, mask.shape, strict=True))
    out[:height, :width] = mask[:height, :width]
    return grey, out


def sound(pairs: Sequence[Pair], number: int) -> Pair:
    """As it is."""
    return pairs[number]


FAULTS: dict[str, Fault] = {
    "none": sound,
    "mask 1 px right": moved(1, 0),
    "mask 2 px right": moved(2, 0),
    "mask 2 px left": moved(-2, 0),
    "mask 2 px down": moved(0, 2),
    "mask 2 px up": moved(0, -2),
    "mask 3 px right and down": moved(3, 3),
    "mask by the floor rule, 0.8": floor_resized(0.8),
    "mask by the floor rule, 0.4": floor_resized(0.4),
    "mask mirrored": turned(lambda mask: mask[:, ::-1]),
    "mask upside down": turned(lambda mask: mask[::-1]),
    "mask of the next image": swapped,
}
RESIZES: dict[str, Callable[[Bytes], Bytes]] = {
    "none": lambda mask: mask,
    "nearest, 0.8": lambda mask: resized(mask, 0.8, Image.Resampling.NEAREST),
    "bilinear, 0.5": lambda mask: resized(mask, 0.5, Image.Resampling.BILINEAR),
    "bilinear, 0.8": lambda mask: resized(mask, 0.8, Image.Resampling.BILINEAR),
    "bilinear, 2": lambda mask: resized(mask, 2, Image.Resampling.BILINEAR),
    "bicubic, 0.8": lambda mask: resized(mask, 0.8, Image.Resampling.BICUBIC),
    "turned by 5 degrees, bilinear": lambda mask: np.asarray(
        Image.fromarray(mask).rotate(5, Image.Resampling.BILINEAR)
    ),
}


def resized(mask: Bytes, factor: float, rule: Image.Resampling) -> Bytes:
    """A mask at another size, interpolated like a picture; void becomes background first."""
    size = (max(1, int(mask.shape[1] * factor)), max(1, int(mask.shape[0] * factor)))
    plain = mask if rule == Image.Resampling.NEAREST else np.where(mask == 255, 0, mask)
    return np.asarray(Image.fromarray(plain.astype(np.uint8)).resize(size, rule))


def read_pairs(samples: SampleSet, count: int) -> list[Pair]:
    """Brightness and masks of some samples, always the same."""
    numbers = np.random.default_rng(0).permutation(len(samples))[:count]
    decoded = (load(samples, int(number)) for number in numbers)
    return [(np.asarray(sample.image.convert("L")), sample.mask) for sample in decoded]


def profiles(pairs: Sequence[Pair], fault: Fault) -> tuple[list[Floats], list[Floats]]:
    """The profiles of all images with this fault, along x and along y."""
    along: tuple[list[Floats], list[Floats]] = ([], [])
    for number in range(len(pairs)):
        grey, mask = fault(pairs, number)
        for found, one in zip(along, (profile(grey, mask), profile(grey.T, mask.T)), strict=True):
            if one is not None:
                found.append(one)
    return along


def verdicts(
    along: tuple[list[Floats], list[Floats]], size: int, draws: int
) -> Iterator[tuple[str, list[Fit]]]:
    """What the doctor says of sets of so many images drawn from these."""
    rng = np.random.default_rng(0)
    for _ in range(draws):
        chosen = [[some[i] for i in rng.permutation(len(some))[:size]] for some in along]
        fits = [one for some in chosen if (one := fit(some))]
        if not fits:
            yield "not examined", fits
        elif not all(one.follows for one in fits):
            yield "unrelated", fits
        else:
            yield "shifted" if any(one.shifted for one in fits) else "sound", fits


def print_alignment(name: str, pairs: Sequence[Pair], sizes: Sequence[int], draws: int) -> None:
    """The table of faults of place."""
    for fault, plant in FAULTS.items():
        along = profiles(pairs, plant)
        for size in sizes:
            found = list(verdicts(along, size, draws))
            said = [word for word, _ in found]
            shares = " | ".join(
                f"{100 * said.count(word) / draws:.1f} %"
                for word in ("sound", "shifted", "unrelated")
            )
            fits = np.array([[one.shift for one in some] for _, some in found])
            mean = ", ".join(f"{value:+.2f}" for value in fits.mean(0))
            spread = ", ".join(f"{value:.2f}" for value in fits.std(0))
            print(f"| {name} | {fault} | {size} | {shares} | {mean} | {spread} |", flush=True)


def print_blends(name: str, masks: Sequence[Bytes]) -> None:
    """The table of interpolated masks."""
    for how, resize in RESIZES.items():
        counted = [blends(resize(mask)) for mask in masks]
        shares = np.array([b.blended / b.borders for b in counted if b.borders >= FEWEST])
        print(
            f"| {name} | {how} | {len(shares):,} | {int((shares >= BLENDED).sum()):,} | "
            f"{100 * np.median(shares):.1f} % | {100 * shares.min():.1f} to "
            f"{100 * shares.max():.1f} % |",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--images", type=int, default=250, help="of each data set and split")
    parser.add_argument("--draws", type=int, default=400, help="of sets of images")
    parser.add_argument("--sizes", default="16,64", help="images of a set")
    options = parser.parse_args()
    shards = open_shards(options.shards)
    parts = [
        (f"{s.datasets[0]} {split}", s) for split in ("train", "val") for s in shards.sets(split)
    ]
    pairs = {name: read_pairs(samples, options.images) for name, samples in parts}
    print("| masks of | resized | masks with 20 borders | found | blended, median | range |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, found in pairs.items():
        print_blends(name, [mask for _, mask in found])
    print("\n| masks of | planted | images | sound | shifted | unrelated | x, y | deviation |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, found in pairs.items():
        print_alignment(name, found, [int(n) for n in options.sizes.split(",")], options.draws)


if __name__ == "__main__":
    main()
