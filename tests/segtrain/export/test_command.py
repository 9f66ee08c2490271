"""What `segtrain export` refuses, says and leaves behind."""

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from segtrain import cli
from segtrain.checkpoint import load_checkpoint
from segtrain.errors import ExportError, RunError, SegtrainError, ShardsError, UsageError
from segtrain.export import kinds, trials
from segtrain.export.command import export_run, file_stem
from segtrain.export.kinds import KINDS, parse_kinds
from segtrain.export.trials import (
    Answers,
    Photos,
    Pixels,
    Truth,
    choose_photos,
    compared,
    painted,
    part,
    trial_pixels,
)


def swapped(monkeypatch: pytest.MonkeyPatch, kind: str, **changes: Any) -> None:  # noqa: ANN401 - whatever a kind's fields are
    """Replace how a kind is written or opened."""
    monkeypatch.setitem(kinds.KINDS, kind, KINDS[kind]._replace(**changes))


def test_a_file_that_answers_otherwise_is_not_kept(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits off by more than rounding refuse the export; an older file stays, a new one goes."""

    right = KINDS["safetensors"].open

    def spoilt(path: Path) -> Callable[[Pixels], Answers]:
        run = right(path)

        def wrong(pixels: Pixels) -> Answers:
            _, logits = run(pixels)
            logits[:, 1, 0, 0] += np.float32(0.01) * np.ptp(logits)
            return logits.argmax(1).astype(np.uint8), logits

        return wrong

    old = tmp_path / f"{trained.name}-best.safetensors"
    old.write_bytes(b"old")
    swapped(monkeypatch, "safetensors", open=spoilt)
    with pytest.raises(ExportError, match=r"differ from the net's by up to .* nothing was kept"):
        export_run(trained, ["safetensors"], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [old.name]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_nothing_is_left_when_it_ends_early(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Ctrl-C or a full disk at the second file leaves neither of the two."""

    def fail(_: object, path: Path) -> None:
        path.write_bytes(b"begun")
        raise error

    swapped(monkeypatch, "torch", write=fail)
    with pytest.raises((KeyboardInterrupt, RunError)) as caught:
        export_run(trained, ["safetensors", "torch"], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    if isinstance(error, OSError):
        assert "best.pt2: could not be written" in str(caught.value)
        assert "is the disk full?" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "package"),
    [("onnx", "onnx"), ("onnx", "onnxruntime"), ("safetensors", "safetensors")],
)
def test_a_missing_package_is_named_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, package: str
) -> None:
    """What to install is said before anything is read."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError, match=r'--format .* pip install "segtrain\[export\]"'):
        export_run(tmp_path / "no-run", [kind], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_net_too_large_for_one_file_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A protobuf file ends at 2 GiB; the message says what holds more."""
    monkeypatch.setattr(kinds, "LIMIT", 1000)
    with pytest.raises(ExportError, match=r"less than 2 GiB.*use --format torch or safetensors"):
        export_run(trained, ["onnx"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_net_of_nan_is_refused(trained: Path, tmp_path: Path) -> None:
    """A net that answers NaN cannot be compared, and nobody wants it."""
    plain: dict[str, Any] = torch.load(trained / "best.pt", weights_only=True)
    plain["model"]["score_fr.bias"][0] = float("nan")
    torch.save(plain, tmp_path / "nan.pt")
    with pytest.raises(ExportError, match="the net itself answers with NaN"):
        export_run(tmp_path / "nan.pt", ["safetensors"], tmp_path / "out")


def test_comparison_is_of_the_worst_trial() -> None:
    """The figures are the largest of all trials, each by its span; NaN is refused."""
    rng = np.random.default_rng(0)
    known = [
        Truth(np.zeros((1, 2, 3, 3), np.uint8), rng.normal(0, s, (1, 4, 2, 3)).astype(np.float32))
        for s in (1, 100, 1)
    ]
    offsets = iter([1e-6, 1e-3, 2e-5])

    def run(_: Pixels) -> Answers:
        truth = known[0] if not seen else known[len(seen)]
        seen.append(1)
        logits = truth.logits.copy()
        logits[0, 0, 0, 0] += np.float32(next(offsets))
        return logits.argmax(1).astype(np.uint8), logits

    seen: list[int] = []
    found = compared(run, known, Path("x.onnx"))
    assert found.absolute == pytest.approx(1e-3, rel=0.02)
    assert found.relative == pytest.approx(2e-5 / np.ptp(known[2].logits), rel=0.02)
    assert found.pixels == 18
    for value in (float("nan"), 1.0):
        seen, offsets = [], iter([value, 0.0, 0.0])
        with pytest.raises(ExportError):
            compared(run, known, Path("x.onnx"))


def test_trials_have_many_sizes() -> None:
    """Whole images, 1x1, odd sizes around multiples of 32, and batches, also of tiny photos."""
    for side in (1, 200):
        sizes = {p.shape for p in trial_pixels([painted(0).resize((side, side))])}
        assert {(1, 1, 1, 3), (2, 1, 1, 3), (3, 65, 101, 3), (1, 33, 32, 3)} < sizes
        assert (1, side, side, 3) in sizes
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert part(array, 2, 2).tolist() == array.tolist()
    assert part(array, 5, 3).shape == (5, 3, 3)


def test_images_come_from_where_they_are(
    trained: Path, shards: Path, photos: Path, tmp_path: Path
) -> None:
    """Photos that are given, else shards given, else the run's, else generated; and it is said."""
    checkpoint = load_checkpoint(trained / "best.pt")
    given = choose_photos(checkpoint, [photos], None)
    assert [image.size for image in given.images] == [(50, 40), (61, 90)]
    assert "photo.jpg" in given.words
    for places in (None, [str(shards)]):
        stored = choose_photos(checkpoint, (), places)
        assert stored.words == f"4 images of voc2012 val ({shards})"
    with pytest.raises(ShardsError):
        choose_photos(checkpoint, (), [str(tmp_path / "none")])
    for place, reason in ((str(tmp_path / "none"), "name another"), ("https://h/s", "at a URL")):
        checkpoint.config["shards"] = [place]
        made = choose_photos(checkpoint, (), None)
        assert made.words.startswith("4 generated images; the run's shards were not taken (")
        assert reason in made.words
        assert len({image.tobytes() for image in made.images}) == 4


def test_names_tell_the_run(tmp_path: Path) -> None:
    """Run and checkpoint, the staged run's name with its stage's, exported weights as they are."""
    assert file_stem(tmp_path / "a" / "best.pt") == "a-best"
    assert file_stem(tmp_path / "x" / "8s" / "step-000500.pt") == "x-8s-step-000500"
    assert file_stem(Path("nets/a-best.safetensors")) == "a-best"


def test_formats_are_named() -> None:
    """A list with commas, each kind once; anything else is told with what there is."""
    assert parse_kinds("onnx, torch,onnx") == ["onnx", "torch"]
    for words in ("", "onnx,tflite"):
        with pytest.raises(UsageError, match="there are onnx, torch, safetensors"):
            parse_kinds(words)


def test_the_command_prints_what_it_did(trained: Path, tmp_path: Path, photos: Path) -> None:
    """The net, the images, a line per file with its figures, and a script that names the file."""
    words = ["export", str(trained), "--format", "safetensors", "--out", str(tmp_path)]
    done = CliRunner().invoke(cli.app, [*words, "--check", str(photos / "*.*")])
    assert done.exit_code == 0
    file = tmp_path / f"{trained.name}-best.safetensors"
    lines = done.output.splitlines()
    net = "FCN-8s, step 6, 4 classes, running average of the weights"
    assert lines[0] == f"{trained / 'best.pt'}: {net}"
    assert lines[1].startswith(f"tried on: {photos / 'grey.png'}, {photos / 'photo.jpg'}; 9 inputs")
    assert lines[3].split("\t")[::3] == [str(file), "0.0e+00"]
    assert f'file = Path("{file.as_posix()}")' in lines


def test_check_and_shards_exclude_each_other(trained: Path) -> None:
    """Images come from one place."""
    words = ["export", str(trained), "--check", "a.jpg", "--shards", "s"]
    done = CliRunner().invoke(cli.app, words)
    assert isinstance(done.exception, SegtrainError)
    assert done.exception.exit_code == 2


def test_reduced_photos_keep_their_form() -> None:
    """A large photo is tried at a longest side of 512, a small one as it is."""
    assert trials.reduced(painted(1).resize((2048, 512))).size == (512, 128)
    assert trials.reduced(painted(1)).size == (200, 151)
    assert Photos("x", [painted(1)]).images[0].mode == "RGB"
