"""A small shards directory written from docs/shards-format.md alone.

Nothing here calls the builder: the format is read from its documentation a second time.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests.segdata.verify.archives import (
    COCO,
    COCO_IDS,
    COLORS,
    MIN_AREA,
    NAMES,
    QUALITY,
    SIZE,
    VOC,
    VOC_IDS,
    YEARS,
    Members,
    coco_annotations,
    describe,
    drawn,
    palette_png,
    picture,
    sbd_indices,
    sbd_mat,
    tar_bytes,
    voc_indices,
)

SBD_EXTRA = ("2010_000006", "2010_000007")  # what VOC does not list
VERSIONS = {"segdata": "0", "pillow": "0", "jpeg": "0", "zlib": "0"}


@dataclass
class Sample:
    """One sample before it is written."""

    facts: dict[str, Any]
    image: bytes
    mask: NDArray[np.uint8]
    areas: list[tuple[int, int]]
    files: list[list[Any]]
    png: bytes = b""


@dataclass
class Shelf:
    """A shards directory in memory, to be altered before it is written."""

    shards: dict[str, list[Sample]]
    left_out: dict[str, dict[str, list[str]]]
    listings: dict[str, list[list[Any]]]
    on_members: dict[str, Callable[[Members], Members]] = field(default_factory=dict)

    def sample(self, shard: str, index: int = 0) -> Sample:
        """One sample of a shard."""
        return self.shards[shard][index]

    def write(self, folder: Path) -> None:
        """Write all of it."""
        folder.mkdir()
        sidecars = {name: self._write_shard(folder, name) for name in self.shards}
        for dataset in sorted({name.split("-")[0] for name in self.shards}):
            chosen = {n: s for n, s in sidecars.items() if n.startswith(dataset)}
            save(folder / f"{dataset}.json", self._manifest(dataset, chosen))
        write_info(folder)

    def _write_shard(self, folder: Path, name: str) -> dict[str, Any]:
        samples = self.shards[name]
        members: Members = []
        for sample in samples:
            key = sample.facts["key"]
            facts = json.dumps(sample.facts, sort_keys=True).encode()
            png = sample.png or grey_png(sample.mask)
            for ending, data in ((".jpg", sample.image), (".json", facts), (".seg.png", png)):
                members.append((tarfile.TarInfo(key + ending), data))
        members = self.on_members.get(name, lambda same: same)(members)
        (folder / f"{name}.tar").write_bytes(tar_bytes(members))
        (folder / f"{name}.idx").write_text(idx_text(members), newline="\n")
        sidecar = self._sidecar(name, samples, folder / f"{name}.tar")
        sidecar["samples"] = len({info.name.split(".")[0] for info, _ in members})
        save(folder / f"{name}.stats.json", sidecar)
        return sidecar

    def _sidecar(self, name: str, samples: list[Sample], tar: Path) -> dict[str, Any]:
        dataset, split, _ = name.split("-")
        content = hashlib.sha256()
        sizes = [[0] * 21 for _ in NAMES]
        for sample in samples:
            facts = sample.facts
            content.update(f"{facts['key']}\0{facts['height']}x{facts['width']}\0".encode())
            content.update(sample.mask.tobytes())
            if (facts["height"], facts["width"]) == (
                facts["source_height"],
                facts["source_width"],
            ):
                content.update(sample.image)
            for class_id, area in sample.areas:
                sizes[class_id - 1][int(np.log2(area))] += 1
        return {
            "format": "segdata/1",
            "shard": tar.name,
            "dataset": dataset,
            "split": split,
            "samples": len(samples),
            "bytes": tar.stat().st_size,
            "sha256": hashlib.sha256(tar.read_bytes()).hexdigest(),
            "content_sha256": content.hexdigest(),
            "pixels": column_sums(s.facts["pixels"] for s in samples),
            "crowd_pixels": sum(s.facts["crowd_pixels"] for s in samples),
            "objects": column_sums(s.facts["objects"] for s in samples),
            "object_sizes": sizes,
            "images": column_sums([int((s.mask == i).any()) for i in (1, 2, 3)] for s in samples),
            "left_out": [],
            "plan_sha256": hashlib.sha256(name.encode()).hexdigest(),
            "made_with": {
                "classes": NAMES,
                "options": options(dataset),
                "seed": 0,
                "versions": VERSIONS,
            },
            "members": sorted(row for s in samples for row in s.files),
        }

    def _views(self, dataset: str) -> dict[str, Any]:
        keys: dict[str, dict[str, None]] = {"train": {}, "val": {}}
        for name, samples in self.shards.items():
            of, split, _ = name.split("-")
            if of == dataset:
                keys[split] |= dict.fromkeys(sample.facts["key"] for sample in samples)
        train, val = (list(keys[split]) for split in ("train", "val"))
        views = {"val100": {"split": "val", "official": 100, "keys": val}}
        if dataset == "voc2012":
            own = [key for key in train if key[8:] in VOC["train"]]
            extra = [key for key in train if key[8:] in SBD_EXTRA]
            views["voc-train"] = {"split": "train", "official": 1464, "keys": own}
            views["sbd-extra"] = {"split": "train", "official": 9118, "keys": extra}
            views["trainaug"] = {"split": "train", "official": 10_582, "keys": train}
            views["voc-val"] = {"split": "val", "official": 1449, "keys": val}
        return views

    def _manifest(self, dataset: str, sidecars: dict[str, Any]) -> dict[str, Any]:
        splits = {}
        for split in ("train", "val"):
            of_split = [s for s in sidecars.values() if s["split"] == split]
            files = [*self.listings[f"{dataset}-{split}"]]
            files += [row for s in of_split for row in s["members"]]
            left_out = self.left_out.get(f"{dataset}-{split}", {})
            available = len((VOC if dataset.startswith("voc") else COCO)[split])
            available += len(SBD_EXTRA) * (f"{dataset}-{split}" == "voc2012-train")
            fields = ("samples", "bytes", "sha256", "content_sha256")
            splits[split] = {
                "samples": sum(s["samples"] for s in of_split),
                "available": available,
                "official": OFFICIAL[dataset][split],
                "complete": False,
                "shards": [{"name": s["shard"], **{f: s[f] for f in fields}} for s in of_split],
                **{f: column_sums(s[f] for s in of_split) for f in ("pixels", "objects", "images")},
                "left_out": {r: {"count": len(i), "ids": i} for r, i in left_out.items()},
                "sources": digests(files),
            }
        policy = "voc" if dataset.startswith("voc") else "segdata"
        return {
            "format": "segdata/1",
            "dataset": dataset,
            "synthetic": False,
            "classes": [
                {"id": i, "name": name, "color": COLORS[i]}
                for i, name in enumerate(["background", *NAMES])
            ],
            "ignore_index": 255,
            "labels": {
                "policy": policy,
                "version": 1,
                "min_area": MIN_AREA if policy == "segdata" else 0,
                "void_border": 0,
            },
            "options": options(dataset),
            "seed": 0,
            "versions": VERSIONS,
            "splits": splits,
            "views": self._views(dataset),
            "complete": False,
        }


OFFICIAL = {
    "voc2012": {"train": 10_582, "val": 1_449},
    "coco2017": {"train": 118_287, "val": 5_000},
}


def options(dataset: str) -> dict[str, Any]:
    return {
        "year": YEARS[dataset],
        "protocol": "trainaug" if dataset.startswith("voc") else "",
        "size": SIZE,
        "val_size": 0,
        "quality": QUALITY,
        "resampling": "bilinear",
        "shard_samples": 2,
        "shard_bytes": 0,
        "limit": 0,
    }


def column_sums(rows: Iterable[list[int]]) -> list[int]:
    return [int(total) for total in np.sum(list(rows), axis=0)]


def digests(files: list[list[Any]]) -> list[dict[str, Any]]:
    groups = groupby(sorted(files), lambda row: row[0].split("/")[0])
    result = []
    for name, group in groups:
        rows = list(group)
        text = "".join(f"{file} {size} {crc:08x}\n" for file, size, crc in rows)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        total = sum(size for _, size, _ in rows)
        result.append({"name": name, "members": len(rows), "bytes": total, "sha256": sha256})
    return result


def idx_text(members: Members) -> str:
    rows, at = [], 0
    for info, data in members:
        key, _, ending = info.name.partition(".")
        rows.append((key, f"{ending} {at + 512} {len(data)} {info.name}"))
        at += 512 + -(-len(data) // 512) * 512
    lines = [" ".join(text for _, text in run) for _, run in groupby(rows, lambda row: row[0])]
    return "\n".join([f"v1.2 {len(lines)}", *lines, ""])


def save(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, sort_keys=True, indent=1))


def write_info(folder: Path) -> None:
    """`info.json`, summed from the manifests of a folder."""
    paths = [p for p in folder.glob("*.json") if "stats" not in p.name and p.name != "info.json"]
    manifests = [json.loads(path.read_bytes()) for path in sorted(paths)]
    splits = {}
    for split in ("train", "val"):
        of = [m["splits"][split] for m in manifests]
        splits[split] = {
            "samples": sum(s["samples"] for s in of),
            "shards": sum(len(s["shards"]) for s in of),
            "bytes": sum(shard["bytes"] for s in of for shard in s["shards"]),
            "pixels": column_sums(s["pixels"] for s in of),
            "datasets": sorted(m["dataset"] for m in manifests),
        }
    info = {
        "format": "segdata/1",
        "synthetic": any(m["synthetic"] for m in manifests),
        "classes": manifests[0]["classes"],
        "ignore_index": 255,
        "complete": all(m["complete"] for m in manifests),
        "datasets": sorted(m["dataset"] for m in manifests),
        "splits": splits,
    }
    save(folder / "info.json", info)


def grey_png(mask: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def voc_sample(split: str, name: str, seed: int, size: tuple[int, int]) -> Sample:
    indices = voc_indices(seed, *size)
    mask = np.vectorize(lambda i: VOC_IDS.get(i, 0), otypes=[np.uint8])(indices)
    image = picture(seed, *size)
    files = [
        describe(f"VOC2012/JPEGImages/{name}.jpg", image),
        describe(f"VOC2012/SegmentationClass/{name}.png", palette_png(indices)),
    ]
    return fitted("voc2012", split, name, f"{name}.jpg", image, mask, files)


def sbd_sample(name: str, size: tuple[int, int]) -> Sample:
    """An image of train with SBD's mask."""
    indices = sbd_indices(name, *size)
    mask = np.vectorize(lambda i: VOC_IDS.get(i, 0), otypes=[np.uint8])(indices)
    image = picture(int(name[-2:]), *size)
    files = [
        describe(f"benchmark_RELEASE/dataset/img/{name}.jpg", image),
        describe(f"benchmark_RELEASE/dataset/cls/{name}.mat", sbd_mat(indices)),
    ]
    return fitted("voc2012", "train", name, f"{name}.jpg", image, mask, files)


def coco_sample(split: str, name: str, size: tuple[int, int]) -> Sample:
    rows = [r for r in coco_annotations(int(name), *size) if r["category_id"] in COCO_IDS]
    ids = [COCO_IDS[row["category_id"]] for row in rows]
    layers = [drawn(row["segmentation"], *size) for row in rows]
    crowd = np.zeros(size, dtype=bool)
    mask = np.zeros(size, dtype=np.uint8)
    areas = [int(layer.sum()) for layer in layers]
    for y, x in np.ndindex(size):  # pixel by pixel: the smallest object wins, then a crowd
        here = [i for i, layer in enumerate(layers) if layer[y, x]]
        crowd[y, x] = any(rows[i]["iscrowd"] for i in here)
        objects = [(areas[i], -i) for i in here if not rows[i]["iscrowd"]]
        mask[y, x] = ids[-min(objects)[1]] if objects else 255 * crowd[y, x]
    image = picture(int(name), *size)
    files = [describe(f"{split}2017/{name:0>12}.jpg", image)]
    sample = fitted("coco2017", split, name, f"{name:0>12}.jpg", image, mask, files, crowd)
    for class_id, area, row in zip(ids, areas, rows, strict=True):
        if not row["iscrowd"]:
            sample.facts["objects"][class_id - 1] += 1
            sample.areas.append((class_id, area))
    return sample


def fitted(
    dataset: str,
    split: str,
    source_id: str,
    file: str,
    image: bytes,
    mask: NDArray[np.uint8],
    files: list[list[Any]],
    crowd: NDArray[np.bool_] | None = None,
) -> Sample:
    """A sample at its split's size."""
    source_height, source_width = height, width = mask.shape
    if split == "train" and max(height, width) > SIZE:
        scale = SIZE / max(height, width)
        height, width = int(height * scale + 0.5), int(width * scale + 0.5)
        rows = [int((i + 0.5) * source_height / height) for i in range(height)]
        columns = [int((i + 0.5) * source_width / width) for i in range(width)]
        mask = np.ascontiguousarray(mask[rows][:, columns])
        crowd = None if crowd is None else crowd[rows][:, columns]
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(image)) as opened:
            opened.resize((width, height), Image.Resampling.BILINEAR).save(
                buffer, "JPEG", quality=QUALITY
            )
        image = buffer.getvalue()
    ending = f"{source_id:0>12}" if dataset == "coco2017" else source_id
    facts = {
        "key": f"{dataset}_{ending}",
        "dataset": dataset,
        "split": split,
        "source_id": source_id,
        "source_file": file,
        "height": height,
        "width": width,
        "source_height": source_height,
        "source_width": source_width,
        "pixels": [int((mask == i).sum()) for i in (0, 1, 2, 3, 255)],
        "objects": [0, 0, 0],
        "crowd_pixels": 0 if crowd is None else int(crowd.sum()),
    }
    return Sample(facts, image, mask, [], files)
