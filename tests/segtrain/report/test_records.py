"""What a run keeps for its report: counts, sessions, data sets, and the photos that it watches."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segtrain.checkpoint import load_checkpoint
from segtrain.config import TrainConfig
from segtrain.counts_files import as_file, read_counts
from segtrain.errors import InterruptedRunError, PhotoError, RunError, UsageError
from segtrain.evaluate import evaluate_run
from segtrain.intervals import FEWEST, iou_intervals
from segtrain.metrics import ImageCounts
from segtrain.predictor import load_predictor
from segtrain.session import resume, start
from segtrain.session_record import read_sessions
from segtrain.stages import start as start_stages
from segtrain.train import Trainer
from segtrain.watching import LARGEST, Watched, WatchFolder, free_name, predictions, read_photos

Options = dict[str, Any]


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Two photos of one name in two folders, one of them wide, turned by EXIF."""
    small, wide = tmp_path / "a" / "cat.jpg", tmp_path / "b" / "cat.jpg"
    for path, size in ((small, (90, 70)), (wide, (400, 1300))):
        path.parent.mkdir()
        exif = Image.Exif()
        exif[0x0112] = 6 if path == wide else 1
        Image.effect_noise(size, 60).convert("RGB").save(path, exif=exif)
    return [small, wide]


@pytest.fixture
def options(tiny: Options, shards: Path, tmp_path: Path, photos: list[Path]) -> Options:
    """Options of a run of a few seconds that watches two photos."""
    return tiny | {"shards": shards, "out": tmp_path / "run", "watch": tuple(map(str, photos))}


def test_a_run_keeps_what_its_validations_counted(
    trained: Path, shards: Path, tmp_path: Path
) -> None:
    """The counts of the end are those that eval counts anew; those on the way are the log's."""
    last = trained / "last.pt"
    _, _, found = evaluate_run(last, shards, "val", "cpu", lambda *_: lambda *_: None)
    for result in found:
        kept = read_counts(trained / "validations" / f"final-{result.dataset}.npz")
        assert kept.step == 12
        assert torch.equal(kept.result.confmat, result.confmat)
        ours, theirs = (r.counted.images for r in (kept.result, result))
        aligned = ours.taken(np.array([ours.keys.index(key) for key in theirs.keys]))
        for a, b in zip(aligned.arrays, theirs.arrays, strict=True):
            assert (a == b).all()
    lines = [json.loads(text) for text in (trained / "log.jsonl").read_text().splitlines()]
    for line in (line for line in lines if "val" in line):
        for name, logged in line["val"].items():
            kept = read_counts(trained / "validations" / f"{line['step']:06d}-{name}.npz")
            assert kept.result.scores.mean_iou == logged["mean_iou"]
    kept = read_counts(trained / "validations" / "final-voc2012.npz")
    as_file(kept.result, 12)(tmp_path / "again")
    again = (tmp_path / "again").read_bytes()
    assert again == (trained / "validations" / "final-voc2012.npz").read_bytes()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_damaged_counts_are_told(tmp_path: Path, damage: bytes | None) -> None:
    """A file that is cut, foreign or of another format is an error with its path."""
    path = tmp_path / "c.npz"
    if damage is None:
        np.savez(path, facts=np.array('{"format": "other/9"}'))
    else:
        path.write_bytes(damage)
    with pytest.raises(RunError, match=r"c\.npz"):
        read_counts(path)


@given(st.integers(0, 2**32 - 1))
def test_intervals_of_classes_surround_their_iou(seed: int) -> None:
    """A class that enough images show has an interval within 0..1 about its IoU, others none."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(1, 500, (40, 3))
    targets[FEWEST - 1 :, 2] = 0  # in one image too few
    true = rng.binomial(targets, 0.6)
    preds = true + rng.integers(0, 100, (40, 3))
    found = iou_intervals(ImageCounts(tuple(map(str, range(40))), true, targets, preds))
    for c in (0, 1):
        iou = true[:, c].sum() / (targets + preds - true)[:, c].sum()
        ends = found[c]
        assert ends is not None
        assert 0 <= ends.low <= iou <= ends.high <= 1
    assert found[2] is None


def test_a_run_records_its_data_sets(trained: Path, shards: Path) -> None:
    """config.json has each data set with its manifest's counts and what the run takes of it."""
    plain = json.loads((trained / "config.json").read_text())
    for found in plain["data"]:
        manifest = json.loads((shards / f"{found['dataset']}.json").read_text())
        assert found["sha256"] == plain["manifests"][found["dataset"]]
        assert found["trained_on"] == manifest["splits"]["train"]["samples"]
        assert found["validated_on"] == [3, manifest["splits"]["val"]["samples"]]
        assert [s["pixels"] for s in found["splits"]] == [
            s["pixels"] for s in manifest["splits"].values()
        ]


def test_watched_photos_are_predicted_by_the_judged_net(options: Options, trained: Path) -> None:
    """Each validation leaves the ids that the net of then gives; the run itself is the same."""
    start(options)
    run = options["out"]
    assert sorted(p.name for p in (run / "watch").iterdir()) == [
        "cat", "cat-2", "cat-2.png", "cat.png", "photos.json"]  # fmt: skip
    predictor = load_predictor(load_checkpoint(run / "last.pt"), run, "cpu")
    for name in ("cat", "cat-2"):
        assert sorted(p.name for p in (run / "watch" / name).iterdir()) == [
            "000006.png", "000012.png"]  # fmt: skip
        with (
            Image.open(run / "watch" / f"{name}.png") as photo,
            Image.open(run / "watch" / name / "000012.png") as mask,
        ):
            assert (np.asarray(mask) == predictor.predict(photo.convert("RGB")).numpy()).all()
            assert mask.getpalette()[3:6] == [200, 30, 30]
            assert max(photo.size) <= LARGEST
    with Image.open(run / "watch" / "cat-2.png") as turned:
        assert turned.size == (640, 197)  # upright
    ours, theirs = (load_checkpoint(r / "last.pt").model for r in (run, trained))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no such file"), (b"no image", "is no image that Pillow can read")],
)
def test_a_bad_photo_is_told_before_training(
    options: Options, tmp_path: Path, content: bytes | None, words: str
) -> None:
    """A photo that cannot be read ends the start with its path, and nothing is written."""
    bad = tmp_path / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(PhotoError, match=rf"bad\.jpg: {words}; --watch takes photos"):
        start(options | {"watch": (str(bad),)})
    assert not options["out"].exists()


def test_a_copy_is_known_by_the_name_of_its_first_file(photos: list[Path], tmp_path: Path) -> None:
    """A later stage watches copies of the first, under the names of the files they came from."""
    first, second, third = (WatchFolder(tmp_path / n) for n in ("first", "second", "third"))
    given = read_photos([str(p) for p in photos])
    first.keep(given)
    second.keep(read_photos(first.copies()))
    third.keep(read_photos(second.copies()))
    assert [one.title for one in given] == [p.name for p in photos]
    for place in (first, second, third):
        assert [one.title for one in place.listed()] == [p.name for p in photos]
    (first.path / "photos.json").write_text("[]")
    assert read_photos([str(first.photo(given[0].name))])[0].title == f"{given[0].name}.png"


def test_watching_without_validations_is_refused() -> None:
    """An option that would do nothing is refused."""
    with pytest.raises(UsageError, match="--val-every 0 has none"):
        TrainConfig(watch=("a.jpg",), val_every=0)


def test_watching_goes_on_without_the_files(
    options: Options,
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A resumed run takes its own copies; without copy and file it says so and trains on."""
    run = options["out"]
    interrupt(monkeypatch, 7, lambda: start(options))
    shutil.rmtree(photos[0].parent)
    shutil.rmtree(photos[1].parent)
    (run / "watch" / "cat-2.png").unlink()
    resume({"out": run})
    assert (run / "watch" / "cat" / "000012.png").exists()
    assert not (run / "watch" / "cat-2" / "000012.png").exists()
    assert "b/cat.jpg is not watched any more" in capsys.readouterr().err
    listed = json.loads((run / "watch" / "photos.json").read_text())["photos"]
    assert [p["name"] for p in listed] == ["cat"]


def test_photos_may_be_given_anew(
    options: Options, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On resume one that is kept needs no file, a new one is added, and a missing new one told."""
    run = options["out"]
    interrupt(monkeypatch, 7, lambda: start(options))
    photos[0].unlink()
    with pytest.raises(PhotoError, match=r"new\.png"):
        resume({"out": run, "watch": (str(photos[0]), str(tmp_path / "new.png"))})
    Image.new("L", (50, 40), 90).save(tmp_path / "new.png")
    resume({"out": run, "watch": (str(photos[0]), str(tmp_path / "new.png"))})
    latest = {p.parent.name for p in (run / "watch").glob("*/000012.png")}
    assert latest == {"cat", "new"}


def test_stages_watch_the_same_photos(options: Options) -> None:
    """A later stage takes the copies of the stage before, whatever became of the files."""
    start_stages(options | {"variant": "16s", "staged": True, "steps": 6})
    run = options["out"]
    for name in ("cat.png", "cat-2.png"):
        first, second = (run / stage / "watch" / name for stage in ("32s", "16s"))
        with Image.open(first) as a, Image.open(second) as b:
            assert (np.asarray(a) == np.asarray(b)).all()
        assert (run / "16s" / "watch" / name[:-4] / "000006.png").exists()


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int, work: Callable[[], object]) -> None:
    """Do work whose run is interrupted, as by Ctrl-C, after a step."""
    advance = Trainer.advance

    def stopping(trainer: Trainer, batch: Any) -> None:  # noqa: ANN401 - handed on
        advance(trainer, batch)
        if trainer.step == step:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", stopping)
        with pytest.raises(InterruptedRunError):
            work()


def test_sessions_are_recorded(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each session has its begin and its end with step and reason; half a line is left out."""
    interrupt(monkeypatch, 7, lambda: start(options))
    path = options["out"] / "sessions.jsonl"
    with path.open("ab") as file:
        file.write(b'{"event": "began", "st')
    resume({"out": options["out"]})
    found = [(line["event"], line["step"], line.get("how")) for line in read_sessions(path)]
    assert found == [
        ("began", 0, None), ("ended", 7, "interrupted"), ("began", 7, None),
        ("ended", 12, "finished")]  # fmt: skip
    assert all(line["device"].startswith("cpu") for line in read_sessions(path)[::2])
    assert len(path.read_text().splitlines()) == 4


def test_a_run_that_fails_records_why(options: Options) -> None:
    """The error that ended a session stands in its record."""
    with pytest.raises(RunError):
        start(options | {"lr": 1e30, "watch": None, "norm": "none", "optimizer": "sgd"})
    last = read_sessions(options["out"] / "sessions.jsonl")[-1]
    assert last["how"] == "failed"
    assert "became" in last["words"]


STEMS = st.text(st.characters(exclude_categories=["Cs"]), max_size=90) | st.sampled_from(
    ["x", "X.png", "x.png .", "x.png.PNG", ".png", "q" * 56, "q" * 56 + ".png.jpg"]
)


@given(st.lists(STEMS, max_size=6))
def test_names_of_photos_are_told_apart(stems: list[str]) -> None:
    """Names differ by more than case, and are short enough for any file system."""
    taken: list[str] = []
    for stem in stems:
        taken.append(free_name(stem, taken))
    assert len({name.lower() for name in taken}) == len(stems)
    assert all(0 < len(name.encode()) <= 64 for name in taken)
    paths = [path for name in taken for path in (name.lower(), f"{name.lower()}.png")]
    assert len(set(paths)) == len(paths)  # of files and folders, side by side


def test_folders_and_patterns_name_photos(photos: list[Path]) -> None:
    """A folder stands for its photos, a pattern for what fits, each once."""
    root = photos[0].parent.parent
    found = read_photos([str(root / "a"), str(root / "*" / "*.jpg")])
    assert [one.source for one in found] == [p.as_posix() for p in photos]


def test_photos_are_predicted_as_images_are_judged(trained: Path) -> None:
    """A net in training predicts a photo without dropout or batch statistics, and trains on."""
    predictor = load_predictor(load_checkpoint(trained / "last.pt"), trained, "cpu")
    torch.manual_seed(3)
    for parameter in predictor.model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    photo = Image.effect_noise((90, 70), 60).convert("RGB")
    wanted = predictor.predict(photo).numpy()
    assert len(np.unique(wanted)) > 1
    predictor.model.train()
    (found,) = predictions(predictor, [Watched("a", "a.jpg", photo)])
    assert (found == wanted).all()
    assert predictor.model.training
