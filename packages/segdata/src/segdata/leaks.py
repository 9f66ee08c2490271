"""Leaks: photos that stand both in what a net learns from and in what it is judged by."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from segdata import shards
from segdata.catalog import Photo, shards_of
from segdata.duplicates import Duplicate, Search, find_duplicates, read_catalogue
from segdata.engine import Progress
from segdata.errors import UsageError

Level = Literal["leak", "warning", "note"]
SHOWN = 20  # findings of one level and kind that are written out as text
LEVELS: Mapping[Level, str] = {
    "leak": "the net is judged by what it learnt: leave these images out of one side",
    "warning": "these images count twice in every score",
    "note": "seen more often in training; `segdata split` keeps them on one side",
}

Manifests = Mapping[Path, Mapping[str, Mapping[str, Any]]]
"""The manifests of each directory, by data set."""


@dataclass(frozen=True)
class Contest:
    """What is learnt from and what it is judged by, as numbers of samples.

    Attributes:
        train: names of splits or views, for messages.
        val: likewise.
        learnt: the samples of `train`.
        judged: the samples of `val`.
    """

    train: str
    val: str
    learnt: frozenset[int]
    judged: frozenset[int]

    def level(self, first: int, second: int) -> Level | None:
        """What it means that two samples show one photo; None if they do not meet here."""
        pairs = ((first, second), (second, first))
        if any(a in self.learnt and b in self.judged for a, b in pairs):
            return "leak"
        for numbers, level in ((self.judged, "warning"), (self.learnt, "note")):
            if first in numbers and second in numbers and first != second:
                return level  # type: ignore[return-value] # of two literals
        return None


@dataclass(frozen=True)
class Place:
    """A sample of a finding: its key, data set and physical split, shard and directory."""

    key: str
    dataset: str
    split: str
    shard: str
    folder: str

    @classmethod
    def of(cls, photo: Photo) -> "Place":
        """The place of a sample."""
        shard = photo.shard
        return cls(photo.key, shard.dataset, shard.split, shard.name, str(shard.folder))

    def text(self) -> str:
        """For people."""
        return f"{self.key} ({self.folder}/{self.shard})"


@dataclass(frozen=True)
class Finding:
    """Two samples that show one photo.

    Attributes:
        level: `leak`, `warning` (both are judged by) or `note` (both are learnt from).
        kind: of `Duplicate`, or `same-sample` where one sample is in both of two views.
        train: names of the splits or views that are learnt from.
        val: of those that are judged by.
        first: one of them; of a leak the one that is learnt from.
        second: the other.
        similarity: see `Duplicate`.
        correlation: see `Duplicate`.
        advice: what to do.
    """

    level: Level
    kind: str
    train: str
    val: str
    first: Place
    second: Place
    similarity: float
    correlation: float
    advice: str

    def text(self) -> str:
        """One line."""
        numbers = ""
        if self.kind in ("same-photo", "mirrored"):
            numbers = f", similarity {self.similarity:.3f}, correlation {self.correlation:.3f}"
        sides = f"{self.train} | {self.val}" if self.level == "leak" else ""
        where = {"leak": sides, "warning": self.val, "note": self.train}[self.level]
        pair = f"{self.first.text()} = {self.second.text()}"
        return f"{self.level} {self.kind}: {pair}, {where}{numbers}"


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes:
        findings: leaks first, then warnings, then notes.
        images: samples that were read.
        contests: (train, val) names that were held against each other.
        pairs: pairs of images whose looks were compared.
        candidates: those of them that were looked at more closely.
        plain: images that are too plain to be compared by looks.
    """

    findings: Sequence[Finding]
    images: int
    contests: Sequence[tuple[str, str]]
    pairs: int
    candidates: int
    plain: int

    @property
    def ok(self) -> bool:
        """Whether there is no leak."""
        return all(finding.level != "leak" for finding in self.findings)

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of findings by level and kind, in the order of the findings."""
        return Counter(f"{finding.level} {finding.kind}" for finding in self.findings)

    @property
    def summary(self) -> str:
        """One line: the verdict, and what was compared."""
        leaks = sum(finding.level == "leak" for finding in self.findings)
        verdict = f"{leaks:,} leak{'' if leaks == 1 else 's'}" if leaks else "OK, no leak"
        held = "; ".join(f"{train} | {val}" for train, val in self.contests)
        plain = f", {self.plain:,} too plain for it" if self.plain else ""
        return (
            f"{verdict}: {held}; {self.images:,} images, {self.pairs:,} pairs compared by looks"
            f"{plain}"
        )

    def lines(self) -> Iterator[str]:
        """The findings as text, a line each; of one level and kind at most `SHOWN`."""
        advised: dict[str, str] = {}
        for name, count in self.counts.items():
            same = [f for f in self.findings if f"{f.level} {f.kind}" == name]
            yield from (finding.text() for finding in same[:SHOWN])
            if count > SHOWN:
                yield f"{name}: {count - SHOWN:,} more"
            advised[same[0].level] = same[0].advice
        yield from (f"{level}: next: {advice}" for level, advice in advised.items())

    def to_json(self) -> bytes:
        """The report as JSON in UTF-8: `ok`, `summary`, `counts`, and the attributes."""
        record = {"ok": self.ok, "summary": self.summary, "counts": self.counts, **asdict(self)}
        return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Checked:
    """A check: its report, and the samples of each finding for whoever wants to draw them."""

    report: Report
    photos: Sequence[tuple[Photo, Photo]]


def check_leaks(
    folders: Sequence[Path],
    train: Sequence[str],
    val: Sequence[str],
    workers: int,
    progress: Progress,
) -> Checked:
    """Find photos that stand on both sides, across all data sets of some shards directories.

    Args:
        folders: the directories.
        train: names of splits or views that are learnt from; none means `train`, and in its turn
            the train part of every hold-out.
        val: of those that are judged by, likewise.
        workers: processes.
        progress: see `Progress`.

    Raises:
        UsageError: a name is that of no split or view.
        ShardsError: a directory is missing or damaged.
    """
    once = {folder.resolve(): folder for folder in folders}.values()
    manifests = {folder: shards.manifests(folder) for folder in once}
    named = [(list(train) or ["train"], list(val) or ["val"])]
    for name in [*train, *val]:
        _refuse_unknown(name, manifests)
    if not train and not val:
        named += [([f"{n}-train"], [f"{n}-val"]) for n in _hold_outs(manifests)]
    everything = [
        shard for folder, found in manifests.items() for shard in shards_of(folder, found)
    ]
    catalogue = read_catalogue(everything, workers, progress)
    search = find_duplicates(catalogue, workers, progress)
    contests = [
        Contest(
            ", ".join(learnt),
            ", ".join(judged),
            _members(catalogue.photos, manifests, learnt),
            _members(catalogue.photos, manifests, judged),
        )
        for learnt, judged in named
    ]
    return _checked(contests, catalogue.photos, search)


def _hold_outs(manifests: Manifests) -> list[str]:
    """Names of all hold-outs, sorted."""
    views = [v for found in manifests.values() for m in found.values() for v in m["views"].values()]
    return sorted({view["holdout"]["name"] for view in views if "holdout" in view})


def _refuse_unknown(name: str, manifests: Manifests) -> None:
    several = [manifest for found in manifests.values() for manifest in found.values()]
    known = sorted({n for m in several for n in (*m["splits"], *m["views"])})
    if name not in known:
        raise UsageError(
            f"there is no split or view {name!r}",
            where=", ".join(map(str, manifests)),
            expected=f"one of {', '.join(known)}",
        )


def _members(photos: Sequence[Photo], manifests: Manifests, names: Sequence[str]) -> frozenset[int]:
    """Numbers of the samples in the splits and views of these names, in whatever data set."""
    keys = {
        (folder, dataset, key)
        for folder, found in manifests.items()
        for dataset, manifest in found.items()
        for name in names
        for key in manifest["views"].get(name, {"keys": ()})["keys"]
    }
    return frozenset(
        number
        for number, photo in enumerate(photos)
        if photo.shard.split in names
        or (photo.shard.folder, photo.shard.dataset, photo.key) in keys
    )


def _checked(contests: Sequence[Contest], photos: Sequence[Photo], search: Search) -> Checked:
    found = []
    for number, contest in enumerate(contests):
        twice = sorted(contest.learnt & contest.judged)
        pairs = [
            *((Duplicate(i, i, "same-id"), "same-sample") for i in twice),
            *((duplicate, duplicate.kind) for duplicate in search.duplicates),
        ]
        for duplicate, kind in pairs:
            level = contest.level(duplicate.first, duplicate.second)
            # A hold-out lies within a split, whose own duplicates the first contest names.
            if level == "leak" or (level and number == 0):
                found.append(_finding(level, kind, contest, duplicate, photos))
    order = list(LEVELS)
    found.sort(key=lambda row: order.index(row[0].level))
    report = Report(
        [finding for finding, _ in found],
        len(photos),
        [(contest.train, contest.val) for contest in contests],
        search.pairs,
        search.candidates,
        search.plain,
    )
    return Checked(report, [pair for _, pair in found])


def _finding(
    level: Level, kind: str, contest: Contest, duplicate: Duplicate, photos: Sequence[Photo]
) -> tuple[Finding, tuple[Photo, Photo]]:
    first, second = duplicate.first, duplicate.second
    if level == "leak" and not (first in contest.learnt and second in contest.judged):
        first, second = second, first
    pair = photos[first], photos[second]
    finding = Finding(
        level,
        kind,
        contest.train,
        contest.val,
        Place.of(pair[0]),
        Place.of(pair[1]),
        duplicate.similarity,
        duplicate.correlation,
        LEVELS[level],
    )
    return finding, pair
