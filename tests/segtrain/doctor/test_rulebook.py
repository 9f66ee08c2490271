"""Tests of segtrain.doctor.rulebook and of what every rule must have."""

import pkgutil

from segtrain.doctor import rules
from segtrain.doctor.findings import SEVERITIES
from segtrain.doctor.rulebook import rulebook


def test_every_file_is_a_rule_with_its_texts() -> None:
    """Each file of the folder is one rule, named after it, with all that its page needs."""
    files = sorted(module.name for module in pkgutil.iter_modules(rules.__path__))
    assert [rule.name.replace("-", "_") for rule in rulebook()] == files
    for rule in rulebook():
        assert rule.severity in SEVERITIES
        for text in (rule.title, rule.reason, rule.evidence, rule.remedy):
            assert text == text.strip()
            assert text
        assert rule.reason.endswith((".", ")"))
