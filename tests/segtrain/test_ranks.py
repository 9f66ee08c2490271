"""Tests of segtrain.ranks: several processes that train as one.

Most ranks here are forks of the test's own process, which start at once; a last test starts them as
people do.
"""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segtrain.batches import Batch
from segtrain.checkpoint import load_checkpoint
from segtrain.config import TrainConfig
from segtrain.errors import (
    InterruptedRunError,
    NonFiniteError,
    SampleError,
    SegtrainError,
    ShardsError,
    UsageError,
)
from segtrain.interruption import Interruption, StopRequested
from segtrain.learning import Learnt, check_norm, make_learner, shared_statistics
from segtrain.manifests import ClassInfo
from segtrain.models import build
from segtrain.models.fcn import FCN
from segtrain.optimizer import parameter_groups
from segtrain.predictor import Predictor
from segtrain.preprocessing import Preprocessing
from segtrain.ranks import Ranks, check_devices, joined, place
from segtrain.sampler import Order
from segtrain.session import resume, start
from segtrain.shards import open_shards
from segtrain.train import Trainer
from segtrain.validation import Company, validate, validation_sets

Options = dict[str, Any]
Work = Callable[[Ranks], object]
CPU = torch.device("cpu")
CLASSES = tuple(ClassInfo(name, (0, 0, 0)) for name in ("background", "a", "b", "c"))

forks = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs a system that forks"
)
quiet_forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_ranks(world: int, work: Callable[[int], object]) -> list[Any]:
    """What `work(rank)` gives in each of so many processes with torchrun's environment.

    An error that it raises is given instead of a result.
    """
    context = multiprocessing.get_context("fork")
    port, pipes, processes = free_port(), [], []
    for rank in range(world):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=serve, args=(rank, world, port, work, theirs))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    found = [pipe.recv() if pipe.poll(60) else "no answer" for pipe in pipes]
    for process in processes:
        process.join(10)
        process.kill()
    return found


def serve(
    rank: int, world: int, port: int, work: Callable[[int], object], pipe: Connection
) -> None:
    """What one of these processes does."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    result: object
    try:
        result = work(rank)
    except SegtrainError as error:
        result = type(error), str(error), error.quiet, error.exit_code
    except Exception:  # noqa: BLE001 - the test that reads it fails with it
        result = traceback.format_exc()
    pipe.send(result)


def with_ranks(world: int, work: Work) -> list[Any]:
    """What `work(ranks)` gives on each of so many connected ranks."""

    def join(_: int) -> object:
        with joined(lambda: "cpu") as ranks:
            return work(ranks)

    return on_ranks(world, join)


@forks
@quiet_forks
def test_sums_are_over_all_ranks() -> None:
    """Sums, largest values and what is gathered come from every rank, in their order."""

    def work(ranks: Ranks) -> object:
        total = ranks.sum(torch.tensor([ranks.rank + 1, 10]))
        return total.tolist(), ranks.most(ranks.rank, -ranks.rank), ranks.gather(f"r{ranks.rank}")

    assert with_ranks(3, work) == [([6, 30], [2, 0], ["r0", "r1", "r2"])] * 3
    alone = Ranks()
    assert (alone.main, alone.gather(5), alone.most(2.5)) == (True, [5], [2.5])
    assert alone.sum(torch.ones(2)).tolist() == [1, 1]


@forks
@quiet_forks
def test_a_signal_to_one_rank_stops_all_at_their_next_meeting() -> None:
    """Where one rank was signalled, all stop, and all know by which signal."""

    def work(ranks: Ranks) -> object:
        stop = Interruption()
        ranks.meet(stop)
        stop.number = int(signal.SIGTERM) * (ranks.rank == 1)
        with pytest.raises(StopRequested):
            ranks.meet(stop)
        return stop.number

    assert with_ranks(2, work) == [15, 15]


@forks
@quiet_forks
@pytest.mark.parametrize("gathering", ["meet", "together"])
def test_an_error_of_one_rank_is_raised_by_all_and_told_once(gathering: str) -> None:
    """The error keeps its kind, names its rank, and is quiet on all ranks but the first."""

    def work(ranks: Ranks) -> object:
        error = SampleError("a.tar: x: broken") if ranks.rank == 1 else None
        if gathering == "meet":
            ranks.meet(Interruption(), error)
        with ranks.together():
            if error:
                raise error
        return "went on"

    expected = (SampleError, "rank 1: a.tar: x: broken")
    assert with_ranks(2, work) == [(*expected, False, 1), (*expected, True, 1)]


@forks
@quiet_forks
def test_an_error_of_all_ranks_is_told_as_that_of_one() -> None:
    """What every rank finds wrong is told once, without a rank."""

    def work(ranks: Ranks) -> object:
        with ranks.together():
            raise ShardsError(f"nowhere: {ranks.rank * 0}")

    assert with_ranks(2, work) == [
        (ShardsError, "nowhere: 0", False, 1),
        (ShardsError, "nowhere: 0", True, 1),
    ]


def thin(**options: object) -> tuple[TrainConfig, Predictor]:
    """A thin net, all its layers alive."""
    values: Options = {
        "width": 0.06,
        "crop": 32,
        "dropout": 0.0,
        "score_init": "he",
        "skip_init": "he",
    }
    config = TrainConfig(out=Path("x"), **(values | options)).resolved()
    torch.manual_seed(3)
    return config, Predictor(build(config, 4), Preprocessing(), CPU, CLASSES)


def some_batch(seed: int) -> Batch:
    """Five images of 32x32 random pixels, the first all valid, the last all void."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (5, 3, 32, 32), generator=rng, dtype=torch.uint8)
    target = torch.randint(0, 4, (5, 1024), generator=rng, dtype=torch.uint8)
    for i, count in enumerate((0, 100, 900, 1000, 1024)):
        target[i, :count] = 255
    return Batch(image, target.view(-1, 32, 32), [str(i) for i in range(5)])


def learn(ranks: Ranks, options: Options, steps: int) -> list[Any]:
    """Losses, gradient norms and matrices of some steps, then the weights."""
    config, predictor = thin(**options)
    if ranks.rank:  # the start weights are those of rank 0
        nn.init.ones_(predictor.model.score_fr.weight)
    learner = make_learner(config, predictor, None, ranks)
    found: list[Any] = []
    for step in range(steps):
        whole = some_batch(step)
        part = slice(5 * ranks.rank // ranks.world, 5 * (ranks.rank + 1) // ranks.world)
        learnt = learner.gradients(Batch(*(v[part] for v in whole)), judge=True)
        learner.update(1e-3)
        found += [learnt.loss.item(), learnt.grad_norm.item(), learnt.valid.item()]
        found += learnt.confmat.flatten().tolist()
    weights = {n: v.detach().numpy() for n, v in learner.predictor.model.state_dict().items()}
    return [*found, weights]


@forks
@quiet_forks
@pytest.mark.parametrize(
    "options",
    [{"norm": "none"}, {"norm": "group"}, {"norm": "group", "accumulate": 2, "clip": 0.5}],
    ids=["none", "group", "parts"],
)
def test_ranks_learn_what_one_process_learns(options: Options) -> None:
    """Two ranks with uneven parts and uneven void have the losses and weights of one process."""
    alone = learn(Ranks(), options, 3)
    for found in with_ranks(2, lambda ranks: learn(ranks, options, 3)):
        assert isinstance(found, list), found
        assert found[:-1] == pytest.approx(alone[:-1], rel=1e-5)
        for name, value in alone[-1].items():
            assert abs(found[-1][name] - value).max() < 1e-5, name


@forks
@quiet_forks
def test_ranks_judge_each_image_once(shards: Path) -> None:
    """A validation shared by ranks gives matrix, counts and pictures of one process, in order."""
    chosen = validation_sets(open_shards(shards), 7)[0]

    def work(ranks: Ranks) -> object:
        predictor = thin(norm="group")[1]
        company = Company(ranks, Interruption())
        found = validate(predictor, chosen, 3, lambda *_: None, company, full=True)
        results = [result.counted for result in (found.result, found.full) if result]
        matrices = [counted.confmat.tolist() for counted in results]
        images = [(c.images.keys, *(a.tolist() for a in c.images.arrays)) for c in results]
        return matrices, images, [one.key for one in found.judged]

    assert with_ranks(3, work) == [work(Ranks())] * 3


@pytest.fixture
def options(tiny: Options, shards: Path, tmp_path: Path) -> Options:
    """Options of a run that several ranks can share: batches of uneven parts, no batch norm."""
    more = {"norm": "group", "dropout": 0.0, "batch": 5, "steps": 6, "val_every": 3, "lr": 0.005}
    return tiny | more | {"shards": shards, "out": tmp_path / "run"}


def assert_close(ours: Path, theirs: Path) -> None:
    """Two runs must agree in weights, losses and validations as far as sums in float32 do."""
    logs = [[json.loads(t) for t in (r / "log.jsonl").read_text().splitlines()]
            for r in (ours, theirs)]  # fmt: skip
    for a, b in zip(*logs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert (a["step"], a.get("val"), a.get("final")) == (
            b["step"],
            b.get("val"),
            b.get("final"),
        )
    for name in ("last.pt", "best.pt"):
        a, b = (load_checkpoint(run / name) for run in (ours, theirs))
        assert (a.step, a.best) == (b.step, b.best)
        for layer, value in a.model.items():
            torch.testing.assert_close(value, b.model[layer], rtol=0, atol=1e-5)


@forks
@quiet_forks
def test_a_run_goes_on_with_another_number_of_ranks(options: Options) -> None:
    """One rank of two is signalled: both stop at one step, and one process ends the run as ever."""
    whole = options | {"out": options["out"].with_name("whole")}
    start(whole)

    def work(rank: int) -> object:
        if rank == 1:
            learn = Trainer.learn

            def signalled(self: Trainer, batch: Batch) -> Learnt:
                if self.step == 3:
                    signal.raise_signal(signal.SIGTERM)
                return learn(self, batch)

            Trainer.learn = signalled  # type: ignore[method-assign]  # in a process of its own
        return start(options).step

    for rank, found in enumerate(on_ranks(2, work)):
        assert isinstance(found, tuple), found
        kind, message, quiet, code = found
        assert (kind, quiet, code) == (InterruptedRunError, rank > 0, 143)
        assert "stopped at step 4 of 6, everything is saved" in message
    assert load_checkpoint(options["out"] / "last.pt").step == 4
    resume({"out": options["out"]})
    assert_close(options["out"], whole["out"])


@forks
@quiet_forks
def test_a_broken_sample_of_one_rank_ends_all_after_saving(
    options: Options, make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """The rank that meets it says so through rank 0; the steps before it are saved."""
    directory = make_shards(tmp_path / "s", train=30, val=2)
    samples = open_shards(directory).train_set()
    victim = Order(samples.shard_sizes, 0).batch(2, 5)[4].sample  # of the last rank's part
    key, shard = samples.place(victim)
    path = shard.path
    data = bytearray(path.read_bytes())
    begin = int(samples.spans[victim, 2])
    data[begin : begin + 20] = bytes(20)
    path.write_bytes(data)
    mine = options | {"shards": directory, "val_every": 0}
    for rank, found in enumerate(on_ranks(2, lambda _: start(mine).step)):
        assert isinstance(found, tuple), found
        kind, message, quiet, _ = found
        assert (kind, quiet) == (SampleError, rank > 0)
        assert message.startswith(f"rank 1: {path}: {key}: ")
        assert "everything up to step 2 is saved" in message
    assert load_checkpoint(options["out"] / "last.pt").step == 2


@forks
@quiet_forks
@pytest.mark.parametrize(
    ("spoilt", "kind", "words"),
    [
        ({"norm": "batch"}, UsageError, "--norm batch with 2 ranks needs GPUs"),
        ({"batch": 3, "accumulate": 2}, UsageError, "--batch of 4 or more"),
        ({"shards": Path("nowhere")}, ShardsError, "nowhere"),
        ({"lr": 1e30, "norm": "none", "val_every": 0}, NonFiniteError, "the loss became"),
    ],
    ids=["norm", "batch", "shards", "lr"],
)
def test_what_all_ranks_find_wrong_is_told_once(
    options: Options, spoilt: Options, kind: type[SegtrainError], words: str
) -> None:
    """A mistake of the options or a spoilt loss is one message of rank 0, not one of each."""
    for rank, found in enumerate(on_ranks(2, lambda _: start(options | spoilt).step)):
        assert isinstance(found, tuple), found
        assert found[0] == kind
        assert words in found[1]
        assert found[2] == (rank > 0)


def test_a_process_without_torchrun_is_alone() -> None:
    """No variable, no other rank; torchrun's variables give the place."""
    assert place({"PATH": "x"}) == Ranks()
    variables = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    variables |= {"MASTER_ADDR": "a", "MASTER_PORT": "1"}
    assert place(variables) == Ranks(5, 8, 1, 4, launched=True)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RANK": "0"}, "sets RANK but not WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT"),
        ({"RANK": "x"}, "are no numbers"),
        ({"RANK": "2"}, "contradict each other: RANK 2, WORLD_SIZE 2"),
        ({"LOCAL_RANK": "-1"}, "contradict each other"),
    ],
)
def test_half_an_environment_is_refused(variables: dict[str, str], words: str) -> None:
    """Variables that are missing, no numbers or out of range name themselves and the way on."""
    whole = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    whole |= {"MASTER_ADDR": "a", "MASTER_PORT": "1"}
    with pytest.raises(UsageError, match=words):
        place(variables if "but not" in words else whole | variables)


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rank needs a GPU of its own; an Apple GPU has no others; CPUs may be shared."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    two = Ranks(0, 2, 0, 2, launched=True)
    with pytest.raises(UsageError, match=r"2 ranks.*has 1 GPU; use --nproc-per-node 1"):
        check_devices(two, torch.device("cuda"))
    with pytest.raises(UsageError, match="or --device cpu"):
        check_devices(two, torch.device("mps"))
    check_devices(two, CPU)
    check_devices(Ranks(), torch.device("mps"))
    assert two.device(torch.device("cuda")) == torch.device("cuda", 0)
    assert Ranks().device(torch.device("cuda")).index is None


def test_batch_norm_over_ranks_keeps_names_and_rules() -> None:
    """On GPUs batch norms become synchronised ones: same state, same groups of the optimiser."""
    check_norm("batch", torch.device("cuda"), Ranks(0, 2))
    check_norm("batch", CPU, Ranks())
    net = FCN(3, width=0.06, norm="batch")
    state = net.state_dict()
    sizes = [[p.numel() for p in group["params"]] for group in parameter_groups(net, 0.1)]
    shared = shared_statistics(net, Ranks(0, 2))
    assert any(isinstance(m, nn.SyncBatchNorm) for m in shared.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in shared.modules())
    assert {n: v.shape for n, v in shared.state_dict().items()} == {
        n: v.shape for n, v in state.items()
    }
    assert sizes == [[p.numel() for p in g["params"]] for g in parameter_groups(shared, 0.1)]


def test_dropout_is_drawn_by_step_and_rank() -> None:
    """Random numbers repeat for the same step and rank, and differ for others."""

    def drawn(rank: int, step: int) -> list[float]:
        Ranks(rank, 2).reseed(7, step)
        return [float(v) for v in torch.rand(3)]

    assert drawn(0, 1) == drawn(0, 1)
    assert len({tuple(drawn(rank, step)) for rank in (0, 1) for step in (1, 2)}) == 4


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process can note")
def test_torchrun_trains_and_stops(options: Options, environment: dict[str, str]) -> None:
    """Started by torchrun, a run prints each line once; SIGTERM saves, once for all ranks."""
    long = options | {"steps": 100_000, "val_every": 0}
    words = [w for k, v in long.items() for w in ("--" + k.replace("_", "-"), str(v))]
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    command = [sys.executable, "-m", *launcher, "-m", "segtrain", "run", *words]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        log = options["out"] / "log.jsonl"
        while process.poll() is None and not (log.exists() and '"step": 4,' in log.read_text()):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    assert out.count("step      4/100000") == 1, error
    assert error.count("everything is saved; go on with") == 1
    assert load_checkpoint(options["out"] / "last.pt").step >= 4
