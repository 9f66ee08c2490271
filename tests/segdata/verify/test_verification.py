"""A verification as a whole: what it refuses, what it reports, and that nothing sways it."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.segdata.verify.archives import picture
from tests.segdata.verify.shelf import Shelf

from segdata.errors import ShardsError, SourceError, UsageError
from segdata.verify import Finding, Report, contract, images, protocols, verify

FORBIDDEN = ("masks", "images", "labels", "build", "coco", "voc", "sbd", "protocols", "neighbours")
FORBIDDEN += ("shards", "records", "samples")
FORBIDDEN += ("folder", "pairs", "division", "labelmap", "maskfiles", "holdouts")


def damage(shelf: Shelf, folder: Path) -> None:
    """Four defects in four shards."""
    shelf.sample("voc2012-train-000000").mask[0, 0] ^= 1
    shelf.sample("coco2017-train-000001").facts["objects"][0] += 1
    shelf.write(folder)
    tar = folder / "voc2012-val-000000.tar"
    tar.write_bytes(tar.read_bytes()[:5000])
    (folder / "coco2017-val-000000.idx").unlink()


def test_sound_shards_pass(shelf: Shelf, data: Path, tmp_path: Path) -> None:
    """Shards as the format's documentation has them pass, with and without their source."""
    shelf.write(tmp_path / "shards")
    alone, against = verify(tmp_path / "shards"), verify(tmp_path / "shards", data=data)
    assert alone.ok
    assert alone.lines() == []
    assert (alone.datasets, alone.shards, alone.samples, alone.compared) == (2, 7, 12, 0)
    assert "masks not compared with a source" in alone.summary
    assert against.ok
    assert against.compared == 12
    assert "12 of 12 masks compared with the source, all equal" in against.summary


def test_all_defects_are_reported_at_once(shelf: Shelf, data: Path, tmp_path: Path) -> None:
    """A broken shard keeps nothing from being found in the others."""
    damage(shelf, tmp_path / "shards")
    found = verify(tmp_path / "shards", data=data).defects
    assert {"mask-differs", "counts-differ", "tar-broken", "idx-missing"} <= set(found)


def test_workers_change_nothing(shelf: Shelf, data: Path, tmp_path: Path) -> None:
    """The report is the same for any number of processes."""
    damage(shelf, tmp_path / "shards")
    alone = verify(tmp_path / "shards", data=data, workers=1)
    assert verify(tmp_path / "shards", data=data, workers=2) == alone


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7), shard=st.integers(0, 6))
def test_no_flipped_bit_passes(
    shelf: Shelf, tmp_path_factory: pytest.TempPathFactory, position: int, bit: int, shard: int
) -> None:
    """A single flipped bit anywhere in a shard is found, wherever it lies."""
    folder = tmp_path_factory.mktemp("flip") / "shards"
    shelf.write(folder)
    tar = sorted(folder.glob("*.tar"))[shard]
    content = bytearray(tar.read_bytes())
    content[position % len(content)] ^= 1 << bit
    tar.write_bytes(content)
    assert "shard-sha256" in verify(folder).defects


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(choice=st.integers(0, 11), place=st.integers(0, 10**6), step=st.integers(1, 4))
def test_no_wrong_pixel_passes(
    shelf: Shelf,
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    choice: int,
    place: int,
    step: int,
) -> None:
    """One pixel of another valid id is found at its place, with every record rewritten to fit."""
    sample = [sample for samples in shelf.shards.values() for sample in samples][choice]
    y, x = divmod(place % sample.mask.size, sample.mask.shape[1])
    ids = [0, 1, 2, 3, 255]
    before = sample.mask[y, x]
    sample.mask[y, x] = ids[(ids.index(int(before)) + step) % 5]
    sample.facts["pixels"] = [int((sample.mask == i).sum()) for i in ids]
    folder = tmp_path_factory.mktemp("pixel") / "shards"
    shelf.write(folder)
    sample.mask[y, x] = before
    findings = verify(folder, data=data).findings
    sample.facts["pixels"] = [int((sample.mask == i).sum()) for i in ids]
    assert [(f.defect, f.place) for f in findings] == [("mask-differs", (x, y))]
    assert f"expected id {before} at x={x} y={y}" in findings[0].detail


def test_shards_of_others_are_told_as_such(tmp_path: Path) -> None:
    """A manifest that names the members of its samples is another program's, and is kept."""
    manifest = tmp_path / "mine.json"
    manifest.write_text(json.dumps({"format": contract.FORMAT, "members": {"mask": "png"}}))
    with pytest.raises(ShardsError, match="made by others") as caught:
        verify(tmp_path)
    assert "delete" not in caught.value.advice
    assert "segdata build-folder" in caught.value.advice


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_no_shards(name: str, tmp_path: Path) -> None:
    """A missing directory and one without a manifest are errors that say what to do."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ShardsError) as caught:
        verify(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert caught.value.advice


def test_no_data_folder(shelf: Shelf, tmp_path: Path) -> None:
    """A folder of archives that does not exist is an error, not a silent shorter check."""
    shelf.write(tmp_path / "shards")
    with pytest.raises(SourceError, match="does not exist"):
        verify(tmp_path / "shards", data=tmp_path / "nowhere")


def test_sbd_without_its_voc(shelf: Shelf, data: Path, tmp_path: Path) -> None:
    """SBD without the folder of VOC is an error of usage, an SBD that is not there one of it."""
    shelf.write(tmp_path / "shards")
    with pytest.raises(UsageError, match="SBD alone is compared with nothing"):
        verify(tmp_path / "shards", sbd=data / "benchmark.tgz")
    with pytest.raises(SourceError, match="SBD was not found"):
        verify(tmp_path / "shards", data=data, sbd=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("VOCtrainval_11-May-2012.tar", "this is not VOC 2012 in its official layout"),
        ("benchmark.tgz", "this is not SBD in its official layout"),
        ("annotations_trainval2017.zip", "an annotation file is not COCO's instances JSON"),
    ],
)
def test_other_content_under_an_official_name(
    shelf: Shelf, data: Path, tmp_path: Path, name: str, what: str
) -> None:
    """An archive that is whole and holds something else is named, as the builder names it."""
    shelf.write(tmp_path / "shards")
    other = Path(shutil.copytree(data, tmp_path / "data"))
    if name.endswith(".zip"):
        with zipfile.ZipFile(other / name, "w") as archive:
            archive.writestr("annotations/instances_train2017.json", '{"images": 3}')
    else:
        with tarfile.open(other / name, "w:gz" if name.endswith("gz") else "w") as tar:
            tar.addfile(tarfile.TarInfo("readme"))
    with pytest.raises(SourceError) as caught:
        verify(tmp_path / "shards", data=other)
    assert caught.value.what == what
    assert str(other / name) in str(caught.value.where)
    assert caught.value.found
    assert caught.value.advice


def test_an_edited_list_of_seg11valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed list is the published one, whatever its line ends; one that lacks an id is not.

    An edited package is a folder of another content here.
    """
    ids = sorted(protocols.seg11valid())
    (tmp_path / "lists").mkdir()
    monkeypatch.setattr(protocols.resources, "files", lambda _: tmp_path)
    for kept, wrong in ((ids, False), (ids[1:], True)):
        text = "".join(f"{i}\r\n" for i in kept)
        (tmp_path / "lists" / "seg11valid.txt").write_bytes(text.encode())
        with pytest.raises(SourceError, match="has been changed") if wrong else nullcontext():
            assert protocols.seg11valid() == set(ids)


def test_broken_archive(shelf: Shelf, tmp_path: Path) -> None:
    """An archive that cannot be opened is an error of the source, not a finding on the shards."""
    shelf.write(tmp_path / "shards")
    (tmp_path / "VOCtrainval_11-May-2012.tar").write_bytes(b"not a tar at all")
    with pytest.raises(SourceError, match="VOCtrainval"):
        verify(tmp_path / "shards", data=tmp_path)


def test_partial_data_is_noted(shelf: Shelf, data: Path, tmp_path: Path) -> None:
    """What the data folder does not hold is named in the notes, the rest is compared."""
    shelf.write(tmp_path / "shards")
    (tmp_path / "data").mkdir()
    for name in ("VOCtrainval_11-May-2012.tar", "benchmark.tgz"):
        (tmp_path / "data" / name).write_bytes((data / name).read_bytes())
    report = verify(tmp_path / "shards", data=tmp_path / "data")
    assert report.ok
    assert report.compared == 7
    assert [note.split(":")[0] for note in report.notes] == ["coco2017 train", "coco2017 val"]
    assert report.lines() == [f"note: {note}" for note in report.notes]


def test_extracted_folders(shelf: Shelf, data: Path, tmp_path: Path) -> None:
    """Extracted folders serve as well as the archives."""
    shelf.write(tmp_path / "shards")
    for path in data.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / "data")  # noqa: S202 - our own archive
    with tarfile.open(data / "VOCtrainval_11-May-2012.tar") as tar:
        tar.extractall(tmp_path / "data", filter="data")
    with tarfile.open(data / "benchmark.tgz") as tar:
        tar.extractall(tmp_path / "data", filter="data")
    report = verify(tmp_path / "shards", data=tmp_path / "data")
    assert report.ok, report.lines()
    assert report.compared == 12


def test_progress_runs_to_its_total(shelf: Shelf, data: Path, tmp_path: Path) -> None:
    """Every stage counts the samples from 0 up to its total and never back."""
    shelf.write(tmp_path / "shards")
    stages: dict[str, list[tuple[int, int]]] = {}
    verify(
        tmp_path / "shards",
        data=data,
        progress=lambda what, done, total: stages.setdefault(what, []).append((done, total)),
    )
    assert stages["checking shards"][-1] == (12, 12)
    assert stages["comparing voc2012 val"][-1] == (2, 2)
    for steps in stages.values():
        assert steps == sorted(steps)
        assert steps[0][0] == 0
        assert steps[-1] == (steps[0][1], steps[0][1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    file=st.integers(0, 10**6),
    position=st.integers(0, 10**6),
    patch=st.one_of(st.none(), st.binary(max_size=4), st.sampled_from([b"null", b"-1", b"[]"])),
)
def test_no_damage_breaks_the_verifier(
    shelf: Shelf,
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    file: int,
    position: int,
    patch: bytes | None,
) -> None:
    """Whatever is cut off, written over or put into any file ends in a report."""
    folder = tmp_path_factory.mktemp("damage") / "shards"
    shelf.write(folder)
    paths = sorted(folder.iterdir())
    path = paths[file % len(paths)]
    content = path.read_bytes()
    at = position % len(content)
    path.write_bytes(content[:at] if patch is None else content[:at] + patch + content[at + 4 :])
    report = verify(folder, data=data)
    assert report.summary
    assert json.loads(report.to_json())["ok"] == report.ok


def test_report_as_text_and_json() -> None:
    """Of one defect twenty findings are written out and the rest counted; JSON holds them all."""
    many = [Finding("mask-ids", f"a.tar: {i}", "found 37", (1, 2), "do this") for i in range(25)]
    one = Finding("idx-missing", "a.tar", "found none", None, "do that")
    report = Report((one, *many), datasets=1, shards=1, samples=25, compared=0)
    lines = report.lines()
    assert lines[0] == "mask-ids: a.tar: 0: found 37"
    assert lines[20:22] == ["mask-ids: 5 more", "mask-ids: next: do this"]
    assert lines[22:] == ["idx-missing: a.tar: found none", "idx-missing: next: do that"]
    record = json.loads(report.to_json())
    assert record["ok"] is False
    assert record["defects"] == {"mask-ids": 25, "idx-missing": 1}
    assert len(record["findings"]) == 26
    assert record["findings"][1]["place"] == [1, 2]
    assert record["summary"] == report.summary
    assert report.summary.startswith("26 findings: 25 samples in 1 shard of 1 data set;")


@pytest.mark.parametrize(("shift", "found"), [(0, False), (3, True)])
def test_shifted_image_is_found(shift: int, found: bool) -> None:
    """An image shifted against its mask lies beyond the bound, an honest one within it."""
    source = picture(3, 120, 160)
    with Image.open(io.BytesIO(source)) as image:
        small = image.resize((64, 48), Image.Resampling.BILINEAR)
    moved = Image.fromarray(np.roll(np.asarray(small), shift, axis=1))
    buffer = io.BytesIO()
    moved.save(buffer, "JPEG", quality=92)
    difference, bound = images.differences(
        buffer.getvalue(), source, 92, "bilinear", images.Scratch()
    )
    assert (difference > bound) is found


def test_verifier_shares_no_code_with_the_builder() -> None:
    """Importing the verifier brings in no module that labels, resizes or writes."""
    code = "import sys, segdata.verify; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert "segdata.verify.labels" in loaded
    assert not loaded & {f"segdata.{name}" for name in FORBIDDEN}
    assert not loaded & {"pycocotools", "torch", "webdataset"}


# pycocotools answers NumPy 2's array protocol in the old way
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--labels", "torchvision", "--size", "128", "--void-border", "2", "--val-size", "300"],
        ["--labels", "gluoncv", "--size", "100", "--classes", "person,dog,couch"],
    ],
    ids=["segdata", "torchvision", "gluoncv"],
)
def test_builder_and_verifier_agree_on_real_archives(
    arguments: list[str], real: Path, tmp_path: Path, segdata: Callable[..., Any]
) -> None:
    """Two implementations make the same bits of every real mask, whatever the options."""
    shards = tmp_path / "shards"
    common = ["--data", real, "--out", shards, "--workers", 1, "--shard-samples", 15]
    for_voc = [a for i, a in enumerate(arguments) if not _of_coco(arguments, i)]
    assert segdata("build-voc", *common, *for_voc).code == 0
    assert segdata("build-coco", *common, *arguments).code == 0
    report = verify(shards, data=real)
    assert report.ok, report.lines()
    assert report.compared == report.samples > 100


def _of_coco(arguments: list[str], index: int) -> bool:
    """Whether an argument is an option of `build-coco` alone, or that option's value."""
    options = {"--labels", "--void-border", "--min-area"}
    return arguments[index] in options or (index > 0 and arguments[index - 1] in options)


def test_another_source_is_one_finding(
    tmp_path: Path,
    segdata: Callable[..., Any],
    make: Any,  # noqa: ANN401 - the fixture of writers
) -> None:
    """Shards held against a source that is not theirs say so once, not for every sample."""
    voc = make.voc(train=12, val=3)
    shards, other = tmp_path / "shards", tmp_path / "other"
    source = make.write_voc(tmp_path / "data", voc)
    assert segdata("build-voc", "--data", source, "--out", shards, "--workers", 1).code == 0
    for name, data in voc.members.items():
        if "SegmentationClass/" in name:
            with Image.open(io.BytesIO(data)) as mask:
                turned = (np.array(mask) + 1) % 3
            voc.members[name] = make.palette_png(turned.astype(np.uint8))
    findings = verify(shards, data=make.write_voc(other, voc)).findings
    first, *others = findings
    assert first.defect == "source-differs"
    assert "this is not the source: 12 of 12 samples" in first.detail
    assert not [f for f in others if "train" in f.where], others


@pytest.mark.parametrize("parse", [contract.parse_object, contract.parse_sidecar])
def test_json_that_is_nested_too_deeply_is_a_defect(parse: Callable[[bytes], object]) -> None:
    """JSON that no reader can follow is refused as other damage is, and ends nothing."""
    with pytest.raises(ValueError, match="nested too deeply"):
        parse(b'{"made_with":' * 100_000)
