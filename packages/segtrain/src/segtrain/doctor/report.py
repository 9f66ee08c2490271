"""The doctor's report: every opinion, for people and as JSON."""

from dataclasses import dataclass
from typing import Any

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import SEVERITIES, Finding, Healthy, Severity, Unexamined
from segtrain.doctor.rulebook import rulebook
from segtrain.errors import ShardsError


@dataclass(frozen=True)
class Report:
    """What an examination gave.

    Attributes:
        findings: The worst first, then by rule.
        healthy: What was found healthy, by the title of its rule.
        unexamined: What could not be looked at, and why, by the title of its rule.
    """

    findings: tuple[Finding, ...]
    healthy: dict[str, str]
    unexamined: dict[str, str]

    @property
    def fatal(self) -> bool:
        """Whether a finding is fatal."""
        return any(finding.severity == "fatal" for finding in self.findings)

    def count(self, severity: Severity) -> int:
        """Number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def plain(self) -> dict[str, Any]:
        """The report as plain types, for JSON."""
        return {
            "fatal": self.fatal,
            "findings": [finding.plain() for finding in self.findings],
            "healthy": self.healthy,
            "unexamined": self.unexamined,
        }


def examined(exam: Examination) -> Report:
    """Ask every rule.

    Where the data break a rule, the others are asked all the same: those about labels may find
    what is wrong with them.

    Raises:
        SegtrainError: If the data cannot be read and no rule finds why.
    """
    findings: list[Finding] = []
    healthy, unexamined = {}, {}
    broken: ShardsError | None = None
    for rule in rulebook():
        exam.progress(rule.title.lower(), 0, 0)
        try:
            opinion = rule.examine(exam)
        except ShardsError as error:
            broken = broken or error
            opinion = Unexamined(f"the data cannot be read: {error}")
        if isinstance(opinion, Healthy):
            healthy[rule.title] = opinion.words
        elif isinstance(opinion, Unexamined):
            unexamined[rule.title] = opinion.words
        else:
            findings += opinion
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    report = Report(tuple(findings), healthy, unexamined)
    if broken and not report.fatal:
        raise broken
    return report
