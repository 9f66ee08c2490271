"""Tests of segtrain.doctor.vigil: a run on a dead net stops by itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segtrain.doctor.vigil import AGAIN, Vigil, vigil_of
from segtrain.errors import DeadNetError
from segtrain.session import resume, start

ONE, NONE = torch.tensor(1), torch.tensor(0)


def net_of(*, zero: bool) -> nn.Sequential:
    """Two layers with a ReLU between; the first may be at zero."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    if zero:
        for parameter in net[0].parameters():
            nn.init.zeros_(parameter)
    return net


class Run:
    """A run of a small net under watch."""

    def __init__(self, net: nn.Module, *, stops: bool = True) -> None:
        self.net, self.said = net, list[str]()
        self.vigil = Vigil(net, stops, self.said.append)
        self.steps = 0

    def take(self, steps: int, valid: Tensor = ONE) -> None:
        """Take some steps; with no valid pixel all gradients are zero."""
        for _ in range(steps):
            self.steps += 1
            self.net.zero_grad()
            loss = self.net(torch.rand(2, 3, 2, 2)).square().mean() * valid
            torch.autograd.backward(loss)
            self.vigil.look(self.steps, loss.detach(), valid)


def test_a_dead_net_is_told_at_the_end_of_the_look() -> None:
    """Not before the last step in which a layer could wake and a margin; then with its name."""
    run = Run(net_of(zero=True))
    assert run.vigil.needed == 5  # one zero layer: two steps, and three more
    run.take(4)
    with pytest.raises(DeadNetError, match=r"^step 5: Nothing .* of 0 and 2 was .* at random"):
        run.take(1)


def test_steps_without_labels_do_not_count() -> None:
    """Batches that are all void have no gradients and say nothing about the layers."""
    run = Run(net_of(zero=False))
    run.take(20, NONE)
    run.take(20)
    dead = Run(net_of(zero=True))
    dead.take(20, NONE)
    dead.take(4)
    with pytest.raises(DeadNetError, match=r"^step 25: "):
        dead.take(1)


def test_a_warning_is_given_once() -> None:
    """Where the run shall go on, people are told once, also when it looks again."""
    run = Run(net_of(zero=True), stops=False)
    run.take(AGAIN + 10)
    assert len(run.said) == 1
    assert run.said[0].startswith("step 5: ")


def test_a_layer_that_dies_later_is_found() -> None:
    """The next look after a thousand steps sees that nothing comes through any more."""
    run = Run(net_of(zero=False))
    run.take(AGAIN - 1)
    nn.init.constant_(run.net.get_parameter("0.bias"), -100)
    with pytest.raises(DeadNetError, match=r"^step 1,002: Nothing .* a lower --lr"):
        run.take(10)


def test_frozen_layers_are_not_missed() -> None:
    """What is not trained has no gradient, and that is as it should be."""
    net = net_of(zero=True)
    net[0].requires_grad_(requires_grad=False)
    nn.init.constant_(net.get_parameter("0.bias"), 0.5)
    Run(net).take(20)


def test_nobody_looks_where_dead_layers_are_ignored() -> None:
    """`ignore` has no watch, the others have."""
    net = net_of(zero=True)
    assert vigil_of("ignore", net, print) is None
    stops, warns = vigil_of("stop", net, print), vigil_of("warn", net, print)
    assert stops is not None
    assert warns is not None
    assert (stops.stops, warns.stops) == (True, False)


@pytest.fixture
def options(tiny: dict[str, Any], small: Path, tmp_path: Path) -> dict[str, Any]:
    """Options of a run of 12 steps on a thin net whose hidden layers start at zero."""
    thin = {"trunk": "vgg11", "shards": small, "out": tmp_path / "run", "val_every": 0}
    return tiny | thin | {"conv_init": "zero", "crop": 32}


def test_a_dead_run_stops_by_itself(options: dict[str, Any]) -> None:
    """Within its first steps it says what is dead and why, also when it is resumed."""
    words = "Only the skips .* every 1x1 layer of the deep branch at zero.*--conv-init he"
    with pytest.raises(DeadNetError, match=words):
        start(options)
    with pytest.raises(DeadNetError, match=words):
        resume({"out": options["out"]})


def test_a_dead_run_goes_on_where_it_is_told_to(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """`warn` trains to the end, and the warning is among the lines of the run."""
    start(options | {"dead_layers": "warn"})
    out, err = capsys.readouterr()
    assert "Only the skips from pool4" in out + err
    lines = (options["out"] / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 12


def test_watching_changes_no_number(options: dict[str, Any], tmp_path: Path) -> None:
    """Losses are bit for bit those of a run that nobody watches."""
    losses = []
    for mode in ("stop", "ignore"):
        out = tmp_path / mode
        start(options | {"conv_init": "he", "dead_layers": mode, "out": out})
        lines = (out / "log.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[0] == losses[1]
