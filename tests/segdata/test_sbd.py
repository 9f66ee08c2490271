"""SBD: index masks out of MATLAB files, every shape of the source, and what is no such mask."""

import io
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import loadmat, savemat
from tests.segdata.conftest import sbd_mat

from segdata.classes import ClassSet
from segdata.errors import SampleError, SourceError
from segdata.sbd import class_ids, find_sbd, open_sbd
from segdata.verify.matlab import load_mat

if TYPE_CHECKING:
    from tests.segdata.conftest import Make

VOC20 = ClassSet.parse("voc")
IDS = ("2008_000001", "2008_000002", "2009_000003")


def saved(**variables: Any) -> bytes:  # noqa: ANN401 - MATLAB's own
    """A .mat file of these variables."""
    buffer = io.BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_masks_are_the_matrices(height: int, width: int, seed: int) -> None:
    """Any matrix of VOC's ids that scipy saves is the mask, packed or not, for both readers."""
    ids = np.random.default_rng(seed).integers(0, 21, (height, width), np.uint8)
    for mat in (sbd_mat(ids), saved(GTcls={"Segmentation": ids})):
        np.testing.assert_array_equal(class_ids(mat, "x.mat"), ids)
        np.testing.assert_array_equal(load_mat(mat)["GTcls"]["Segmentation"], ids)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.int64])
def test_other_whole_numbers_are_read(kind: type) -> None:
    """A matrix of wider whole numbers holds the same ids."""
    ids = np.arange(21, dtype=kind).reshape(3, 7)
    found = class_ids(sbd_mat(ids), "x.mat")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, ids)


@pytest.mark.parametrize("wrong", [21, 255, -1, 256])
def test_other_ids_name_their_pixel(wrong: int) -> None:
    """An id beyond 0..20, void included, is refused, naming file, pixel and id."""
    ids = np.zeros((5, 9), np.int16)
    ids[3, 7] = ids[4, 0] = wrong
    with pytest.raises(SampleError, match="an id that SBD does not have") as error:
        class_ids(sbd_mat(ids), "x.mat")
    assert error.value.where == "x.mat, pixel x=7 y=3"
    assert error.value.found == f"{wrong} (2 such pixels)"


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((2, 3)), np.zeros((2, 3, 3), np.uint8), np.zeros((0, 0), np.uint8), "text"],
    ids=["floats", "colours", "empty", "text"],
)
def test_no_index_masks(wrong: NDArray[Any] | str) -> None:
    """A Segmentation that is no matrix of whole numbers is refused."""
    with pytest.raises(SampleError, match="no index mask"):
        class_ids(sbd_mat(np.zeros((1, 1), np.uint8), Segmentation=wrong), "x.mat")


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"GTinst": {"Segmentation": np.ones((2, 2))}}, "GTinst; in GTcls nothing"),
        ({"GTcls": {"Boundaries": 1}}, "GTcls; in GTcls Boundaries"),
        ({"GTcls": np.ones((2, 2))}, "GTcls; in GTcls nothing"),
        ({"GTcls": np.zeros((0, 0))}, "GTcls; in GTcls nothing"),
        ({}, "nothing; in GTcls nothing"),
    ],
)
def test_no_class_masks(variables: dict[str, Any], found: str) -> None:
    """A file without GTcls.Segmentation is refused, and what it holds instead is named."""
    with pytest.raises(SampleError, match="holds no class mask") as error:
        class_ids(saved(**variables), "x.mat")
    assert error.value.found == found


@given(st.data())
@settings(max_examples=150)
def test_broken_files_are_told_as_such(data: st.DataObject) -> None:
    """A .mat that is cut or written over anywhere gives ids of VOC's, or an error of its sample."""
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    whole = data.draw(st.sampled_from([sbd_mat(ids), saved(GTcls={"Segmentation": ids})]))
    at = data.draw(st.integers(0, len(whole) - 1))
    patch = data.draw(st.none() | st.binary(min_size=1, max_size=6))
    mat = whole[:at] if patch is None else whole[:at] + patch + whole[at + len(patch) :]
    with suppress(SampleError):
        assert class_ids(mat, "x.mat").max() <= 20
    with suppress(ValueError):
        load_mat(mat)


@pytest.mark.parametrize("content", [b"", b"MATLAB 7.3 MAT-file".ljust(128) + b"\x89HDF", b"text"])
def test_other_files_are_refused(content: bytes) -> None:
    """An empty file, a MATLAB 7.3 file (HDF5) and text are no masks."""
    with pytest.raises(SampleError, match=r"a \.mat file"):
        class_ids(content, "x.mat")


SHAPES = {
    "tgz": "benchmark.tgz",
    "tar": "x.tar",
    "renamed tgz": "my sbd.tar.gz",
    "zip": "b.zip",
    "folder of the tgz": ".",
    "unpacked": "unpacked",
    "release": "unpacked/benchmark_RELEASE",
    "dataset": "unpacked/benchmark_RELEASE/dataset",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_the_source(make: "Make", tmp_path: Path, shape: str) -> None:
    """Archive or folder at any level: the same lists, masks, and names of the files read."""
    sbd = make.sbd(IDS[:2], IDS[2:])
    packed = make.write_sbd(tmp_path, sbd)
    shutil.copy(packed, tmp_path / "my sbd.tar.gz")
    make.write_tar(tmp_path / "x.tar", sbd.members)
    make.write_zip(tmp_path / "b.zip", sbd.members)
    make.write_folder(tmp_path / "unpacked", sbd.members)
    tree = open_sbd(tmp_path / SHAPES[shape])
    assert (tree.train, tree.val) == (list(IDS[:2]), list(IDS[2:]))
    loaded = tree.sample(IDS[2], VOC20).load()
    np.testing.assert_array_equal(loaded.mask, sbd.masks[IDS[2]])
    assert loaded.image == sbd.members[sbd.name("img", IDS[2])]
    assert [file.name for file in loaded.files] == [sbd.name(k, IDS[2]) for k in ("img", "cls")]


def test_chosen_classes_are_renumbered(make: "Make", tmp_path: Path) -> None:
    """With a list of classes their ids follow the list, and the others are background."""
    sbd = make.sbd(IDS[:1], [])
    sbd.members[sbd.name("cls", IDS[0])] = make.sbd_mat(np.array([[0, 3, 8, 12, 15]], np.uint8))
    tree = open_sbd(make.write_sbd(tmp_path, sbd))
    mask = tree.sample(IDS[0], ClassSet.parse("dog,truck,bird")).load().mask
    assert mask is not None
    assert mask.tolist() == [[0, 3, 0, 1, 0]]


@pytest.mark.parametrize("kind", ["img", "cls"])
def test_missing_files_are_named(make: "Make", tmp_path: Path, kind: str) -> None:
    """A listed image without its JPEG or its mask is an error that names the file."""
    sbd = make.sbd(IDS, [])
    del sbd.members[sbd.name(kind, IDS[1])]
    tree = open_sbd(make.write_sbd(tmp_path, sbd))
    with pytest.raises(SampleError, match="files are missing") as error:
        tree.sample(IDS[1], VOC20)
    assert error.value.expected == sbd.name(kind, IDS[1])


def test_other_archives_and_folders_are_refused(make: "Make", tmp_path: Path) -> None:
    """What is no SBD is refused: another archive, an empty folder, a name that is not there."""
    make.write_tar(tmp_path / "a.tar", {"readme": b"hello"})
    with pytest.raises(SourceError, match="not SBD in its official layout") as error:
        open_sbd(tmp_path / "a.tar")
    assert "benchmark_RELEASE/dataset/train.txt" in str(error.value.expected)
    (tmp_path / "empty").mkdir()
    for name, found in (("empty", "neither"), ("nowhere", "no such file or folder")):
        with pytest.raises(SourceError, match="SBD was not found") as error:
            open_sbd(tmp_path / name)
        assert error.value.found == found


def test_half_an_archive_is_refused(make: "Make", tmp_path: Path) -> None:
    """A download that broke off is an error of the archive."""
    packed = make.write_sbd(tmp_path, make.sbd(IDS, []))
    packed.write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(SourceError, match="broken or cut short"):
        open_sbd(packed)


def test_real_masks(real: Path) -> None:
    """Every real .mat gives the mask that scipy reads, at its image's size, without void."""
    tree = open_sbd(real / "benchmark.tgz")
    assert (len(tree.train), len(tree.val)) == (12, 8)
    seen = set()
    with tarfile.open(real / "benchmark.tgz") as archive:
        for source_id in [*tree.train, *tree.val]:
            loaded = tree.sample(source_id, VOC20).load()
            file = archive.extractfile(f"benchmark_RELEASE/dataset/img/{source_id}.jpg")
            assert file
            assert loaded.image == file.read()
            mat = archive.extractfile(f"benchmark_RELEASE/dataset/cls/{source_id}.mat")
            assert mat
            expected = loadmat(mat)["GTcls"][0]["Segmentation"][0]  # as the field reads it
            np.testing.assert_array_equal(loaded.mask, expected)
            assert expected.shape == (loaded.height, loaded.width)
            seen |= set(np.unique(expected).tolist())
    assert len(seen) > 10
    assert max(seen) <= 20


def test_find_sbd_looks_below_the_data_folder(make: "Make", tmp_path: Path) -> None:
    """The archive or the unpacked folder is found in the data folder and in sbd/, nowhere else."""
    assert find_sbd(tmp_path) is None
    make.write_folder(tmp_path / "deep" / "er", make.sbd(IDS, []).members)
    assert find_sbd(tmp_path) is None
    packed = make.write_sbd(tmp_path / "sbd", make.sbd(IDS, []))
    assert find_sbd(tmp_path) == packed
    assert find_sbd(tmp_path / "deep" / "er") == tmp_path / "deep" / "er" / "benchmark_RELEASE"
