"""Tests of segtrain.train and segtrain.session: learning, stopping, going on."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segtrain.batches import Batch
from segtrain.checkpoint import load_checkpoint, save_checkpoint
from segtrain.errors import (
    CheckpointError,
    InterruptedRunError,
    NonFiniteError,
    RunError,
    SampleError,
    SegtrainError,
    ShardsError,
    UsageError,
)
from segtrain.evaluate import evaluate_run
from segtrain.learning import Learnt
from segtrain.runs import RunFolder
from segtrain.session import resume, start
from segtrain.train import Trainer
from segtrain.training_display import TrainDisplay

Options = dict[str, Any]
# what may differ between two equal runs
CLOCKED = ("images_per_second", "data_wait", "seconds", "tflops", "peak_memory")


def log_of(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log without those fields that time decides."""
    lines = [json.loads(text) for text in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in CLOCKED} for line in lines]


def same(a: object, b: object) -> bool:
    """Whether two nests of plain values and tensors are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def assert_same_run(ours: Path, theirs: Path) -> None:
    """Two runs must have the same checkpoints, logs and pictures, bit for bit."""
    assert log_of(ours) == log_of(theirs)
    for name in ("last.pt", "best.pt"):
        a, b = (load_checkpoint(run / name) for run in (ours, theirs))
        for part in ("model", "average", "optimizer", "rng", "step", "batches", "best", "due"):
            assert same(getattr(a, part), getattr(b, part)), f"{name}: {part}"
    pictures = [
        {p.name: p.read_bytes() for p in (r / "pictures").iterdir()} for r in (ours, theirs)
    ]
    assert pictures[0] == pictures[1]


@pytest.fixture
def options(tiny: Options, shards: Path, tmp_path: Path) -> Options:
    """Options of a run of a few seconds in a folder of its own."""
    return tiny | {"shards": shards, "out": tmp_path / "run"}


def test_a_thin_net_learns_from_scratch(options: Options) -> None:
    """In some hundred steps the loss falls below the prior's entropy, and IoU doubles the floor."""
    more = {"steps": 90, "width": 0.12, "lr": 0.05, "batch": 6, "log_every": 20, "val_every": 0}
    outcome = start(options | more)
    lines = log_of(outcome.folder.path)
    assert lines[0]["loss"] > lines[-1]["loss"]
    assert lines[-1]["loss"] < 0.8 * lines[-1]["loss_floors"]["prior"]
    _, _, results = evaluate_run(
        outcome.folder.path, options["shards"], "val", "cpu", lambda *_: lambda *_: None
    )
    for result in results:
        assert result.scores.mean_iou > 2 * result.floor.mean_iou


def test_a_run_leaves_what_it_promises(trained: Path) -> None:
    """config.json, a log whose every line has its step, both checkpoints, and pictures."""
    assert json.loads((trained / "config.json").read_text())["config"]["batch"] == 4
    lines = log_of(trained)
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in lines if "val" in line] == [6, 12]
    for line in lines:
        assert {"loss", "train_iou", "lr", "loss_floors", "void_batches", "epoch"} <= line.keys()
        assert line["loss_floors"]["uniform"] == pytest.approx(np.log(4))
    assert set(lines[-1]["val"]) == set(lines[-1]["final"]) == {"voc2012", "coco2017"}
    assert [lines[-1][k]["voc2012"]["images"] for k in ("val", "final")] == [3, 8]
    last, best = (load_checkpoint(trained / name) for name in ("last.pt", "best.pt"))
    assert (last.step, last.batches, last.threads) == (12, 12, 1)
    assert best.optimizer is None
    assert best.rng is None
    names = {p.name for p in (trained / "pictures").iterdir()}
    assert names == {f"0000{s}-{d}.png" for s in ("06", "12") for d in ("voc2012", "coco2017")}
    assert not [p for p in trained.iterdir() if p.name.startswith(".")]


def test_voc_is_primary_and_picks_the_best(trained: Path) -> None:
    """best.pt is the net of the best validation on VOC, though COCO's name sorts first."""
    lines = [line for line in log_of(trained) if "val" in line]
    values = {line["step"]: line["val"]["voc2012"]["mean_iou"] for line in lines}
    best = load_checkpoint(trained / "best.pt")
    assert best.best is not None
    assert best.best["dataset"] == "voc2012"
    assert best.best["mean_iou"] == max(values.values()) == values[best.step]
    assert all(line["val_iou"] == line["val"]["voc2012"]["mean_iou"] for line in lines)


def test_the_final_validation_is_that_of_eval(trained: Path, shards: Path) -> None:
    """The last line's figures on all images are those that `eval` finds for last.pt."""
    final = log_of(trained)[-1]["final"]
    _, _, results = evaluate_run(
        trained / "last.pt", shards, "val", "cpu", lambda *_: lambda *_: None
    )
    for result in results:
        assert final[result.dataset]["mean_iou"] == result.scores.mean_iou
        assert final[result.dataset]["images"] == result.images


def stop_at(monkeypatch: pytest.MonkeyPatch, method: str, moment: int) -> None:
    """Send this process Ctrl-C when a method of the display is called for the n-th time."""
    original = getattr(TrainDisplay, method)
    calls = [0]

    def hooked(self: TrainDisplay, *arguments: object) -> None:
        calls[0] += 1
        if calls[0] == moment:
            signal.raise_signal(signal.SIGINT)
        original(self, *arguments)

    monkeypatch.setattr(TrainDisplay, method, hooked)


@pytest.mark.parametrize(
    ("method", "moment", "step"),
    [("advance", 3, 3), ("advance", 6, 6), ("validating", 2, 6), ("validating", 10, 12)],
    ids=["between lines", "before a validation", "in a validation", "in the last validation"],
)
def test_a_stopped_run_goes_on_as_if_it_never_stopped(
    options: Options, trained: Path, method: str, moment: int, step: int
) -> None:
    """Ctrl-C at any moment saves; after --resume weights, logs and pictures are bit-identical."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, method, moment)
        with pytest.raises(InterruptedRunError, match=r"everything is saved.*--resume`") as caught:
            start(options)
    assert caught.value.exit_code == 130
    assert load_checkpoint(options["out"] / "last.pt").step == step
    assert log_of(options["out"]) == [line for line in log_of(trained) if line["step"] < step]
    resume({"out": options["out"]})
    assert_same_run(options["out"], trained)


def test_signal_handlers_are_put_back(options: Options) -> None:
    """After a run Ctrl-C does again what it did before."""
    before = signal.getsignal(signal.SIGINT)
    start(options | {"steps": 1, "val_every": 0})
    assert signal.getsignal(signal.SIGINT) is before


def words_of(options: Options) -> list[str]:
    """The options as a command line."""
    return [w for k, v in options.items() for w in ("--" + k.replace("_", "-"), str(v))]


def run_until(
    command: list[str], environment: dict[str, str], log: Path, step: int, number: int
) -> subprocess.CompletedProcess[str]:
    """Start a run, signal it and its workers when its log has reached a step, wait for its end."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and f'"step": {step},' not in read(log):
        time.sleep(0.01)
    os.killpg(process.pid, number)
    out, error = process.communicate(timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, out, error)


def read(path: Path) -> str:
    """The text of a file, empty where there is none yet."""
    return path.read_text() if path.exists() else ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process can note")
@pytest.mark.parametrize("workers", [0, 2])
def test_sigterm_saves_and_tells_how_to_go_on(
    options: Options, segtrain: Callable[..., list[str]], environment: dict[str, str], workers: int
) -> None:
    """SIGTERM ends the process with 143 after saving, with the resume command and no traceback."""
    long = options | {"steps": 100_000, "val_every": 0, "workers": workers}
    log = options["out"] / "log.jsonl"
    done = run_until(segtrain("run", *words_of(long)), environment, log, 4, signal.SIGTERM)
    assert done.returncode == 143
    assert f"segtrain run --out {options['out']} --resume" in done.stderr
    assert "Traceback" not in done.stderr
    saved = load_checkpoint(options["out"] / "last.pt")
    assert saved.step >= 4
    assert log_of(options["out"])[-1]["step"] <= saved.step


def test_a_worker_lost_in_a_step_leaves_the_checkpoint(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch may report a dead worker in the middle of a step: last.pt stays that of before."""

    def lost(self: Trainer, batch: Batch) -> Learnt:
        if self.step == 7:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
        return learn(self, batch)

    learn = Trainer.learn
    monkeypatch.setattr(Trainer, "learn", lost)
    with pytest.raises(RunError, match=r"step 8: a data worker was ended.*--resume"):
        start(options)
    assert load_checkpoint(options["out"] / "last.pt").step == 5


def test_a_run_without_checkpoint_starts_again(options: Options, trained: Path) -> None:
    """Stopped before its first checkpoint, a run is begun anew by --resume and ends the same."""
    start(options)
    for name in ("last.pt", "best.pt"):
        (options["out"] / name).unlink()
    shutil.rmtree(options["out"] / "pictures")
    resume({"out": options["out"]})
    assert_same_run(options["out"], trained)


def test_a_finished_run_is_left_as_it_is(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Resuming a finished run says so and touches nothing."""
    before = {p: p.stat().st_mtime_ns for p in trained.iterdir() if p.name != "log.jsonl"}
    lines = log_of(trained)
    assert resume({"out": trained}).step == 12
    assert "is finished, all 12 steps" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert log_of(trained) == lines


def test_a_run_under_way_is_not_trained_twice(
    options: Options, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a process trains in a folder, neither --resume nor a new run there begins."""
    monkeypatch.setattr("segtrain.runs.PATIENCE", 0.0)
    lines = log_of(trained)
    words = "another process is training in it"
    with RunFolder(trained).held(), pytest.raises(RunError, match=words):
        resume({"out": trained})
    assert log_of(trained) == lines
    with RunFolder(tmp_path / "new").held(), pytest.raises(RunError, match=words):
        start(options | {"out": tmp_path / "new"})
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["run.lock"]


def test_another_run_is_not_overwritten(options: Options, trained: Path) -> None:
    """A folder that holds a run is refused before anything is read or written."""
    before = {p.name: p.stat().st_mtime_ns for p in trained.iterdir()}
    with pytest.raises(RunError, match=r"holds a run already.*--resume"):
        start(options | {"out": trained})
    assert {p.name: p.stat().st_mtime_ns for p in trained.iterdir()} == before


def test_a_resumed_run_refuses_what_does_not_belong_to_it(
    trained: Path, shards: Path, make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """Other options, other shards, and checkpoints of another variant or without training state."""
    run = Path(shutil.copytree(trained, tmp_path / "copy"))
    with pytest.raises(UsageError, match="--lr cannot change"):
        resume({"out": run, "lr": 0.5})
    other = make_shards(tmp_path / "other")
    with pytest.raises(
        CheckpointError, match=r"has changed since the run began \(coco2017, voc2012"
    ):
        resume({"out": run, "shards": other})
    saved = load_checkpoint(run / "last.pt")
    saved.optimizer = None
    save_checkpoint(run / "last.pt", saved)
    with pytest.raises(CheckpointError, match=r"no state of training.*--init"):
        resume({"out": run})
    saved.config["variant"] = "16s"
    save_checkpoint(run / "last.pt", saved)
    with pytest.raises(CheckpointError, match=r"is of --variant 16s, but .* says 8s"):
        resume({"out": run})
    few = make_shards(
        tmp_path / "few",
        classes=json.loads((shards / "voc2012.json").read_text())["classes"]
        + [{"id": 4, "name": "ring", "color": [9, 9, 9]}],
    )
    with pytest.raises(CheckpointError, match="has 4 classes, the shards have 5"):
        resume({"out": run, "shards": few})


def shortened(state: dict[str, Any]) -> dict[str, Any]:
    """An optimiser's state whose first momentum lacks a row."""
    first = min(state["state"])
    buffer = state["state"][first]["momentum_buffer"]
    return state | {"state": state["state"] | {first: {"momentum_buffer": buffer[1:]}}}


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: {"state": state["state"]},
        lambda state: state | {"param_groups": []},
        lambda state: state | {"param_groups": [{}, {}, {}]},
        shortened,
    ],
    ids=["no groups", "other groups", "empty groups", "a short momentum"],
)
def test_a_damaged_state_of_training_is_told(
    trained: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """An optimiser's state that does not fit the net is an error with the way on."""
    run = Path(shutil.copytree(trained, tmp_path / "copy"))
    saved = load_checkpoint(run / "last.pt")
    saved.optimizer = damage(saved.optimizer or {})
    save_checkpoint(run / "last.pt", saved)
    with pytest.raises(CheckpointError, match=r"state of training is damaged.*no step was.*--init"):
        resume({"out": run})


def test_a_moved_run_resumes_where_it_lies(options: Options, trained: Path, tmp_path: Path) -> None:
    """A run's folder can be moved: it goes on in its new place."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "advance", 7)
        with pytest.raises(InterruptedRunError):
            start(options)
    moved = Path(shutil.move(options["out"], tmp_path / "moved"))
    resume({"out": moved})
    assert not options["out"].exists()
    assert_same_run(moved, trained)


def test_an_exploding_loss_stops_with_step_and_keys(options: Options) -> None:
    """NaN stops the run with its step and the batch's keys; no spoilt checkpoint is written."""
    with pytest.raises(NonFiniteError) as caught:
        start(options | {"lr": 1e30, "norm": "none", "val_every": 0})
    message = str(caught.value)
    assert re.match(r"step \d: the loss became (nan|inf); keys of its batch: \w+, \w+", message)
    assert "no checkpoint was written yet" in message
    assert "lower --lr than 1e+30" in message
    assert not (options["out"] / "last.pt").exists()


def test_a_broken_sample_stops_the_run_after_saving(
    options: Options, make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """A sample that cannot be read is named with its shard; the steps before it are saved."""
    directory = make_shards(tmp_path / "s", train=30, val=2)
    options |= {"shards": directory, "batch": 2}
    from segtrain.sampler import Order
    from segtrain.shards import open_shards

    samples = open_shards(directory).train_set()
    victim = Order(samples.shard_sizes, 0).batch(5, 2)[1].sample
    key, shard = samples.place(victim)
    path = shard.path
    data = bytearray(path.read_bytes())
    begin = int(samples.spans[victim, 2])
    data[begin : begin + 20] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(SampleError) as caught:
        start(options)
    assert f"{path}: {key}: " in str(caught.value)
    assert "everything up to step 5 is saved: `segtrain run --out" in str(caught.value)
    assert load_checkpoint(options["out"] / "last.pt").step == 5


def uncounted(path: Path) -> None:
    """Take the counts of the training pixels out of a manifest, as where nobody counted them."""
    manifest = json.loads(path.read_text())
    train = manifest["splits"]["train"]
    train["pixels"] = [0] * len(train["pixels"])
    path.write_text(json.dumps(manifest))


def test_batches_of_void_are_counted_and_harmless(
    options: Options, make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """Where every pixel is void the loss is 0, the log counts it, and the run goes on."""
    void = [
        (f"voc2012_v{i}", Image.new("RGB", (50, 40)), np.full((40, 50), 255, np.uint8))
        for i in range(6)
    ]
    directory = make_shards(tmp_path / "v", train=void, val=2)
    uncounted(directory / "voc2012.json")  # else it would be refused
    outcome = start(options | {"shards": directory, "steps": 4})
    lines = log_of(outcome.folder.path)
    assert [line["loss"] for line in lines] == [0.0, 0.0]
    assert [line["void_batches"] for line in lines] == [2, 2]
    assert "prior" not in lines[0]["loss_floors"]


def test_without_validation_set_the_way_on_is_named(
    options: Options, make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """No val split is an error that names --val-every 0, which then trains without best.pt."""
    directory = make_shards(tmp_path / "t", train=6, val=0)
    with pytest.raises(ShardsError, match="--val-every 0"):
        start(options | {"shards": directory})
    assert not options["out"].exists()
    outcome = start(options | {"shards": directory, "val_every": 0, "steps": 2})
    assert outcome.best is None
    assert outcome.folder.last.exists()
    assert not outcome.folder.best.exists()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"shards": Path("nowhere")},
        {"weights": "nowhere.pth"},
        {"init": Path("nowhere")},
        {"device": "mps" if torch.cuda.is_available() else "cuda"},
    ],
)
def test_a_run_that_cannot_start_leaves_nothing(options: Options, spoilt: Options) -> None:
    """A mistake found before the first step leaves no folder behind."""
    with pytest.raises(SegtrainError):
        start(options | spoilt)
    assert not options["out"].exists()


def test_a_run_starts_from_the_net_of_another(options: Options, trained: Path) -> None:
    """--init takes over net and architecture; its own options are those of a new run."""
    outcome = start({"shards": options["shards"], "out": options["out"], "init": trained,
                     "steps": 1, "batch": 2, "crop": 64, "lr": 1e-12, "weight_decay": 0.0,
                     "val_every": 0, "device": "cpu", "workers": 0})  # fmt: skip
    ours = load_checkpoint(outcome.folder.last)
    theirs = load_checkpoint(trained / "best.pt")
    assert (ours.config["width"], ours.config["norm"]) == (0.06, "batch")
    for name, value in theirs.model.items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(ours.model[name], value)


def test_a_full_disk_in_a_run_keeps_the_last_checkpoint(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a save fails the run stops with one error, and the checkpoint before can be resumed."""
    from segtrain import checkpoint

    save = torch.save
    saves = [0]

    def full(plain: dict[str, Any], part: Path) -> None:
        saves[0] += plain["optimizer"] is not None
        if saves[0] == 2:
            raise OSError(28, "No space left on device")
        save(plain, part)

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(
        RunError, match=r"last\.pt: could not be written.*the one before it is kept"
    ):
        start(options)
    assert load_checkpoint(options["out"] / "last.pt").step == 5


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
def test_half_a_checkpoint_never_replaces_a_whole_one(options: Options, trained: Path) -> None:
    """When the system itself refuses to write on, last.pt stays and the run can be taken up."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    advance = TrainDisplay.advance

    def fill(self: TrainDisplay, step: int) -> None:
        advance(self, step)
        if step == 7:
            size = (options["out"] / "last.pt").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainDisplay, "advance", fill)
        try:
            with pytest.raises(RunError, match=r"last\.pt: could not be written.*it is kept"):
                start(options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_checkpoint(options["out"] / "last.pt").step == 5
    assert not list(options["out"].glob(".*"))
    resume({"out": options["out"]})
    assert_same_run(options["out"], trained)


@pytest.mark.parametrize("name", ["best.pt", "step-000004.pt"])
def test_where_a_copy_cannot_be_kept_the_run_is_saved_and_stops(
    options: Options, trained: Path, name: str
) -> None:
    """best.pt or a kept step without room: last.pt has everything, and nothing is left over."""
    from segtrain import files

    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == name:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    options |= {"keep_every": 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.Path, "replace", full)
        with pytest.raises(RunError, match=r"No space left.*everything up to step \d is saved: `"):
            start(options)
    saved = load_checkpoint(options["out"] / "last.pt")
    assert saved.step == (6 if name == "best.pt" else 4)
    assert not (options["out"] / name).exists()
    assert not list(options["out"].glob(".*"))
    resume({"out": options["out"]})
    assert_same_run(options["out"], trained)
    kept = {path.name for path in options["out"].glob("step-*.pt")}
    assert kept == {"step-000004.pt", "step-000008.pt", "step-000012.pt"}


def test_a_run_goes_back_to_a_kept_step(options: Options, trained: Path) -> None:
    """Copied to last.pt, a kept step is where the run goes on, and it ends as it would have."""
    start(options | {"keep_every": 4, "keep": 2, "csv": True})
    out = options["out"]
    assert {path.name for path in out.glob("step-*.pt")} == {"step-000008.pt", "step-000012.pt"}
    shutil.copy(out / "step-000008.pt", out / "last.pt")
    resume({"out": out})
    assert_same_run(out, trained)
    assert len((out / "log.csv").read_text().splitlines()) == 1 + 6


def test_a_second_ctrl_c_ends_at_once(
    options: Options, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of the save that the first one asked for: the checkpoint before is whole."""
    doing = TrainDisplay.doing

    def hooked(self: TrainDisplay, what: str) -> None:
        doing(self, what)
        if what.startswith("saving") and self.view.stopping:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "advance", 7)
        patch.setattr(TrainDisplay, "doing", hooked)
        with pytest.raises(KeyboardInterrupt):
            start(options)
    assert load_checkpoint(options["out"] / "last.pt").step == 5
    assert "judge it" not in capsys.readouterr().out
    resume({"out": options["out"]})
    assert_same_run(options["out"], trained)


def test_a_stopped_run_ends_with_where_it_stands(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """After Ctrl-C: newest validation, best one, time taken, and the commands that come next."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "advance", 9)
        with pytest.raises(InterruptedRunError):
            start(options)
    out = capsys.readouterr().out
    assert "data set\timages\tmean IoU %\tinterval\tall background %\nvoc2012\t3 of 8\t" in out
    assert "9 of 12 steps of 4 images in " in out
    assert f"judge it: segtrain eval {options['out']} --shards " in out


@pytest.mark.parametrize("step", [4, 8, 12])
def test_a_kept_step_survives_a_kill_at_any_moment(options: Options, step: int) -> None:
    """Killed after last.pt and before its copy, the resumed run makes the copy, and prunes."""
    keep = RunFolder.keep

    def killed(self: RunFolder, at: int, count: int) -> list[Path]:
        if at == step:
            raise KeyboardInterrupt  # nothing of a run catches it, as nothing catches a kill
        return keep(self, at, count)

    options |= {"keep_every": 4, "keep": 2, "val_every": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            start(options)
    assert load_checkpoint(options["out"] / "last.pt").step == step
    resume({"out": options["out"]})
    kept = [load_checkpoint(path).step for path in RunFolder(options["out"]).kept()]
    assert kept == [8, 12]
