"""Tables of a manifest: what was built, what was left out, and where the pixels are."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segdata.terminal import human_bytes

Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, rows."""


def build_tables(manifest: Mapping[str, Any], out: Path) -> Iterator[Table]:
    """Images, shards and bytes a split; what was left out and why; subsets; pixels a class."""
    mark = " (generated data)" if manifest["synthetic"] else ""
    yield _splits(manifest, f"{manifest['dataset']} in {out}{mark}")
    left_out = list(_left_out(manifest["splits"]))
    if left_out:
        yield "Left out", ["why", "split", "images"], left_out
    if manifest["views"]:
        yield _views(manifest["views"])
    yield _classes(manifest)


def _splits(manifest: Mapping[str, Any], title: str) -> Table:
    rows = []
    for name, split in manifest["splits"].items():
        size = sum(shard["bytes"] for shard in split["shards"])
        void = split["pixels"][-1] / max(1, sum(split["pixels"]))
        rows.append(
            [
                name,
                f"{split['samples']:,}",
                f"{split['available']:,}",
                f"{split['official']:,}",
                f"{len(split['shards']):,}",
                human_bytes(size),
                f"{100 * void:.1f} %",
            ]
        )
    columns = ["split", "images", "in the source", "official", "shards", "size", "void pixels"]
    return title, columns, rows


def _left_out(splits: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, split in splits.items():
        for reason, entry in split["left_out"].items():
            yield [reason, name, f"{entry['count']:,}"]


def _views(views: Mapping[str, Any]) -> Table:
    rows = [
        [name, view["split"], f"{len(view['keys']):,}", f"{view['official']:,}"]
        for name, view in sorted(views.items())
    ]
    return "Named subsets", ["subset", "of split", "images", "official"], rows


def _classes(manifest: Mapping[str, Any]) -> Table:
    splits = manifest["splits"]
    columns = ["class", *(f"{name} {what}" for name in splits for what in ("images", "pixels"))]
    rows = []
    for row in manifest["classes"]:
        red, green, blue = row["color"]
        cells = [f"#{red:02x}{green:02x}{blue:02x} {row['id']} {row['name']}"]
        for split in splits.values():
            cells += _class_cells(split, row["id"])
        rows.append(cells)
    return "Classes", columns, rows


def _class_cells(split: Mapping[str, Any], class_id: int) -> Sequence[str]:
    labelled = max(1, sum(split["pixels"][:-1]))
    share = f"{100 * split['pixels'][class_id] / labelled:.2f} %"
    return [f"{split['images'][class_id - 1]:,}" if class_id else "", share]
