"""Info: the facts of a shards directory for a trainer, as JSON, and for people, as tables.

`docs/commands/info.md` describes the JSON.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdata import balance, provenance
from segdata.census import SplitCensus, take_census
from segdata.engine import Progress
from segdata.tables import Table, class_cell, subsets_tables
from segdata.terminal import human_bytes

FORMAT = "segdata-info/1"


def shards_info(folder: Path, progress: Progress) -> dict[str, Any]:
    """Everything that `segdata info` tells of a shards directory, as JSON's types.

    Raises:
        ShardsError: something cannot be read, or the samples do not add up to the manifests.
    """
    census = take_census(folder, progress)
    return info_of(census)


def info_of(census: Sequence[SplitCensus]) -> dict[str, Any]:
    """The same, of a census that has been taken."""
    manifests = {split.dataset: split.manifest for split in census}
    first = census[0].manifest
    return {
        "format": FORMAT,
        "classes": first["classes"],
        "ignore_index": first["ignore_index"],
        "synthetic": any(m["synthetic"] for m in manifests.values()),
        "complete": all(m["complete"] for m in manifests.values()),
        "warnings": list(provenance.warnings(manifests)),
        "datasets": [
            _dataset(manifest, [s for s in census if s.dataset == name])
            for name, manifest in manifests.items()
        ],
        "together": {
            split: _counts([s for s in census if s.split == split])
            for split in dict.fromkeys(s.split for s in census)
        },
    }


def _dataset(manifest: Mapping[str, Any], splits: Sequence[SplitCensus]) -> dict[str, Any]:
    copied = ("dataset", "synthetic", "complete", "labels", "options", "seed", "versions")
    return {field: manifest[field] for field in copied} | {
        "policy": provenance.policy_text(manifest),
        "command": provenance.build_command(manifest),
        "views": {
            name: {
                "split": view["split"],
                "official": view["official"],
                "samples": len(view["keys"]),
            }
            for name, view in sorted(manifest["views"].items())
        },
        "splits": {s.split: _split(s) for s in splits},
    }


def _split(split: SplitCensus) -> dict[str, Any]:
    facts = split.facts
    return {
        "available": facts["available"],
        "official": facts["official"],
        "complete": facts["complete"],
        "shards": len(facts["shards"]),
        "bytes": sum(shard["bytes"] for shard in facts["shards"]),
        "height": _range(split.sizes[:, 0]),
        "width": _range(split.sizes[:, 1]),
    } | _counts([split])


def _range(values: NDArray[np.int32]) -> list[int]:
    return [int(values.min()), int(values.max())] if len(values) else [0, 0]


def _counts(splits: Sequence[SplitCensus]) -> dict[str, Any]:
    """Counts over one split, or over those of several data sets, and what follows from them."""
    pixels, images, present = (
        [sum(column) for column in zip(*rows, strict=True)]
        for rows in (
            [s.labelled for s in splits],
            [s.images() for s in splits],
            [s.present() for s in splits],
        )
    )
    objects = [sum(column) for column in zip(*(s.facts["objects"] for s in splits), strict=True)]
    floor = balance.all_background(pixels)
    return {
        "samples": sum(s.facts["samples"] for s in splits),
        "pixels": pixels,
        "void_pixels": sum(s.facts["pixels"][-1] for s in splits),
        "images": images,
        "present_pixels": present,
        "objects": objects,
        "weights": {
            "median_frequency": balance.median_frequency(pixels, present),
            "inverse_log": balance.inverse_log(pixels),
        },
        "prior_entropy": balance.prior_entropy(pixels),
        "uniform_entropy": math.log(len(pixels)),
        "all_background": {
            "pixel_accuracy": floor.pixel_accuracy,
            "mean_iou": floor.mean_iou,
            "classes": floor.classes,
        },
    }


def info_tables(info: Mapping[str, Any]) -> Iterator[Table]:
    """What people read: splits, how they were made, classes, weights and floors."""
    splits = [(d, name, s) for d in info["datasets"] for name, s in d["splits"].items()]
    yield _split_table(splits)
    yield from (_made_table(dataset) for dataset in info["datasets"])
    yield from subsets_tables(
        [
            (f"{d['dataset']} {name}", view["split"], view["samples"], view["official"])
            for d in info["datasets"]
            for name, view in d["views"].items()
        ]
    )
    yield from (_class_table(info, dataset) for dataset in info["datasets"])
    yield _weight_table(info)
    yield _floor_table(info, splits)


Splits = Sequence[tuple[Mapping[str, Any], str, Mapping[str, Any]]]


def _split_table(splits: Splits) -> Table:
    rows = [
        [
            f"{dataset['dataset']} {name}",
            f"{split['samples']:,}",
            f"{split['available']:,}",
            f"{split['official']:,}",
            f"{split['shards']:,}",
            human_bytes(split["bytes"]),
            "{}-{}".format(*split["width"]),
            "{}-{}".format(*split["height"]),
            f"{sum(split['objects']):,}",
            percent(split["void_pixels"], split["void_pixels"] + sum(split["pixels"])),
        ]
        for dataset, name, split in splits
    ]
    columns = ["split", "images", "in the source", "official", "shards", "size", "width", "height"]
    return "Splits", [*columns, "objects", "void pixels"], rows


def _made_table(dataset: Mapping[str, Any]) -> Table:
    labels = dataset["labels"]
    rows = [
        ["labels", f"{labels['policy']} {labels['version']}: {dataset['policy']}"],
        *(list(pair) for pair in provenance.option_texts(dataset["options"])),
        ["seed", str(dataset["seed"])],
        ["versions", ", ".join(f"{k} {v}" for k, v in sorted(dataset["versions"].items()))],
    ]
    if dataset["command"]:
        rows.append(["the same again", dataset["command"]])
    mark = " (generated data)" if dataset["synthetic"] else ""
    return f"How {dataset['dataset']} was made{mark}", ["option", "value"], rows


def _class_table(info: Mapping[str, Any], dataset: Mapping[str, Any]) -> Table:
    splits = dataset["splits"]
    rows = [
        [
            class_cell(row),
            *(
                cell
                for split in splits.values()
                for cell in (
                    f"{split['images'][row['id']]:,}",
                    percent(split["pixels"][row["id"]], sum(split["pixels"])),
                )
            ),
        ]
        for row in info["classes"]
    ]
    columns = ["class", *(f"{name} {what}" for name in splits for what in ("images", "pixels"))]
    return f"Classes of {dataset['dataset']}", columns, rows


def _weight_table(info: Mapping[str, Any]) -> Table:
    """Weights of train, over all data sets; of val where there is no train."""
    split = "train" if "train" in info["together"] else "val"
    weights = info["together"][split]["weights"]
    rows = [
        [
            class_cell(row),
            f"{weights['median_frequency'][row['id']]:.4f}",
            f"{weights['inverse_log'][row['id']]:.4f}",
        ]
        for row in info["classes"]
    ]
    columns = ["class", "median frequency", "inverse log"]
    return f"Class weights of {split}, all data sets together", columns, rows


def _floor_table(info: Mapping[str, Any], splits: Splits) -> Table:
    named = [(f"{dataset['dataset']} {name}", split) for dataset, name, split in splits]
    if len(info["datasets"]) > 1:
        named += [(f"all {name}", split) for name, split in info["together"].items()]
    rows = [
        [
            name,
            f"{split['uniform_entropy']:.4f}",
            f"{split['prior_entropy']:.4f}",
            f"{100 * split['all_background']['pixel_accuracy']:.2f} %",
            f"{100 * split['all_background']['mean_iou']:.2f} %",
            str(split["all_background"]["classes"]),
        ]
        for name, split in named
    ]
    columns = ["split", "loss of equal scores", "loss of class prior"]
    columns += ["background's accuracy", "background's mean IoU", "classes"]
    return "Floors: equal scores, the class prior, background everywhere", columns, rows


def percent(part: float, whole: float) -> str:
    """A share with two decimals."""
    return f"{100 * part / whole:.2f} %" if whole else "0.00 %"
