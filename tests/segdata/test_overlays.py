"""Overlays: colours at their pixels, legends, contact sheets, and the command that draws them."""

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tests.segdata.samples_of import read_samples
from tests.segdata.test_maskfiles import png

from segdata.classes import ClassSet
from segdata.errors import ShardsError
from segdata.overlays import contact_sheet, decoded, overlay, with_legend

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make

TABLE: Any = ClassSet.parse("voc").table()
PERSON = (192, 128, 128)


def scene() -> tuple[Image.Image, Any]:
    """A grey image and a mask: background, a person of 5x5 pixels, a void row."""
    mask = np.zeros((12, 12), np.uint8)
    mask[2:7, 2:7] = 15
    mask[10] = 255
    return Image.new("L", (12, 12), 100), mask


def test_pixels_have_their_colours() -> None:
    """Background keeps the image; inside an object its colour is mixed in; outlines are pure."""
    picture = overlay(*scene(), TABLE)
    assert (picture.mode, picture.size) == ("RGB", (12, 12))
    assert picture.getpixel((0, 0)) == (100, 100, 100)
    mixed = tuple(int(0.45 * 100 + 0.55 * channel) for channel in PERSON)
    assert picture.getpixel((4, 4)) == mixed
    for x, y in ((2, 2), (6, 2), (2, 6), (4, 6), (6, 4)):
        assert picture.getpixel((x, y)) == PERSON
    assert picture.getpixel((5, 10)) == (255, 255, 255)
    assert picture.getpixel((1, 4)) == (100, 100, 100)  # no outline on the background's side


def test_the_legend_names_what_is_there() -> None:
    """Below the picture stand a title and a square of each colour that the mask holds, no other."""
    image, mask = scene()
    picture = overlay(image, mask, TABLE)
    framed = with_legend(picture, mask, TABLE, "title")
    assert framed.width >= 260
    assert framed.height > picture.height + 40
    left = (framed.width - picture.width) // 2
    assert framed.crop((left, 0, left + 12, 12)).tobytes() == picture.tobytes()
    colors = {
        color for _, color in framed.crop((0, 13, framed.width, framed.height)).getcolors(9999)
    }
    palette = {tuple(row["color"]) for row in TABLE[1:]}
    assert colors & palette == {PERSON}
    assert (255, 255, 255) in colors


def test_a_legend_of_many_classes_wraps() -> None:
    """Twenty classes on a narrow picture give several rows, each within the width."""
    mask = np.arange(21, dtype=np.uint8).repeat(40).reshape(21, 40)
    picture = Image.new("RGB", (40, 21))
    framed = with_legend(picture, mask, TABLE, "title")
    assert framed.width == 260
    colors = {color for _, color in framed.getcolors(99999)}
    assert {tuple(row["color"]) for row in TABLE[1:]} <= colors
    assert framed.height > 21 + 30 + 7 * 22


def test_unknown_ids_stand_out() -> None:
    """An id that the manifest does not have is shown in magenta instead of hidden."""
    mask = np.full((20, 20), 77, np.uint8)
    framed = with_legend(Image.new("RGB", (20, 20)), mask, TABLE, "title")
    assert (255, 0, 255) in {color for _, color in framed.getcolors(9999)}


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (4, 4, 1), (9, 4, 3)])
def test_contact_sheets_hold_every_tile(count: int, columns: int, rows: int) -> None:
    """Tiles stand four in a row, small ones enlarged, flat ones kept in shape."""
    shapes = [(8, 6), (900, 30), (1, 400)]
    tiles = [(f"{i}", Image.new("RGB", shapes[i % 3], (i + 10, 200, 0))) for i in range(count)]
    sheet = contact_sheet(tiles, "t")
    assert sheet.size == (columns * 332 + 12, rows * 268 + 52)
    shown = {color: n for n, color in sheet.getcolors(999999)}
    assert all(shown[i + 10, 200, 0] > 200 for i in range(count))
    assert shown[10, 200, 0] == 320 * 240  # 8x6 has the tile's shape and fills it


@pytest.fixture(scope="module")
def built(segdata: "Command", small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of both small data sets."""
    out = tmp_path_factory.mktemp("overlays") / "shards"
    for command in ("build-voc", "build-coco"):
        assert segdata(command, "--data", small, "--out", out, "--workers", 1).code == 0
    return out


def test_show_draws_some_of_each_split(segdata: "Command", built: Path, tmp_path: Path) -> None:
    """Without keys a few samples of each data set and split are drawn, and a sheet of all."""
    done = segdata("show", built, "--out", tmp_path / "p", "--count", 2)
    assert (done.code, done.stderr) == (0, "")
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert len(paths) == 2 * 4 + 1
    assert paths[-1].name == "contact-sheet.png"
    assert sorted(paths) == sorted((tmp_path / "p").iterdir())
    for path in paths:
        with Image.open(path) as picture:
            picture.load()
            assert picture.width >= 260


def test_show_draws_the_named_samples(segdata: "Command", built: Path, tmp_path: Path) -> None:
    """Named keys are drawn in the order given, whatever their data set."""
    keys = ["voc2012_2007_000001", "coco2017_000000000002"]
    done = segdata("show", built, *keys, "--out", tmp_path)
    assert [Path(line).stem for line in done.stdout.splitlines()] == [*keys, "contact-sheet"]


def test_show_all_keys(segdata: "Command", built: Path, tmp_path: Path) -> None:
    """Every sample of odd shape, greyscale ones and those of one row among them, can be drawn."""
    keys = [key for tar in built.glob("*.tar") for key, _ in read_samples(tar)]
    done = segdata("show", built, "--out", tmp_path, "--count", 1000)
    assert sorted(Path(line).stem for line in done.stdout.splitlines()[:-1]) == sorted(keys)


def test_generated_data_is_marked(
    segdata: "Command",
    make: "Make",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sheet of generated data says so."""
    from segdata import overlays

    voc = make.voc()
    voc.members["VOCdevkit/VOC2012/SYNTHETIC.txt"] = b"generated"
    data = make.write_voc(tmp_path / "data", voc)
    assert segdata("build-voc", "--data", data, "--out", tmp_path / "s", "--workers", 1).code == 0
    titles = []
    drawn = overlays.contact_sheet
    monkeypatch.setattr(
        overlays, "contact_sheet", lambda t, title: titles.append(title) or drawn(t, title)
    )
    assert segdata("show", tmp_path / "s", "--out", tmp_path / "p").code == 0
    assert titles == ["s: 8 samples (generated data)"]


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_show_without_shards(segdata: "Command", tmp_path: Path, folder: str) -> None:
    """A missing or empty directory is told, with how to make one, and no picture folder is made."""
    (tmp_path / "empty").mkdir()
    done = segdata("show", tmp_path / folder, "--out", tmp_path / "p")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: th")
    assert str(tmp_path / folder) in done.stderr
    assert "build" in done.stderr
    assert not (tmp_path / "p").exists()


def test_show_an_unknown_key(segdata: "Command", built: Path, tmp_path: Path) -> None:
    """A key that is not there is told with the number of keys and an example."""
    done = segdata("show", built, "nobody", "--out", tmp_path / "p")
    assert done.code == 1
    assert "there is no sample 'nobody'" in done.stderr
    assert "15 keys, such as " in done.stderr


def copied(built: Path, folder: Path) -> Path:
    """A copy of the shards, to be damaged."""
    shutil.copytree(built, folder)
    return folder / "voc2012-val-000000.tar"


def test_show_a_short_shard(segdata: "Command", built: Path, tmp_path: Path) -> None:
    """A shard shorter than its index says is told as that, by its name."""
    tar = copied(built, tmp_path / "s")
    tar.write_bytes(tar.read_bytes()[:2048])
    done = segdata("show", tmp_path / "s", "--out", tmp_path / "p")
    assert done.code == 1
    assert str(tar) in done.stderr
    assert "written" not in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "jpg 512",
        "jpg 512 9 a.jpg json x 9 a.json seg.png 3 9 a.seg.png",
        "jpg 512 9 a.jpg json 2 9 a.json png 3 9 a.png",
        "jpg 512 99999999999999999999 a.jpg json 2 9 a.json seg.png 3 9 a.seg.png",
        "jpg 0 1 /tmp/a.jpg json 2 1 /tmp/a.json seg.png 3 1 /tmp/a.seg.png",
        "jpg -5 9 a.jpg json 2 9 a.json seg.png 3 9 a.seg.png",
    ],
)
def test_show_a_broken_index(segdata: "Command", built: Path, tmp_path: Path, line: str) -> None:
    """An index whose lines are damaged is told by its name, or its shard's."""
    index = copied(built, tmp_path / "s").with_suffix(".idx")
    index.write_text(f"v1.2 1\n{line}\n")
    done = segdata("show", tmp_path / "s", "--out", tmp_path / "p")
    assert done.code == 1
    assert str(index.with_suffix("")) in done.stderr


def test_absurd_sizes_are_damage() -> None:
    """A mask that claims billions of pixels is an error of its sample."""
    image = io.BytesIO()
    Image.new("RGB", (3, 2)).save(image, "JPEG")
    with pytest.raises(ShardsError, match="cannot be decoded"):
        decoded("k", {"jpg": image.getvalue(), "seg.png": png(60000, 60000, 8, 0, b"")})
