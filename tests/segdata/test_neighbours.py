"""Years that share photos: VOC 2007 beside 2012, and COCO 2014 beside 2017."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.segdata.samples_of import read_samples

from segdata import shards
from segdata.archive import Member
from segdata.classes import COCO_CATEGORIES
from segdata.errors import ShardsError
from segdata.neighbours import without_stored
from segdata.samples import Source, Split
from segdata.verify import verify
from segdata.voc import VocSample

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make, VocSet

Tree = Callable[[Path], dict[str, bytes]]


def voc2007(voc: "VocSet") -> dict[str, bytes]:
    """The tree as VOC 2007 has it: bare numbers as ids."""
    renamed = {
        n.replace("2007_", "").replace("VOC2012", "VOC2007"): d for n, d in voc.members.items()
    }
    return {n: d.replace(b"2007_", b"") if n.endswith("txt") else d for n, d in renamed.items()}


@pytest.fixture
def data(make: "Make", tmp_path: Path) -> Path:
    """VOC 2012 of 5 + 3 images, and a VOC 2007 of the same ones, two of them in the other split."""
    voc = make.voc()
    folder = make.write_voc(tmp_path / "data", voc)
    voc.list("train", [*voc.train[:4], voc.val[0]])
    voc.list("val", [*voc.val[1:], voc.train[4]])
    make.write_tar(folder / "VOCtrainval_06-Nov-2007.tar", voc2007(voc))
    return folder


def keys(out: Path, pattern: str) -> set[str]:
    """The keys of shards."""
    return {key for tar in out.glob(pattern) for key, _ in read_samples(tar)}


def test_2007_adds_nothing_to_a_whole_2012(
    data: Path, tmp_path: Path, segdata: "Command", read_tree: Tree
) -> None:
    """After all of VOC 2012, VOC 2007 has nothing left: a note, exit code 0, no manifest."""
    out = tmp_path / "out"
    command = ["build-voc", "--data", data, "--out", out, "--workers", 1]
    assert segdata(*command).code == 0
    before = read_tree(out)
    done = segdata(*command, "--year", 2007)
    assert (done.code, done.stdout) == (0, "")
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: voc2007 ")]
    assert [note.split()[2] for note in notes] == ["train", "val"]
    assert read_tree(out) == before
    assert segdata(*command).code == 0


def test_2007_joins_a_part_of_2012(data: Path, tmp_path: Path, segdata: "Command") -> None:
    """Of VOC 2007 only what VOC 2012 did not store is added, and the rest is left out by name."""
    out = tmp_path / "out"
    command = ["build-voc", "--data", data, "--out", out, "--workers", 1]
    assert segdata(*command, "--split", "val").code == 0
    held_out = keys(out, "voc2012-val-*.tar")
    assert len(held_out) == 3
    assert segdata(*command, "--year", 2007).code == 0
    assert not keys(out, "voc2007-*.tar") & held_out
    splits = shards.manifests(out)["voc2007"]["splits"]
    assert {n: (s["samples"], s["available"]) for n, s in splits.items()} == {
        "train": (4, 5), "val": (1, 3),
    }  # fmt: skip
    assert splits["train"]["left_out"] == {
        "stored as voc2012": {"count": 1, "ids": ["2007_000005"]}
    }
    report = verify(out, data=data)
    assert (report.ok, report.compared) == (True, 8), report.lines()
    assert segdata(*command, "--split", "val").code == 0  # nothing new, so it may be repeated
    refused = segdata(*command)
    assert refused.code == 1
    assert "holds every image of VOC 2007" in " ".join(refused.stderr.split())


def test_a_false_reason_is_found(data: Path, tmp_path: Path, segdata: "Command") -> None:
    """An image left out as stored by VOC 2012 that is not stored there is a finding."""
    out = tmp_path / "out"
    command = ["build-voc", "--data", data, "--out", out, "--workers", 1]
    assert segdata(*command, "--split", "val").code == 0
    assert segdata(*command, "--year", 2007).code == 0
    for path in [*out.glob("voc2012*"), out / "info.json"]:
        path.unlink()
    shards.write_info(out)
    found = verify(out, data=data).findings
    assert {(f.defect, f.where.split(": ")[-1]) for f in found} == {
        ("sample-missing", f"2007_{n:06d}") for n in (5, 6, 7)
    }


@pytest.mark.parametrize("finished", [True, False])
def test_2012_after_2007_is_refused(
    data: Path, tmp_path: Path, segdata: "Command", read_tree: Tree, finished: bool
) -> None:
    """VOC 2012 does not join VOC 2007, finished or not: its val holds some of 2007's train."""
    out = tmp_path / "out"
    command = ["build-voc", "--data", data, "--out", out, "--workers", 1]
    assert segdata(*command, "--year", 2007).code == 0
    if not finished:
        (out / "voc2007.json").unlink()
    before = read_tree(out)
    done = segdata(*command)
    message = " ".join(done.stderr.split())
    assert done.code == 1
    assert "VOC 2012 holds every image of VOC 2007, some of its train images in val" in message
    assert "delete the voc2007* files" in message
    assert read_tree(out) == before


def test_2007_after_half_of_2012_is_refused(data: Path, tmp_path: Path, segdata: "Command") -> None:
    """Beside an unfinished VOC 2012 nobody knows what it will hold, so VOC 2007 has to wait."""
    out = tmp_path / "out"
    command = ["build-voc", "--data", data, "--out", out, "--workers", 1]
    assert segdata(*command).code == 0
    (out / "voc2012.json").unlink()
    done = segdata(*command, "--year", 2007)
    assert done.code == 1
    assert "unfinished build of VOC 2012" in " ".join(done.stderr.split())


ids = st.sets(st.integers(0, 15))


@given(stored=ids.filter(bool), train=ids, val=ids)
@settings(max_examples=40)
def test_no_image_of_2012_is_stored_again(
    tmp_path_factory: pytest.TempPathFactory, stored: set[int], train: set[int], val: set[int]
) -> None:
    """Whatever VOC 2012 stores and VOC 2007 lists: none is stored twice, none lost in silence."""
    out = tmp_path_factory.mktemp("out")
    rows = "".join(f"jpg 512 9 voc2012_{i}.jpg json 1 1 x seg.png 1 1 y\n" for i in stored)
    (out / "voc2012-val-000000.idx").write_text(f"v1.2 {len(stored)}\n{rows}")
    fields = dict.fromkeys(shards.MANIFEST_FIELDS) | {"format": "segdata/1"}
    splits = {"val": {"shards": [{"name": "voc2012-val-000000.tar"}]}}
    (out / "voc2012.json").write_text(json.dumps(fields | {"splits": splits}))
    member = Member("x", "x.jpg", 1)
    listed = {
        name: Split([VocSample(f"voc2012_{i}", str(i), member, member, "V", b"") for i in of], 9, 9)
        for name, of in (("train", train), ("val", val - train))
    }
    found = without_stored(out, Source("voc2007", 2007, False, listed, {}))
    for name, of in (("train", train), ("val", val - train)):
        assert (name in found.splits) == bool(of - stored)
        if name in found.splits:
            split = found.splits[name]
            assert {int(s.source_id) for s in split.samples} == of - stored
            assert {int(i) for i, _ in split.left_out} == of & stored


def test_a_lost_index_is_told(data: Path, tmp_path: Path, segdata: "Command") -> None:
    """Where VOC 2012's index is lost, nothing is guessed: the error names it."""
    out = tmp_path / "out"
    command = ["build-voc", "--data", data, "--out", out, "--workers", 1]
    assert segdata(*command).code == 0
    (out / "voc2012-val-000000.idx").unlink()
    done = segdata(*command, "--year", 2007)
    assert done.code == ShardsError.exit_code
    assert "voc2012-val-000000.idx" in "".join(done.stderr.split())


def write_coco_2014(make: "Make", folder: Path) -> Path:
    """COCO's archives as those of 2014, with their longer file names."""
    for name, members in make.coco().members().items():
        renamed = {}
        for member, content in members.items():
            year = member.replace("2017", "2014")
            if member.endswith(".jpg"):
                place, file = year.split("/")
                renamed[f"{place}/COCO_{place}_{file}"] = content
            else:
                document = json.loads(content)
                document["categories"] = [{"id": i, "name": n} for i, n in COCO_CATEGORIES.items()]
                split = "train" if "train2017" in member else "val"
                for record in document["images"]:
                    record["file_name"] = f"COCO_{split}2014_{record['file_name']}"
                renamed[year] = json.dumps(document).encode()
        make.write_zip(folder / f"{name.replace('2017', '2014')}.zip", renamed)
    return folder


def test_coco_2014(make: "Make", tmp_path: Path, segdata: "Command") -> None:
    """COCO 2014 is built and verified under its own names, keys and official counts."""
    data, out = write_coco_2014(make, tmp_path / "data"), tmp_path / "out"
    done = segdata("build-coco", "--data", data, "--out", out, "--year", 2014, "--workers", 1)
    assert done.code == 0
    manifest = shards.manifests(out)["coco2014"]
    assert {n: (s["samples"], s["official"]) for n, s in manifest["splits"].items()} == {
        "train": (4, 82_783), "val": (3, 40_504),
    }  # fmt: skip
    assert (manifest["options"]["year"], manifest["options"]["protocol"]) == (2014, "")
    files = {
        key: json.loads(parts["json"])["source_file"]
        for key, parts in read_samples(out / "coco2014-val-000000.tar")
    }
    assert files["coco2014_000000001001"] == "COCO_val2014_000000001001.jpg"
    report = verify(out, data=data)
    assert (report.ok, report.compared) == (True, 7), report.lines()


@pytest.mark.parametrize("first", [2014, 2017])
def test_a_directory_takes_one_year_of_coco(
    make: "Make", tmp_path: Path, segdata: "Command", read_tree: Tree, first: int
) -> None:
    """COCO 2014 and 2017 divide the same photos otherwise: neither joins the other."""
    data, out = write_coco_2014(make, tmp_path / "data"), tmp_path / "out"
    make.write_coco(data, make.coco())
    command = ["build-coco", "--data", data, "--out", out, "--workers", 1, "--year"]
    assert segdata(*command, first).code == 0
    before = read_tree(out)
    done = segdata(*command, {2014: 2017, 2017: 2014}[first])
    assert done.code == 1
    assert "COCO 2014 and 2017 are the same photos" in " ".join(done.stderr.split())
    assert f"coco{first}" in done.stderr
    assert read_tree(out) == before
