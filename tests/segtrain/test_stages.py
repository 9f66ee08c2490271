"""Tests of segtrain.stages."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from segtrain import stages
from segtrain.checkpoint import find_checkpoint, load_checkpoint
from segtrain.config import TrainConfig
from segtrain.errors import CheckpointError, RunError, ShardsError, UsageError
from segtrain.recipes import configure
from segtrain.runs import RunFolder
from segtrain.session import start
from segtrain.stages import Stages

VARIANTS = ("32s", "16s", "8s")
Options = dict[str, Any]


@pytest.fixture(scope="module")
def options(shards: Path) -> Options:
    """Options of a staged run of three steps a stage; every one is kept."""
    return {
        "shards": shards, "staged": True, "width": 0.06, "crop": 64, "batch": 2, "steps": 3,
        "stage_lr": "0.05,0.02,0.01", "norm": "group", "upsampling": "learned",
        "skip_scales": "0.5,0.25", "keep_every": 1, "log_every": 1, "val_images": 2, "pictures": 0,
        "workers": 0, "threads": 1, "device": "cpu",
    }  # fmt: skip


@pytest.fixture(scope="module")
def whole(options: Options, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a staged run that was never stopped; tests only read it."""
    out = tmp_path_factory.mktemp("staged") / "whole"
    torch.set_num_threads(1)
    stages.start(options | {"out": out})
    return out


def last(folder: Path, variant: str) -> Mapping[str, torch.Tensor]:
    """The weights at the end of a stage."""
    return load_checkpoint(folder / variant / "last.pt").model


def assert_same(one: Path, other: Path) -> None:
    """All stages of two runs end with the same bits and the same losses."""
    for variant in VARIANTS:
        ours, theirs = last(one, variant), last(other, variant)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), variant
        losses = [
            [(line["step"], line["loss"]) for line in map(json.loads, text.splitlines())]
            for text in ((f / variant / "log.jsonl").read_text() for f in (one, other))
        ]
        assert losses[0] == losses[1]


def test_stages_are_the_runs_that_one_would_start_by_hand(
    whole: Path, options: Options, tmp_path: Path
) -> None:
    """Each stage is bit for bit a run that starts with --init from the last one's last.pt."""
    common = {k: v for k, v in options.items() if k not in ("staged", "stage_lr")}
    coarse = {k: v for k, v in common.items() if k not in ("upsampling", "skip_scales")}
    start(coarse | {"variant": "32s", "lr": 0.05, "out": tmp_path / "32s"})
    middle = {"variant": "16s", "lr": 0.02, "init": tmp_path / "32s" / "last.pt"}
    start(common | middle | {"out": tmp_path / "16s"})
    fine = {"variant": "8s", "lr": 0.01, "init": tmp_path / "16s" / "last.pt"}
    start(common | fine | {"out": tmp_path / "8s"})
    assert_same(whole, tmp_path)
    assert load_checkpoint(whole / "8s" / "last.pt").train_config.pool_scales == (0.5, 0.25)
    assert "upscore2.weight" in last(whole, "16s")


def stopped_between(run: Path) -> None:
    """As if it had been killed when 32s had ended and 16s not begun."""
    shutil.rmtree(run / "16s")
    shutil.rmtree(run / "8s")


def stopped_inside(run: Path) -> None:
    """As if it had been killed in 16s after its second step."""
    shutil.rmtree(run / "8s")
    shutil.copy(run / "16s" / "step-000002.pt", run / "16s" / "last.pt")


def stopped_before_a_checkpoint(run: Path) -> None:
    """As if it had been killed in 8s before its first checkpoint."""
    for path in (run / "8s").iterdir():
        if path.name != "config.json":
            path.unlink() if path.is_file() else shutil.rmtree(path)


def stopped_at_once(run: Path) -> None:
    """As if it had been killed before the first stage had a folder."""
    for variant in VARIANTS:
        shutil.rmtree(run / variant)


@pytest.mark.parametrize(
    ("stop", "again"),
    [
        (stopped_between, False),
        (stopped_inside, False),
        (stopped_inside, True),
        (stopped_before_a_checkpoint, False),
        (stopped_at_once, True),
    ],
)
def test_a_staged_run_goes_on_in_the_right_stage(
    whole: Path, options: Options, tmp_path: Path, stop: Callable[[Path], None], again: bool
) -> None:
    """Wherever it was stopped, --resume ends with the same bits as the run never stopped.

    It is named by its folder alone, or by the command that began it.
    """
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    stop(run)
    given = {"out": run} | (options if again else {})
    assert stages.is_staged(given, resume=True)
    _, outcome = stages.resume(given)
    assert outcome.folder.path == run / "8s"
    assert_same(whole, run)


def test_a_moved_folder_goes_on_before_its_stage_has_a_checkpoint(
    whole: Path, tmp_path: Path
) -> None:
    """The stage begins with the net that lies beside it now, not where it lay."""
    begun = tmp_path / "begun"
    shutil.copytree(whole, begun)
    stopped_before_a_checkpoint(begun)
    record = json.loads((begun / "8s" / "config.json").read_text())
    record["config"]["init"] = (begun / "16s" / "last.pt").as_posix()
    (begun / "8s" / "config.json").write_text(json.dumps(record))
    moved = begun.rename(tmp_path / "moved")
    stages.resume({"out": moved})
    assert_same(whole, moved)


def test_kill_minus_nine_in_the_second_stage(
    options: Options, whole: Path, tmp_path: Path, segtrain: Callable[..., list[str]],
    environment: dict[str, str],
) -> None:  # fmt: skip
    """A process killed while 16s trains is gone on with, and ends as the one never killed."""
    run = tmp_path / "run"
    words = [
        w for k, v in options.items() if k != "staged" for w in (f"--{k.replace('_', '-')}", v)
    ]
    command = segtrain("run", "--staged", *words, "--out", run)
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (run / "16s" / "step-000001.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert (run / "16s" / "step-000001.pt").exists()
    stages.resume({"out": run})
    assert_same(whole, run)


def test_the_command_to_go_on_is_that_of_all_stages(whole: Path, tmp_path: Path) -> None:
    """A stage that is stopped names the folder above it, another run its own."""
    assert RunFolder(whole / "16s").resume_command == f"segtrain run --out {whole} --resume"
    alone = tmp_path / "16s"
    assert RunFolder(alone).resume_command == f"segtrain run --out {alone} --resume"


def test_the_end_is_a_table_of_all_stages(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each stage and data set has a row with its own result; a stage's gain is over the last."""
    ended = stages.resume({"out": whole})
    capsys.readouterr()
    stages.print_end(ended)
    said = capsys.readouterr().out.splitlines()
    rows = [line.split("\t") for line in said if line.startswith("FCN-")]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        (f"FCN-{variant}", name, count)
        for variant in VARIANTS
        for name, count in (("voc2012", "8"), ("coco2017", "5"))
    ]
    found = []
    for variant in VARIANTS:
        final = json.loads((whole / variant / "log.jsonl").read_text().splitlines()[-1])["final"]
        found.append(100 * final["voc2012"]["mean_iou"])
    ours = [row for row in rows if row[2] == "voc2012"]
    assert [row[5] for row in ours] == [f"{iou:.1f}" for iou in found]
    gains = [f"{b - a:+.1f}" for a, b in itertools.pairwise(found)]
    assert [row[6] for row in ours] == ["-", *gains]


def test_each_stage_has_its_steps_and_rate(tmp_path: Path) -> None:
    """Triples are given out by variant, and what only the first stage needs stays there."""
    given = {
        "staged": True, "stage_steps": "30,20,10", "stage_lr": "3,2,1", "weights": "imagenet",
        "conv_init": "zero", "skip_init": "he", "seed": 4, "skip_scales": "0.1,0.2",
    }  # fmt: skip
    staged = Stages(tmp_path, given)
    found = [staged.options(variant) for variant in VARIANTS]
    assert [(o["steps"], o["lr"]) for o in found] == [(30, 3.0), (20, 2.0), (10, 1.0)]
    assert [o.get("weights") for o in found] == ["imagenet", None, None]
    assert [o.get("conv_init") for o in found] == ["zero", None, None]
    assert [o.get("skip_init") for o in found] == [None, "he", "he"]
    assert [o.get("skip_scales") for o in found] == [None, "0.1,0.2", "0.1,0.2"]
    folders = [None, tmp_path / "32s" / "last.pt", tmp_path / "16s" / "last.pt"]
    assert [o.get("init") for o in found] == folders
    assert all(o["seed"] == 4 and "staged" not in o and "stage_lr" not in o for o in found)
    two = Stages(tmp_path, given | {"variant": "16s"})
    assert two.variants == ("32s", "16s")


def test_recipes_have_rates_of_their_own_for_stages(tmp_path: Path) -> None:
    """The heavy recipe, staged, is the authors': three rates, 100,000 steps, no scaled skips."""
    staged = Stages(tmp_path, {"staged": True, "recipe": "heavy"})
    found = [configure(staged.options(variant)) for variant in VARIANTS]
    assert [c.lr for c in found] == [1e-10, 1e-12, 1e-14]
    assert [c.steps for c in found] == [100_000] * 3
    assert [c.pool_scales for c in found] == [(1, 1)] * 3
    assert [c.weights for c in found] == ["imagenet", "none", "none"]


def test_learned_upsampling_begins_with_the_first_skip(whole: Path) -> None:
    """What 32s has none of does not stay away from 16s because of it."""
    plain = json.loads((whole / "16s" / "config.json").read_text())["config"]
    assert (plain["upsampling"], plain["skip_scales"]) == ("learned", "0.5,0.25")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"variant": "32s"}, "--staged with --variant 32s has a single stage"),
        ({"stage_lr": "1,2"}, r"--stage-lr takes three numbers above 0, such as 1e-3,1e-4,1e-5"),
        ({"stage_lr": "1,2,x"}, "--stage-lr takes three numbers"),
        ({"stage_steps": "1,2,0"}, "--stage-steps takes three numbers above 0"),
        ({"stage_steps": "1,2,3.5"}, "--stage-steps takes whole numbers"),
        ({"stage_steps": "1,2,3", "steps": 5}, "--steps is the same for all stages"),
        ({"stage_lr": "1,2,3", "lr": 0.1}, "--lr is the same for all stages"),
    ],
)
def test_stages_that_cannot_be_meant_are_refused(
    tmp_path: Path, given: Options, words: str
) -> None:
    """Stages of no number, of a single variant or said twice are usage errors; nothing is made."""
    with pytest.raises(UsageError, match=words):
        stages.start({"staged": True, "out": tmp_path / "x", **given})
    assert not list(tmp_path.iterdir())


def test_options_of_stages_need_stages() -> None:
    """A triple without --staged is a usage error that names both ways on."""
    with pytest.raises(UsageError, match=r"--stage-lr is for --staged; add that, or use --lr"):
        TrainConfig(stage_lr="1,2,3")


def test_a_first_stage_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    """Without shards nothing is left behind, and a folder that was there stays."""
    given = {"staged": True, "shards": tmp_path / "none"}
    with pytest.raises(ShardsError):
        stages.start(given | {"out": tmp_path / "x"})
    (tmp_path / "y").mkdir()
    with pytest.raises(ShardsError):
        stages.start(given | {"out": tmp_path / "y"})
    assert [p.name for p in tmp_path.iterdir()] == ["y"]
    assert not list((tmp_path / "y").iterdir())


def test_a_folder_that_holds_stages_is_not_begun_again(whole: Path, options: Options) -> None:
    """Neither a staged run nor another is started in the folder of one; --resume is named."""
    for given in (options, {"shards": options["shards"]}):
        begin = stages.start if given.get("staged") else start
        with pytest.raises(RunError, match=r"holds a run already \(stages\.json\).*--resume"):
            begin(given | {"out": whole})


def test_what_decides_the_result_cannot_change_on_resume(whole: Path, options: Options) -> None:
    """Options of a staged run that decide its weights may be repeated, not changed."""
    with pytest.raises(UsageError, match="--stage-lr cannot change in the middle of a run"):
        stages.resume(options | {"out": whole, "stage_lr": "1,1,1"})
    with pytest.raises(UsageError, match="--batch cannot change"):
        stages.resume({"out": whole, "batch": 3})


def test_no_stages_and_damaged_stages_are_told(tmp_path: Path) -> None:
    """A folder without stages.json, and one that is cut, are errors with the file."""
    with pytest.raises(RunError, match=r"holds no staged run \(no stages\.json\)"):
        stages.resume({"staged": True, "out": tmp_path})
    (tmp_path / "stages.json").write_text('{"format": "segtr')
    with pytest.raises(RunError, match=r"stages\.json: is damaged"):
        stages.resume({"out": tmp_path})


def test_options_that_suit_the_recipe_alone_are_kept(tmp_path: Path) -> None:
    """A staged run of a recipe is read again, though its options would not suit the defaults."""
    given = {"recipe": "heavy", "fit": "native", "freeze": "trunk", "staged": True}
    Stages(tmp_path, dict(given)).write()
    assert Stages.read(tmp_path).given == given
    assert Stages.read(tmp_path).config.batch == 1


def test_a_staged_folder_stands_for_its_finest_net(whole: Path, tmp_path: Path) -> None:
    """eval and predict take the folder: the newest stage that has a checkpoint is meant."""
    assert find_checkpoint(whole) == whole / "8s" / "best.pt"
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shutil.rmtree(run / "8s")
    assert find_checkpoint(run) == run / "16s" / "best.pt"
    shutil.rmtree(run / "16s")
    shutil.rmtree(run / "32s")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        find_checkpoint(run)
