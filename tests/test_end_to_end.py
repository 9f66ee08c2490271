"""Both command lines from the archives to predictions, as a user types them.

Each step runs once, in a process of its own; the tests look at what it left behind.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

VOC_TAR = "VOCtrainval_11-May-2012.tar"
PHOTO = "2007_000129"  # of VOC's val list
METRICS = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
# the fields of a log line that no run repeats
CLOCK = ("images_per_second", "data_wait", "seconds", "tflops", "peak_memory")
OFFICIAL = {"voc2012": 1449, "coco2017": 5000}  # val images that were published
NET = ["--width", 0.125, "--norm", "batch", "--head", "1x1"]
SMALL = [*NET, "--crop", 64, "--batch", 2, "--workers", 0, "--device", "cpu", "--threads", 1]
RUN = [*SMALL, "--steps", 4, "--log-every", 1, "--val-every", 2, "--save-every", 2,
       "--val-images", 4, "--lr", 0.001, "--score-init", "he", "--skip-init", "he"]  # fmt: skip
FEW = 6  # images of each split of each data set to train and judge with

# COCO image, (row, column), id: what a person sees there
SEEN_IN_COCO = [
    (25560, (130, 350), 20),  # the screen of a tvmonitor
    (565778, (240, 330), 19),  # the side of a train
    (219578, (230, 260), 12),  # a dog, which lies on a sofa
    (219578, (60, 20), 18),  # the sofa behind it
    (160012, (350, 60), 5),  # a bottle, which stands on a dining table
    (106235, (300, 500), 11),  # a dining table
    (217285, (40, 200), 255),  # people in the stands, who are annotated as a crowd
    (802, (360, 330), 0),  # a refrigerator, which VOC does not name
]


# Another number of threads sums in another order, which can turn a close pixel.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(name: str, *words: object) -> list[str]:
    """The command line of `segdata` or `segtrain`, in this environment."""
    return [sys.executable, "-m", name, *map(str, words)]


def succeed(name: str, *words: object) -> str:
    """Run a command that must succeed with nothing but notes on stderr; what it printed."""
    done = subprocess.run(
        command(name, *words),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=ONE_THREAD,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert (done.returncode, told) == (0, []), done.stdout
    return done.stdout


def kill_after(file: Path, words: Sequence[object]) -> None:
    """Run a command and kill it, without notice, as soon as a file is there."""
    with subprocess.Popen(
        command(*map(str, words)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ONE_THREAD,
    ) as process:
        while not file.exists() and process.poll() is None:
            time.sleep(0.005)
        process.kill()


def member(shards: Path, key: str, extension: str) -> bytes:
    """A member's bytes, found by the offsets of the .idx files alone."""
    for index in sorted(shards.glob("*.idx")):
        for line in index.read_text("ascii").splitlines()[1:]:
            words = line.split(" ")
            if f"{key}.{extension}" in words:
                at = words.index(f"{key}.{extension}")
                offset, size = int(words[at - 2]), int(words[at - 1])
                return index.with_suffix(".tar").read_bytes()[offset : offset + size]
    raise KeyError(key)


def pixels(png: bytes, mode: str) -> NDArray[np.uint8]:
    """The values of a PNG of one channel, which must be of this mode: `(H, W)`."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        assert image.mode == mode
        return np.asarray(image)


def log_lines(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is of any shape
    """What a JSON file holds."""
    return json.loads(path.read_text("utf-8"))


def rates_of(confusion: NDArray[np.int64]) -> list[float]:
    """The four metrics by their definitions (Long et al., section 5), in the order of METRICS."""
    total, size = confusion.sum(), len(confusion)
    present = [c for c in range(size) if confusion[c].sum()]
    named = [c for c in range(size) if confusion[c].sum() + confusion[:, c].sum()]
    iou = {
        c: confusion[c, c] / (confusion[c].sum() + confusion[:, c].sum() - confusion[c, c])
        for c in named
    }
    return [
        float(confusion.trace() / total),
        float(np.mean([confusion[c, c] / confusion[c].sum() for c in present])),
        float(np.mean(list(iou.values()))),
        float(sum(confusion[c].sum() * iou[c] for c in present) / total),
    ]


@dataclass(frozen=True)
class Way:
    """What the commands left on their way from the real archives to a prediction.

    Attributes:
        data: The archives.
        shards: VOC and COCO shards in one directory.
        few: The same of FEW images of each split, to train and judge with.
        verified: What `verify-masks` printed.
        report: Its JSON report.
        run: A run of four steps.
        resumed: The same run, killed after its checkpoint of step 2, then gone on with.
        resuming: What going on printed.
        judged: The JSON of `segtrain eval` of the run's last net.
        photo: A photo of VOC's tar.
        predicted: The folder of its prediction.
    """

    data: Path
    shards: Path
    few: Path
    verified: str
    report: dict[str, Any]
    run: Path
    resumed: Path
    resuming: str
    judged: dict[str, Any]
    photo: Path
    predicted: Path


@pytest.fixture(scope="module")
def way(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Way:
    """Every command once, on the real archives."""
    at = tmp_path_factory.mktemp("way")
    shards, few, run, resumed = at / "shards", at / "few", at / "run", at / "resumed"
    for name in ("build-voc", "build-coco"):
        build = [name, "--data", real, "--workers", 1]
        succeed("segdata", *build, "--out", shards)
        succeed("segdata", *build, "--out", few, "--limit", FEW)
    report = ["--json", at / "report.json", "--workers", 1]
    verified = succeed("segdata", "verify-masks", shards, "--data", real, *report)
    succeed("segtrain", "run", "--shards", few, "--out", run, *RUN)
    killed = ["segtrain", "run", "--shards", few, "--out", resumed, *RUN]
    kill_after(resumed / "last.pt", killed)
    resuming = succeed("segtrain", "run", "--out", resumed, "--resume")
    judge = ["--shards", few, "--device", "cpu", "--json", at / "judged.json"]
    succeed("segtrain", "eval", run / "last.pt", *judge)
    photo = at / f"{PHOTO}.jpg"
    with tarfile.open(real / VOC_TAR) as archive:
        file = archive.extractfile(f"VOCdevkit/VOC2012/JPEGImages/{photo.name}")
        assert file
        photo.write_bytes(file.read())
    succeed("segtrain", "predict", run, photo, "--out", at / "predicted", "--device", "cpu")
    return Way(real, shards, few, verified, read_json(at / "report.json"), run, resumed, resuming,
               read_json(at / "judged.json"), photo, at / "predicted")  # fmt: skip


def test_two_builds_share_one_directory(way: Way) -> None:
    """VOC's and COCO's shards lie in one directory, whose info.json sums both as real data."""
    info = read_json(way.shards / "info.json")
    assert info["datasets"] == ["coco2017", "voc2012"]
    assert {name: split["samples"] for name, split in info["splits"].items()} == {
        "train": 40 + 37,  # of COCO's 40 three hold too little
        "val": 40 + 40,
    }
    assert (info["synthetic"], info["complete"]) == (False, False)


def test_every_mask_was_compared(way: Way) -> None:
    """The verifier finds no defect and has compared each of the masks with its source."""
    assert way.verified.startswith("OK: 157 samples in 4 shards of 2 data sets")
    assert "157 of 157 masks compared with the source, all equal" in way.verified
    counts = {name: way.report[name] for name in ("ok", "findings", "samples", "compared")}
    assert counts == {"ok": True, "findings": [], "samples": 157, "compared": 157}


@pytest.mark.parametrize("source_id", [PHOTO, "2007_001763", "2008_007392"])
def test_chosen_voc_masks_are_the_palette_indices(way: Way, source_id: str) -> None:
    """A val mask, read by its offset, has the original's indices, and its photo the same bytes."""
    folder = "VOCdevkit/VOC2012"
    with tarfile.open(way.data / VOC_TAR) as archive:
        originals = [
            archive.extractfile(f"{folder}/{name}")
            for name in (f"SegmentationClass/{source_id}.png", f"JPEGImages/{source_id}.jpg")
        ]
        png, jpg = (file.read() for file in originals if file)
    indices = pixels(png, "P")
    mask = pixels(member(way.shards, f"voc2012_{source_id}", "seg.png"), "L")
    assert mask.shape == indices.shape
    rows, columns = (slice(3, None, 7), slice(5, None, 11))
    np.testing.assert_array_equal(mask[rows, columns], indices[rows, columns])
    assert len(np.unique(mask[rows, columns])) >= 3  # background, an object and void
    assert member(way.shards, f"voc2012_{source_id}", "jpg") == jpg


@pytest.mark.parametrize(("image", "at", "expected"), SEEN_IN_COCO)
def test_chosen_coco_pixels(way: Way, image: int, at: tuple[int, int], expected: int) -> None:
    """A pixel of a val image has the class of what a person sees there."""
    png = member(way.shards, f"coco2017_{image:012d}", "seg.png")
    assert pixels(png, "L")[at] == expected


def test_a_run_leaves_its_record(way: Way) -> None:
    """A run's folder holds its options, a log line of each step, two checkpoints and pictures."""
    lines = log_lines(way.run)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert [set(line.get("val", ())) for line in lines] == [set(), {*OFFICIAL}] * 2
    assert {v["images"] for line in lines for v in line.get("val", {}).values()} == {4}
    config = read_json(way.run / "config.json")["config"]
    wanted = {"width": 0.125, "norm": "batch", "crop": 64, "batch": 2, "steps": 4}
    assert {name: config[name] for name in wanted} == wanted
    names = {"config.json", "log.jsonl", "last.pt", "best.pt", "pictures"}
    names |= {"sessions.jsonl", "validations", "run.lock"}
    assert {path.name for path in way.run.iterdir()} == names
    pictures = [f"{step:06d}-{name}.png" for step in (2, 4) for name in sorted(OFFICIAL)]
    assert sorted(path.name for path in (way.run / "pictures").iterdir()) == pictures
    for name in pictures:
        with Image.open(way.run / "pictures" / name) as picture:
            assert picture.getextrema() == ((0, 255),) * 3


def test_a_killed_run_goes_on_as_if_nothing_had_happened(way: Way) -> None:
    """A run that was killed goes on from its checkpoint to the same losses and scores."""
    assert f"resuming {way.resumed} after step 2" in way.resuming
    whole, resumed = (
        [{name: line[name] for name in line if name not in CLOCK} for line in log_lines(run)]
        for run in (way.run, way.resumed)
    )
    assert resumed == whole


@pytest.mark.parametrize("dataset", OFFICIAL)
def test_eval_gives_four_metrics_of_each_data_set(way: Way, dataset: str) -> None:
    """The metrics are those of one confusion matrix over all labelled pixels of the data set."""
    assert set(way.judged["datasets"]) == set(OFFICIAL)
    result = way.judged["datasets"][dataset]
    assert (result["images"], result["official_images"]) == (FEW, OFFICIAL[dataset])
    assert (result["synthetic"], result["resized_targets"]) == (False, False)
    confusion = np.array(result["confusion"])
    recorded = read_json(way.few / f"{dataset}.json")["splits"]["val"]["pixels"]
    assert confusion.sum(1).tolist() == recorded[:-1]  # the last are void
    assert np.count_nonzero(confusion.sum(0)) > 1  # else the figures would be trivial
    assert [result[name] for name in METRICS] == pytest.approx(rates_of(confusion))


def test_eval_repeats_what_the_run_logged(way: Way) -> None:
    """Judging the last checkpoint gives the figures that the run wrote at its end."""
    final = log_lines(way.run)[-1]["final"]
    assert way.judged["step"] == 4
    for dataset in OFFICIAL:
        result = way.judged["datasets"][dataset]
        assert [result[name] for name in METRICS] == pytest.approx(
            [final[dataset][name] for name in METRICS]
        )


def test_predict_leaves_ids_and_an_overlay(way: Way) -> None:
    """A photo becomes a PNG of its size with ids below 21, and an overlay above a legend."""
    names = [f"{PHOTO}.overlay.jpg", f"{PHOTO}.png"]
    assert sorted(path.name for path in way.predicted.iterdir()) == names
    ids = pixels((way.predicted / names[1]).read_bytes(), "L")
    with Image.open(way.photo) as photo, Image.open(way.predicted / names[0]) as overlay:
        assert photo.size == ids.shape[::-1]
        assert (overlay.mode, overlay.width) == ("RGB", photo.width)
        assert photo.height < overlay.height < 1.5 * photo.height
    assert ids.max() < 21


@dataclass(frozen=True)
class ToyWay:
    """What the commands left on their way from generated archives to an evaluation.

    Attributes:
        built: What the builds printed.
        shards: The shards directory.
        run: A run of one step.
        trained: What it printed.
        judged: The JSON of `segtrain eval`.
        judging: What it printed.
    """

    built: list[str]
    shards: Path
    run: Path
    trained: str
    judged: dict[str, Any]
    judging: str


@pytest.fixture(scope="module")
def toy_way(tmp_path_factory: pytest.TempPathFactory) -> ToyWay:
    """Every command once, on a generated data set; it needs no archives."""
    at = tmp_path_factory.mktemp("toy")
    toy, shards, run = at / "toy", at / "shards", at / "run"
    succeed("segdata", "toy", "--out", toy, "--images", 100)
    built = [
        succeed("segdata", name, "--data", toy, "--out", shards, "--workers", 1)
        for name in ("build-voc", "build-coco")
    ]
    succeed("segdata", "verify-masks", shards, "--data", toy, "--workers", 1)
    once = ["--steps", 1, "--val-every", 0]
    trained = succeed("segtrain", "run", "--shards", shards, "--out", run, *SMALL, *once)
    judge = ["--shards", shards, "--device", "cpu", "--json", at / "judged.json"]
    judging = succeed("segtrain", "eval", run, *judge)
    return ToyWay(built, shards, run, trained, read_json(at / "judged.json"), judging)


def test_shards_of_generated_data_say_so(toy_way: ToyWay) -> None:
    """Manifests and info.json of generated data are marked synthetic and never complete."""
    for name in ("voc2012.json", "coco2017.json", "info.json"):
        record = read_json(toy_way.shards / name)
        assert (record["synthetic"], record["complete"]) == (True, False)


def test_a_run_on_generated_data_says_so(toy_way: ToyWay) -> None:
    """A run on generated data says so, and its record names the very manifests that do."""
    assert "train images of coco2017, voc2012 (synthetic)" in toy_way.trained
    assert read_json(toy_way.run / "config.json")["manifests"] == {
        name: hashlib.sha256((toy_way.shards / f"{name}.json").read_bytes()).hexdigest()
        for name in OFFICIAL
    }


@pytest.mark.parametrize("dataset", OFFICIAL)
def test_figures_of_generated_data_say_so(toy_way: ToyWay, dataset: str) -> None:
    """An evaluation marks its figures as of synthetic data, in print and in its JSON."""
    result = toy_way.judged["datasets"][dataset]
    assert (result["synthetic"], result["images"]) == (True, 24)
    assert f"{dataset} val: 24 images (synthetic data)" in toy_way.judging.splitlines()
