"""Hold-outs in the manifests: whole, disjoint, reproducible, and never in anybody's way."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make, Outcome

Tree = Callable[[Path], dict[str, bytes]]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def built(
    make: "Make", segdata: "Command", tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A data folder and its shards: 24 train and 6 val images of VOC, 12 and 4 of COCO."""
    folder = tmp_path_factory.mktemp("subsets")
    voc = make.voc(24, 6)
    twin = Image.open(io.BytesIO(make.jpeg(180, 240, 7))).convert("RGB")
    photo = ImageOps.posterize(twin.rotate(11, expand=True), 2)
    for number, image in ((2, photo), (9, ImageOps.mirror(photo)), (17, photo.resize((150, 140)))):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG")
        voc.members[voc.name("JPEGImages", voc.train[number])] = buffer.getvalue()
        mask = make.palette_png(make.voc_mask(image.height, image.width, number))
        voc.members[voc.name("SegmentationClass", voc.train[number])] = mask
    data = make.write_coco(make.write_voc(folder / "data", voc), make.coco(12, 4))
    for command in ("build-voc", "build-coco"):
        build(segdata, command, data, folder / "shards")
    return data, folder / "shards"


@pytest.fixture
def shards(built: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the shards."""
    shutil.copytree(built[1], tmp_path / "shards")
    return tmp_path / "shards"


def build(segdata: "Command", command: str, data: Path, out: Path) -> None:
    done = segdata(command, "--data", data, "--out", out, "--workers", 1, "--shard-samples", 10)
    assert done.code == 0, done.stderr


def split(segdata: "Command", shards: Path, *options: object) -> "Outcome":
    return segdata("split", shards, *options, "--workers", 1)


def views(shards: Path, dataset: str = "voc2012") -> dict[str, Json]:
    found: dict[str, Json] = json.loads((shards / f"{dataset}.json").read_bytes())["views"]
    return found


def keys(shards: Path, dataset: str, split: str) -> list[str]:
    """The keys of a split in order, as its indices have them."""
    lines = [
        line
        for path in sorted(shards.glob(f"{dataset}-{split}-*.idx"))
        for line in path.read_text().splitlines()[1:]
    ]
    return [line.split()[3].partition(".")[0] for line in lines]


def test_a_hold_out_divides_a_split(segdata: "Command", shards: Path) -> None:
    """Both views hold each sample of train once, in the shards' order, and the share is met."""
    done = split(segdata, shards, "--name", "dev", "--share", "0.25", "--no-near-duplicates")
    assert done.code == 0
    total = 0
    for dataset in ("voc2012", "coco2017"):
        found = views(shards, dataset)
        parts = [found["dev-train"], found["dev-val"]]
        assert [part["split"] for part in parts] == ["train", "train"]
        stored = keys(shards, dataset, "train")
        for part in parts:
            assert part["keys"] == [key for key in stored if key in set(part["keys"])]
        assert sorted(parts[0]["keys"] + parts[1]["keys"]) == sorted(stored)
        total += len(parts[1]["keys"])
    assert total == 9  # a quarter of 24 + 11, rounded up
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == ["data set", "dev-train", "dev-val", "share"]
    voc = views(shards)
    held = len(voc["dev-val"]["keys"])
    assert ["voc2012", str(24 - held), str(held), f"{100 * held / 24:.1f} %"] in rows


def test_the_directory_stays_whole(segdata: "Command", shards: Path) -> None:
    """verify-masks finds nothing to say about a directory with hold-outs."""
    assert split(segdata, shards, "--name", "dev").code == 0
    assert split(segdata, shards, "--name", "fold2", "--seed", 2, "--of", "val").code == 0
    assert split(segdata, shards, "--name", "inner", "--of", "dev-train").code == 0
    done = segdata("verify-masks", shards, "--workers", 1)
    assert done.code == 0, done.stdout
    assert "dev-train" in (shards / "README.md").read_text()


def test_equal_options_change_nothing(segdata: "Command", shards: Path, read_tree: Tree) -> None:
    """Again with equal options, and taken out again: every byte is as it was."""
    before = read_tree(shards)
    options = ["--name", "dev", "--share", "0.2"]
    first = split(segdata, shards, *options)
    after = read_tree(shards)
    again = split(segdata, shards, *options)
    assert again.stdout == first.stdout
    assert "stood there already" in again.stderr
    assert read_tree(shards) == after != before
    assert {n for n in after if after[n] != before[n]} == {
        "README.md", "coco2017.json", "voc2012.json",
    }  # fmt: skip
    removed = split(segdata, shards, "--name", "dev", "--remove")
    assert removed.stdout == "dev: removed from 2 data sets\n"
    assert read_tree(shards) == before
    assert split(segdata, shards, "--name", "dev", "--remove").code == 2


def test_other_options_are_refused(segdata: "Command", shards: Path, read_tree: Tree) -> None:
    """A name stands for one choice, until --replace says otherwise; what differs is named."""
    assert split(segdata, shards, "--name", "dev").code == 0
    before = read_tree(shards)
    other = ["--name", "dev", "--seed", 5, "--dataset", "voc2012"]
    done = split(segdata, shards, *other)
    assert (done.code, done.stdout) == (1, "")
    assert "seed 5, datasets ['voc2012']" in done.stderr
    assert read_tree(shards) == before
    assert split(segdata, shards, *other, "--replace").code == 0
    assert views(shards)["dev-val"]["holdout"]["seed"] == 5
    assert "dev-val" not in views(shards, "coco2017")


def test_copies_stay_together(segdata: "Command", shards: Path) -> None:
    """A photo, its mirrored and its smaller copy are on one side under every seed."""
    twins = {f"voc2012_2007_{i:06d}" for i in (2, 9, 17)}
    for seed in range(6):
        done = split(segdata, shards, "--name", f"s{seed}", "--seed", seed, "--dataset=voc2012")
        assert "groups of several samples were kept together" in done.stderr
        assert len(twins & set(views(shards)[f"s{seed}-val"]["keys"])) in (0, 3)
    sides = ["--train", "s0-train", "--val", "s0-val"]
    assert segdata("check-leaks", shards, *sides, "--workers", 1).code == 0


def test_copies_may_be_told_apart(segdata: "Command", shards: Path) -> None:
    """Without looking at the images some seed separates them, and check-leaks says so."""
    for seed in range(6):
        options = ["--seed", seed, "--no-near-duplicates", "--share", "0.5", "--dataset=voc2012"]
        split(segdata, shards, "--name", f"s{seed}", *options)
    done = segdata("check-leaks", shards, "--workers", 1)
    assert done.code == 1
    assert re.search(r"leak mirrored: .*, s\d-train \| s\d-val", done.stdout)


def test_groups_stay_together(segdata: "Command", shards: Path) -> None:
    """Samples whose ids agree in the expression's group are on one side."""
    options = ["--group", r"_\d{5}(\d)$", "--share", "0.3", "--dataset=voc2012"]
    assert split(segdata, shards, "--name", "g", *options).code == 0
    ends = [{key[-1] for key in views(shards)[f"g-{part}"]["keys"]} for part in ("train", "val")]
    assert not ends[0] & ends[1]
    none = split(segdata, shards, "--name", "h", "--group", "xyz")
    assert (none.code, none.stdout) == (2, "")
    assert "--group matches no source id" in none.stderr
    one = split(segdata, shards, "--name", "h", "--group", "^", "--dataset=voc2012")
    assert (one.code, one.stdout) == (2, "")
    assert "one part would be empty" in one.stderr


def test_a_build_keeps_hold_outs(
    segdata: "Command", built: tuple[Path, Path], shards: Path, read_tree: Tree
) -> None:
    """The same build again keeps the views of users, byte by byte."""
    assert split(segdata, shards, "--name", "dev").code == 0
    before = read_tree(shards)
    build(segdata, "build-voc", built[0], shards)
    assert read_tree(shards) == before


def test_published_names_are_not_taken(segdata: "Command", shards: Path, read_tree: Tree) -> None:
    """A published subset of the name is never written over, not even by --replace."""
    path = shards / "voc2012.json"
    manifest = json.loads(path.read_bytes())
    manifest["views"]["dev-val"] = manifest["views"]["val100"]
    path.write_text(json.dumps(manifest))
    before = read_tree(shards)
    for options in ([], ["--replace"]):
        done = split(segdata, shards, "--name", "dev", *options)
        assert done.code == 1
        assert "dev-val is a published subset" in done.stderr
    assert read_tree(shards) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--of", "nobody"], "there is no split or view 'nobody' to divide"),
        (["--dataset", "voc2010"], "expected: one of coco2017, voc2012"),
        (["--share", "0"], "expected: above 0 and below 1"),
        (["--share", "0.99999"], "one part would be empty"),
    ],
)
def test_what_cannot_be_is_refused(
    segdata: "Command", shards: Path, read_tree: Tree, options: list[str], words: str
) -> None:
    """Each is a usage error in words, and nothing is written."""
    before = read_tree(shards)
    done = split(segdata, shards, "--name", "dev", "--no-near-duplicates", *options)
    assert (done.code, done.stdout) == (2, "")
    assert words in done.stderr
    assert read_tree(shards) == before


def test_absent_classes_are_named(segdata: "Command", shards: Path) -> None:
    """A class that one part alone shows is said."""
    options = ["--share", "0.1", "--dataset", "voc2012", "--no-near-duplicates"]
    done = split(segdata, shards, "--name", "dev", *options)
    absent = re.search(r"dev-val has no image with (.*)", done.stderr)
    assert absent
    names = absent[1].split(", ")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    zero = [row[0].partition(" ")[2] for row in rows if row[2] == "0"]
    assert names == zero
