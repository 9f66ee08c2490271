"""How a defect is planted in a sound shards directory, and what must then be reported."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.segdata.verify.shelf import Members, Sample, Shelf, write_info

VOC_TRAIN, VOC_VAL = "voc2012-train-000000", "voc2012-val-000000"
COCO_TRAIN, COCO_VAL = "coco2017-train-000000", "coco2017-val-000000"

Json = dict[str, Any]


@dataclass
class Scene:
    """Where a defect is planted."""

    shelf: Shelf
    folder: Path
    data: Path
    monkeypatch: pytest.MonkeyPatch

    def write(self) -> None:
        self.shelf.write(self.folder)

    def edit(self, name: str, change: Callable[[Json], object]) -> str:
        """Change a JSON file of the written directory; `info.json` follows the manifests."""
        if not self.folder.exists():
            self.write()
        path = self.folder / name
        record = json.loads(path.read_bytes())
        change(record)
        path.write_text(json.dumps(record))
        if name in ("voc2012.json", "coco2017.json"):
            write_info(self.folder)
        return name

    def alter_members(self, shard: str, change: Callable[[Members], Members]) -> str:
        self.shelf.on_members[shard] = change
        return f"{shard}.tar"


Plant = Callable[[Scene], str]


@dataclass(frozen=True)
class Planted:
    """A plant, the defects it must show and no others; `source` where only the source tells."""

    plant: Plant
    defects: frozenset[str]
    source: bool = False
    place: tuple[int, int] | None = field(default=None)


PLANTS: dict[str, Planted] = {}


def plants(
    defect: str, *also: str, source: bool = False, place: tuple[int, int] | None = None
) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        assert plant.__name__ not in PLANTS
        PLANTS[plant.__name__] = Planted(plant, frozenset({defect, *also}), source, place)
        return plant

    return register


def recount(sample: Sample) -> None:
    sample.facts["pixels"] = [int((sample.mask == i).sum()) for i in (0, 1, 2, 3, 255)]
