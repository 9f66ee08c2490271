"""Every defect of the catalogue, planted one at a time in a sound shards directory."""

from pathlib import Path

import pytest
from tests.segdata.verify import directory_plants, shard_plants, source_plants
from tests.segdata.verify.planting import PLANTS, Scene
from tests.segdata.verify.shelf import Shelf

from segdata.verify import ADVICE, verify

assert all((directory_plants, shard_plants, source_plants))  # importing them plants


@pytest.mark.parametrize("name", PLANTS)
def test_planted_defect_is_named(
    name: str, shelf: Shelf, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted defect is found by name and place, and nothing else is reported."""
    planted = PLANTS[name]
    scene = Scene(shelf, tmp_path / "shards", data, monkeypatch)
    where = planted.plant(scene)
    if not scene.folder.exists():
        scene.write()

    report = verify(scene.folder, data=scene.data if planted.source else None)

    assert set(report.defects) == planted.defects, report.lines()
    assert not report.ok
    assert any(where in f.where and f.defect in planted.defects for f in report.findings)
    assert planted.place in {None, *(finding.place for finding in report.findings)}
    assert all(finding.advice for finding in report.findings)


def test_every_defect_is_planted() -> None:
    """The catalogue holds no defect that no test has ever seen found."""
    assert set(ADVICE) == {defect for planted in PLANTS.values() for defect in planted.defects}
