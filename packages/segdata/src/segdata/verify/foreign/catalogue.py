"""The defects that masks made by others show: name, severity, likely cause, remedy."""

from collections.abc import Iterable
from dataclasses import dataclass

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Defect:
    """A kind of defect.

    Attributes:
        name: what reports call it.
        severity: `error` where training on it is wrong; `warning` where it is likely to go wrong
            or the evidence is statistical; `note` where it may be meant.
        shows: how it is recognised, one sentence part.
        cause: what most likely made it.
        remedy: what to do.
    """

    name: str
    severity: str
    shows: str
    cause: str
    remedy: str


CATALOGUE: dict[str, Defect] = {}


def defect(name: str, severity: str, *, shows: str, cause: str, remedy: str) -> Defect:
    """Define a defect and enter it into the catalogue."""
    CATALOGUE[name] = Defect(name, severity, shows, cause, remedy)
    return CATALOGUE[name]


def markdown(defects: Iterable[Defect]) -> str:
    """The table of the documentation."""
    rows = [f"| `{d.name}` | {d.severity} | {d.shows} | {d.cause} | {d.remedy} |" for d in defects]
    head = ["| defect | severity | shows as | likely cause | remedy |", "| --- " * 5 + "|"]
    return "\n".join([*head, *rows]) + "\n"
