"""What a verification found: the catalogue of defects, a finding, the report."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from segdata.verify.cutouts import View

REBUILD = "delete this shard with its .idx and .stats.json, then run the same build again"
REBUILD_ALL = "build this data set again into an empty directory"
REPORT = "build this data set again; if the finding stays, report it with the key as a bug"
RESTORE = "copy this file again from where it was built, or " + REBUILD
REFRESH = "run the same build again: it checks the shards and writes the descriptions anew"

SHOWN = 20  # findings of one defect that are written out as text
PICTURED = 5  # findings of one defect in one file that can be drawn
LONGEST = 200  # characters of a value in a finding

ADVICE: Mapping[str, str] = {
    # the directory
    "manifest-unreadable": f"delete this file (it held the hold-outs too), then {REFRESH}",
    "manifest-format": "verify with the version of segdata that wrote this directory",
    "manifest-classes": REBUILD_ALL,
    "manifest-shards": REBUILD_ALL,
    "manifest-totals": REFRESH,
    "manifest-complete": REFRESH,
    "manifest-left-out": REFRESH,
    "manifest-views": REFRESH,
    "manifest-protocol": REFRESH,
    "manifest-sources": "verify against the archives that this data set was built from",
    "classes-differ": "build the data sets of one directory with the same --classes",
    "info-missing": REFRESH,
    "info-differs": REFRESH,
    "leftover-file": "if no build is running, run the interrupted build again, or delete the file",
    "unlisted-file": "run the interrupted build again, or move the file to another directory",
    "key-repeated": REBUILD_ALL,
    "split-overlap": REBUILD_ALL,
    # a shard
    "shard-missing": RESTORE,
    "shard-unreadable": "check the file's permissions and the disk, then run the command again",
    "shard-bytes": RESTORE,
    "shard-sha256": RESTORE,
    "shard-samples": REBUILD,
    "content-sha256": REBUILD,
    "tar-header": REBUILD,
    "tar-broken": RESTORE,
    "member-missing": REBUILD,
    "member-unexpected": REBUILD,
    "member-order": REBUILD,
    "key-invalid": REBUILD_ALL,
    "idx-missing": RESTORE,
    "idx-differs": REBUILD,
    "sidecar-missing": REBUILD,
    "sidecar-unreadable": REBUILD,
    "sidecar-names": REBUILD,
    "sidecar-made-with": REBUILD,
    "sidecar-sums": REBUILD,
    # a sample
    "sample-json": REBUILD,
    "sample-identity": REBUILD,
    "image-broken": REBUILD,
    "image-size": REBUILD,
    "mask-broken": REBUILD,
    "mask-format": REBUILD,
    "mask-size": REBUILD,
    "mask-ids": REBUILD,
    "pixel-counts": REBUILD,
    "fit-size": REBUILD_ALL,
    # against the source
    "source-absent": "verify against the archives that this data set was built from",
    "sample-barred": REBUILD_ALL,
    "source-broken": "fetch or copy the source archive again",
    "source-differs": "verify against the archives that this data set was built from",
    "source-size": REPORT,
    "mask-differs": REPORT,
    "counts-differ": REPORT,
    "image-bytes": REPORT,
    "image-differs": REPORT,
    "sample-missing": REPORT,
    "sample-unselected": REPORT,
    "available-differs": "verify against the archives that this data set was built from",
}


@dataclass(frozen=True)
class Finding:
    """One defect.

    Attributes:
        defect: its name, one of `ADVICE`.
        where: the file, and within a shard the member or key.
        detail: what was expected and what was found.
        place: (x, y) of the first pixel concerned, x to the right and y down, where there is one.
        advice: what to do next.
        view: what a picture of it shows, of the first findings of a defect in a file.
    """

    defect: str
    where: str
    detail: str
    place: tuple[int, int] | None = None
    advice: str = ""
    view: View | None = field(default=None, compare=False, repr=False)


@dataclass
class Log:
    """Collects the findings of one file or sample."""

    where: str
    findings: list[Finding] = field(default_factory=list)

    def add(
        self,
        defect: str,
        detail: str,
        *,
        at: str = "",
        place: tuple[int, int] | None = None,
        view: Callable[[], View] | None = None,
    ) -> None:
        """Note a defect; `at` names the member or key within the file, `view` cuts its picture."""
        where = f"{self.where}: {at}" if at else self.where
        cut = None
        if view is not None and sum(f.defect == defect for f in self.findings) < PICTURED:
            cut = view()
        self.findings.append(Finding(defect, where, detail, place, ADVICE[defect], cut))

    def compare(
        self, defect: str, what: str, expected: object, found: object, *, at: str = ""
    ) -> None:
        """Note a defect where two values differ."""
        if expected != found:
            self.add(defect, f"{what}: {_difference(expected, found)}", at=at)


def _difference(expected: object, found: object) -> str:
    """Two values as text; of long lists the first item that differs, and how many do."""
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        differing = [i for i, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b]
        at = differing[0]
        text = f"item {at}: expected {expected[at]}, found {found[at]}"
        return f"{text} ({len(differing)} of {len(found)} items differ)"
    return f"expected {_short(expected)}, found {_short(found)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


@dataclass(frozen=True)
class Report:
    """The result of a verification.

    Attributes:
        findings: every defect found, in the order of the files; the same for any number of workers.
        datasets: data sets checked.
        shards: shards checked, missing ones included.
        samples: samples found in them.
        compared: samples whose mask was compared with the source.
        notes: what was not checked, and why.
    """

    findings: tuple[Finding, ...]
    datasets: int
    shards: int
    samples: int
    compared: int
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def defects(self) -> Mapping[str, int]:
        """Number of findings by defect, most frequent first."""
        return dict(Counter(finding.defect for finding in self.findings).most_common())

    @property
    def summary(self) -> str:
        """One line: the verdict, what was checked, and whether masks were held against a source."""
        size = (
            f"{counted(self.samples, 'sample')} in {counted(self.shards, 'shard')}"
            f" of {counted(self.datasets, 'data set')}"
        )
        if self.compared:
            against = f"{self.compared:,} of {self.samples:,} masks compared with the source"
            against += ", all equal" if self.ok else ""
        else:
            against = "masks not compared with a source (--data or --folder names it)"
        verdict = "OK" if self.ok else f"{counted(len(self.findings), 'finding')}"
        return f"{verdict}: {size}; {against}"

    def lines(self) -> list[str]:
        """The findings as text, by defect, a line each, with the advice after each defect's.

        Of one defect at most `SHOWN` findings are written out and the others counted. What was not
        checked follows at the end, a line each.
        """
        lines: list[str] = []
        for defect, count in self.defects.items():
            same = [finding for finding in self.findings if finding.defect == defect]
            lines += [f"{defect}: {finding.where}: {finding.detail}" for finding in same[:SHOWN]]
            if count > SHOWN:
                lines.append(f"{defect}: {count - SHOWN:,} more")
            lines += [f"{defect}: next: {advice}" for advice in {f.advice: None for f in same}]
        return [*lines, *(f"note: {note}" for note in self.notes)]

    def to_json(self) -> bytes:
        """The report as JSON in UTF-8: `ok`, `summary`, `defects`, and the attributes."""
        facts = {"ok": self.ok, "summary": self.summary, "defects": self.defects}
        return report_json(facts, self, self.findings)


def report_json(facts: Mapping[str, Any], report: Any, findings: Sequence[Any]) -> bytes:  # noqa: ANN401 - dataclasses
    """A report as JSON in UTF-8: some facts, then its attributes, its findings without views."""
    plain = asdict(replace(report, findings=tuple(replace(f, view=None) for f in findings)))
    for found in plain["findings"]:
        del found["view"]
    return (json.dumps({**facts, **plain}, indent=1, ensure_ascii=False) + "\n").encode()


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
