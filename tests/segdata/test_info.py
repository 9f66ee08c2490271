"""`segdata info`: its numbers against the masks themselves, its JSON, and what it refuses."""

import io
import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tests.segdata.samples_of import read_samples

from segdata.census import take_census
from segdata.errors import ShardsError
from segdata.shards import manifests, to_json

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make


@pytest.fixture(scope="module")
def built(segdata: "Command", small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both small data sets in shards of two samples."""
    out = tmp_path_factory.mktemp("info") / "shards"
    for command in ("build-voc", "build-coco"):
        done = segdata(command, "--data", small, "--out", out, "--shard-samples", 2, "--size", 48)
        assert done.code == 0
    return out


@pytest.fixture(scope="module")
def found(segdata: "Command", built: Path) -> Any:  # noqa: ANN401 - JSON
    """What the command prints as JSON."""
    done = segdata("info", built, "--json", "-")
    assert (done.code, done.stderr) == (0, "")
    return json.loads(done.stdout)


def masks(built: Path, name: str) -> list[Any]:
    """The decoded masks of one split."""
    return [
        np.asarray(Image.open(io.BytesIO(parts["seg.png"])))
        for tar in sorted(built.glob(f"{name}-*.tar"))
        for _, parts in read_samples(tar)
    ]


@pytest.mark.parametrize("name", ["voc2012-train", "voc2012-val", "coco2017-train", "coco2017-val"])
def test_counts_are_those_of_the_masks(built: Path, found: Any, name: str) -> None:  # noqa: ANN401 - JSON
    """Images, pixels, void, sizes and pixels of a class's images, counted over decoded masks."""
    dataset, _, split = name.partition("-")
    entry = next(d for d in found["datasets"] if d["dataset"] == dataset)["splits"][split]
    decoded = masks(built, name)
    assert entry["samples"] == len(decoded)
    assert entry["shards"] == len(list(built.glob(f"{name}-*.tar")))
    for axis, side in enumerate(("height", "width")):
        sides = [mask.shape[axis] for mask in decoded]
        assert entry[side] == [min(sides), max(sides)]
    assert entry["void_pixels"] == sum(int((mask == 255).sum()) for mask in decoded)
    for c in range(21):
        showing = [mask for mask in decoded if (mask == c).any()]
        assert entry["images"][c] == len(showing)
        assert entry["pixels"][c] == sum(int((mask == c).sum()) for mask in decoded)
        assert entry["present_pixels"][c] == sum(int((mask != 255).sum()) for mask in showing)
    manifest = manifests(built)[dataset]["splits"][split]
    for field in ("available", "official", "complete", "objects"):
        assert entry[field] == manifest[field]


def test_together_adds_the_data_sets_up(found: Any) -> None:  # noqa: ANN401 - JSON
    """Counts of all data sets together are sums, and weights and floors follow from the sums."""
    for split, together in found["together"].items():
        parts = [d["splits"][split] for d in found["datasets"]]
        for field in ("samples", "void_pixels"):
            assert together[field] == sum(part[field] for part in parts)
        for field in ("pixels", "images", "present_pixels", "objects"):
            assert together[field] == [sum(c) for c in zip(*(p[field] for p in parts), strict=True)]
        total = sum(together["pixels"])
        weights = together["weights"]["inverse_log"]
        assert weights == [
            pytest.approx(1 / math.log(1.02 + n / total)) for n in together["pixels"]
        ]
        assert together["all_background"]["pixel_accuracy"] == together["pixels"][0] / total


SCHEMA = {
    "format", "classes", "ignore_index", "synthetic", "complete", "warnings", "datasets",
    "together",
}  # fmt: skip
DATASET = {
    "dataset", "synthetic", "complete", "labels", "options", "seed", "versions", "policy",
    "command", "views", "splits",
}  # fmt: skip
COUNTS = {
    "samples", "pixels", "void_pixels", "images", "present_pixels", "objects", "weights",
    "prior_entropy", "uniform_entropy", "all_background",
}  # fmt: skip
SPLIT = COUNTS | {"available", "official", "complete", "shards", "bytes", "height", "width"}


def test_the_schema_is_closed_and_documented(found: Any) -> None:  # noqa: ANN401 - JSON
    """Every object has exactly its documented fields, and the page of the command names each."""
    assert found["format"] == "segdata-info/1"
    assert found.keys() == SCHEMA
    for dataset in found["datasets"]:
        assert dataset.keys() == DATASET
        assert all(split.keys() == SPLIT for split in dataset["splits"].values())
    assert all(split.keys() == COUNTS for split in found["together"].values())
    page = (Path(__file__).parents[2] / "docs" / "commands" / "info.md").read_text("utf-8")
    assert [name for name in SCHEMA | DATASET | SPLIT if f"`{name}`" not in page] == []


def test_off_a_terminal_it_is_tables_of_tabs(segdata: "Command", built: Path) -> None:
    """Tables are tab-separated; warnings stand on stderr."""
    done = segdata("info", built)
    assert done.code == 0
    assert "\x1b" not in done.stdout
    heads = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert [h for h in heads if h in ("split", "option", "subset", "class")] == [
        "split", "option", "option", "subset", "class", "class", "class", "split",
    ]  # fmt: skip
    notes = done.stderr.splitlines()
    assert all(note.startswith("note: ") for note in notes)
    assert any("voc2012 train is incomplete" in note for note in notes)


def test_the_json_goes_into_a_file_too(
    segdata: "Command",
    built: Path,
    found: Any,  # noqa: ANN401 - JSON
    tmp_path: Path,
) -> None:
    """`--json FILE` writes the same facts beside the tables."""
    done = segdata("info", built, "--json", tmp_path / "info.json")
    assert done.code == 0
    assert json.loads((tmp_path / "info.json").read_bytes()) == found
    assert done.stdout.startswith("split\t")


def test_shards_are_where_they_are_looked_for(
    segdata: "Command", built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an argument the shards of shards/ are told; a missing directory is an error."""
    monkeypatch.chdir(built.parent)
    assert segdata("info").code == 0
    done = segdata("info", tmp_path / "absent")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no shards directory")


@pytest.mark.parametrize("field", ["pixels", "objects", "images", "samples"])
def test_samples_must_add_up_to_the_manifest(built: Path, tmp_path: Path, field: str) -> None:
    """A manifest that tells other sums than its samples is refused, with the field's name."""
    folder = Path(shutil.copytree(built, tmp_path / "s"))
    manifest = manifests(folder)["voc2012"]
    entry = manifest["splits"]["train"]
    if field == "samples":
        entry["samples"] += 1
    else:
        entry[field][3] += 1
    (folder / "voc2012.json").write_bytes(to_json(manifest))
    with pytest.raises(ShardsError, match="do not add up") as error:
        take_census(folder, lambda *_: None)
    assert f"splits.train.{field}" in str(error.value.where)


def test_one_directory_has_one_list_of_classes(
    segdata: "Command", small: Path, tmp_path: Path
) -> None:
    """Data sets of different classes that somebody copied together are refused by name."""
    both = tmp_path / "both"
    for command, name in (("build-voc", "cat"), ("build-coco", "dog")):
        out = tmp_path / name
        options = ["--data", small, "--out", out, "--classes", name, "--size", 48, "--min-area", 0]
        used = options if command == "build-coco" else options[:-2]
        assert segdata(command, *used, "--workers", 1).code == 0
        shutil.copytree(out, both, dirs_exist_ok=True)
    done = segdata("info", both)
    assert (done.code, done.stdout) == (1, "")
    assert "those of coco2017" in done.stderr
    assert "others in voc2012" in done.stderr


@pytest.mark.parametrize("damage", ["short", "facts", "sidecar", "index"])
def test_damaged_shards_are_told(
    segdata: "Command", built: Path, tmp_path: Path, damage: str
) -> None:
    """A shard, index or sidecar that cannot be read is one error with its name."""
    folder = Path(shutil.copytree(built, tmp_path / "s"))
    tar = folder / "voc2012-val-000000.tar"
    culprit = {
        "sidecar": folder / "voc2012-val-000000.stats.json",
        "index": tar.with_suffix(".idx"),
    }.get(damage, tar)
    if damage == "sidecar":
        culprit.write_text('{"format": "segdata/1"}')
    elif damage == "index":
        culprit.unlink()
    else:
        data = bytearray(tar.read_bytes())
        at = data.index(b'{"crowd_pixels"')
        data[at : at + 20] = b"?" * 20
        tar.write_bytes(data[:at] if damage == "short" else data)
    done = segdata("info", folder)
    assert (done.code, done.stdout) == (1, "")
    assert str(culprit) in done.stderr


def test_a_class_without_pixels_has_weights(
    segdata: "Command", make: "Make", tmp_path: Path
) -> None:
    """A class that no image shows weighs 1 by median frequency and 1 / ln 1.02 by inverse log."""
    data = make.write_voc(tmp_path / "data", make.voc(1, 1))
    assert segdata("build-voc", "--data", data, "--out", tmp_path / "s").code == 0
    done = segdata("info", tmp_path / "s", "--json", "-")
    train = json.loads(done.stdout)["datasets"][0]["splits"]["train"]
    assert train["images"][2] == 0
    assert train["weights"]["median_frequency"][2] == 1
    assert train["weights"]["inverse_log"][2] == pytest.approx(1 / math.log(1.02))
    assert train["all_background"]["classes"] == 2
