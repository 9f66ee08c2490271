"""Healthy set-ups: the doctor says nothing fatal, and nothing about the net to warn of.

tools/experiments/doctor_healthy.py does the same for every recipe and many seeds.
"""

from collections.abc import Callable
from typing import Any

import pytest

from segtrain.doctor.examination import Examination
from segtrain.doctor.report import examined

HEALTHY: dict[str, dict[str, Any]] = {
    "8s, batch norm, from scratch": {"seed": 0},
    "32s, group norm": {"seed": 1, "variant": "32s", "norm": "group"},
    "16s, no norm, dropout": {"seed": 2, "variant": "16s", "norm": "none", "dropout": 0.5},
    "8s, 1x1 head, leaky ReLU, learned upsampling": {
        "seed": 3,
        "head": "1x1",
        "activation": "leaky_relu",
        "upsampling": "learned",
    },
    "8s at once, scores at random": {
        "seed": 4,
        "norm": "group",
        "skip_scales": "0.01,0.0001",
        "score_init": "he",
        "skip_init": "he",
    },
}


@pytest.mark.parametrize("options", HEALTHY.values(), ids=HEALTHY)
def test_the_doctor_is_quiet(options: dict[str, Any], examine: Callable[..., Examination]) -> None:
    """No finding but notes; every rule looked or said why it did not."""
    report = examined(examine(batch=4, **options))
    assert [f"{f.severity} {f.rule}: {f.evidence}" for f in report.findings
            if f.severity != "note"] == []  # fmt: skip
