"""Tables of a manifest: what was built, what was left out, and where the pixels are."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segdata.terminal import human_bytes

Subset = tuple[str, str, int, int]
"""Name, physical split, samples, and samples of the published one; 0 for a user's own."""
Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, rows."""


def build_tables(manifest: Mapping[str, Any], out: Path) -> Iterator[Table]:
    """Images, shards and bytes a split; what was left out and why; subsets; pixels a class."""
    mark = " (generated data)" if manifest["synthetic"] else ""
    yield _splits(manifest, f"{manifest['dataset']} in {out}{mark}")
    left_out = list(_left_out(manifest["splits"]))
    if left_out:
        yield "Left out", ["why", "split", "images"], left_out
    views = [
        (name, view["split"], len(view["keys"]), view["official"])
        for name, view in sorted(manifest["views"].items())
    ]
    yield from subsets_tables(views)
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


def subsets_tables(subsets: Sequence[Subset]) -> Iterator[Table]:
    """The named subsets, where there are any."""
    rows = [
        [name, split, f"{samples:,}", f"{official:,}" if official else ""]
        for name, split, samples, official in subsets
    ]
    if rows:
        yield "Named subsets", ["subset", "of split", "images", "official"], rows


def class_cell(row: Mapping[str, Any]) -> str:
    """Colour, id and name of a class of a manifest."""
    red, green, blue = row["color"]
    return f"#{red:02x}{green:02x}{blue:02x} {row['id']} {row['name']}"


def _classes(manifest: Mapping[str, Any]) -> Table:
    splits = manifest["splits"]
    columns = ["class", *(f"{name} {what}" for name in splits for what in ("images", "pixels"))]
    rows = []
    for row in manifest["classes"]:
        cells = [class_cell(row)]
        for split in splits.values():
            cells += _class_cells(split, row["id"])
        rows.append(cells)
    return "Classes", columns, rows


def _class_cells(split: Mapping[str, Any], class_id: int) -> Sequence[str]:
    labelled = max(1, sum(split["pixels"][:-1]))
    share = f"{100 * split['pixels'][class_id] / labelled:.2f} %"
    return [f"{split['images'][class_id - 1]:,}" if class_id else "", share]
