"""The directory as a whole: its manifests, what they sum up, and what else lies there."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from segdata.errors import ShardsError
from segdata.verify import contract
from segdata.verify.contract import Manifest
from segdata.verify.findings import Finding, Log
from segdata.verify.integrity import ShardCheck
from segdata.verify.labels import IGNORE, POLICIES
from segdata.verify.records import SourceFile
from segdata.verify.views import check_views

SHARD_FILE = re.compile(r"(?P<shard>(?P<dataset>.+)-(train|val)-\d{6})\.(tar|idx|stats\.json)")
PARTIAL = (".partial", ".part", ".tmp")
MADE_WITH = {"classes", "options", "seed", "versions"}  # what every sidecar repeats
COLUMNS = ("pixels", "objects", "images")

Checks = Mapping[str, Sequence[ShardCheck]]  # by split, in the manifest's order


def read_manifests(directory: Path, findings: list[Finding]) -> tuple[list[Manifest], set[str]]:
    """The readable manifests of a shards directory, sorted, and the names of the unreadable ones.

    Raises:
        ShardsError: the directory is missing or holds no manifest.
    """
    if not directory.is_dir():
        raise ShardsError(
            "there is no shards directory",
            where=directory,
            advice="build one with segdata build-voc, build-coco or build-folder, or name another",
        )
    paths = sorted(p for p in directory.glob("*.json") if _is_manifest(p.name))
    if not paths:
        raise ShardsError(
            "this directory holds no manifest, so no finished shards",
            where=directory,
            expected="<dataset>.json",
            advice="name a shards directory, or run the build again: it goes on where it stopped",
        )
    read = {path.stem: _read_manifest(path, Log(path.name, findings)) for path in paths}
    manifests = [manifest for manifest in read.values() if manifest is not None]
    return manifests, {name for name, manifest in read.items() if manifest is None}


def _is_manifest(name: str) -> bool:
    return name != "info.json" and not name.endswith(".stats.json") and not name.startswith(".")


def _read_manifest(path: Path, log: Log) -> Manifest | None:
    try:
        data = path.read_bytes()
        plain = contract.parse_object(data)
        refuse_foreign(plain, path)
        found = plain.get("format")
        if found != contract.FORMAT:
            log.add("manifest-format", f"expected {contract.FORMAT}, found {found}")
            return None
        manifest = contract.parse_manifest(data)
    except (OSError, ValueError) as error:
        detail = f"expected the fields of the format, found: {error}; its shards are unchecked"
        log.add("manifest-unreadable", detail)
        return None
    log.compare("manifest-unreadable", "dataset, as the file's name", path.stem, manifest.dataset)
    _check_classes(manifest, log)
    if POLICIES.get(manifest.labels.policy) != manifest.labels.version:
        known = ", ".join(f"{name} {version}" for name, version in POLICIES.items())
        found = f"{manifest.labels.policy} {manifest.labels.version}"
        log.add("manifest-format", f"labels: expected one of {known}, found {found}")
    return manifest


def refuse_foreign(plain: Mapping[str, Any], path: Path) -> None:
    """Refuse shards that `segtrain index` described: their samples hold no records to check.

    Raises:
        ShardsError: the manifest names the members of its samples, as only that command does.
    """
    if "members" in plain:
        raise ShardsError(
            "these shards were made by others, and only described for training",
            where=path,
            advice="check their masks unpacked, with segdata verify-masks --masks; or build shards "
            "of the images and masks with segdata build-folder, which are checked whole",
        )


def _check_classes(manifest: Manifest, log: Log) -> None:
    rows = manifest.classes
    ids = [row.id for row in rows]
    log.compare("manifest-classes", "ids", list(range(len(ids))), ids)
    names = [row.name for row in rows]
    if len(set(names)) != len(names) or names[:1] != ["background"]:
        log.add("manifest-classes", f"expected background first and no name twice, found {names}")
    log.compare("manifest-classes", "ignore_index", IGNORE, manifest.ignore_index)


def check_files(directory: Path, manifests: Sequence[Manifest], unread: set[str], log: Log) -> None:
    """Find files that no manifest lists, and leftovers of an interrupted build.

    Nobody knows what a manifest of `unread`, names of data sets, would have listed.
    """
    listed = {
        shard.name.removesuffix(".tar")
        for manifest in manifests
        for split in manifest.splits.values()
        for shard in split.shards
    }
    for path in sorted(directory.iterdir()):
        match = SHARD_FILE.fullmatch(path.name)
        if path.name.endswith(PARTIAL):
            log.add("leftover-file", "expected only finished files, found this", at=path.name)
            continue
        unlisted = match["shard"] not in listed if match else path.suffix == ".tar"
        known = match["dataset"] not in unread if match else path.stem not in listed
        if unlisted and known and not _is_empty(path):
            log.add("unlisted-file", "expected it in a manifest, found it in none", at=path.name)


def _is_empty(path: Path) -> bool:
    """Whether it is the sidecar of a shard of which every sample was left out."""
    if not path.name.endswith(".stats.json"):
        return False
    try:
        return contract.parse_sidecar(path.read_bytes()).samples == 0
    except (OSError, ValueError):
        return False


def _empty_shards(directory: Path, dataset: str, split: str) -> set[str]:
    """Names of the shards that have a sidecar and no samples."""
    sidecars = directory.glob(f"{dataset}-{split}-*.stats.json")
    return {path.name.replace(".stats.json", ".tar") for path in sidecars if _is_empty(path)}


def check_info(directory: Path, manifests: Sequence[Manifest], log: Log) -> None:
    """Compare `info.json` with one made from the manifests."""
    tables = {m.dataset: [row.name for row in m.classes] for m in manifests}
    for name, table in tables.items():
        if table != tables[manifests[0].dataset]:
            differing = f"expected the classes of {manifests[0].dataset}, found others"
            log.add("classes-differ", differing, at=f"{name}.json")
    path = directory / "info.json"
    if not path.is_file():
        log.add("info-missing", "expected info.json, found none")
        return
    try:
        found = contract.parse_object(path.read_bytes())
    except (OSError, ValueError) as error:
        log.add("info-differs", f"expected a JSON object, found: {error}", at="info.json")
        return
    for field, value in _info(manifests).items():
        log.compare("info-differs", field, value, found.get(field), at="info.json")


def _info(manifests: Sequence[Manifest]) -> dict[str, Any]:
    first = manifests[0]
    names = dict.fromkeys(split for manifest in manifests for split in manifest.splits)
    return {
        "format": contract.FORMAT,
        "synthetic": any(manifest.synthetic for manifest in manifests),
        "classes": msgspec.to_builtins(first.classes),
        "ignore_index": first.ignore_index,
        "complete": all(manifest.complete for manifest in manifests),
        "datasets": sorted(manifest.dataset for manifest in manifests),
        "splits": {name: _info_split(name, manifests) for name in names},
    }


def _info_split(name: str, manifests: Sequence[Manifest]) -> dict[str, Any]:
    having = [(m.dataset, m.splits[name]) for m in manifests if name in m.splits]
    shards = [shard for _, split in having for shard in split.shards]
    return {
        "samples": sum(split.samples for _, split in having),
        "shards": len(shards),
        "bytes": sum(shard.bytes for shard in shards),
        "pixels": _sums([split.pixels for _, split in having]),
        "datasets": sorted(dataset for dataset, _ in having),
    }


def _sums(rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=False)]


def check_manifest(directory: Path, manifest: Manifest, checks: Checks, log: Log) -> None:
    """Check a manifest's sums, flags, lists and views against its shards."""
    for name, split in manifest.splits.items():
        empty = _empty_shards(directory, manifest.dataset, name)
        numbers = range(len(split.shards) + len(empty))
        names = [f"{manifest.dataset}-{name}-{number:06d}.tar" for number in numbers]
        names = [shard for shard in names if shard not in empty]
        found = [shard.name for shard in split.shards]
        log.compare("manifest-shards", f"names in splits.{name}.shards", names, found)
        _check_totals(name, split, checks[name], manifest.class_count, log)
        _check_left_out(name, split, checks[name], log)
        complete = split.available >= split.official and not manifest.options.limit
        # Generated data is never the official split, whatever its size.
        complete = complete and not manifest.synthetic
        log.compare("manifest-complete", f"splits.{name}.complete", complete, split.complete)
    both = {"train", "val"} <= set(manifest.splits)
    complete = both and all(split.complete for split in manifest.splits.values())
    log.compare("manifest-complete", "complete", complete, manifest.complete)
    for shard_checks in checks.values():
        for check in shard_checks:
            if check.sidecar is not None:
                _check_made_with(manifest, check.sidecar, log)
    check_views(manifest, checks, log)


def _check_totals(
    name: str, split: contract.Split, checks: Sequence[ShardCheck], classes: int, log: Log
) -> None:
    samples = sum(shard.samples for shard in split.shards)
    log.compare("manifest-totals", f"splits.{name}.samples", samples, split.samples)
    tallies = [check.tally for check in checks]
    if not all(tally is not None and tally.whole for tally in tallies):
        return  # what could not be counted has its own finding
    for column in COLUMNS:
        nothing = [0] * (classes + 2 if column == "pixels" else classes)  # where all was left out
        counted = _sums([nothing, *(getattr(tally, column).tolist() for tally in tallies)])
        log.compare("manifest-totals", f"splits.{name}.{column}", counted, getattr(split, column))


def _check_left_out(
    name: str, split: contract.Split, checks: Sequence[ShardCheck], log: Log
) -> None:
    listed: dict[str, str] = {}
    for reason, group in split.left_out.items():
        field = f"splits.{name}.left_out[{reason!r}]"
        log.compare("manifest-left-out", f"{field}.count", len(group.ids), group.count)
        for source_id in group.ids:
            if source_id in listed:
                log.add(
                    "manifest-left-out", f"{field}: expected each id once, found {source_id} again"
                )
            listed[source_id] = reason
    for check in checks:
        for stored in check.stored:
            if stored.facts.source_id in listed:
                detail = (
                    f"splits.{name}: expected {stored.facts.source_id} left out, found it stored"
                )
                log.add("manifest-left-out", detail)
        for source_id, reason in check.sidecar.left_out if check.sidecar else ():
            field = f"splits.{name}.left_out of {source_id}"
            log.compare("manifest-left-out", field, reason, listed.get(source_id))


def _check_made_with(manifest: Manifest, sidecar: contract.Sidecar, log: Log) -> None:
    """A shard made with other options does not belong to this manifest."""
    record: dict[str, Any] = msgspec.to_builtins(manifest)
    record["classes"] = [row.name for row in manifest.classes[1:]]
    for field in sorted(MADE_WITH | (record.keys() & sidecar.made_with.keys())):
        found = sidecar.made_with.get(field)
        log.compare("sidecar-made-with", field, record[field], found, at=sidecar.shard)


def check_keys(manifests: Sequence[Manifest], checks: Mapping[str, Checks], log: Log) -> None:
    """Find keys that two shards hold, above all one in train and one in val."""
    seen: dict[str, tuple[str, str]] = {}
    for manifest in manifests:
        for split, split_checks in checks[manifest.dataset].items():
            for check, shard in zip(split_checks, manifest.splits[split].shards, strict=True):  # type: ignore[index] # names of this manifest
                for key in check.keys:
                    if key not in seen:
                        seen[key] = (split, shard.name)
                        continue
                    other_split, other = seen[key]
                    defect = "key-repeated" if split == other_split else "split-overlap"
                    detail = f"expected this key in one shard, found it in {other}, too"
                    log.add(defect, detail, at=f"{shard.name}: {key}")


def check_sources(
    dataset: str, name: str, split: contract.Split, files: set[SourceFile], log: Log
) -> None:
    """Compare the digests of a split's sources with those of the files that it was made from.

    Args:
        dataset: name of the data set.
        name: `train` or `val`.
        split: its entry in the manifest.
        files: the lists and annotations, and what the sidecars say was read.
        log: receives `manifest-sources`.
    """
    groups: dict[str, list[SourceFile]] = {}
    for file in sorted(files):
        groups.setdefault(file[0].partition("/")[0], []).append(file)
    expected = [_digest(group, rows) for group, rows in sorted(groups.items())]
    found = sorted(split.sources, key=lambda source: source.name)
    if expected != found:
        detail = f"expected {_texts(expected)}, found {_texts(found)}"
        detail = f"splits.{name}.sources of {dataset}: {detail}"
        log.add("manifest-sources", detail)


def _digest(group: str, rows: Sequence[SourceFile]) -> contract.Source:
    lines = "".join(f"{name} {size} {crc32:08x}\n" for name, size, crc32 in rows)
    sha256 = hashlib.sha256(lines.encode()).hexdigest()
    return contract.Source(group, len(rows), sum(size for _, size, _ in rows), sha256)


def _texts(sources: Sequence[contract.Source]) -> str:
    return ", ".join(
        f"{s.name} ({s.members} files, {s.bytes} bytes, sha256 {s.sha256[:12]}…)" for s in sources
    )
