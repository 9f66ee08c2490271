"""Protocols: who is in train and val and whose mask it has, by the published numbers and by law."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import loadmat
from tests.segdata.samples_of import read_samples

from segdata.archive import Archive, Member
from segdata.build import build
from segdata.classes import ClassSet
from segdata.errors import OutputError, SourceError, UsageError
from segdata.plan import BuildOptions
from segdata.protocols import Lists, Protocol, combine, fcn2016, open_protocol, trainaug
from segdata.provenance import build_command
from segdata.samples import Source
from segdata.sbd import SbdTree
from segdata.verify import verify
from segdata.voc import VocTree, alone, open_voc, seg11valid

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make

Tree = Callable[[Path], dict[str, bytes]]
BOTH = ("train", "val")
VOC20 = ClassSet.parse("voc")
ids = st.lists(st.sampled_from([f"2010_{n:06d}" for n in range(12)]), unique=True)


def opened(data: Path, sbd: Path, protocol: Protocol | None = None) -> Source:
    """VOC in `data` with SBD."""
    return open_protocol(data, sbd, protocol, VOC20, BOTH)


def made(source: Source, out: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - options
    """Build; returns the manifest."""
    return build(source, BuildOptions(out, VOC20, **options), lambda *_: None)


def test_the_shipped_list() -> None:
    """The list of seg11valid is the published one: 736 ids, sorted, each once."""
    data = (resources.files("segdata") / "lists" / "seg11valid.txt").read_bytes()
    digest = hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()
    assert digest == "4ca991bd72c251fd2485eaa9e29536502ea3800d1b1c17c151fd6a04bcfbc2cc"
    assert len(set(seg11valid())) == len(seg11valid()) == 736
    assert seg11valid() == sorted(seg11valid())


def official_lists() -> Lists:
    """Lists of the official lengths and overlaps; of the ids only seg11valid's are genuine.

    SBD holds 8,498 + 2,857 images. Of its train VOC 2012 lists 1,678, of its val 559; 736 of VOC's
    val, seg11valid, are not in SBD's train. How many of those VOC lists for train is free here.
    """
    judged = seg11valid()
    voc_train = [f"voc-train-{n}" for n in range(1464)]
    voc_val = [*judged, *(f"voc-val-{n}" for n in range(1449 - 736))]
    sbd_train = [*voc_train[:1100], *voc_val[736 : 736 + 578]]
    sbd_train += [f"sbd-train-{n}" for n in range(6820)]
    sbd_val = [*voc_train[1100:1200], *judged[:459], *(f"sbd-val-{n}" for n in range(2298))]
    return Lists(voc_train, voc_val, sbd_train, sbd_val, judged)


def listed_in(root: str, folders: dict[str, str], ids: Iterable[str]) -> Archive:
    """An archive that holds the files of these ids, which nobody reads."""
    names = [f"{folder}/{i}.{suffix}" for folder, suffix in folders.items() for i in ids]
    return Archive(Path(root), {name: Member(root, name, 1) for name in names})


def test_official_arithmetic() -> None:
    """At full length the plans have 10,582 and 1,449, 8,498 and 736, 1,464 and 1,449 images."""
    lists = official_lists()
    assert (len(lists.sbd_train), len(lists.sbd_val)) == (8498, 2857)
    folders = {"JPEGImages": "jpg", "SegmentationClass": "png"}
    archive = listed_in("voc", folders, [*lists.voc_train, *lists.voc_val])
    voc = VocTree(archive, "", 2012, lists.voc_train, lists.voc_val)
    archive = listed_in("sbd", {"img": "jpg", "cls": "mat"}, [*lists.sbd_train, *lists.sbd_val])
    sbd = SbdTree(archive, "", lists.sbd_train, lists.sbd_val)
    expected: dict[Any, dict[str, int]] = {
        "trainaug": {"train": 10_582, "val": 1_449},
        "fcn2016": {"train": 8_498, "val": 736},
        "voc": {"train": 1_464, "val": 1_449},
    }
    views = {
        "trainaug": {"voc-train": 1464, "sbd-extra": 6820 + 2298, "trainaug": 10_582},
        "fcn2016": {"sbd-train": 8498},
        "voc": {"voc-train": 1464},
    }
    for protocol, counts in expected.items():
        if protocol == "voc":
            source = alone(voc, VOC20, BOTH)
        else:
            source = combine(voc, sbd, protocol, VOC20, BOTH)
        assert source.protocol == protocol
        keys = {n: {s.key for s in split.samples} for n, split in source.splits.items()}
        assert {n: len(k) for n, k in keys.items()} == counts
        assert not keys["train"] & keys["val"]
        for split in source.splits.values():
            assert (split.available, split.broken) == (split.official, [])
        named = {v.name: v for v in source.views}
        for view in named.values():
            assert len(view.keys & keys[view.split]) == view.official
        assert named.keys() == {*views[protocol], "seg11valid"} | (
            set() if protocol == "fcn2016" else {"voc-val"}
        )
        assert {n: named[n].official for n in views[protocol]} == views[protocol]


@given(ids, ids, ids, ids)
def test_trainaug_by_law(
    voc_train: list[str], voc_val: list[str], sbd_train: list[str], sbd_val: list[str]
) -> None:
    """Whatever the lists: val stays out of train, VOC's mask wins, and nothing else is lost."""
    voc_train = [i for i in voc_train if i not in voc_val]  # VOC's own lists are disjoint
    found = trainaug(Lists(voc_train, voc_val, sbd_train, sbd_val, []))
    train = [*found.from_voc, *found.from_sbd]
    assert not set(train) & set(found.val)
    assert len(train) == len(set(train))
    assert set(found.from_voc) == set(voc_train)
    assert set(found.val) == set(voc_val)
    assert set(train) == (set(voc_train) | set(sbd_train) | set(sbd_val)) - set(voc_val)


@given(ids, ids, ids, ids, ids)
def test_fcn2016_by_law(
    voc_train: list[str],
    voc_val: list[str],
    sbd_train: list[str],
    sbd_val: list[str],
    judged: list[str],
) -> None:
    """Train is SBD's with its masks, val what VOC's val has of seg11valid; a common id stops it."""
    lists = Lists(voc_train, voc_val, sbd_train, sbd_val, judged)
    if set(sbd_train) & set(judged):
        with pytest.raises(SourceError, match="names images of seg11valid"):
            fcn2016(lists)
        return
    found = fcn2016(lists)
    assert (list(found.from_voc), list(found.from_sbd)) == ([], sbd_train)
    assert set(found.val) == set(voc_val) & set(judged)
    assert not set(found.from_sbd) & set(found.val)


def overlapping(make: "Make", folder: Path) -> tuple[Path, Path]:
    """VOC with 3 + 2 images, and an SBD that labels one of each and three of its own."""
    voc = make.voc(3, 2)
    sbd = make.sbd([voc.train[0], "2008_000001", "2008_000002"], [voc.val[1], "2009_000003"])
    for source_id, seed in ((voc.train[0], 0), (voc.val[1], 4)):
        sbd.members[sbd.name("img", source_id)] = voc.members[voc.name("JPEGImages", source_id)]
        mask = np.full(make.voc_mask(*make.sizes[seed], seed).shape, 7, np.uint8)
        sbd.members[sbd.name("cls", source_id)] = make.sbd_mat(mask)
    return make.write_voc(folder / "data", voc), make.write_sbd(folder / "sbd", sbd)


def masks_of(out: Path, split: str) -> dict[str, Any]:
    """The stored masks of a split by id."""
    return {
        key.removeprefix("voc2012_"): np.asarray(Image.open(io.BytesIO(parts["seg.png"])))
        for tar in sorted(out.glob(f"voc2012-{split}-*.tar"))
        for key, parts in read_samples(tar)
    }


def test_trainaug_takes_vocs_mask(make: "Make", tmp_path: Path) -> None:
    """An image that both label has VOC's mask; one that only SBD labels has SBD's, without void."""
    data, sbd = overlapping(make, tmp_path)
    manifest = made(opened(data, sbd), tmp_path / "out", size=0)
    train = masks_of(tmp_path / "out", "train")
    expected = ["2007_000000", "2007_000001", "2007_000002"]
    assert sorted(train) == [*expected, "2008_000001", "2008_000002", "2009_000003"]
    np.testing.assert_array_equal(train["2007_000000"], make.voc_mask(*make.sizes[0], 0))
    assert 255 not in train["2008_000001"]
    assert sorted(masks_of(tmp_path / "out", "val")) == ["2007_000003", "2007_000004"]
    assert manifest["options"]["protocol"] == "trainaug"
    sources = {row["name"]: row["members"] for row in manifest["splits"]["train"]["sources"]}
    assert sources == {"VOC2012": 6, "benchmark_RELEASE": 6}
    assert {name: len(v["keys"]) for name, v in manifest["views"].items()} == {
        "trainaug": 6, "voc-train": 3, "sbd-extra": 3, "voc-val": 2, "val100": 2,
    }  # fmt: skip
    report = verify(tmp_path / "out", data=data, sbd=sbd)
    assert (report.ok, report.compared) == (True, 8), report.lines()
    command = "segdata build-voc --sbd data/benchmark.tgz --size 0"
    assert sorted((build_command(manifest) or "").split()) == sorted(command.split())
    assert "Semantic Boundaries" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_archives_and_folders_give_the_same_bytes(
    make: "Make", tmp_path: Path, segdata: "Command", read_tree: Tree
) -> None:
    """SBD packed or unpacked, by one worker or two: the same shards and manifests."""
    data, packed = overlapping(make, tmp_path)
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    trees = []
    for number, (sbd, workers) in enumerate([(packed, 1), (tmp_path / "unpacked", 2)]):
        out = tmp_path / f"out{number}"
        command = ["build-voc", "--data", data, "--sbd", sbd, "--out", out, "--shard-samples", 2]
        assert segdata(*command, "--workers", workers).code == 0
        trees.append(read_tree(out))
    assert trees[0] == trees[1]


def test_another_protocol_is_refused(make: "Make", tmp_path: Path, read_tree: Tree) -> None:
    """A directory holds one protocol: the other, or VOC alone, does not join it."""
    data, sbd = overlapping(make, tmp_path)
    out = tmp_path / "out"
    made(opened(data, sbd), out)
    before = read_tree(out)
    with pytest.raises(OutputError, match="shards of other options") as error:
        made(open_voc(data, 2012, VOC20, BOTH), out)
    assert (error.value.expected, error.value.found) == ("protocol voc", "protocol trainaug")
    assert read_tree(out) == before


def test_fcn2016_needs_an_image_to_judge_on(make: "Make", tmp_path: Path) -> None:
    """Where VOC's val holds nothing of seg11valid the protocol is refused."""
    data, sbd = overlapping(make, tmp_path)
    with pytest.raises(SourceError, match="no image of seg11valid"):
        opened(data, sbd, "fcn2016")
    assert len(open_protocol(data, sbd, "fcn2016", VOC20, ("train",)).splits["train"].samples) == 3


def test_usage_errors(make: "Make", tmp_path: Path, segdata: "Command") -> None:
    """A protocol without SBD, and SBD with VOC 2007, are errors of usage."""
    data, sbd = overlapping(make, tmp_path)
    with pytest.raises(UsageError, match="needs SBD"):
        open_protocol(data, None, "trainaug", VOC20, BOTH)
    done = segdata("build-voc", "--data", data, "--sbd", sbd, "--year", 2007)
    assert (done.code, done.stdout) == (2, "")
    assert "SBD labels images of VOC 2012" in done.stderr


def test_sbd_is_not_taken_unasked(make: "Make", tmp_path: Path, segdata: "Command") -> None:
    """SBD beside VOC is left aside, and a note says how to add it."""
    data, sbd = overlapping(make, tmp_path)
    sbd.rename(data / sbd.name)
    done = segdata("build-voc", "--data", data, "--out", tmp_path / "out", "--workers", 1)
    assert done.code == 0
    assert f"--sbd {data / 'benchmark.tgz'} adds" in " ".join(done.stderr.split())
    assert len(masks_of(tmp_path / "out", "train")) == 3


def test_generated_and_real_data_do_not_mix(make: "Make", tmp_path: Path) -> None:
    """A generated SBD does not join a real VOC, nor the reverse."""
    data, _ = overlapping(make, tmp_path)
    sbd = make.sbd(["2008_000001"], [])
    sbd.members["benchmark_RELEASE/dataset/SYNTHETIC.txt"] = b"generated"
    with pytest.raises(SourceError, match="do not mix"):
        opened(data, make.write_sbd(tmp_path / "toy", sbd))


def test_broken_masks_of_sbd(make: "Make", tmp_path: Path, segdata: "Command") -> None:
    """A .mat of another size than its image, or cut, stops the build or is left out."""
    voc = make.voc(3, 2)
    sbd = make.sbd(["2008_000001", "2008_000002"], ["2009_000003"])
    sbd.members[sbd.name("cls", "2008_000001")] = make.sbd_mat(np.zeros((3, 4), np.uint8))
    cut = sbd.members[sbd.name("cls", "2009_000003")][:-9]
    sbd.members[sbd.name("cls", "2009_000003")] = cut
    data, archive = make.write_voc(tmp_path, voc), make.write_sbd(tmp_path / "sbd", sbd)
    command = ["build-voc", "--data", data, "--sbd", archive, "--out", tmp_path / "out"]
    assert segdata(*command, "--workers", 1).code == 1
    assert segdata(*command, "--workers", 1, "--on-error", "skip").code == 0
    assert len(masks_of(tmp_path / "out", "train")) == 4
    report = verify(tmp_path / "out", data=data, sbd=archive)
    assert (report.ok, report.compared) == (True, 6), report.lines()


@pytest.fixture(scope="module")
def real_trainaug(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of the real VOC and SBD archives under trainaug."""
    out = tmp_path_factory.mktemp("trainaug") / "shards"
    made(opened(real, real / "benchmark.tgz"), out, size=0)
    return out


def test_real_trainaug(real: Path, real_trainaug: Path) -> None:
    """40 + 10 + 6 real images, VOC val's two stay out, all masks VOC's own where it has one."""
    train, val = masks_of(real_trainaug, "train"), masks_of(real_trainaug, "val")
    assert (len(train), len(val)) == (56, 40)
    assert {"2007_000068", "2007_000363"} <= train.keys()
    assert {"2007_000129", "2007_000529"} <= val.keys()
    root = "VOCdevkit/VOC2012/SegmentationClass"
    from_sbd = 0
    with (
        tarfile.open(real / "VOCtrainval_11-May-2012.tar") as voc,
        tarfile.open(real / "benchmark.tgz") as sbd,
    ):
        names = set(voc.getnames())
        for source_id, mask in (train | val).items():
            if f"{root}/{source_id}.png" in names:
                png = voc.extractfile(f"{root}/{source_id}.png")
                assert png
                np.testing.assert_array_equal(mask, np.asarray(Image.open(png)))
                assert 255 in mask
            else:
                mat = sbd.extractfile(f"benchmark_RELEASE/dataset/cls/{source_id}.mat")
                assert mat
                np.testing.assert_array_equal(mask, loadmat(mat)["GTcls"][0, 0]["Segmentation"])
                from_sbd += 1
    assert from_sbd == 16
    report = verify(real_trainaug, data=real)
    assert (report.ok, report.compared) == (True, 96), report.lines()


def test_real_fcn2016(real: Path, tmp_path: Path) -> None:
    """SBD's 12 real images with its masks, and the 23 of seg11valid with VOC's, are verified."""
    manifest = made(opened(real, real / "benchmark.tgz", "fcn2016"), tmp_path, size=0)
    train, val = masks_of(tmp_path, "train"), masks_of(tmp_path, "val")
    assert (len(train), len(val)) == (12, 23)
    assert val.keys() <= set(seg11valid())
    assert not any(255 in mask for mask in train.values())
    assert {n: (v["split"], v["official"]) for n, v in manifest["views"].items()} == {
        "sbd-train": ("train", 8498), "seg11valid": ("val", 736), "val100": ("val", 100),
    }  # fmt: skip
    report = verify(tmp_path, data=real)
    assert (report.ok, report.compared) == (True, 35), report.lines()


def test_verify_tells_what_it_lacks(real: Path, real_trainaug: Path, tmp_path: Path) -> None:
    """Without SBD the split that needs it is noted as not compared, the other is compared."""
    (tmp_path / "VOCtrainval_11-May-2012.tar").symlink_to(real / "VOCtrainval_11-May-2012.tar")
    report = verify(real_trainaug, data=tmp_path)
    assert (report.ok, report.compared) == (True, 40)
    assert [note.split(":")[0] for note in report.notes] == ["voc2012 train"]
    with pytest.raises(SourceError, match="SBD was not found"):
        verify(real_trainaug, data=tmp_path, sbd=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="compared with nothing"):
        verify(real_trainaug, sbd=real / "benchmark.tgz")
