"""Every rule finds what is planted for it.

A case is a name, the rule, the severity that it must give, and what makes the examination sick. To
add one, add it to CASES; `words` must stand in the finding.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import SEVERITIES, Finding, Severity
from segtrain.doctor.rulebook import rulebook

Examine = Callable[..., Examination]

ZERO_HIDDEN = {"head": "1x1", "conv_init": "zero"}


class Case(NamedTuple):
    """A sickness: by options alone, or by what a function does to the examination.

    Attributes:
        rule: Who must find it.
        severity: How bad the worst finding must be.
        words: What must stand in its text.
        options: Of the run.
        plant: Makes the patient sick; None where the options do.
    """

    rule: str
    severity: Severity
    words: tuple[str, ...]
    options: dict[str, Any]
    plant: Callable[[Examination], None] | None = None


CASES = {
    "all hidden 1x1 at zero": Case(
        "dead-layers",
        "fatal",
        ("Only the skip from pool4 and the skip from pool3", "score_fr sees only zeros"),
        ZERO_HIDDEN | {"score_init": "he", "skip_init": "he"},
    ),
    "all but the skips at zero": Case(
        "dead-layers",
        "fatal",
        ("Only the skip", "every 1x1 layer but the skips at zero: fc6, fc7 and score_fr"),
        ZERO_HIDDEN | {"skip_init": "he"},
    ),
    "every 1x1 at zero": Case(
        "dead-layers",
        "fatal",
        ("Nothing in this net can learn: no weight", "every 1x1 layer at zero, with an activation"),
        ZERO_HIDDEN | {"score_activation": "relu"},
    ),
    "hidden layers of a 32s at zero": Case(
        "dead-layers",
        "fatal",
        ("Nothing in this net can learn but its last biases", "entropy"),
        {"conv_init": "zero", "variant": "32s", "norm": "none"},
    ),
    "score layers at zero in front of a ReLU": Case(
        "dead-layers",
        "fatal",
        ("Nothing in this net can learn", "every score layer at zero", "--score-activation none"),
        {"score_activation": "relu"},
    ),
    "a deep branch that is dead": Case(
        "unused-branches", "fatal", ("The deep branch says nothing", "see dead-layers"), ZERO_HIDDEN
    ),
    "zero layers that a bias wakes": Case(
        "symmetric-layers",
        "warning",
        ("fc6", "many times over"),
        ZERO_HIDDEN | {"hidden_bias": 0.1, "norm": "none", "score_init": "he"},
    ),
}


RULES = {rule.name: rule for rule in rulebook()}


def findings_of(exam: Examination, name: str) -> list[Finding]:
    """What one rule finds, which is never worse than the rule says."""
    rule = RULES[name]
    opinion = rule.examine(exam)
    found = opinion if isinstance(opinion, list) else []
    worst = SEVERITIES.index(rule.severity)
    assert all(SEVERITIES.index(finding.severity) >= worst for finding in found)
    return found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_planted_is_found(case: Case, examine: Examine) -> None:
    """The rule finds it, and says what it is."""
    exam = examine(**case.options)
    if case.plant:
        case.plant(exam)
    found = findings_of(exam, case.rule)
    assert found, "nothing was found"
    assert found[0].severity == case.severity
    text = " ".join(f"{f.verdict} {f.evidence} {f.cause} {f.remedy}" for f in found)
    for words in case.words:
        assert words in text


def test_every_rule_has_a_planted_case() -> None:
    """No rule stands in the book without a sickness that proves it."""
    assert set(RULES) == {case.rule for case in CASES.values()}
