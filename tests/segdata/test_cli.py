"""The command line: options, help, plain output, and one clear error for each bad input."""

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from tests.segdata.conftest import CocoSet, Command, Make, Outcome, VocSet

Tree = Callable[[Path], dict[str, bytes]]
BUILD = [
    "--data", "--split", "--size", "--val-size", "--quality", "--year", "--workers",
    "--shard-samples", "--shard-bytes", "--seed", "--limit", "--on-error", "--strict", "--classes",
    "--out",
]  # fmt: skip
OPTIONS = {
    "build-voc": [*BUILD, "--sbd", "--protocol"],
    "build-coco": [*BUILD, "--labels", "--min-area", "--void-border"],
    "build-folder": [
        *(o for o in BUILD if o not in ("--data", "--year", "--strict")),
        *("IMAGES", "MASKS", "--masks-as", "--name", "--image-suffix", "--mask-suffix"),
        *("--unpaired", "--val-list", "--val-share", "--group"),
    ],
    "fetch": [
        "NAMES",
        "--data",
        "--split",
        "--mirror",
        "--checksum",
        "--check",
        "--dry-run,--list",
        "--jobs",
        "--timeout",
        "--retries",
    ],
    "toy": ["--out", "--images", "--seed"],
    "verify-masks": ["SHARDS", "--data", "--sbd", "--folder", "--json", "--workers"],
    "check-leaks": ["SHARDS", "--train", "--val", "--out", "--json", "--workers"],
    "split": [
        "SHARDS",
        "--name",
        "--share",
        "--seed",
        "--of",
        "--dataset",
        "--group",
        "--near-duplicates",
        "--no-near-duplicates",
        "--replace",
        "--remove",
        "--workers",
    ],
    "show": ["SHARDS", "KEYS", "--out", "--count"],
    "info": ["SHARDS", "--json"],
    "report": ["SHARDS", "--out", "-o", "--pictures"],
}


@pytest.mark.parametrize("command", OPTIONS)
def test_help_is_complete(
    segdata: "Command", monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A command's help names every option, says what it does, and shows an example."""
    monkeypatch.setenv("COLUMNS", "160")
    done = segdata(command, "--help")
    words = done.stdout.replace("[", " ").replace("]", " ").split()
    assert [name for name in OPTIONS[command] if name not in words] == []
    assert f"segdata {command}" in done.stdout.partition("--help")[2]
    assert segdata(command, "-h").stdout == done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["build-voc", "--nope"],
        ["build-voc", "--limit=-1"],
        ["build-voc", "--size=-1"],
        ["build-voc", "--quality=96"],
        ["build-voc", "--quality=high"],
        ["build-voc", "--shard-samples=0"],
        ["build-voc", "--workers=-2"],
        ["build-voc", "--split=test"],
        ["build-voc", "--year=2011"],
        ["build-coco", "--year=2012"],
        ["build-coco", "--labels=mine"],
        ["build-coco", "--void-border=-1"],
        ["build-coco", "--on-error=ignore"],
        ["build-coco", "--classes=cat,dgo"],
        ["build-voc", "--classes="],
        ["show", "--count=0"],
        ["verify-masks", "--level=deep"],
        ["split", "shards"],
        ["split", "shards", "--name", "dev", "--share", "1"],
        ["split", "shards", "--name", "dev", "--group", "("],
        ["split", "shards", "--name", "a/b"],
        ["split", "shards", "--name", "voc"],
        [],
    ],
)
def test_usage_errors_end_with_2(segdata: "Command", arguments: Sequence[str]) -> None:
    """What the command line cannot mean ends with exit code 2 and says so, before any work."""
    done = segdata(*arguments)
    assert done.code == 2
    assert (done.stderr + done.stdout).strip()
    assert "Traceback" not in done.stderr


def test_output_off_a_terminal_is_plain(segdata: "Command", small: Path, tmp_path: Path) -> None:
    """Off a terminal the tables are tab-separated lines of equal length, without escapes."""
    done = segdata("build-coco", "--data", small, "--out", tmp_path, "--workers", 1)
    assert (done.code, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    heads = [i for i, row in enumerate(rows) if row[0] in ("split", "why", "subset", "class")]
    assert [rows[i][0] for i in heads] == ["split", "why", "subset", "class"]
    for begin, end in zip(heads, [*heads[1:], len(rows)], strict=True):
        assert {len(row) for row in rows[begin:end]} == {len(rows[begin])}
    assert rows[heads[0]][:4] == ["split", "images", "in the source", "official"]
    assert rows[heads[0] + 1][:4] == ["train", "4", "5", "118,287"]
    assert rows[heads[1] + 1] == ["objects of at most 1000 px", "train", "1"]
    assert rows[heads[2] + 1] == ["val100", "val", "3", "100"]
    assert [row[0] for row in rows[heads[3] + 1 :]][:2] == ["0 background", "1 aeroplane"]


def test_notes_go_to_stderr(segdata: "Command", small: Path, tmp_path: Path) -> None:
    """A remark about classes that VOC does not label stands on stderr, the tables on stdout."""
    done = segdata("build-voc", "--data", small, "--out", tmp_path, "--classes", "dog,truck")
    assert done.code == 0
    assert done.stderr.startswith("note: VOC has no labels for truck")
    assert len(done.stderr.splitlines()) == 1
    assert "note" not in done.stdout


def test_default_data_and_out(
    segdata: "Command", make: "Make", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without options the archives are read from data/ and the shards written to shards/."""
    make.write_voc(tmp_path / "data", make.voc())
    monkeypatch.chdir(tmp_path)
    assert segdata("build-voc", "--workers", 1).code == 0
    assert (tmp_path / "shards" / "voc2012.json").is_file()


def test_odd_paths(segdata: "Command", make: "Make", tmp_path: Path, read_tree: Tree) -> None:
    """Spaces, other letters, links and relative parts in paths change nothing in the result."""
    odd = make.write_voc(tmp_path / "dàta ☃ [bold]", make.voc())
    (tmp_path / "link").symlink_to(odd)
    shards = tmp_path / "späne x"
    assert segdata("build-voc", "--data", odd, "--out", shards, "--workers", 1).code == 0
    (tmp_path / "x").mkdir()
    linked = tmp_path / "x" / ".." / "link"
    done = segdata("build-voc", "--data", linked, "--out", tmp_path / "b", "--workers", 1)
    assert done.code == 0
    assert read_tree(tmp_path / "b") == read_tree(shards)


def check_refused(done: "Outcome", out: Path, *words: str) -> None:
    """One error of the tree: what and where on stderr, exit code 1, no final file half-written."""
    lines = done.stderr.splitlines()
    assert (done.code, done.stdout) == (1, "")
    assert lines[0].startswith("error: ")
    labels = ("  where: ", "  expected: ", "  found: ", "  next: ")
    assert lines[1:]
    assert all(line.startswith(labels) for line in lines[1:])
    for word in words:
        assert word in done.stderr
    assert "object at 0x" not in done.stderr
    if out.is_dir():
        assert not list(out.glob("*.partial"))
        assert not {"voc2012.json", "coco2017.json"} & {path.name for path in out.iterdir()}


def spoil_list(voc: "VocSet") -> None:
    """A list that names an image that is not there."""
    voc.list("val", [*voc.val, "2008_000001"])


def spoil_id(voc: "VocSet") -> None:
    """A mask with id 37 at x=0, y=0."""
    buffer = io.BytesIO()
    Image.new("L", (1, 5), 37).save(buffer, "PNG")
    voc.members[voc.name("SegmentationClass", voc.val[0])] = buffer.getvalue()


def spoil_jpeg(voc: "VocSet") -> None:
    """A JPEG cut in half."""
    name = voc.name("JPEGImages", voc.val[0])
    voc.members[name] = voc.members[name][: len(voc.members[name]) // 2]


def spoil_bytes(voc: "VocSet") -> None:
    """Text where an image should be."""
    voc.members[voc.name("JPEGImages", voc.val[0])] = b"<html>404</html>"


def spoil_size(voc: "VocSet") -> None:
    """A mask of another size than its image."""
    a, b = (voc.name("SegmentationClass", i) for i in voc.val[:2])
    voc.members[a] = voc.members[b]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_list, ["JPEGImages/2008_000001.jpg", "no such member"]),
        (spoil_id, ["SegmentationClass/2007_000005.png", "x=0 y=0", "37", "0..20"]),
        (spoil_jpeg, ["JPEGImages/2007_000005.jpg", "cut short"]),
        (spoil_bytes, ["JPEGImages/2007_000005.jpg", "it is no JPEG", "3c 68 74 6d"]),
        (spoil_size, ["JPEGImages/2007_000005.jpg", "another size", "80x48", "1x5"]),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_broken_voc_samples(
    segdata: "Command",
    make: "Make",
    tmp_path: Path,
    spoil: Callable[["VocSet"], None],
    words: Sequence[str],
    workers: int,
) -> None:
    """A broken VOC sample is one error that names it; skipping it builds the rest."""
    voc = make.voc()
    spoil(voc)
    data, out = make.write_voc(tmp_path / "data", voc), tmp_path / "out"
    command = ["build-voc", "--data", data, "--out", out, "--workers", workers]
    check_refused(segdata(*command), out, *words)
    if workers == 1:
        done = segdata(*command, "--on-error", "skip")
        assert done.code == 0
        assert "broken: " in done.stdout


def no_image(coco: "CocoSet") -> None:
    """An annotation that names a missing image."""
    coco.objects("val", 1002)[0]["image_id"] = 4242


def no_file(coco: "CocoSet") -> None:
    """An image whose file is missing."""
    del coco.images["val"]["val2017/000000001002.jpg"]


def outline(value: object) -> Callable[["CocoSet"], None]:
    """An object with another outline."""

    def spoil(coco: "CocoSet") -> None:
        coco.objects("val", 1002)[0]["segmentation"] = value

    return spoil


def cut_jpeg(coco: "CocoSet") -> None:
    """A JPEG cut in half inside a sound zip."""
    name = "val2017/000000001002.jpg"
    coco.images["val"][name] = coco.images["val"][name][:500]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_image, ["instances_val2017.json", "image_id 4242"]),
        (no_file, ["val2017.zip", "000000001002.jpg"]),
        (outline([[1, 1, 20, 20]]), ["annotation 100200 of image 1002", "3 points"]),
        (outline([[1, 1, 9, 1, 99, 9]]), ["annotation 100200 of image 1002", "50x90", "x=99 y=9"]),
        (outline({"size": [9, 9], "counts": [81]}), ["annotation 100200", "[90, 50]", "[9, 9]"]),
        (cut_jpeg, ["val2017/000000001002.jpg", "cut short", "500 bytes"]),
    ],
    ids=["image", "file", "two points", "outside", "run lengths", "jpeg"],
)
def test_broken_coco_samples(
    segdata: "Command",
    make: "Make",
    tmp_path: Path,
    spoil: Callable[["CocoSet"], None],
    words: Sequence[str],
) -> None:
    """A broken COCO sample is one error that names it; skipping it builds the rest."""
    coco = make.coco()
    spoil(coco)
    data, out = make.write_coco(tmp_path / "data", coco), tmp_path / "out"
    command = ["build-coco", "--data", data, "--out", out, "--workers", 1]
    check_refused(segdata(*command), out, *words)
    done = segdata(*command, "--on-error", "skip")
    assert done.code == 0
    assert "broken: " in done.stdout


@pytest.mark.parametrize("name", ["train2017.zip", "val2017.zip", "annotations_trainval2017.zip"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_zips(
    segdata: "Command", make: "Make", tmp_path: Path, name: str, keep: float
) -> None:
    """A COCO zip cut anywhere is one error that names it, and no directory is made."""
    data, out = make.write_coco(tmp_path / "data", make.coco()), tmp_path / "out"
    whole = (data / name).read_bytes()
    (data / name).write_bytes(whole[: int(len(whole) * keep)])
    done = segdata("build-coco", "--data", data, "--out", out)
    check_refused(done, out, str(data / name), "cut short")
    assert not out.exists()


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_truncated_tars(segdata: "Command", make: "Make", tmp_path: Path, keep: float) -> None:
    """A VOC tar cut anywhere is one error that names it, and no directory is made."""
    data, out = make.write_voc(tmp_path / "data", make.voc()), tmp_path / "out"
    path = data / "VOCtrainval_11-May-2012.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) // 512 * 512])
    check_refused(segdata("build-voc", "--data", data, "--out", out), out, str(path), "cut short")
    assert not out.exists()


@pytest.mark.parametrize("data", ["", "absent", "file", "empty"])
@pytest.mark.parametrize("command", ["build-voc", "build-coco"])
def test_no_data(segdata: "Command", tmp_path: Path, command: str, data: str) -> None:
    """Without archives the error says what was looked for, where, and how to get it."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    done = segdata(command, "--data", tmp_path / data, "--out", out)
    check_refused(done, out, "was not found", str(tmp_path / data), "http://")
    assert not out.exists()


def test_long_errors_are_not_cut(segdata: "Command", tmp_path: Path) -> None:
    """Off a terminal no message is wrapped or cropped, however long its path."""
    deep = tmp_path / ("long" * 30) / ("path" * 30)
    done = segdata("build-voc", "--data", deep, "--out", tmp_path / "out")
    assert f"({deep} does not exist)" in done.stderr
    assert done.stderr.rstrip().endswith("name its folder with --data")
    assert all(line == line.rstrip() for line in done.stderr.splitlines())


@pytest.mark.parametrize("obstacle", ["file", "below a file", "tar", "sidecar", "manifest", "info"])
def test_an_output_in_the_way(
    segdata: "Command", small: Path, tmp_path: Path, obstacle: str
) -> None:
    """A file or folder in the way of the output is told, and is still there afterwards."""
    out = tmp_path / "out"
    taken = {
        "file": out,
        "below a file": out,
        "tar": out / "voc2012-train-000000.tar",
        "sidecar": out / "voc2012-train-000000.stats.json",
        "manifest": out / "voc2012.json",
        "info": out / "info.json",
    }[obstacle]
    if taken == out:
        taken.write_bytes(b"mine")
    else:
        taken.mkdir(parents=True)
    target = out / "deeper" if obstacle == "below a file" else out
    done = segdata("build-voc", "--data", small, "--out", target, "--workers", 1)
    assert done.code == 1
    assert done.stderr.startswith("error: ")
    assert str(out) in done.stderr
    assert taken.is_dir() or taken.read_bytes() == b"mine"
    assert not out.is_dir() or not list(out.glob("*.partial"))


def test_results_in_the_way_of_others(segdata: "Command", small: Path, tmp_path: Path) -> None:
    """What a command writes beside shards is named for what it is; its folder is made if absent."""
    out, taken = tmp_path / "out", tmp_path / "taken"
    assert segdata("build-voc", "--data", small, "--out", out, "--workers", 1).code == 0
    taken.write_bytes(b"mine")
    for what, name, command in (
        ("the picture", "", ["show", out, "--out"]),
        ("the page", "page.html", ["report", out, "--out"]),
        ("the JSON file", "a.json", ["info", out, "--json"]),
        ("the JSON file", "b.json", ["verify-masks", out, "--json"]),
        ("the JSON file", "c.json", ["check-leaks", out, "--workers", 1, "--json"]),
    ):
        done = segdata(*command, taken / name)
        check_refused(done, tmp_path, f"error: {what} cannot be made", str(taken))
        assert segdata(*command, tmp_path / "new" / name).code == 0
        assert (tmp_path / "new" / name).exists()
    assert taken.read_bytes() == b"mine"


def test_a_folder_named_like_a_leftover(segdata: "Command", small: Path, tmp_path: Path) -> None:
    """A folder under a leftover's name is told like any other refusal."""
    (tmp_path / "voc2012-train-000000.tar.1.partial").mkdir()
    done = segdata("build-voc", "--data", small, "--out", tmp_path, "--workers", 1)
    assert (done.code, done.stderr.startswith("error: ")) == (1, True)


def test_a_hollow_manifest(segdata: "Command", small: Path, tmp_path: Path) -> None:
    """A manifest of our format without its fields is told as damaged."""
    (tmp_path / "voc2012.json").write_text('{"format": "segdata/1"}')
    done = segdata("build-voc", "--data", small, "--out", tmp_path, "--workers", 1)
    assert (done.code, done.stderr.startswith("error: ")) == (1, True)


def test_absurd_annotated_sizes(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """A record that claims terabytes of pixels is told as of another size than its image."""
    coco = make.coco()
    coco.instances["val"]["images"][0] |= {"height": 10**7, "width": 10**7}
    for record in coco.objects("val", 1001):
        record["segmentation"] = [make.polygon(1, 1, 9, 9)]
        record["iscrowd"] = 0
    data, out = make.write_coco(tmp_path / "data", coco), tmp_path / "out"
    done = segdata("build-coco", "--data", data, "--out", out, "--workers", 1)
    check_refused(done, out, "another size")


def test_masks_that_are_no_images(segdata: "Command", make: "Make", tmp_path: Path) -> None:
    """A mask of other bytes is told in words of the user's world."""
    voc = make.voc()
    voc.members[voc.name("SegmentationClass", voc.val[0])] = b"<html>404</html>"
    data, out = make.write_voc(tmp_path / "data", voc), tmp_path / "out"
    done = segdata("build-voc", "--data", data, "--out", out, "--workers", 1)
    check_refused(done, out, "2007_000005.png")


def test_other_options_and_classes(
    segdata: "Command", small: Path, tmp_path: Path, read_tree: Tree
) -> None:
    """A directory of other options or classes is refused with the difference, and left as it is."""
    command = ["build-voc", "--data", small, "--out", tmp_path, "--workers", 1]
    assert segdata(*command).code == 0
    before = read_tree(tmp_path)
    for change, words in (
        (["--size", 100], ["size 100", "size 512"]),
        (["--seed", 3], ["seed 3", "seed 0"]),
        (["--classes", "cat"], ["other classes", "aeroplane, bicycle"]),
    ):
        done = segdata(*command, *change)
        assert done.code == 1
        assert all(word in done.stderr for word in words)
    assert read_tree(tmp_path) == before


@pytest.mark.parametrize(
    "command",
    [
        ("build-voc", "--sbd=s3://a/b"),
        ("build-folder", "s3://a/b", "masks", "--classes=voc"),
        ("build-folder", "images", "s3://a/b", "--classes=voc"),
        ("verify-masks", "--masks=s3://a/b"),
        ("verify-masks", "--masks=m", "--images=s3://a/b"),
        ("verify-masks", "--masks=m", "--reference=s3://a/b"),
        ("verify-masks", "--data=d", "--sbd=s3://a/b"),
        ("verify-masks", "--folder=leaves=images,s3://a/b"),
    ],
)
def test_urls_are_refused_where_only_paths_will_do(
    segdata: "Command", command: tuple[str, ...]
) -> None:
    """A URL is named as such in an error of usage, not taken for a path that is not there."""
    done = segdata(*command)
    assert done.code == 2
    assert "s3://a/b is a URL" in done.stderr


FULL = """
import resource, sys

if __name__ == "__main__":
    limit = int(sys.argv.pop(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    from segdata.cli import main
    main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk(
    segdata: "Command", small: Path, tmp_path: Path, read_tree: Tree, workers: int
) -> None:
    """When the system takes no more bytes the build says so, and goes on once there is room."""
    out = tmp_path / "out"
    command = ["build-coco", f"--data={small}", f"--out={out}", f"--workers={workers}"]
    script = tmp_path / "full.py"
    script.write_text(FULL)
    done = subprocess.run(
        [sys.executable, script, "12000", *command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == "error: the disk is full"
    assert f"where:    {out}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert segdata(*command).code == 0
    whole = tmp_path / "whole"
    assert segdata(*command[:2], f"--out={whole}", "--workers=1").code == 0
    assert read_tree(out) == read_tree(whole)
