"""The report: one page, complete in one file, that shows what a shards directory holds.

Charts and layout are in `templates/`; this module counts what they show. Equal shards give equal
bytes: nothing in the page tells when, where or by whom it was made.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from segdata import pictures, provenance
from segdata.census import SplitCensus, take_census
from segdata.engine import Progress
from segdata.info import info_of, percent
from segdata.shards import SIZE_BINS
from segdata.terminal import human_bytes

WIDEST = 80  # classes of the co-occurrence map, the most frequent ones
PAIRS = 12  # pairs of classes that are named
COMMON = 5  # image sizes that are named
STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # widths of a histogram's bins, pixels
COLUMNS = 20  # of a histogram, at most


def report_page(folder: Path, most: int, progress: Progress) -> str:
    """The page as HTML text.

    Args:
        folder: the shards directory.
        most: pictures of the classes, at most; 0 shows none.
        progress: told about facts read and pictures drawn.

    Raises:
        ShardsError: something cannot be read, or the samples do not add up to the manifests.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    census = take_census(folder, progress)
    environment = Environment(
        loader=PackageLoader("segdata"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"bytes": human_bytes, "n": "{:,}".format}
    environment.globals |= {"percent": percent}
    facts = _facts(census) | _drawn(census, most, progress)
    return environment.get_template("report.html.jinja").render(**facts)


def _facts(census: Sequence[SplitCensus]) -> dict[str, Any]:
    """Everything of the page but the pictures."""
    info = info_of(census)
    manifests = {split.dataset: split.manifest for split in census}
    return {
        "title": " + ".join(manifests),
        "info": info,
        "classes": info["classes"],
        "totals": _totals(info),
        "splits": [(d, name, s) for d in info["datasets"] for name, s in d["splits"].items()],
        "datasets": [
            _dataset(facts, [s for s in census if s.dataset == facts["dataset"]])
            for facts in info["datasets"]
        ],
        "together": _together(census, info["classes"]),
        "versions": sorted({m["versions"]["segdata"] for m in manifests.values()}),
    }


def _totals(info: Mapping[str, Any]) -> dict[str, int]:
    splits = [s for d in info["datasets"] for s in d["splits"].values()]
    return {
        "samples": sum(s["samples"] for s in splits),
        "objects": sum(sum(s["objects"]) for s in splits),
        "bytes": sum(s["bytes"] for s in splits),
        "shards": sum(s["shards"] for s in splits),
        "void": sum(s["void_pixels"] for s in splits),
        "pixels": sum(s["void_pixels"] + sum(s["pixels"]) for s in splits),
    }


def _dataset(info: Mapping[str, Any], splits: Sequence[SplitCensus]) -> dict[str, Any]:
    """What the page shows of one data set, beside its entry in `info`."""
    manifest = splits[0].manifest
    return {
        "info": info,
        "name": info["dataset"],
        "options": provenance.option_texts(manifest["options"]),
        "origins": list(provenance.origins(manifest)),
        "sizes": {s.split: provenance.size_text(manifest["options"], s.split) for s in splits},
        "sources": [(s.split, source) for s in splits for source in s.facts["sources"]],
        "left_out": [
            (s.split, reason, entry["count"])
            for s in splits
            for reason, entry in s.facts["left_out"].items()
        ],
        "class_rows": list(_class_rows(info)),
        "image_sizes": _image_sizes(splits),
        "object_sizes": _object_sizes(splits),
    }


def _class_rows(info: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Per class the images, pixels and objects of each split, and how long their bars are, 0..1."""
    splits = info["splits"]
    count = len(next(iter(splits.values()))["pixels"])
    shares = {
        name: {
            "images": [n / max(1, s["samples"]) for n in s["images"]],
            "pixels": [n / max(1, sum(s["pixels"])) for n in s["pixels"]],
        }
        for name, s in splits.items()
    }
    longest = {
        what: max([*(v for s in shares.values() for v in s[what][1:]), 1e-9])
        for what in ("images", "pixels")
    }
    for i in range(count):
        yield {
            "id": i,
            "splits": [
                {
                    "name": name,
                    "images": s["images"][i],
                    "images_bar": min(1.0, shares[name]["images"][i] / longest["images"]),
                    "pixels": percent(s["pixels"][i], sum(s["pixels"])),
                    "pixels_bar": min(1.0, shares[name]["pixels"][i] / longest["pixels"]),
                    "objects": s["objects"][i - 1] if i else None,
                }
                for name, s in splits.items()
            ],
        }


def _image_sizes(splits: Sequence[SplitCensus]) -> dict[str, Any]:
    """Histogram of the longest sides by split, and the sizes that are met most often."""
    longest = [split.sizes.max(1) for split in splits if len(split.sizes)]
    values = np.concatenate(longest) if longest else np.zeros(1, np.int32)
    span = int(values.max()) - int(values.min()) + 1
    step = next((s for s in STEPS if span <= s * (COLUMNS - 1)), -(-span // (COLUMNS - 1)))
    begin = int(values.min()) // step * step
    edges = list(range(begin, int(values.max()) + step + 1, step))
    series = {s.split: _histogram(s.sizes.max(1), edges) for s in splits if len(s.sizes)}
    return {
        "bins": [(f"{a:,}", f"{a:,} to {b - 1:,} px") for a, b in pairwise(edges)],
        "series": _series(series),
        "common": {s.split: _common(s) for s in splits},
    }


def _histogram(values: "np.ndarray[Any, Any]", edges: Sequence[int]) -> list[int]:
    counts, _ = np.histogram(values, [*edges[:-1], edges[-1] - 0.5])
    return [int(n) for n in counts]


def _series(counts: Mapping[str, Sequence[int]]) -> dict[str, list[dict[str, Any]]]:
    """Each split's counts with the height of their columns: shares of the split, the tallest 1."""
    shares = {name: [n / max(1, sum(row)) for n in row] for name, row in counts.items()}
    tallest = max([*(v for row in shares.values() for v in row), 1e-9])
    return {
        name: [
            {"count": n, "share": share, "bar": share / tallest}
            for n, share in zip(counts[name], row, strict=True)
        ]
        for name, row in shares.items()
    }


def _common(split: SplitCensus) -> list[tuple[int, int, int]]:
    """(width, height, images) of the most frequent sizes."""
    sizes, counts = np.unique(split.sizes, axis=0, return_counts=True)
    order = np.lexsort((sizes[:, 0], sizes[:, 1], -counts))[:COMMON]
    return [(int(sizes[i, 1]), int(sizes[i, 0]), int(counts[i])) for i in order]


def _object_sizes(splits: Sequence[SplitCensus]) -> dict[str, Any] | None:
    """Histogram of object areas by split, and of each class; None where there are no objects."""
    tables = {s.split: s.object_sizes for s in splits}
    if not any(table.sum() for table in tables.values()):
        return None
    together = np.sum(list(tables.values()), 0)
    rows = together / np.maximum(1, together.max(1, keepdims=True))
    return {
        "bins": [(_power(k), f"{_power(k)} to {_power(k + 1)} px") for k in range(SIZE_BINS)],
        "series": _series({name: table.sum(0).tolist() for name, table in tables.items()}),
        "classes": [
            (i, int(together[i - 1].sum()), rows[i - 1].tolist(), together[i - 1].tolist())
            for i in range(1, len(together) + 1)
            if together[i - 1].sum()
        ],
    }


def _power(exponent: int) -> str:
    value = 2**exponent
    for unit, size in (("M", 2**20), ("k", 2**10)):
        if value >= size:
            return f"{value // size}{unit}"
    return str(value)


def _together(census: Sequence[SplitCensus], classes: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401 - for the template
    """Which classes occur in one image: a map of shares, and the most frequent pairs in words."""
    counts = np.sum([split.together() for split in census], 0)
    images = counts.diagonal()
    order = np.lexsort((np.arange(len(images)), -images))
    shown = np.sort([int(i) for i in order if images[i]][:WIDEST]).astype(int)
    pairs = [
        (int(counts[a, b]), int(a), int(b))
        for a, b in zip(*np.nonzero(np.triu(counts, 1)), strict=True)
    ]
    return {
        "present": int((images > 0).sum()),
        "ids": [int(i) + 1 for i in shown],
        "rows": [
            {
                "id": int(a) + 1,
                "images": int(images[a]),
                "cells": [(int(b) + 1, int(counts[a, b]), counts[a, b] / images[a]) for b in shown],
            }
            for a in shown
        ],
        "pairs": [
            {
                "a": classes[a + 1]["name"],
                "b": classes[b + 1]["name"],
                "images": n,
                "of_a": percent(n, int(images[a])),
                "of_b": percent(n, int(images[b])),
            }
            for n, a, b in sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))[:PAIRS]
        ],
    }


def _drawn(census: Sequence[SplitCensus], most: int, progress: Progress) -> dict[str, Any]:
    """The pictures of the page: a few large ones, and some of each class, the rarest first."""
    classes = census[0].manifest["classes"]
    chosen = pictures.choose(census, most) if most else {}
    large = pictures.heroes(census) if most else []
    total = len(large) + sum(len(row) for row in chosen.values())
    done = 0

    def counted(picture: pictures.Picture) -> pictures.Picture:
        nonlocal done
        done += 1
        progress("drawing pictures", done, total)
        return picture

    drawn_heroes = [counted(pictures.draw_hero(census, c, classes)) for c in large]
    images = np.sum([split.images() for split in census], 0)
    sheets = [
        {
            "class": classes[class_id],
            "images": int(images[class_id]),
            "pictures": [counted(pictures.draw(census, c, classes)) for c in row],
        }
        for class_id, row in chosen.items()
    ]
    return {
        "heroes": drawn_heroes,
        "sheets": sheets,
        "unseen": sum(1 for n in images[1:] if n) - len(sheets),
    }
