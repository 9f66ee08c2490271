"""Tests of segtrain.diagnosis and segtrain.guard, and of segtrain.replay: runs that break."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from segtrain.batches import Batch
from segtrain.checkpoint import load_checkpoint
from segtrain.cli import app
from segtrain.errors import NonFiniteError
from segtrain.guard import Guard
from segtrain.learning import Learner, Learnt
from segtrain.nonfinite import load_capture
from segtrain.replay import replay
from segtrain.session import resume, start

Options = dict[str, Any]


@pytest.fixture
def options(tiny: Options, shards: Path, tmp_path: Path) -> Options:
    """Options of a run in a folder with a blank in its name."""
    quiet = {"val_every": 0, "norm": "none", "pictures": 0, "steps": 6, "save_every": 2}
    return tiny | quiet | {"shards": (str(shards),), "out": tmp_path / "my run"}


def breaking(monkeypatch: pytest.MonkeyPatch, step: int, spoil: Callable[[Learner], None]) -> None:
    """Spoil something right before a step is computed."""
    gradients = Learner.gradients
    taken = [0]

    def hooked(self: Learner, batch: Batch, *, judge: bool = False) -> Learnt:
        taken[0] += 1
        if taken[0] == step:
            spoil(self)
        return gradients(self, batch, judge=judge)

    monkeypatch.setattr(Learner, "gradients", hooked)


def layer(learner: Learner, name: str) -> torch.Tensor:
    """A layer's weight."""
    weight = learner.predictor.model.get_submodule(name).weight
    assert isinstance(weight, torch.Tensor)
    return weight


def overflowing(learner: Learner) -> None:
    """Finite weights that overflow in a layer."""
    with torch.no_grad():
        layer(learner, "features.7").fill_(3e38)


def failed(options: Options) -> str:
    """The message of a run that breaks."""
    with pytest.raises(NonFiniteError) as caught:
        start(options)
    return str(caught.value)


def test_the_layer_is_named_and_the_step_can_be_taken_again(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step, keys, layer and command are told; the file reproduces the very step elsewhere."""
    breaking(monkeypatch, 4, overflowing)
    message = failed(options)
    path = options["out"] / "nonfinite-000004.pt"
    assert re.match(r"step 4: the loss became (nan|inf); keys of its batch: \w+, \w+", message)
    assert "it began in features.7 (Conv2d): " in message
    assert f"`segtrain replay '{path}'` takes step 4 again; " in message
    assert f"{options['out'] / 'last.pt'} is from before" in message
    assert f"--init '{options['out'] / 'last.pt'}' with another --out" in message
    assert load_checkpoint(options["out"] / "last.pt").step == 2
    capture = load_capture(path)
    assert capture.exact
    assert len(capture.batch.draws) == len(capture.batch.keys) == 4
    monkeypatch.undo()
    found = replay(path, "cpu")
    assert found.verdict in message
    done = CliRunner().invoke(app, ["replay", str(path), "--device", "cpu"])
    assert done.exit_code == 1
    assert f"step 4 of {options['out']} (cpu, 1 threads, float32): the loss became" in done.output
    assert re.search(r"features\.6 ReLU\t0\t[\d.]+\t0\nfeatures\.7 Conv2d\t.*\t[\d.e-]+\n",
                     done.output)  # fmt: skip
    assert done.output.endswith(f"{found.verdict}\n")


def test_a_gradient_that_breaks_is_noticed_before_the_update(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finite loss with a broken gradient stops the run with weights that are still good."""

    def spoil(learner: Learner) -> None:
        weight = layer(learner, "features.2")
        weight.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[no-untyped-call]

    breaking(monkeypatch, 3, spoil)
    message = failed(options)
    assert "step 3: the gradient became NaN or infinite; " in message
    assert "the forward pass is finite; it began in the gradient of features.2.weight" in message
    capture = load_capture(options["out"] / "nonfinite-000003.pt")
    assert all(value.isfinite().all() for value in capture.model.values())


def test_weights_spoilt_by_an_update_are_laid_to_its_step(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only the next loss tells, the guilty step is kept with the newest good weights."""

    def spoil(learner: Learner) -> None:
        with torch.no_grad():
            layer(learner, "features.5")[0] = math.inf

    breaking(monkeypatch, 4, spoil)
    message = failed(options)
    assert "step 4: the loss became nan" in message
    assert "weights were spoilt by the update of step 3, first features.5.weight (" in message
    assert "takes step 3 again; " in message  # the last checkpoint has its own weights
    capture = load_capture(options["out"] / "nonfinite-000003.pt")
    saved = load_checkpoint(options["out"] / "last.pt")
    assert (capture.step, capture.model_step, saved.step) == (3, 2, 2)
    assert all(torch.equal(capture.model[name], saved.model[name]) for name in saved.model)
    monkeypatch.undo()
    assert replay(options["out"] / "nonfinite-000003.pt", "cpu").verdict == ""
    done = CliRunner().invoke(
        app, ["replay", str(options["out"] / "nonfinite-000003.pt"), "--device", "cpu"]
    )
    assert done.exit_code == 0
    assert done.output.endswith("everything stayed finite\n")


def test_older_weights_are_told_as_older(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last checkpoint is some steps old, message and replay say so."""

    def spoil(learner: Learner) -> None:
        with torch.no_grad():
            layer(learner, "features.5")[0] = math.inf

    breaking(monkeypatch, 6, spoil)
    message = failed(options | {"save_every": 3})
    assert "takes step 5 again, but with the weights after step 3; " in message
    heads = replay(options["out"] / "nonfinite-000005.pt", "cpu").heads()
    assert "from the weights after step 3: those before it were not known any more" in heads[1]


@pytest.mark.parametrize("moment", ["save", "validation"])
def test_a_spoilt_net_takes_no_checkpoints_place(
    options: Options, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """An update that overflows is noticed before the net is judged or saved."""
    update = Learner.update

    def spoilt(self: Learner, rate: float) -> None:
        update(self, rate)
        steps[0] += 1
        if steps[0] == 4:
            with torch.no_grad():
                layer(self, "features.5")[0] = math.inf

    steps = [0]
    monkeypatch.setattr(Learner, "update", spoilt)
    more: Options = {"val_every": 2, "save_every": 100} if moment == "validation" else {}
    message = failed(options | more)
    assert re.match(r"step 4: features\.5\.weight \(\d+ of \d+ numbers\) became NaN", message)
    assert "weights were spoilt by the update of step 4" in message
    names = {path.name for path in options["out"].glob("*.pt")}
    kept = "best.pt" if moment == "validation" else "last.pt"
    assert names == {kept, "nonfinite-000004.pt"}
    assert load_checkpoint(options["out"] / kept).step == 2


def test_without_a_checkpoint_the_run_says_so(options: Options) -> None:
    """An exploding first step leaves nothing to go back to; its file is kept all the same."""
    message = failed(options | {"lr": 1e30, "save_every": 100})
    assert "no checkpoint was written yet" in message
    assert "lower --lr than 1e+30" in message
    assert not (options["out"] / "last.pt").exists()
    assert list(options["out"].glob("nonfinite-*.pt"))


def test_a_full_disk_still_tells_where_it_began(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that cannot be kept is told as that, with the layer all the same."""
    breaking(monkeypatch, 3, overflowing)

    def full(plain: dict[str, Any], part: Path) -> None:
        if plain["format"].startswith("segtrain-nonfinite"):
            raise OSError(28, "No space left on device")
        save(plain, part)

    save = torch.save
    monkeypatch.setattr(torch, "save", full)
    message = failed(options)
    assert "the step could not be kept: " in message
    assert "No space left" in message
    assert "it began in features.7" in message


def test_a_broken_run_cannot_be_resumed_into_nonsense(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed from its last good checkpoint a run whose fault is gone goes on to its end."""
    breaking(monkeypatch, 4, overflowing)
    failed(options)
    monkeypatch.undo()
    assert resume({"out": options["out"]}).step == 6


def test_of_several_ranks_a_step_is_seen_late_but_for_due_ones() -> None:
    """On several GPUs the loss waits for the next step, where no line is due."""
    from segtrain.meter import Meter
    from segtrain.ranks import Ranks

    class Far(Guard):
        on_cpu = False  # type: ignore[assignment]

    class Stub:
        ranks = replace(Ranks(), world=2)

        def finite_gradients(self) -> bool:
            return True

    def learnt(loss: float, *, due: bool) -> Learnt:
        confmat = torch.zeros(2, 2) if due else None
        return Learnt(torch.tensor(loss), torch.tensor(5), confmat, None, ())

    guard = Far(None, None, Stub(), {})  # type: ignore[arg-type]
    meter = Meter()
    step: Any = object()
    guard.watch(step, learnt(1.0, due=False), meter)
    assert meter.loss == 0.0
    guard.watch(step, learnt(2.0, due=False), meter)
    assert meter.loss == 1.0
    guard.watch(step, learnt(4.0, due=True), meter)
    assert meter.loss == 7.0
