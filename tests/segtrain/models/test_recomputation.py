"""Tests of segtrain.models.recomputation: FC-DenseNet with --checkpointing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segtrain.averaging import WeightAverage
from segtrain.checkpoint import load_checkpoint
from segtrain.config import TrainConfig
from segtrain.errors import UsageError
from segtrain.models.fc_densenet import PLANS, FCDenseNet
from segtrain.session import resume, start
from segtrain.tracing import watched


def thin(*, recompute: bool, norm: str = "batch") -> FCDenseNet:
    """A thin FC-DenseNet56 with dropout; equal weights each time."""
    torch.manual_seed(4)
    net = FCDenseNet(
        5, PLANS["fc_densenet56"], norm=norm, width=0.2, dropout=0.3, recompute=recompute
    )
    return net.train()


def trained(net: nn.Module, steps: int = 3, rate: float = 0.1) -> dict[str, Tensor]:
    """Weights, statistics, last gradients and random numbers after some steps."""
    torch.manual_seed(9)
    images = torch.randn(steps, 2, 3, 40, 64)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    for image in images:
        optimizer.zero_grad()
        net(image).square().mean().backward()
        optimizer.step()
    gradients = {
        f"gradient of {n}": p.grad for n, p in net.named_parameters() if p.grad is not None
    }
    return {**net.state_dict(), **gradients, "random": torch.get_rng_state()}


def saved_bytes(net: nn.Module, act: Callable[[Tensor], Tensor]) -> int:
    """Bytes of different tensors that autograd keeps of a forward pass, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    storages: dict[int, int] = {}
    kept: list[Tensor] = []  # so that no address is given out twice

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
            kept.append(value)
        return value

    torch.manual_seed(8)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        act(torch.randn(1, 3, 64, 64))
    return sum(storages.values())


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_training_is_the_same_to_the_last_bit(norm: str) -> None:
    """Weights, statistics, counters, gradients and the random numbers left are equal."""
    plain, again = (trained(thin(recompute=recompute, norm=norm)) for recompute in (False, True))
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_less_is_kept() -> None:
    """Of a pass with gradients, less than half of the bytes is kept; without them it is equal."""
    plain, again = (thin(recompute=recompute) for recompute in (False, True))
    assert saved_bytes(again, again) < 0.5 * saved_bytes(plain, plain)
    image = torch.randn(1, 3, 33, 50)
    with torch.no_grad():
        assert torch.equal(plain.eval()(image), again.eval()(image))


def test_frozen_statistics_stay() -> None:
    """Batch norms that only evaluate are passed in that way both times, and keep what they have."""
    plain, again = (thin(recompute=recompute) for recompute in (False, True))
    for net in (plain, again):
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    first, second = trained(plain, rate=1e-6), trained(again, rate=1e-6)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert int(second["down.0.0.norm.num_batches_tracked"]) == 0


def test_each_layer_is_traced_once() -> None:
    """Whoever looks for NaN sees the same layers, in the same order, as without it."""
    names = []
    for recompute in (False, True):
        net = thin(recompute=recompute)
        with watched(net) as trace:
            net(torch.randn(2, 3, 32, 32)).sum().backward()
        names.append([passage.layer for passage in trace.forward])
    assert names[0] == names[1]


def test_an_average_of_it_is_one_of_the_plain_net() -> None:
    """The running average of weights is a copy that predicts alike."""
    net = thin(recompute=True)
    average = WeightAverage(net, 0.9)
    average.update(net)
    plain = thin(recompute=False).eval()
    image = torch.randn(1, 3, 32, 40)
    with torch.no_grad():
        assert torch.equal(average.model(image), plain(image))


def test_a_run_may_take_it_up_on_resume(shards: Path, tmp_path: Path) -> None:
    """A run that is resumed with --checkpointing ends with the weights of one never stopped."""
    options: dict[str, Any] = {
        "shards": shards, "model": "fc_densenet56", "width": 0.2, "crop": 32, "batch": 4,
        "steps": 4, "log_every": 1, "save_every": 2, "keep_every": 2, "val_every": 0,
        "pictures": 0, "workers": 0, "threads": 1, "device": "cpu", "accumulate": 2,
    }  # fmt: skip
    start(options | {"out": tmp_path / "plain"})
    start(options | {"out": tmp_path / "again"})
    (tmp_path / "again" / "step-000002.pt").replace(tmp_path / "again" / "last.pt")
    resume({"out": tmp_path / "again", "checkpointing": True})
    plain, again = (load_checkpoint(tmp_path / name / "last.pt") for name in ("plain", "again"))
    assert again.config["checkpointing"]
    assert all(torch.equal(plain.model[name], again.model[name]) for name in plain.model)
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("plain", "again")]
    losses = [[json.loads(line)["loss"] for line in log] for log in logs]
    assert losses[0] == losses[1]


def test_where_it_does_nothing_it_is_refused() -> None:
    """Nets without it and the compiler are named, with the way on."""
    with pytest.raises(UsageError, match=r"--checkpointing means nothing to --model fcn"):
        TrainConfig(checkpointing=True)
    with pytest.raises(UsageError, match=r"--compile with --checkpointing.*use one of them"):
        TrainConfig(model="fc_densenet56", checkpointing=True, compile=True)
