"""What is fetched: the catalogue, splits, mirrors, checksums, and whether there is room."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.segdata.conftest import Make

from segdata import coco, voc
from segdata.errors import OutputError, UsageError
from segdata.fetch.catalogue import DATASETS, RemoteFile, files_of
from segdata.fetch.checks import damage, description, looks_right
from segdata.fetch.plan import planned, require_room
from segdata.fetch.wishes import with_checksums, with_mirrors

LENGTHS = {"md5": 32, "sha256": 64}
EVERY = [file for files in DATASETS.values() for file in files]


@pytest.mark.parametrize("file", EVERY, ids=lambda file: file.name)
def test_the_catalogue_is_well_formed(file: RemoteFile) -> None:
    """Every file has a size, sums of the right length, and addresses that end in its name."""
    assert file.size is not None
    assert {k: len(v) for k, v in file.digests.items()}.items() <= LENGTHS.items()
    assert "sha256" in file.digests
    assert len(set(file.addresses)) == len(file.addresses) > 1
    for address in file.addresses:
        assert urlsplit(address).scheme in ("http", "https")
        assert urlsplit(address).path.endswith(f"/{file.name}")


def test_known_figures() -> None:
    """Sizes and sums that are published elsewhere too stand in the catalogue."""
    known = {file.name: file for file in EVERY}
    assert known["VOCtrainval_11-May-2012.tar"].digests["md5"] == "6cd6e144f989b92b3379bac3b3de84fd"
    assert known["VOCtrainval_06-Nov-2007.tar"].digests["md5"] == "c52e279531787c972589f7e41ab4ae64"
    assert known["benchmark.tgz"].digests["md5"] == "82b4d87ceb2ed10f6038a1cba92111cb"
    assert known["benchmark.tgz"].size == 1_419_539_633


def test_builds_look_for_these_names() -> None:
    """Files are named as the builds look for them."""
    names = {file.name for file in EVERY}
    assert set(voc.ARCHIVES.values()) <= names
    assert {f"{name}.zip" for name in coco.DOWNLOADS} <= names


def test_splits_and_repetitions() -> None:
    """A split leaves out the images of the other; a name twice means once."""
    val = [file.name for file in files_of(["coco2017", "sbd", "coco2017"], "val")]
    assert val == ["annotations_trainval2017.zip", "val2017.zip", "benchmark.tgz"]
    assert len(files_of(["coco2017"])) == 3
    assert "val2014.zip" not in [file.name for file in files_of(["coco2014"], "train")]


def test_a_base_of_mirrors() -> None:
    """Below a base a file is looked for by name, then in the official folder, before all else."""
    voc2012, val = files_of(["voc2012"])[0], files_of(["coco2017"], "val")[1]
    files = with_mirrors([voc2012, val], ["https://one.example/pub/", "http://two.example"])
    assert files[1].addresses[:5] == [
        "https://one.example/pub/val2017.zip",
        "https://one.example/pub/zips/val2017.zip",
        "http://two.example/val2017.zip",
        "http://two.example/zips/val2017.zip",
        val.addresses[0],
    ]
    assert files[0].addresses[1].endswith("/pub/voc2012/VOCtrainval_11-May-2012.tar")


def test_a_mirror_of_one_file() -> None:
    """A mirror that ends like an archive is that file's address, whatever the others are."""
    files = files_of(["coco2017"], "val")
    address = "https://x.example/val2017.zip?download=1"
    changed = with_mirrors(files, [address])
    assert changed[1].addresses[0] == address
    assert changed[0] == files[0]
    other = "https://x.example/mine.zip"
    assert with_mirrors(files[:1], [other])[0].addresses[0] == other


@pytest.mark.parametrize("mirror", ["ftp://x.example/", "x.example/voc", "https://", "/data/voc"])
def test_mirrors_that_are_none(mirror: str) -> None:
    """A mirror is an http address."""
    with pytest.raises(UsageError):
        with_mirrors(files_of(["voc2012"]), [mirror])


def test_a_mirror_of_a_file_that_is_not_asked_for() -> None:
    """Where it is not clear which of several files a mirror has, the user is asked."""
    with pytest.raises(UsageError, match="which file"):
        with_mirrors(files_of(["coco2017"]), ["https://x.example/mine.zip"])


def test_checksums_of_ones_own() -> None:
    """A checksum replaces the published size and sums of its file."""
    digits = "0" * 64
    file = with_checksums(files_of(["voc2012"]), [f"sha256:{digits.upper()}"])[0]
    assert (file.size, file.digests) == (None, {"sha256": digits})
    files = with_checksums(files_of(["coco2017"]), [f"val2017.zip=md5:{digits[:32]}"])
    assert [file.size is None for file in files] == [False, True, False]
    files = with_checksums(files_of(["coco2017"]), ["archive"])
    assert [(file.size, file.digests) for file in files] == [(None, {})] * 3
    assert with_checksums(files_of(["sbd"]), ["benchmark.tgz=archive"])[0].digests == {}


@pytest.mark.parametrize("given", ["md5:12", "crc:12345678", "md5:" + "g" * 32, "", "x=archive"])
def test_checksums_that_are_none(given: str) -> None:
    """A checksum has a known algorithm and its number of digits, and a file that is asked for."""
    with pytest.raises(UsageError):
        with_checksums(files_of(["coco2017"]) if "x" in given else files_of(["sbd"]), [given])


@pytest.mark.parametrize("count", [1, 2])
def test_a_checksum_needs_one_file(count: int) -> None:
    """Without a name a checksum belongs to the only file."""
    files, given = files_of(["voc2012", "sbd"])[:count], f"md5:{'0' * 32}"
    if count == 1:
        assert with_checksums(files, [given])[0].size is None
    else:
        with pytest.raises(UsageError, match="which file"):
            with_checksums(files, [given])


def test_a_plan(tmp_path: Path) -> None:
    """A plan knows what is there, begun, absent or in the way, and changes nothing."""
    names = ["present", "partial", "absent", "obstructed"]
    files = [RemoteFile(f"{name}.zip", 100, {}, []) for name in names]
    (tmp_path / "present.zip").write_bytes(bytes(100))
    (tmp_path / "partial.zip.part").write_bytes(bytes(40))
    (tmp_path / "obstructed.zip").write_bytes(bytes(7))
    plan = planned(files, tmp_path)
    assert [item.state for item in plan] == names
    assert [item.missing for item in plan] == [0, 60, 100, 0]
    assert planned(files, tmp_path / "none" / "deeper")[0].state == "absent"
    assert len(list(tmp_path.iterdir())) == 3


def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What remains of all files together has to fit, exactly; the message has both figures."""
    files = [RemoteFile(f"{i}.zip", 3_000_000_000, {}, []) for i in range(2)]
    usage = type("Usage", (), {"free": 6_000_000_000})()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    require_room(planned(files, tmp_path), tmp_path)
    usage.free -= 1
    with pytest.raises(OutputError) as refused:
        require_room(planned(files, tmp_path / "not" / "made"), tmp_path)
    assert "6.0 GB free (0.zip 3.0 GB, 1.zip 3.0 GB)" in str(refused.value)


def test_heads(real: Path) -> None:
    """The real archives begin as they should, and none as another kind."""
    names = ["VOCtrainval_11-May-2012.tar", "val2017.zip", "benchmark.tgz"]
    heads = {name: (real / name).read_bytes()[:512] for name in names}
    for name in names:
        assert [other for other in names if looks_right(name, heads[other])] == [name]
        assert not looks_right(name, b"<html>")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "an empty answer"),
        (b"\n<HTML><body>", "a web page"),
        (b"<!doctype html><title>A &amp; B</title>", "titled “A & B”"),
        (b"\x89PNG\r\n", "begins with b'\\x89PNG"),
    ],
)
def test_wrong_heads_in_words(head: bytes, words: str) -> None:
    """What came instead of an archive is told in words."""
    assert words in description(head)


@pytest.mark.parametrize("name", ["VOCtrainval_11-May-2012.tar", "val2017.zip", "benchmark.tgz"])
def test_archives_tell_their_damage(real: Path, tmp_path: Path, name: str) -> None:
    """A real archive is whole by its own sums; cut short it is not."""
    from threading import Event

    assert damage(real / name, name, Event()) is None
    data = (real / name).read_bytes()
    (tmp_path / name).write_bytes(data[: 3 * len(data) // 4])
    assert damage(tmp_path / name, name, Event())


def test_a_tar_cut_between_members(make: Make, tmp_path: Path) -> None:
    """A tar that ends after a whole member is not whole."""
    from threading import Event

    path = make.write_tar(tmp_path / "a.tar", {"a": b"x" * 512, "b": b"y"})
    path.write_bytes(path.read_bytes()[:1024])
    assert "closing blocks" in str(damage(path, "a.tar", Event()))
