"""The data set card: what it says, that loaders follow it, and that a person's edits are safe."""

import copy
import json
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from tests.segdata.samples_of import read_samples

from segdata import provenance
from segdata.card import EDITED, card_text, is_ours, write_card
from segdata.shards import manifests
from segdata.verify import verify

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def built(segdata: "Command", small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both small data sets in shards of three samples."""
    out = tmp_path_factory.mktemp("card") / "shards"
    for command in ("build-voc", "build-coco"):
        done = segdata(command, "--data", small, "--out", out, "--shard-samples", 3, "--size", 48)
        assert (done.code, done.stderr) == (0, "")
    return out


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    """A copy of the shards, to be changed."""
    return Path(shutil.copytree(built, tmp_path / "shards"))


def header(text: str) -> Any:  # noqa: ANN401 - YAML
    """The YAML between the two lines of dashes."""
    assert text.startswith("---\n")
    return yaml.safe_load(text[4:].partition("\n---\n")[0])


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the Markdown table whose first head cell is `first`, without its head."""
    lines = text.partition(f"| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_numbers_are_the_manifests(built: Path) -> None:
    """Every count, share and colour of the card's tables is the one in the manifests."""
    text = (built / "README.md").read_text("utf-8")
    found = manifests(built)
    splits = [(n, s, facts) for n, m in found.items() for s, facts in m["splits"].items()]
    for row, (name, split, facts) in zip(rows(text, "data set"), splits, strict=True):
        assert row[:5] == [name, split, *(f"{facts[k]:,}" for k in ("samples", "available",
            "official"))]  # fmt: skip
        assert row[5] == str(len(facts["shards"]))
        assert row[7] == f"{100 * facts['pixels'][-1] / sum(facts['pixels']):.1f} %"
    classes = found["voc2012"]["classes"]
    for row, entry in zip(rows(text, "id"), classes, strict=True):
        i = entry["id"]
        color = "`#" + bytes(entry["color"]).hex() + "`"
        assert row[:3] == [str(i), entry["name"], color]
        for (images, share), (_, _, facts) in zip(
            zip(row[3::2], row[4::2], strict=True), splits, strict=True
        ):
            assert images == (f"{facts['images'][i - 1]:,}" if i else "")
            expected = 100 * facts["pixels"][i] / sum(facts["pixels"][:-1])
            assert float(share.removesuffix(" %")) == pytest.approx(expected, abs=0.005)
    for _, _, facts in splits:
        assert all(source["sha256"] in text for source in facts["sources"])


def test_the_header_is_what_the_hub_reads(built: Path) -> None:
    """The header names licence, task and the shards of every split, once each."""
    found = header((built / "README.md").read_text("utf-8"))
    assert found["license"] == "other"
    assert found["task_categories"] == ["image-segmentation"]
    assert found["size_categories"] == ["n<1K"]
    assert {"webdataset", "pascal-voc", "ms-coco"} <= set(found["tags"])
    configs = {config["config_name"]: config for config in found["configs"]}
    assert list(configs) == ["all", "coco2017", "voc2012"]
    assert [name for name, config in configs.items() if config.get("default")] == ["all"]
    for name, config in configs.items():
        for files in config["data_files"]:
            tars = [path.name for glob in files["path"] for path in built.glob(glob)]
            wanted = "*" if name == "all" else name
            assert sorted(tars) == sorted(
                p.name for p in built.glob(f"{wanted}-{files['split']}-*.tar")
            )


def test_load_dataset_follows_the_card(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`load_dataset(directory)` finds all splits of all data sets, with masks of ids."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    masks = {k: parts["seg.png"] for t in built.glob("*.tar") for k, parts in read_samples(t)}
    everything = datasets.load_dataset(str(built), streaming=True)
    assert sorted(everything) == ["train", "val"]
    seen = {}
    for split, stream in everything.items():
        for sample in stream:
            assert sample["json"]["split"] == split
            assert np.asarray(sample["seg.png"]).ndim == 2
            seen[sample["__key__"]] = np.bincount(np.ravel(sample["seg.png"]), minlength=256)
            expected = [*sample["json"]["pixels"][:-1], sample["json"]["pixels"][-1]]
            assert [*seen[sample["__key__"]][:21], seen[sample["__key__"]][255]] == expected
    assert seen.keys() == masks.keys()
    one = datasets.load_dataset(str(built), "voc2012", split="val", streaming=True)
    assert {sample["json"]["dataset"] for sample in one} == {"voc2012"}


def test_a_single_data_set_is_the_default(segdata: "Command", small: Path, tmp_path: Path) -> None:
    """With one data set there is one configuration, of its name, and it is the default."""
    assert segdata("build-voc", "--data", small, "--out", tmp_path, "--split", "val").code == 0
    configs = header((tmp_path / "README.md").read_text("utf-8"))["configs"]
    assert configs == [
        {
            "config_name": "voc2012",
            "default": True,
            "data_files": [{"split": "val", "path": ["voc2012-val-*.tar"]}],
        }
    ]


def test_a_second_data_set_joins_the_card(
    segdata: "Command", small: Path, tmp_path: Path, read_tree: Tree
) -> None:
    """The card follows when a data set joins; in either order the same bytes come out."""
    for folder, commands in (("a", ("voc", "coco")), ("b", ("coco", "voc"))):
        for command in commands:
            out = tmp_path / folder
            assert segdata(f"build-{command}", "--data", small, "--out", out).code == 0
    assert read_tree(tmp_path / "a") == read_tree(tmp_path / "b")
    assert "coco2017-val" in (tmp_path / "a" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("kind", ["edited", "own", "cut", "binary", "folder"])
def test_what_a_person_wrote_is_kept(
    segdata: "Command", small: Path, copied: Path, kind: str
) -> None:
    """A card that somebody edited or wrote survives every build, and the build says so."""
    path = copied / "README.md"
    text = path.read_text("utf-8")
    contents = {
        "edited": text.replace("# ", "# My ", 1).encode(),
        "own": b"# Mine\n",
        "cut": text[:-5].encode(),
        "binary": b"\xff\xfe\x00",
    }
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(contents[kind])
    done = segdata("build-voc", "--data", small, "--out", copied, "--shard-samples", 3,
        "--size", 48)  # fmt: skip
    assert (done.code, done.stderr) == (0, f"note: {EDITED}\n")
    assert path.is_dir() if kind == "folder" else path.read_bytes() == contents[kind]


def test_a_deleted_or_stale_card_is_written_anew(copied: Path) -> None:
    """Ours is rewritten from the manifests, deleted or out of date, whatever its line ends."""
    path = copied / "README.md"
    before = path.read_bytes()
    path.unlink()
    assert write_card(copied)
    assert path.read_bytes() == before
    path.write_bytes(before.replace(b"\n", b"\r\n"))  # as git checks it out on Windows
    assert is_ours(path)
    (copied / "coco2017.json").unlink()
    assert write_card(copied)
    assert "coco2017" not in path.read_text("utf-8")
    assert not list(copied.glob("*.partial"))


def test_the_verifier_leaves_the_card_alone(copied: Path) -> None:
    """Neither the card nor a person's own is a file that the verifier misses in a manifest."""
    assert verify(copied).ok
    (copied / "README.md").write_text("# Mine\n")
    assert verify(copied).ok


def changed(built: Path, **changes: object) -> dict[str, Any]:
    """The manifest of VOC with other fields."""
    return copy.deepcopy(manifests(built)["voc2012"]) | changes


def test_names_cannot_break_out(built: Path) -> None:
    """Class and data set names full of markup stay text: in YAML, in tables and in headings."""
    evil = 'a|b <script>`x`</script> & *c*: "d"\n# e'
    manifest = changed(built, dataset=evil)
    manifest["classes"][1]["name"] = evil
    text = card_text({evil: manifest})
    assert header(text)["configs"][0]["config_name"] == evil
    assert "<script>" not in text.partition("\n---\n")[2]
    assert not re.search(r"^# e", text, re.MULTILINE)
    assert len({len(row) for row in rows(text, "id")}) == 1


def test_terms_are_told_per_data_set(built: Path) -> None:
    """Real data name their publishers' terms and papers; other data say what they are."""
    real = (built / "README.md").read_text("utf-8")
    assert "CC BY 4.0" in real
    assert "Flickr" in real
    assert real.count("@article") == real.count("@inproceedings") == 1
    for manifest, words in (
        (changed(built, synthetic=True), "Drawn by `segdata toy`"),
        (changed(built, dataset="coco3"), "does not know their terms"),
    ):
        text = card_text({manifest["dataset"]: manifest})
        assert header(text)["license"] == "unknown"
        assert words in text
        assert "bibtex" not in text


COMMANDS: list[tuple[str, Mapping[str, object]]] = [
    ("build-voc", {}),
    ("build-voc", {"classes": "dog,dining table", "split": "val", "seed": 3, "val-size": 40}),
    ("build-coco", {"labels": "torchvision", "min-area": 7, "limit": 2, "quality": 80}),
    ("build-coco", {"classes": "coco", "void-border": 2, "shard-bytes": 900, "size": 0}),
    ("build-coco", {"resize": "opencv", "size": 40}),
]


@pytest.mark.parametrize(("command", "options"), COMMANDS)
def test_the_command_makes_the_same_again(
    segdata: "Command",
    small: Path,
    tmp_path: Path,
    read_tree: Tree,
    command: str,
    options: Mapping[str, object],
) -> None:
    """The command that the card prints makes the same bytes from the same sources."""
    flags = [f"--{name}={value}" for name, value in options.items()]
    a, b = tmp_path / "a", tmp_path / "b"
    assert segdata(command, "--data", small, "--out", a, "--workers", 1, *flags).code == 0
    (manifest,) = manifests(a).values()
    printed = provenance.build_command(manifest)
    assert printed
    assert f"`{printed}`" in (a / "README.md").read_text("utf-8")
    words = shlex.split(printed)[1:]
    assert segdata(*words, "--data", small, "--out", b, "--workers", 1).code == 0
    assert read_tree(a) == read_tree(b)
    assert not options or len(words) > 1


def test_the_command_tells_what_was_skipped(
    segdata: "Command", make: "Make", tmp_path: Path
) -> None:
    """A build that left broken samples out is made again with the option that does so."""
    voc = make.voc()
    voc.members[voc.name("SegmentationClass", voc.val[0])] = b"no image"
    data = make.write_voc(tmp_path / "data", voc)
    out = tmp_path / "out"
    assert segdata("build-voc", "--data", data, "--out", out, "--on-error", "skip").code == 0
    manifest = json.loads((out / "voc2012.json").read_bytes())
    assert provenance.build_command(manifest) == "segdata build-voc --on-error skip"
    assert "lacks 1 image that was broken" in (out / "README.md").read_text("utf-8")


def test_policies_are_explained(built: Path) -> None:
    """Every policy that a build can record has a sentence; its numbers are in it."""
    from segdata.labels import PAINTERS

    assert {*PAINTERS, "voc", "folder"} <= set(provenance.POLICIES)
    manifest = changed(
        built, labels={"policy": "segdata", "version": 1, "min_area": 1234, "void_border": 3}
    )
    text = provenance.policy_text(manifest)
    assert "1,234 px" in text
    assert "within 3 px" in text
    assert provenance.policy_text(manifests(built)["voc2012"]).startswith("The masks")


def test_sbd_has_its_own_terms_and_option(real: Path, segdata: "Command", tmp_path: Path) -> None:
    """A build with SBD names its protocol, cites both publications, and is made again with both."""
    sbd = real / "benchmark.tgz"
    if not sbd.is_file():
        pytest.skip(f"no SBD in {real}")
    for protocol, flags in (("trainaug", []), ("fcn2016", ["--protocol", "fcn2016"])):
        out = tmp_path / protocol
        command = ["build-voc", "--data", real, "--sbd", sbd, "--out", out, "--limit", 2, *flags]
        assert segdata(*command).code == 0
        text = (out / "README.md").read_text("utf-8")
        assert "hariharan2011" in text
        assert "everingham2010" in text
        assert provenance.PROTOCOLS[protocol] in text
        words = ["segdata", "build-voc", "--sbd", "data/benchmark.tgz", "--limit", "2", *flags]
        assert provenance.build_command(manifests(out)["voc2012"]) == shlex.join(words)


def test_options_are_told_without_the_empty_ones() -> None:
    """Options stand sorted, groups among the others; those that have no value are left out."""
    options = {"size": 0, "protocol": "", "year": 0, "folder": {"masks_as": "auto", "group": ""}}
    assert provenance.option_texts(options) == [("masks_as", "auto"), ("size", "0")]
    assert provenance.option_texts({"year": 2012}) == [("year", "2012")]
