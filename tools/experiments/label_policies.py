"""What each label policy does to COCO's pixels: voided, given to another class, images kept.

    .venv/bin/python tools/experiments/label_policies.py --data FOLDER [--markdown FILE]
        [--pairs N --pictures FOLDER] [--figure FILE]

FOLDER holds COCO's archives or folders, whole or a sample. Per VOC class the pixels under any of
its annotations are counted, and what each policy makes of them. With --pairs, N overlaps of two
objects of different classes are drawn into --pictures, to be judged by eye: which of the two is in
front? Each picture shows the photo, and the same with the smaller object outlined in red, the
larger in blue; `pairs.tsv` says which of them comes first in the file. The pictures are parts of
COCO's photos: do not publish them. --figure draws a scene of simple shapes under each policy.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segdata.classes import ClassSet, voc_color
from segdata.coco import CocoRegion, CocoSample, open_coco
from segdata.labels import IGNORE, LabelPolicy

POLICIES = ("segdata", "torchvision", "gluoncv")
CLASSES = ClassSet.parse("voc")
SPLITS = ("train", "val")
VISIBLE = 200  # pixels of an overlap that an eye can judge
SEED = 0


@dataclass
class Tally:
    """Pixels by class id; those of 21 in sum over the classes."""

    claimed: NDArray[np.int64] = field(default_factory=lambda: np.zeros(22, np.int64))
    void: dict[str, NDArray[np.int64]] = field(
        default_factory=lambda: {name: np.zeros(22, np.int64) for name in POLICIES}
    )
    other: dict[str, NDArray[np.int64]] = field(
        default_factory=lambda: {name: np.zeros(22, np.int64) for name in POLICIES}
    )
    images: int = 0
    labelled: int = 0
    contested: int = 0
    equal: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """Two objects of different classes that overlap.

    Attributes:
        small: index of the one of fewer pixels.
        large: of the other.
        overlap: pixels of both.
    """

    sample: CocoSample
    small: int
    large: int
    overlap: int


def samples(data: Path) -> Iterator[CocoSample]:
    """Every image at hand, none left out."""
    source = open_coco(data, 2017, CLASSES, SPLITS, LabelPolicy("gluoncv"))
    for split in source.splits.values():
        for sample in split.samples:
            assert isinstance(sample, CocoSample)  # noqa: S101 - what that source yields
            yield sample


def count(sample: CocoSample, tally: Tally) -> None:
    """Add one image to the tally."""
    regions, (height, width) = sample.regions(), sample.shape
    masks = {name: LabelPolicy(name).paint(regions, height, width).mask for name in POLICIES}
    by_class = np.zeros((22, height, width), np.bool_)
    layers = np.zeros((height, width), np.int64)
    for region in regions:
        pixels = region.pixels()
        by_class[region.class_id] |= pixels
        layers += pixels & (not region.crowd)
    for class_id in range(1, 21):
        claim = by_class[class_id]
        tally.claimed[[class_id, 21]] += np.count_nonzero(claim)
        for name, mask in masks.items():
            void = np.count_nonzero(mask[claim] == IGNORE)
            kept = np.count_nonzero(mask[claim] == class_id)
            tally.void[name][[class_id, 21]] += void
            tally.other[name][[class_id, 21]] += np.count_nonzero(claim) - void - kept
    contested = (layers > 1) & (by_class.sum(axis=0) > 1)
    tally.images += 1
    tally.labelled += int(np.count_nonzero(by_class.any(axis=0)))
    tally.contested += int(np.count_nonzero(contested))
    for name in ("gluoncv", "torchvision"):
        equal = np.count_nonzero((masks["segdata"] == masks[name]) & contested)
        tally.equal[name] = tally.equal.get(name, 0) + int(equal)


def kept(data: Path, name: str) -> dict[str, tuple[int, int]]:
    """Images that a policy keeps, and images listed, by split."""
    policy = LabelPolicy(name)
    source = open_coco(data, 2017, CLASSES, SPLITS, policy)
    found = {}
    for split, listed in source.splits.items():
        masks = (policy.paint(s.regions(), *s.shape).mask for s in listed.samples)
        count = sum(policy.rejects_mask(split, mask) is None for mask in masks)
        found[split] = count, listed.available
    return found


def table(tally: Tally) -> list[list[str]]:
    """Rows of text: classes down, policies across."""
    rows = [["class", "pixels under it (1,000)"]]
    rows[0] += [f"{name}: {what}" for name in POLICIES for what in ("void %", "other class %")]
    for class_id in range(1, 22):
        claimed = int(tally.claimed[class_id])
        name = "all" if class_id == 21 else CLASSES.names[class_id - 1]
        row = [name, f"{claimed / 1000:,.0f}"]
        for policy in POLICIES:
            parts = tally.void[policy][class_id], tally.other[policy][class_id]
            row += [f"{100 * part / max(claimed, 1):.2f}" for part in parts]
        rows.append(row)
    return rows


def pairs(sample: CocoSample) -> Iterator[Pair]:
    """Its overlapping objects of different classes, crowds apart."""
    regions = sample.regions()
    pixels = [region.pixels() for region in regions]
    for i, first in enumerate(regions):
        for j in range(i):
            if first.crowd or regions[j].crowd or first.class_id == regions[j].class_id:
                continue
            overlap = int(np.count_nonzero(pixels[i] & pixels[j]))
            if overlap >= VISIBLE:
                small, large = sorted((i, j), key=lambda k: (regions[k].area, -k))
                yield Pair(sample, small, large, overlap)


def draw(pair: Pair) -> Image.Image:
    """The photo around an overlap, and the same with both outlines."""
    regions = pair.sample.regions()
    small, large = regions[pair.small].pixels(), regions[pair.large].pixels()
    rows, columns = np.nonzero(small & large)
    photo = Image.open(BytesIO(pair.sample.image.read())).convert("RGB")
    marked = np.asarray(photo).copy()
    for mask, colour in ((large, (40, 90, 255)), (small, (255, 30, 30))):
        marked[_edge(mask)] = colour
    margin = 30 + max(np.ptp(rows), np.ptp(columns)) // 2
    box = (
        int(max(0, columns.min() - margin)),
        int(max(0, rows.min() - margin)),
        int(min(photo.width, columns.max() + margin)),
        int(min(photo.height, rows.max() + margin)),
    )
    crops = [picture.crop(box) for picture in (photo, Image.fromarray(marked))]
    scale = 380 / max(crops[0].size)
    size = tuple(max(1, round(side * scale)) for side in crops[0].size)
    sheet = Image.new("RGB", (780, 410), "white")
    for place, crop in enumerate(crops):
        sheet.paste(crop.resize((size[0], size[1])), (place * 390, 25))
    return sheet


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def draw_pairs(found: list[Pair], count: int, folder: Path) -> None:
    """Draw a random choice, six on a sheet, with the rules' answers in a table."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(SEED).permutation(len(found))[:count]
    lines = ["pair\timage\tsmaller (red)\tlarger (blue)\toverlap\tfirst in file"]
    for begin in range(0, len(order), 6):
        sheet = Image.new("RGB", (1570, 1240), "white")
        for place, number in enumerate(order[begin : begin + 6].tolist()):
            pair, shown = found[number], draw(found[number])
            regions = pair.sample.regions()
            names = [_name(regions[k]) for k in (pair.small, pair.large)]
            first = "smaller" if pair.small < pair.large else "larger"
            text = f"{begin + place}: {names[0]} (red) / {names[1]} (blue)"
            ImageDraw.Draw(shown).text((4, 6), text, "black")
            sheet.paste(shown, (790 * (place % 2), 413 * (place // 2)))
            row = (begin + place, pair.sample.source_id, *names, pair.overlap, first)
            lines.append("\t".join(map(str, row)))
        sheet.save(folder / f"pairs_{begin // 6}.png")
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n")


def _name(region: CocoRegion) -> str:
    return CLASSES.names[region.class_id - 1]


@dataclass(frozen=True)
class Shape:
    """A region of the figure."""

    class_id: int
    crowd: bool
    drawn: NDArray[np.bool_]

    @property
    def area(self) -> int:
        """Its pixels."""
        return int(np.count_nonzero(self.drawn))

    def pixels(self) -> NDArray[np.bool_]:
        """Where it is, bool (H, W)."""
        return self.drawn

    def columns(self) -> tuple[int, NDArray[np.bool_]]:
        """All of them."""
        return 0, self.drawn


def scene(scale: int = 3) -> list[Shape]:
    """A table with a bottle, two persons, and a crowd of persons behind one of them."""
    ids = {name: class_id for class_id, name in enumerate(CLASSES.names, 1)}
    outlines = [
        ("diningtable", False, [(5, 62), (60, 62), (72, 98), (2, 98)], 0),
        ("bottle", False, [(27, 42), (35, 42), (37, 76), (25, 76)], 0),
        ("person", False, [(82, 34), (106, 34), (110, 98), (78, 98)], 12),
        ("person", False, [(100, 44), (122, 44), (128, 98), (96, 98)], 11),
        ("person", True, [(78, 8), (158, 8), (158, 52), (78, 52)], 0),
    ]
    shapes = []
    for name, crowd, points, head in outlines:
        canvas = Image.new("L", (160 * scale, 100 * scale))
        pen = ImageDraw.Draw(canvas)
        pen.polygon([(x * scale, y * scale) for x, y in points], fill=1)
        if head:
            middle, top = (points[0][0] + points[1][0]) / 2, points[0][1]
            pen.circle((middle * scale, (top - 3) * scale), head * scale * 0.8, fill=1)
        shapes.append(Shape(ids[name], crowd, np.asarray(canvas) > 0))
    return shapes


def draw_figure(file: Path) -> None:
    """The scene's outlines, and what each policy makes of them, in VOC's colours."""
    shapes = scene()
    height, width = shapes[0].drawn.shape
    outlined = np.full((height, width, 3), 255, np.uint8)
    colours = np.array([voc_color(i) for i in range(256)], np.uint8)
    for shape in shapes:
        outlined[_edge(_edge_inside(shape.drawn)) | _edge(shape.drawn)] = (
            (150, 150, 150) if shape.crowd else colours[shape.class_id]
        )
    panels = {"as annotated (grey: a crowd)": outlined}
    for name in POLICIES:
        panels[name] = colours[LabelPolicy(name).paint(shapes, height, width).mask]
    sheet = Image.new("RGB", (2 * width + 30, 2 * (height + 34) + 10), "white")
    for place, (name, panel) in enumerate(panels.items()):
        x, y = 10 + place % 2 * (width + 10), 28 + place // 2 * (height + 34)
        sheet.paste(Image.fromarray(panel), (x, y))
        pen = ImageDraw.Draw(sheet)
        pen.rectangle((x - 1, y - 1, x + width, y + height), outline=(120, 120, 120))
        pen.text((x, y - 20), name, "black", font_size=15)
    sheet.save(file)


def _edge_inside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask & ~_edge(mask)


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--markdown", type=Path, help="write the table here as well")
    parser.add_argument("--pairs", type=int, default=0, help="overlaps to draw")
    parser.add_argument("--pictures", type=Path, default=Path("pairs"))
    parser.add_argument("--figure", type=Path, help="draw a scene under each policy, and end")
    given = parser.parse_args()
    if given.figure:
        draw_figure(given.figure)
        return
    tally, found = Tally(), list[Pair]()
    for sample in samples(given.data):
        count(sample, tally)
        found += pairs(sample)
    rows = table(tally)
    print(f"{tally.images} images, {tally.labelled:,} pixels under any annotation")
    share = 100 * tally.contested / tally.labelled
    print(f"{tally.contested:,} of them ({share:.2f} %) under objects of two classes or more")
    for name, equal in tally.equal.items():
        print(f"segdata and {name} agree on {100 * equal / tally.contested:.1f} % of these")
    smaller = sum(pair.small < pair.large for pair in found)
    print(f"{len(found)} pairs share {VISIBLE} px or more; of {smaller} the smaller comes first")
    for name in POLICIES:
        images = [f"{n} of {of} {split}" for split, (n, of) in kept(given.data, name).items()]
        print(f"{name} keeps {', '.join(images)}")
    for row in rows:
        print("\t".join(row))
    if given.markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "| --- |" + " ---: |" * (len(rows[0]) - 1))
        given.markdown.write_text("\n".join(lines) + "\n")
    if given.pairs:
        draw_pairs(found, given.pairs, given.pictures)


if __name__ == "__main__":
    main()
