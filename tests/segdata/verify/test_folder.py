"""Data sets built from folders: planted defects are named, and the rules agree where both hold."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.segdata.folder_sets import CLASSES, blocks, drawn, encoded, photo, plain
from tests.segdata.verify.shelf import write_info

from segdata.archive import Member
from segdata.errors import SourceError
from segdata.holdouts import hold_out
from segdata.labelmap import read_label_map
from segdata.maskfiles import read_mask
from segdata.verify import verify
from segdata.verify.contract import FolderOptions, Mapped
from segdata.verify.folder import held_out, mapped

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make

Json = dict[str, Any]


class Scene:
    """A sound data set of twelve pairs, two of them PNG images, copied for one test."""

    def __init__(self, root: Path) -> None:
        self.images, self.masks, self.out = root / "images", root / "masks", root / "out"

    def edit(self, change: Callable[[Json, Json], object]) -> None:
        """Change the manifest, and what every sidecar repeats of it, alike."""
        for path in self.out.glob("leaves*.json"):
            record = json.loads(path.read_bytes())
            made_with = record.get("made_with", record)
            change(made_with["labels"], made_with["options"]["folder"])
            path.write_text(json.dumps(record))

    def edit_manifest(self, change: Callable[[Json], object]) -> None:
        """Change the manifest alone."""
        path = self.out / "leaves.json"
        record = json.loads(path.read_bytes())
        change(record)
        path.write_text(json.dumps(record))
        write_info(self.out)

    def repaint(self, name: str) -> None:
        """Change one pixel of a source mask, at x = 2, y = 0."""
        path = self.masks / f"{name}.png"
        pixels = np.array(Image.open(path))
        pixels[0, 2] = 1 if pixels[0, 2] != 1 else 2
        path.write_bytes(encoded(pixels))


@pytest.fixture(scope="module")
def sound(segdata: "Command", make: "Make", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set, built once; tests copy it."""
    root = tmp_path_factory.mktemp("sound")
    files = plain(12)
    for seed, name in enumerate(("005", "006")):
        del files.images[f"{name}.jpg"]
        files.images[f"{name}.png"] = encoded(photo(*files.truth[name].shape, seed))
    make.write_folder(root / "images", files.images)
    make.write_folder(root / "masks", files.masks)
    (root / "classes.toml").write_text(CLASSES["index"])
    done = segdata(
        "build-folder", root / "images", root / "masks", "--classes", root / "classes.toml",
        "--name", "leaves", "--out", root / "out", "--workers", 1, "--val-share", 0.3, "--size", 0,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    return root


@pytest.fixture
def scene(sound: Path, tmp_path: Path) -> Scene:
    """A copy to plant a defect in."""
    for name in ("images", "masks", "out"):
        shutil.copytree(sound / name, tmp_path / name)
    return Scene(tmp_path)


def repainted_mask(scene: Scene) -> None:
    """A source mask that has another pixel than the shard."""
    scene.repaint("000")


def swapped_mapping(scene: Scene) -> None:
    """A record that says that ids became each other's classes."""

    def swap(labels: Json, _: Json) -> None:
        classes = labels["mapping"]["classes"]
        classes["leaf"], classes["stem"] = classes["stem"], classes["leaf"]

    scene.edit(swap)


def other_image(scene: Scene) -> None:
    """Another photo under the name of one that was encoded anew."""
    shape = np.asarray(Image.open(scene.masks / "005.png")).shape
    (scene.images / "005.png").write_bytes(encoded(photo(*shape, 3)))


def other_jpeg(scene: Scene) -> None:
    """Another photo under the name of one that was stored as it was."""
    shape = np.asarray(Image.open(scene.masks / "000.png")).shape
    (scene.images / "000.jpg").write_bytes(encoded(photo(*shape, 3), "JPEG"))


def lost_pair(scene: Scene) -> None:
    """A sample whose files are gone."""
    (scene.images / "000.jpg").unlink()
    (scene.masks / "000.png").unlink()


def unnamed_value(scene: Scene) -> None:
    """A source mask that holds what nothing maps."""
    (scene.masks / "000.png").write_bytes(encoded(np.full((20, 30), 9, np.uint8)))


def other_share(scene: Scene) -> None:
    """A record of another held-out share than the shards show."""
    scene.edit(lambda _, folder: folder.__setitem__("val_share", 0.5))


def no_mapping(scene: Scene) -> None:
    """A manifest that does not say what became what."""
    scene.edit_manifest(lambda manifest: manifest["labels"].pop("mapping"))


def false_excuse(scene: Scene) -> None:
    """A pair that is said to have no mask, and has one."""
    for folder, kind in ((scene.images, "jpg"), (scene.masks, "png")):
        shutil.copy(folder / f"000.{kind}", folder / f"900.{kind}")

    def excuse(manifest: Json) -> None:
        split = manifest["splits"]["train"]
        split["left_out"] = {"no mask": {"count": 1, "ids": ["900"]}}
        split["available"] = split["official"] = split["available"] + 1

    scene.edit_manifest(excuse)


PLANTS: dict[Callable[[Scene], None], set[str]] = {
    repainted_mask: {"mask-differs", "source-differs"},
    swapped_mapping: {"mask-differs"},
    other_image: {"image-differs", "source-differs"},
    other_jpeg: {"image-bytes", "source-differs"},
    lost_pair: {"source-absent", "available-differs"},
    unnamed_value: {"source-broken"},
    other_share: {"source-absent", "sample-missing", "available-differs"},
    no_mapping: {"manifest-unreadable"},
    false_excuse: {"sample-missing"},
}


def test_the_sound_set_passes(scene: Scene) -> None:
    """Nothing is reported of a sound build, with its source or without."""
    assert verify(scene.out).notes == ()
    report = verify(scene.out, folders={"leaves": [(scene.images, scene.masks)]})
    assert report.ok, report.lines()
    assert report.compared == 12
    absent = verify(scene.out, data=scene.images)
    assert absent.ok
    assert all("--folder leaves=IMAGES,MASKS" in note for note in absent.notes)
    assert len(absent.notes) == 2


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_defects(scene: Scene, plant: Callable[[Scene], None]) -> None:
    """Each planted defect is found by name, and nothing else is reported."""
    plant(scene)
    report = verify(scene.out, folders={"leaves": [(scene.images, scene.masks)]})
    assert set(report.defects) == PLANTS[plant], report.lines()
    if plant is repainted_mask:
        (found,) = (f for f in report.findings if f.defect == "mask-differs")
        assert (found.place, "leaves_000" in found.where) == ((2, 0), True)


def test_unknown_names_are_refused(scene: Scene, segdata: "Command") -> None:
    """A data set that is not there, a folder that is not, and a text without comma are errors."""
    with pytest.raises(SourceError, match="not built from folders"):
        verify(scene.out, folders={"ferns": [(scene.images, scene.masks)]})
    with pytest.raises(SourceError, match="does not exist"):
        verify(scene.out, folders={"leaves": [(scene.images, scene.masks / "x")]})
    done = segdata("verify-masks", scene.out, "--folder", f"leaves={scene.images}")
    assert (done.code, "NAME=IMAGES,MASKS" in done.stderr) == (2, True)
    folder = f"leaves={scene.images},{scene.masks}"
    done = segdata("verify-masks", scene.out, "--folder", folder, "--workers", 1)
    assert (done.code, "12 of 12 masks" in done.stdout) == (0, True)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("file", ["PNG", "TIFF", "BMP"])
def test_both_read_masks_alike(tmp_path: Path, kind: str, file: str) -> None:
    """The build's reader and the verifier's give the same ids of every kind of mask."""
    path = tmp_path / "classes.toml"
    path.write_text(CLASSES[kind])
    label_map = read_label_map(str(path))
    mapping = msgspec.convert(label_map.record(), Mapped)
    truth = np.array([0, 1, 2, 255], np.uint8)[blocks(9, 14, 0, 4)]
    data = encoded(drawn(truth, kind), "PNG" if kind == "16 bits" else file)
    assert np.array_equal(read_mask(data, Member("", "", 0), label_map, "auto"), truth)
    assert np.array_equal(mapped(data, mapping, "auto"), truth)


@given(
    st.dictionaries(st.text("abc/1", min_size=1, max_size=4), st.none(), min_size=1, max_size=30),
    st.floats(0, 1),
    st.integers(0, 5),
    st.sampled_from(["", "^(.)"]),
)
def test_both_hold_out_alike(ids: Json, share: float, seed: int, group: str) -> None:
    """The verifier's division of a folder is the build's, whatever the names and groups."""
    groups = {i: i[0] if group else i for i in ids}
    options = FolderOptions("auto", "", "", "share", share, group)
    assert held_out(list(ids), options, seed) == hold_out(groups, share, seed)
