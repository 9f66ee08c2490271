"""What was found in a set of masks, and how it is told."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from segdata.verify.cutouts import View
from segdata.verify.findings import counted, report_json
from segdata.verify.foreign.catalogue import CATALOGUE, ERROR, SEVERITIES, Defect
from segdata.verify.foreign.edges import Place

SHOWN = 5  # findings of one defect that are written out as text


@dataclass(frozen=True)
class MaskFinding:
    """One defect of one mask, or of the set with one mask as its example.

    Attributes:
        defect: its name in the catalogue.
        severity: `error`, `warning` or `note`.
        where: the mask, by its path below the folder or in the archive.
        place: (x, y) of the first pixel concerned, x to the right and y down, where there is one.
        expected: what should be there.
        found: what is there.
        masks: number of masks concerned.
        cause: what most likely made it.
        advice: what to do next.
        view: what a picture of it shows.
    """

    defect: str
    severity: str
    where: str
    place: Place | None
    expected: str
    found: str
    masks: int
    cause: str
    advice: str
    view: View | None = field(default=None, compare=False, repr=False)

    @property
    def detail(self) -> str:
        """What was expected and found, and where."""
        at = "" if self.place is None else f" at x={self.place[0]} y={self.place[1]}"
        also = "" if self.masks == 1 else f" ({self.masks:,} masks alike)"
        return f"expected {self.expected}, found {self.found}{at}{also}"


def finding(
    defect: Defect,
    where: str,
    *,
    expected: str,
    found: str,
    place: Place | None = None,
    masks: int = 1,
    severity: str = "",
) -> MaskFinding:
    """A finding of a defect of the catalogue."""
    return MaskFinding(
        defect.name,
        severity or defect.severity,
        where,
        place,
        expected,
        found,
        masks,
        defect.cause,
        defect.remedy,
    )


@dataclass(frozen=True)
class MasksReport:
    """The result.

    Attributes:
        findings: errors first, then warnings and notes; the same for any number of workers.
        masks: masks read.
        images: masks that were held against an image.
        references: masks that were held against a reference.
        notes: what else is worth knowing, and what was not checked.
    """

    findings: tuple[MaskFinding, ...]
    masks: int
    images: int
    references: int
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings and notes may be there."""
        return not any(found.severity == ERROR for found in self.findings)

    @property
    def defects(self) -> Mapping[str, int]:
        """Number of findings by defect, in the order of the findings."""
        return dict(Counter(found.defect for found in self.findings))

    @property
    def summary(self) -> str:
        """One line: the verdict and what was checked."""
        counts = Counter(found.severity for found in self.findings)
        parts = [counted(counts[s], s) for s in SEVERITIES if counts[s]]
        verdict = ("OK" if self.ok else "not OK") + (f", {', '.join(parts)}" if parts else "")
        checked = counted(self.masks, "mask")
        checked += f", {self.images:,} with their image" if self.images else ", without images"
        checked += f", {self.references:,} with a reference" if self.references else ""
        return f"{verdict}: {checked}"

    def lines(self) -> list[str]:
        """The findings as text, by defect, with cause and remedy after each defect's."""
        lines: list[str] = []
        for name, count in self.defects.items():
            same = [found for found in self.findings if found.defect == name]
            lines += [f"{f.severity}: {name}: {f.where}: {f.detail}" for f in same[:SHOWN]]
            if count > SHOWN:
                lines.append(f"{same[0].severity}: {name}: {count - SHOWN:,} more")
            lines.append(f"{name}: cause: {CATALOGUE[name].cause}")
            lines.append(f"{name}: next: {CATALOGUE[name].remedy}")
        return [*lines, *(f"note: {note}" for note in self.notes)]

    def to_json(self) -> bytes:
        """The report as JSON in UTF-8: `ok`, `summary`, `defects`, and the attributes."""
        facts = {"ok": self.ok, "summary": self.summary, "defects": self.defects}
        return report_json(facts, self, self.findings)
