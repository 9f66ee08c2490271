"""Masks that others made: every defect planted and named, and nothing found where nothing is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.segdata.verify import foreign_plants as plants
from tests.segdata.verify.foreign_plants import PLANTS, Set

from segdata.errors import SegdataError
from segdata.verify.foreign import (
    CATALOGUE,
    MasksReport,
    listed_classes,
    markdown,
    parse_classes,
    verify_masks,
)

VOC_MASKS = "VOCtrainval_11-May-2012.tar/VOCdevkit/VOC2012/SegmentationClass"
VOC_IMAGES = "VOCtrainval_11-May-2012.tar/VOCdevkit/VOC2012/JPEGImages"
DOCS = Path(__file__).parents[3] / "docs" / "commands" / "verify-masks.md"


def check(made: Set, folder: Path, views: int = 0) -> MasksReport:
    return verify_masks(**made.write(folder), classes=parse_classes(made.classes), views=views)


@pytest.mark.parametrize("name", PLANTS)
def test_planted_defect_is_named(name: str, tmp_path: Path) -> None:
    """Every defect is found by its name and at a pixel that it changed, and nothing else is."""
    planted = PLANTS[name]
    made = planted.make()
    report = check(made, tmp_path, views=1)
    assert set(report.defects) == planted.defects, report.lines()
    placed = {f.defect for f in report.findings if f.place is not None}
    assert placed == {f.defect for f in report.findings if f.view is not None}
    assert all(found.cause and found.advice for found in report.findings)
    found = report.findings[0]
    assert planted.text in found.found, report.lines()
    if planted.changed:
        assert found.place is not None
        x, y = found.place
        mask = plants.decoded(made.masks[found.where])
        assert mask[y, x] != made.clean[Path(found.where).stem][y, x]


def test_every_defect_is_planted() -> None:
    """The catalogue holds no defect that no test has ever seen found."""
    assert set(CATALOGUE) == {defect for planted in PLANTS.values() for defect in planted.defects}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(48, 90),
    width=st.integers(48, 90),
    palette=st.booleans(),
)
def test_clean_masks_are_clean(
    seed: int, height: int, width: int, palette: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Objects, borders of void and lines of one or two pixels are never taken for a defect."""
    masks = {f"m{i}": plants.drawn_mask(seed + i, (height, width)) for i in range(4)}
    made = plants.make(masks, {n: plants.photo(m, 0) for n, m in masks.items()})
    if palette:
        made = plants.changed(plants.as_palette, made)
    report = check(made, tmp_path_factory.mktemp("clean"))
    assert report.findings == (), report.lines()


@pytest.mark.parametrize("classes", ["voc", None])
def test_real_masks_are_clean(classes: str | None, real: Path) -> None:
    """VOC's own masks, in their archive, hold no defect with or without what is known of them."""
    report = verify_masks(
        real / VOC_MASKS, images=real / VOC_IMAGES, classes=parse_classes(classes)
    )
    assert report.findings == (), report.lines()
    assert report.masks == report.images == 80


def resized_down(mask: plants.Mask) -> plants.Mask:
    return plants.scaled(0.8, plants.KERNELS.BILINEAR)(mask)


@pytest.mark.parametrize(
    ("change", "defect"),
    [
        (resized_down, "interpolated-ids"),
        (plants.through_jpeg(90), "jpeg-noise"),
        (lambda m: np.array(plants.as_palette(m).convert("L")), "palette-as-luminance"),
        (lambda m: np.roll(m, 1, 1), "mask-shifted"),
        (plants.floor_nearest, "nearest-off-centre"),
    ],
    ids=["bilinear", "jpeg", "luminance", "shift", "floor"],
)
def test_defects_of_real_masks(
    change: Callable[[plants.Mask], plants.Mask], defect: str, real: Path, tmp_path: Path
) -> None:
    """What is done to VOC's own masks is named, with their originals as reference or alone."""
    from segdata.archive import open_archive

    members = open_archive(real / "VOCtrainval_11-May-2012.tar").members.values()
    chosen = [m for m in members if "SegmentationClass/" in m.name][:12]
    for member in chosen:
        (tmp_path / member.basename).write_bytes(plants.png(change(plants.decoded(member.read()))))
    geometric = defect in ("mask-shifted", "nearest-off-centre")
    reference = real / VOC_MASKS if geometric else None
    report = verify_masks(tmp_path, reference=reference, classes=parse_classes("voc"))
    assert set(report.defects) == {defect}, report.lines()
    least = len(chosen) if geometric else 1
    assert sum(found.masks for found in report.findings) >= least


def test_command_writes_report_and_pictures(
    tmp_path: Path, segdata: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command tells what it found, writes JSON and pictures, and ends with 1; 0 when clean."""
    monkeypatch.chdir(tmp_path)
    made = plants.changed(plants.mapped(_2=77), plants.generated())
    paths = made.write(tmp_path)
    arguments = ["verify-masks", "--masks", paths["masks"], "--images", paths["images"]]
    outcome = segdata(*arguments, "--classes", "voc", "--json", "report.json")
    assert outcome.code == 1
    assert "ids-beyond-classes: next: " in outcome.stdout
    assert json.loads(Path("report.json").read_bytes())["defects"] == {"ids-beyond-classes": 1}
    printed = segdata(*arguments, "--classes", "voc", "--json", "-").stdout
    assert printed == Path("report.json").read_text(encoding="utf-8")
    (picture,) = Path("findings").iterdir()
    with Image.open(picture) as opened:
        assert opened.width > 640
    outcome = segdata(*arguments, "--classes", "100", "--out", "none")
    assert outcome.code == 0, outcome.stdout
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--masks", "nowhere"], 2),
        (["--masks", "."], 1),
        (["--images", "."], 2),
        (["--masks", ".", "--classes", "0"], 2),
        (["--masks", ".", "--classes", "."], 2),
        (["--masks", ".", "--classes", "nowhere"], 2),
        (["--masks", ".", "--level", "content"], 2),
        (["--level", "integrity", "--data", "."], 2),
    ],
)
def test_wrong_use(
    arguments: list[str],
    code: int,
    segdata: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be is said in a message."""
    monkeypatch.chdir(tmp_path)
    outcome = segdata("verify-masks", *arguments)
    assert outcome.code == code
    assert outcome.stderr.startswith("error: ")


def test_manifests_name_classes(tmp_path: Path) -> None:
    """A manifest gives classes with their colours; ids beyond 254 are refused."""
    path = tmp_path / "voc2012.json"
    path.write_text(json.dumps({"classes": [{"id": 1, "name": "cat", "color": [1, 2, 3]}]}))
    assert parse_classes(str(path)).colors == {0: (0, 0, 0), 1: (1, 2, 3)}
    path.write_text(json.dumps({"classes": [{"id": 300, "name": "cat"}]}))
    with pytest.raises(SegdataError, match="cannot be read"):
        parse_classes(str(path))


CLASS_FILES = {
    "leaf.toml": 'ignore = [9, 255]\n[[classes]]\nname = "leaf"\nids = [3, 4]\n'
    '[[classes]]\nname = "stem"\nids = [7]\n',
    "leaf.csv": "id,name,color\n3,leaf,\n4,leaf,\n7,stem,\n9,ignore,\n255,ignore,\n",
    "leaf.txt": "# plants\nleaf\nstem\n",
}


@pytest.mark.parametrize("name", CLASS_FILES)
def test_class_files_mean_the_same_to_build_folder(
    name: str, tmp_path: Path, segdata: Callable[..., Any]
) -> None:
    """Of one class file and one set of masks both commands take or refuse the same ids."""
    file = tmp_path / name
    file.write_text(CLASS_FILES[name])
    right, wrong = ((1, 2, 255), 3) if name.endswith("txt") else ((3, 4, 7, 9, 255), 5)
    for kind, ids in (("right", right), ("wrong", (*right, wrong))):
        mask = np.zeros((64, 80), np.uint8)
        for number, value in enumerate(ids):
            mask[20:40, 10 * number + 4 : 10 * number + 13] = value
        masks, images = tmp_path / kind / "masks", tmp_path / kind / "images"
        for folder in (masks, images):
            folder.mkdir(parents=True)
        for i in range(3):
            (masks / f"{i}.png").write_bytes(plants.png(mask))
            Image.new("RGB", (80, 64)).save(images / f"{i}.jpg")
        out = tmp_path / kind
        built = segdata(
            "build-folder", images, masks, f"--classes={file}", f"--out={out / 'shards'}",
            "--split=train", "--workers=1",
        )  # fmt: skip
        checked = segdata(
            "verify-masks", f"--masks={masks}", f"--classes={file}", f"--out={out / 'findings'}",
            "--workers=1",
        )  # fmt: skip
        code = int(kind == "wrong")
        assert (built.code, checked.code) == (code, code), built.stderr + checked.stdout
        if code:
            assert f"id {wrong}" in built.stderr or f": {wrong}" in built.stderr, built.stderr
            assert "ids-beyond-classes" in checked.stdout


def test_colours_of_class_files() -> None:
    """A class of several colours is known by each of them, with or without ids."""
    rows = [("background", (0,), ((0, 0, 0),)), ("leaf", (), ((9, 9, 0), (8, 8, 0)))]
    made = listed_classes(rows)
    assert (made.count, made.gaps) == (2, frozenset())
    assert made.names == {0: "background", 1: "leaf", 2: "leaf"}
    assert set(made.colors.values()) == {(0, 0, 0), (9, 9, 0), (8, 8, 0)}


def test_documented_table_is_current() -> None:
    """The page of the command holds the table of defects as the code has it."""
    assert markdown(CATALOGUE.values()) in DOCS.read_text(encoding="utf-8")
