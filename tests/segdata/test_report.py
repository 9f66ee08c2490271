"""The report: one page without any request, its numbers the manifest's, for all kinds of shards."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tests.pages import Page
from tests.segdata.samples_of import read_samples

from segdata import pictures
from segdata.census import take_census
from segdata.classes import ClassSet
from segdata.report import report_page
from segdata.shards import Record, manifests, to_json, write_info, write_shard

if TYPE_CHECKING:
    from tests.segdata.conftest import Command


@pytest.fixture(scope="module")
def built(segdata: "Command", small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both small data sets in shards of two samples."""
    out = tmp_path_factory.mktemp("report") / "shards"
    for command in ("build-voc", "build-coco"):
        done = segdata(command, "--data", small, "--out", out, "--shard-samples", 2)
        assert done.code == 0
    return out


@pytest.fixture(scope="module")
def text(segdata: "Command", built: Path) -> str:
    """The page that the command writes."""
    path = built.parent / "new" / "page.html"
    done = segdata("report", built, "-o", path)
    assert (done.code, done.stderr, done.stdout) == (0, "", f"{path}\n")
    return path.read_text("utf-8")


def test_the_page_is_complete_in_itself(text: str) -> None:
    """Nothing is loaded: no script, link, frame or address anywhere; the page's policy says so."""
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "video"}
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "data", "action", "poster"):
                assert value.startswith(("data:image/", "#"))
            assert "url(" not in value
    assert not re.search(r"url\(|@import|@font-face", text.partition("</style>")[0])
    (policy,) = (m for m in page.all("meta") if m.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_page_is_well_formed_and_accessible(text: str) -> None:
    """Language, viewport, one main heading, none skipped, ids once, links and labels lead."""
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>\n")
    assert page.all("html") == [{"lang": "en"}]
    assert any(m.get("name") == "viewport" for m in page.all("meta"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(set(page.ids)) == len(page.ids)
    targets = [a["href"][1:] for a in page.all("a")]
    targets += [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(targets) <= set(page.ids)
    assert all(a.get("aria-label") for _, a in page.elements if a.get("role") == "img")
    assert all(img["alt"] and img["width"] and img["height"] for img in page.all("img"))


def test_pictures_are_small_images_of_the_samples(text: str, built: Path) -> None:
    """Every picture decodes, has the size that it says, and is of a sample of these shards."""
    keys = {key for tar in built.glob("*.tar") for key, _ in read_samples(tar)}
    images = Page(text).all("img")
    assert images
    for image in images:
        data = base64.b64decode(image["src"].partition("base64,")[2])
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert picture.size == (int(image["width"]), int(image["height"]))
            assert max(picture.size) <= 560
        assert image["alt"].partition(": ")[0] in keys


def test_numbers_are_the_manifests(text: str, built: Path) -> None:
    """Splits and classes show the counts of the manifests, sources their checksums."""
    page = Page(text)
    shown = "".join(page.words)
    for dataset, manifest in manifests(built).items():
        for split, facts in manifest["splits"].items():
            row = page.row(f"{dataset} {split}")
            assert row[1:5] == [
                f"{n:,}"
                for n in (
                    facts["samples"],
                    facts["available"],
                    facts["official"],
                    len(facts["shards"]),
                )
            ]
            assert row[6] == (f"{sum(facts['objects']):,}" if sum(facts["objects"]) else "\u2013")
            assert row[7] == f"{100 * facts['pixels'][-1] / sum(facts['pixels']):.2f} %"
            assert all(source["sha256"] in shown for source in facts["sources"])
    tables = [[" ".join(cell.split()) for cell in row] for row in page.rows]
    for i, entry in enumerate(manifests(built)["voc2012"]["classes"]):
        name = f"{i}{entry['name']}"
        rows = [row for row in tables if row and row[0] == name]
        for manifest, row in zip(manifests(built).values(), rows[:2], strict=True):
            both = [manifest["splits"][split] for split in ("train", "val")]
            if i:
                images = [f"{facts['images'][i - 1]:,}" for facts in both]
                assert row[1] == f"train: {images[0]} val: {images[1]}"
            shares = [100 * f["pixels"][i] / sum(f["pixels"][:-1]) for f in both]
            assert row[2] == f"train: {shares[0]:.2f} % val: {shares[1]:.2f} %"


def test_co_occurrence_is_counted_over_masks(built: Path) -> None:
    """The counts of pairs are those of images whose masks show both classes."""
    for split in take_census(built, lambda *_: None):
        shown = [
            set(np.unique(np.asarray(Image.open(io.BytesIO(parts["seg.png"])))).tolist())
            for tar in split.tars
            for _, parts in read_samples(tar)
        ]
        counts = split.together()
        for a in range(1, 21):
            for b in range(1, 21):
                assert counts[a - 1, b - 1] == sum({a, b} <= ids for ids in shown)


def test_equal_shards_give_equal_pages(
    segdata: "Command", built: Path, text: str, tmp_path: Path
) -> None:
    """The page holds no time, no path and no name of the folder: a copy gives the same bytes."""
    copy = shutil.copytree(built, tmp_path / "another name")
    assert segdata("report", copy, "--out", tmp_path / "page.html").code == 0
    assert (tmp_path / "page.html").read_text("utf-8") == text
    assert str(built.parent) not in text


def test_the_number_of_pictures_is_bounded(segdata: "Command", built: Path, tmp_path: Path) -> None:
    """`--pictures` bounds the pictures of classes, and 0 gives a page without any."""
    heroes = pictures.HEROES
    for most in (0, 1, 4, 1000):
        done = segdata("report", built, "--pictures", most, "-o", tmp_path / "page.html")
        assert done.code == 0
        page = Page((tmp_path / "page.html").read_text("utf-8"))
        assert len(page.all("img")) <= most + (heroes if most else 0)
        assert bool(page.all("img")) == bool(most)
    assert segdata("report", built, "--pictures", -1).code == 2


def test_rare_classes_come_first(built: Path) -> None:
    """Classes stand from the rarest to the most frequent, each with samples that show it."""
    census = take_census(built, lambda *_: None)
    chosen = pictures.choose(census, 60)
    images = np.sum([split.images() for split in census], 0)
    assert set(chosen) == {c for c in range(1, 21) if images[c]}
    frequencies = [images[c] for c in chosen]
    assert frequencies == sorted(frequencies)
    for class_id, row in chosen.items():
        assert len(row) == len({(c.split, c.number) for c in row})
        assert all(census[c.split].pixels[c.number, class_id] for c in row)
    assert list(pictures.choose(census, 2)) == list(chosen)[:2]


def test_warnings_are_told(built: Path, tmp_path: Path) -> None:
    """Absent classes, incomplete sources, generated data and resized val are told on the page."""
    folder = Path(shutil.copytree(built, tmp_path / "s"))
    manifest = manifests(folder)["voc2012"]
    manifest["synthetic"] = True
    manifest["options"]["val_size"] = 200
    (folder / "voc2012.json").write_bytes(to_json(manifest))
    shown = "".join(Page(report_page(folder, 0, lambda *_: None)).words)
    assert "voc2012 is generated data" in shown
    assert "voc2012 val was resized to 200 px" in shown
    assert "coco2017 train is incomplete: its source held 5 of the 118,287 images" in shown
    assert "voc2012 val has no pixel of aeroplane" in shown


def made(folder: Path, names: Sequence[str], ids: Sequence[Sequence[int]]) -> Path:
    """Shards of a data set `mine` of one train split: an image of 8x8 for each list of its ids."""
    folder.mkdir()
    table = ClassSet(tuple(names)).table()
    records = []
    for number, row in enumerate(ids):
        mask = np.resize(np.array(row, np.uint8), (8, 8))
        jpg, png = io.BytesIO(), io.BytesIO()
        Image.new("RGB", (8, 8), (number, 9, 9)).save(jpg, "JPEG")
        Image.fromarray(mask).save(png, "PNG")
        counts = np.bincount(mask.ravel(), minlength=256)
        facts = {
            "key": f"mine_{number}", "dataset": "mine", "split": "train", "source_id": f"{number}",
            "source_file": "a.png", "height": 8, "width": 8, "source_height": 8, "source_width": 8,
            "pixels": [*counts[: len(table)].tolist(), int(counts[255])],
            "objects": [0] * len(names), "crowd_pixels": 0,
        }  # fmt: skip
        records.append(Record(facts, jpg.getvalue(), png.getvalue(), mask))
    extra = {"dataset": "mine", "split": "train", "left_out": []}
    stats = write_shard(folder, "mine-train-000000", records, len(names), extra)
    fields = ("samples", "pixels", "objects", "images")
    split = {field: stats[field] for field in fields} | {
        "available": len(ids), "official": len(ids), "complete": True, "left_out": {},
        "sources": [],
        "shards": [{"name": stats["shard"], "samples": len(ids), "bytes": stats["bytes"]}],
    }  # fmt: skip
    manifest = {
        "format": "segdata/1", "dataset": "mine", "synthetic": False, "classes": table,
        "ignore_index": 255, "labels": {"policy": "mine", "version": 1}, "seed": 0,
        "options": {"size": 0, "val_size": 0, "limit": 0}, "versions": {"segdata": "0"},
        "splits": {"train": split}, "views": {}, "complete": False,
    }  # fmt: skip
    (folder / "mine.json").write_bytes(to_json(manifest))
    write_info(folder)
    return folder


KINDS: dict[str, tuple[Sequence[str], Sequence[Sequence[int]]]] = {
    "one image": (["a"], [[0, 1]]),
    "only background": (["a", "b"], [[0], [0]]),
    "only void": (["a"], [[255]]),
    "many classes": ([f"class {i}" for i in range(254)], [[i, 0, 255] for i in range(1, 255)]),
    "markup": (['<script>alert("x")</script>', "a & b's {{ 1 }} {% raw %}"], [[0, 1, 2]]),
    "long": (["x" * 300, "many words " * 30], [[1, 2], [1, 0]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_odd_shards(tmp_path: Path, kind: str) -> None:
    """One image, no object, 254 classes, endless names, names of markup: a sound page each."""
    names, ids = KINDS[kind]
    folder = made(tmp_path / "s", names, ids)
    page = report_page(folder, 40, lambda *_: None)
    found = Page(page)
    shown = " ".join("".join(found.words).split())
    assert all(" ".join(name.split()) in shown for name in names)
    assert "<script" not in page
    assert len(page) < 3_000_000


def test_shards_that_cannot_be_shown(segdata: "Command", built: Path, tmp_path: Path) -> None:
    """No shards, a damaged picture or a folder in the way: one error, and no page."""
    out = tmp_path / "page.html"
    assert segdata("report", tmp_path / "absent", "-o", out).code == 1
    folder = Path(shutil.copytree(built, tmp_path / "s"))
    for tar in folder.glob("coco2017-train-*.tar"):
        tar.write_bytes(tar.read_bytes().replace(b"\xff\xd8\xff", b"\x00\x00\x00"))
    done = segdata("report", folder, "-o", out)
    assert done.code == 1
    assert "a sample cannot be decoded" in done.stderr
    assert not out.exists()
    out.mkdir()
    done = segdata("report", built, "-o", out)
    assert (done.code, str(tmp_path) in done.stderr) == (1, True)
    assert list(tmp_path.glob("*.partial")) == []


def test_progress_is_told(built: Path) -> None:
    """Reading facts and drawing pictures report how far they are, up to the whole."""
    told: dict[str, Any] = {}
    report_page(built, 5, lambda what, done, total: told.setdefault(what, []).append((done, total)))
    assert set(told) == {"reading facts", "drawing pictures"}
    for steps in told.values():
        assert steps == sorted(steps)
        assert steps[-1][0] <= steps[-1][1]
    assert told["drawing pictures"][-1][0] == told["drawing pictures"][-1][1]


CHROMIUM = next(
    (p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), ""
)
MEASURE = """<!DOCTYPE html><body style="margin:0">
{frames}
<script>
addEventListener("load", () => {{
  const widths = [...document.querySelectorAll("iframe")].map(f => {{
    const d = f.contentDocument;
    const broken = [...d.images].filter(i => i.complete && !i.naturalWidth).length;
    return [f.clientWidth, d.documentElement.scrollWidth, d.images.length, broken];
  }});
  document.body.textContent = "measured " + JSON.stringify(widths) + " end";
}});
</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium to lay the page out")
@pytest.mark.parametrize("kind", ["data sets", "long", "many classes"])
def test_nothing_sticks_out_in_a_browser(text: str, tmp_path: Path, kind: str) -> None:
    """At the width of a desk or a phone the page is no wider, and no picture is broken."""
    if kind != "data sets":
        text = report_page(made(tmp_path / "s", *KINDS[kind]), 40, lambda *_: None)
    (tmp_path / "page.html").write_text(text, "utf-8")
    frame = '<iframe src="page.html" style="border:0;height:3000px;width:{}px"></iframe>'
    frames = "".join(frame.format(width) for width in (390, 1280))
    (tmp_path / "frames.html").write_text(MEASURE.format(frames=frames))
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=9000", "--dump-dom",
        (tmp_path / "frames.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    found = re.search(r"measured (.*) end", done.stdout)
    assert found, done.stderr
    for width, needed, images, broken in json.loads(found[1]):
        assert needed <= width
        assert images
        assert broken == 0
