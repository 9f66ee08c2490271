"""What the doctor says: findings by severity, and the rules that they come from."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from segtrain.doctor.examination import Examination

Severity = Literal["fatal", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("fatal", "warning", "note")  # the worst first


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        rule: Name of the rule that found it.
        severity: `fatal`: this cannot learn what it should; `warning`: it will learn badly or
            something is not what it seems; `note`: worth knowing, advice.
        verdict: One sentence that says what is wrong, as a friend would.
        evidence: What was measured.
        cause: Why it is so; empty where it is not known.
        remedy: What to do about it.
        measured: The figures, as plain types, for JSON.
    """

    rule: str
    severity: Severity
    verdict: str
    evidence: str
    cause: str
    remedy: str
    measured: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The finding as plain types, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Healthy:
    """A rule looked and found nothing wrong: in a few words, with the figures."""

    words: str


@dataclass(frozen=True)
class Unexamined:
    """A rule had nothing to look at: in a few words, why."""

    words: str


Opinion = list[Finding] | Healthy | Unexamined


@dataclass(frozen=True)
class Rule:
    """One thing that the doctor looks at; the texts are what docs/doctor.md says of it.

    Attributes:
        name: Of its file, with hyphens.
        title: What it looks for, for people.
        severity: The worst that it gives.
        reason: Why that is a sickness: the paper or the arithmetic.
        evidence: What is measured, and from where on it is a finding.
        remedy: What to do, in general.
        examine: Gives the opinion. No findings are told by `Healthy`, never by an empty list.
    """

    name: str
    title: str
    severity: Severity
    reason: str
    evidence: str
    remedy: str
    examine: Callable[["Examination"], Opinion]

    def finding(
        self,
        severity: Severity,
        verdict: str,
        *,
        evidence: str,
        cause: str = "",
        remedy: str = "",
        **measured: Any,  # noqa: ANN401 - plain types of any kind, for JSON
    ) -> Finding:
        """A finding of this rule.

        Args:
            severity: How bad it is.
            verdict: What is wrong, in one sentence.
            evidence: What was measured.
            cause: Why it is so.
            remedy: What to do; that of the rule where there is nothing better to say.
            **measured: The figures.
        """
        remedy = remedy or self.remedy
        return Finding(self.name, severity, verdict, evidence, cause, remedy, measured)
