"""The exported files answer as the net, say what they are, and need no segtrain."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import segtrain
from segtrain.checkpoint import load_checkpoint
from segtrain.export.command import Written
from segtrain.export.kinds import KINDS
from segtrain.export.scripts import script
from segtrain.photos import load_photo
from segtrain.predictor import Predictor, load_predictor

COLOURS = [(0, 0, 0), (200, 30, 30), (30, 170, 60), (60, 80, 220)]


@pytest.fixture(scope="module")
def predictor(trained: Path) -> Predictor:
    """The net as eval and predict use it."""
    path = trained / "best.pt"
    return load_predictor(load_checkpoint(path), path, "cpu")


@pytest.fixture(scope="module")
def files(exported: list[Written]) -> dict[str, Path]:
    """The files by kind."""
    return {written.kind: written.path for written in exported}


def test_all_kinds_are_written_and_tried(exported: list[Written], trained: Path) -> None:
    """Each file has a name of its run and checkpoint, and its measured difference is rounding."""
    names = [f"{trained.name}-best{end}" for end in (".onnx", ".pt2", ".safetensors")]
    assert [written.path.name for written in exported] == names
    assert sorted(p.name for p in exported[0].path.parent.iterdir()) == sorted(names)
    for written in exported:
        found = written.difference
        assert 0 <= found.relative < 1e-5
        assert found.pixels > 4 * 56 * 48
        assert found.ids <= found.pixels // 1000
    assert exported[2].difference.absolute == 0


@pytest.fixture(scope="module")
def runs(files: dict[str, Path]) -> dict[str, Any]:
    """What answers by each file."""
    return {kind: KINDS[kind].open(path) for kind, path in files.items()}


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 140), st.integers(1, 140)),
    seed=st.integers(0, 99),
)
def test_every_size_is_taken(
    runs: dict[str, Any], predictor: Predictor, size: tuple[int, int, int], seed: int
) -> None:
    """Whatever the number, height and width of images, all kinds answer as Predictor does."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    truth = torch.stack(predictor.batch_logits([Image.fromarray(each) for each in pixels]))
    for run in runs.values():
        ids, logits = run(pixels)
        assert (ids.dtype, logits.dtype) == (np.uint8, np.float32)
        np.testing.assert_allclose(logits, truth.numpy(), atol=2e-5 * float(truth.abs().max()))
        np.testing.assert_array_equal(ids, logits.argmax(1))


def outside(text: str, folder: Path, barred: tuple[str, ...]) -> None:
    """Run a script in a fresh interpreter that could not import these modules."""
    bar = f"import sys\nfor name in {barred!r}: sys.modules[name] = None\n"
    check = f"\nassert not [n for n in {barred!r} if sys.modules.get(n)]\n"
    hidden = {k: v for k, v in os.environ.items() if "segtrain" in barred and k != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-W", "error", "-c", bar + text + check],
        cwd=folder, check=True, env=hidden or dict(os.environ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "barred"),
    [("onnx", ("segtrain", "torch")), ("torch", ("segtrain",)), ("safetensors", ("segdata",))],
)
def test_the_script_predicts(
    kind: str,
    barred: tuple[str, ...],
    files: dict[str, Path],
    predictor: Predictor,
    photos: Path,
    tmp_path: Path,
) -> None:
    """The script for a file makes a mask in the classes' colours, of the ids that predict gives."""
    (tmp_path / "photo.jpg").write_bytes((photos / "photo.jpg").read_bytes())
    text = script(kind, files[kind])
    assert len([line for line in text.splitlines() if "import" not in line and line]) <= 8
    outside(text, tmp_path, barred)
    truth = predictor.predict(load_photo(photos / "photo.jpg"))
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.mode == "P"
        assert mask.size == (61, 90)
        np.testing.assert_array_equal(np.asarray(mask), truth.numpy())
        colours = np.asarray(mask.convert("RGB"))
    np.testing.assert_array_equal(colours, np.array(COLOURS, np.uint8)[truth.numpy()])


def test_the_onnx_file_says_what_it_is(files: dict[str, Path], trained: Path) -> None:
    """Inputs and outputs have names, sizes and words; classes and origin are its metadata."""
    model = onnx.load(files["onnx"])
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "image": ["batch", "height", "width", 3],
        "ids": ["batch", "height", "width"],
        "logits": ["batch", 4, "height", "width"],
    }
    assert all(value.doc_string for value in (*model.graph.input, *model.graph.output))
    found = onnxruntime.InferenceSession(files["onnx"]).get_modelmeta().custom_metadata_map
    assert [(c["id"], c["name"]) for c in json.loads(found["classes"])] == list(
        enumerate(["background", "disc", "square", "stripes"])
    )
    checkpoint = load_checkpoint(trained / "best.pt")
    assert json.loads(found["preprocessing"]) == checkpoint.preprocessing
    assert json.loads(found["datasets"]) == checkpoint.manifests
    assert (found["ignore_index"], found["step"]) == ("255", str(checkpoint.step))


def test_the_torch_file_says_the_same(files: dict[str, Path]) -> None:
    """Its metadata.json has the entries of the ONNX file's metadata, unwrapped."""
    with zipfile.ZipFile(files["torch"]) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/metadata.json")]
        found = json.loads(archive.read(name))
    model = onnx.load(files["onnx"])
    for entry in model.metadata_props:
        assert found[entry.key] == json.loads(entry.value)
    assert found["image"] == model.graph.input[0].doc_string


def test_no_file_tells_where_it_was_made(files: dict[str, Path], trained: Path) -> None:
    """Neither the program's folder nor the run's or its shards' stands in a file."""
    for path in files.values():
        data = path.read_bytes()
        for folder in (Path(segtrain.__file__).parent, trained.parent):
            assert str(folder).encode() not in data
            assert str(folder).replace("\\", "\\\\").encode() not in data
