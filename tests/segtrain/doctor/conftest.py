"""Fixtures: a small data set and examinations of thin nets on it, quick enough for every test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from segtrain.doctor.examination import Examination, Plan
from segtrain.doctor.patient import Patient, admit

THIN = {
    "trunk": "vgg11",
    "width": 0.06,
    "crop": 64,
    "batch": 8,
    "workers": 0,
    "threads": 1,
    "device": "cpu",
    "dropout": 0.0,
}
QUICK = Plan(batches=3, steps=12, overfit=60, rate_steps=6)

Examine = Callable[..., Examination]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, make_shards: Callable[..., Path]) -> Path:
    """A shards directory of one data set; tests only read it."""
    return make_shards(tmp_path_factory.mktemp("doctor") / "shards", train=24, val=4)


@pytest.fixture(scope="session")
def patient(small: Path) -> Callable[..., Patient]:
    """Admits a thin net with these options."""

    def make(checkpoint: Path | None = None, **options: object) -> Patient:
        thin = {} if checkpoint else THIN
        return admit(thin | {"shards": small} | options, checkpoint)

    return make


@pytest.fixture(scope="session")
def examine(patient: Callable[..., Patient]) -> Examine:
    """Begins a quick examination of a thin net with these options, or of a patient."""

    def make(who: Patient | None = None, **options: object) -> Examination:
        return Examination(who or patient(**options), plan=QUICK)

    return make
