"""One shard against itself: tar, index, sidecar and every sample in it."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdata import engine
from segdata.stores import fetched
from segdata.verify import contract
from segdata.verify.findings import Finding, Log
from segdata.verify.samples import Parts, Rules, by_id, check_sample
from segdata.verify.tars import Member, list_members

CHUNK = 1 << 20


@dataclass(frozen=True)
class ShardTask:
    """A shard to check: the directory, its manifest entry, and the rules of its split."""

    directory: Path
    shard: contract.Shard
    rules: Rules


@dataclass(frozen=True)
class Stored:
    """A sample that was found: its facts and where its image and mask lie in the tar."""

    facts: contract.Sample
    image: Member
    mask: Member


@dataclass
class Tally:
    """Sums over the samples of a shard; `whole` is false where a sample could not be counted."""

    classes: int
    whole: bool = True
    pixels: NDArray[np.int64] = field(init=False)
    objects: NDArray[np.int64] = field(init=False)
    images: NDArray[np.int64] = field(init=False)
    crowd_pixels: int = 0

    def __post_init__(self) -> None:
        self.pixels = np.zeros(self.classes + 2, dtype=np.int64)
        self.objects = np.zeros(self.classes, dtype=np.int64)
        self.images = np.zeros(self.classes, dtype=np.int64)

    def add(self, facts: contract.Sample, values: NDArray[np.int64]) -> None:
        """Count one sample: its mask's pixels by value, its recorded objects and crowd pixels."""
        if len(facts.objects) != self.classes:
            self.whole = False
            return
        counts = by_id(values, self.classes)
        self.pixels += counts
        self.images += counts[1:-1] > 0
        self.objects += facts.objects
        self.crowd_pixels += facts.crowd_pixels


@dataclass(frozen=True)
class ShardCheck:
    """What the check of one shard gives.

    Attributes:
        findings: the defects.
        keys: of every sample in the tar, whole or not.
        stored: the samples whose facts and mask are readable.
        tally: sums over the samples; None where the shard could not be read.
        sidecar: its sidecar, where that is readable.
    """

    findings: tuple[Finding, ...]
    keys: tuple[str, ...] = ()
    stored: tuple[Stored, ...] = ()
    tally: Tally | None = None
    sidecar: contract.Sidecar | None = None


def check_shard(task: ShardTask) -> ShardCheck:
    """Check one shard; never raises for what is wrong with it."""
    log = Log(task.shard.name)
    path = task.directory / task.shard.name
    if not path.is_file():
        log.add("shard-missing", "listed in the manifest, found no such file")
        return ShardCheck(tuple(log.findings))
    try:
        with fetched(path, (".idx", ".stats.json")) as local:
            return _check(local, task, log)
    except OSError as error:
        log.add("shard-unreadable", f"expected a readable file, found: {error}")
        return ShardCheck(tuple(log.findings))


def _check(path: Path, task: ShardTask, log: Log) -> ShardCheck:
    members = list_members(path, log)
    grouped = _group(members, log)
    _check_idx(path.with_suffix(".idx"), members, log)
    tally = Tally(task.rules.classes, whole=all(f.defect != "tar-broken" for f in log.findings))
    content = hashlib.sha256()
    stored: list[Stored] = []
    with path.open("rb") as file:
        for key, parts in grouped.items():
            engine.tick()
            image, facts_at, mask_at = (parts.get(suffix) for suffix in contract.MEMBERS)
            if image is None or facts_at is None or mask_at is None:
                tally.whole = False
                continue
            raw = Parts(image.read(file), facts_at.read(file), mask_at.read(file))
            found = check_sample(key, raw, task.rules, log)
            facts, mask = found.facts, found.mask
            if facts is None or mask is None:
                tally.whole = False
                continue
            tally.add(facts, found.counts)
            _hash_content(content, key, facts, mask, raw.image)
            stored.append(Stored(facts, image, mask_at))
    measured = _measure(path, task.shard, len(grouped), content.hexdigest())
    sidecar = _check_records(path, task, measured, tally, log)
    return ShardCheck(tuple(log.findings), tuple(grouped), tuple(stored), tally, sidecar)


def _group(members: Sequence[Member], log: Log) -> dict[str, dict[str, Member]]:
    """The members by key and suffix, in order of first appearance; their set and order checked."""
    grouped: dict[str, dict[str, Member]] = {}
    for member in members:
        grouped.setdefault(member.key, {}).setdefault(member.suffix, member)
    _check_sets(members, log)
    return grouped


def _check_sets(members: Sequence[Member], log: Log) -> None:
    broken = any(finding.defect == "tar-broken" for finding in log.findings)
    places: dict[str, list[tuple[int, str]]] = {}
    for index, member in enumerate(members):
        places.setdefault(member.key, []).append((index, member.suffix))
    for key, found in places.items():
        count = Counter(suffix for _, suffix in found)
        expected = Counter(contract.MEMBERS)
        if (
            set(count) == set(expected)
            and len(set(count.values())) == 1
            and len(found) > len(expected)
        ):
            log.add(
                "key-repeated", f"expected one sample of this key, found {count['.jpg']}", at=key
            )
            continue
        cut = broken and key == members[-1].key  # by the end of what could be read
        for suffix in () if cut else (expected - count).elements():
            log.add("member-missing", f"expected {key}{suffix}, found none", at=key)
        for suffix in (count - expected).elements():
            log.add("member-unexpected", f"expected only {_listed()}, found {suffix}", at=key)
        first = found[0][0]
        in_order = [(first + i, suffix) for i, suffix in enumerate(contract.MEMBERS)]
        if count == expected and found != in_order:
            order = ", ".join(f"{suffix} as member {index}" for index, suffix in found)
            log.add("member-order", f"expected {_listed()} side by side, found {order}", at=key)


def _listed() -> str:
    return ", ".join(contract.MEMBERS)


def _check_idx(path: Path, members: Sequence[Member], log: Log) -> None:
    """Compare the index with one made from the tar, line by line."""
    if not path.is_file():
        log.add("idx-missing", f"expected {path.name} beside the shard, found none")
        return
    rows = [list(run) for _, run in groupby(members, lambda m: m.key)]
    lines = [f"v1.2 {len(rows)}"]
    for row in rows:
        lines.append(" ".join(f"{m.suffix[1:]} {m.offset} {m.size} {m.name}" for m in row))  # noqa: PERF401 - a comprehension within one is hard to read
    found = path.read_bytes().decode("utf-8", "backslashreplace").split("\n")
    expected = [*lines, ""]  # the last line ends, too
    if found == expected:
        return
    length = max(len(found), len(expected))
    pairs = list(zip(_padded(expected, length), _padded(found, length), strict=True))
    differing = [i for i, (a, b) in enumerate(pairs) if a != b]
    a, b = pairs[differing[0]]
    detail = (
        f"line {differing[0] + 1}: expected {a!r} from the tar, found {b!r}"
        f" ({len(differing)} of {length} lines differ)"
    )
    log.add("idx-differs", detail, at=path.name)


def _padded(lines: list[str], length: int) -> list[str | None]:
    return [*lines, *[None] * (length - len(lines))]


def _hash_content(
    content: "hashlib._Hash",
    key: str,
    facts: contract.Sample,
    mask: NDArray[np.uint8],
    image: bytes,
) -> None:
    content.update(f"{key}\0{facts.height}x{facts.width}\0".encode())
    content.update(np.ascontiguousarray(mask).data)
    if facts.original:
        content.update(image)


def _measure(path: Path, listed: contract.Shard, samples: int, content: str) -> contract.Shard:
    """The shard's entry as the file itself has it."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return contract.Shard(listed.name, samples, path.stat().st_size, sha256, content)


DEFECT_OF = {
    "samples": "shard-samples",
    "bytes": "shard-bytes",
    "sha256": "shard-sha256",
    "content_sha256": "content-sha256",
}


def _check_records(
    path: Path, task: ShardTask, measured: contract.Shard, tally: Tally, log: Log
) -> contract.Sidecar | None:
    """Compare manifest entry and sidecar with what the file has."""
    manifest = f"{task.rules.dataset}.json"
    _compare_shard(measured, task.shard, manifest, tally, log)
    beside = path.with_suffix(".stats.json")
    if not beside.is_file():
        log.add("sidecar-missing", f"expected {beside.name} beside the shard, found none")
        return None
    try:
        sidecar = contract.parse_sidecar(beside.read_bytes())
    except ValueError as error:
        detail = f"expected the fields of the format, found: {error}"
        log.add("sidecar-unreadable", detail, at=beside.name)
        return None
    if sidecar.format != contract.FORMAT:
        detail = f"format: expected {contract.FORMAT}, found {sidecar.format}"
        log.add("sidecar-unreadable", detail, at=beside.name)
        return None
    named = contract.Shard(
        sidecar.shard, sidecar.samples, sidecar.bytes, sidecar.sha256, sidecar.content_sha256
    )
    _compare_shard(measured, named, beside.name, tally, log)
    _check_sidecar(sidecar, task, tally, Log(f"{log.where}: {beside.name}", log.findings))
    return sidecar


def _compare_shard(
    measured: contract.Shard, recorded: contract.Shard, where: str, tally: Tally, log: Log
) -> None:
    for name, defect in DEFECT_OF.items():
        if name == "content_sha256" and not tally.whole:
            continue  # the sample that could not be hashed has its own finding
        expected, found = getattr(recorded, name), getattr(measured, name)
        if expected != found:
            log.add(defect, f"{name}: {expected} recorded in {where}, the file has {found}")


def _check_sidecar(sidecar: contract.Sidecar, task: ShardTask, tally: Tally, log: Log) -> None:
    names = (task.shard.name, task.rules.dataset, task.rules.split)
    log.compare(
        "sidecar-names",
        "shard, dataset, split",
        names,
        (sidecar.shard, sidecar.dataset, sidecar.split),
    )
    sizes = sidecar.object_sizes
    if len(sizes) != task.rules.classes or any(len(s) != contract.OBJECT_SIZE_BINS for s in sizes):
        shape = f"{task.rules.classes} lists of {contract.OBJECT_SIZE_BINS} counts"
        log.add("sidecar-sums", f"object_sizes: expected {shape}, found others")
    elif any(sum(s) > n for s, n in zip(sizes, sidecar.objects, strict=False)):
        log.add("sidecar-sums", "object_sizes: expected at most one count an object, found more")
    if not tally.whole:
        return  # the samples that could not be counted have their own findings
    for name in ("pixels", "objects", "images", "crowd_pixels"):
        counted, recorded = getattr(tally, name), getattr(sidecar, name)
        counted = counted if isinstance(counted, int) else counted.tolist()
        log.compare("sidecar-sums", f"{name} over the samples", counted, recorded)
