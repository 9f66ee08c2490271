"""How long a training step takes, against two forms that a user would pick instead.

    .venv/bin/python tools/bench/train_step.py [--shards DIR] [--crop 320] [--batch 2] [--threads 1]

FCN-8s of segtrain takes turns with FCN-8s as its authors drew it, padded by 100 pixels
(`padded_fcn.py`), and with torchvision's fcn_resnet50, each trained by a plain loop as their
examples have it: images normalised beforehand, mean cross entropy, SGD, and the loss read as a
number at every step (torchvision's with its auxiliary head; without the metrics that the examples
of the first count at every step). Data are random and lie on the device. On a GPU all compute in
bfloat16 and channels_last.

Printed are medians of a step's time, images a second, floating-point operations as
`torch.utils.flop_counter` counts them, and how much longer than segtrain's the others' steps take
beside how much more they compute: a form that is as well implemented has equal ratios. Then the sum
of the times of the layers of segtrain's net, each alone in the memory layout that suits it best,
against the step; and with `--shards` the share of a short run that waits for data. On a CPU the
workers take cores from the net, so that share says little unless there are cores to spare.
"""

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import measuring
import torch
import torch.nn.functional as F
from measuring import Run
from padded_fcn import PaddedFCN
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(measuring.ROOT / "tools"))

from gpu.bench import CLASSES, configuration, learner_of, random_batch

from segtrain.devices import autocast, choose_device, describe, numbers
from segtrain.learning import Learner
from segtrain.models.counts import count_macs
from segtrain.models.layers import Upsample
from segtrain.models.net import Heads
from segtrain.preprocessing import Preprocessing
from segtrain.throughput import TERA, device_peak

OURS, PADDED, TORCHVISION = "segtrain", "padded by 100", "fcn_resnet50"
REACHED = 0.95  # of the ratio of operations that the ratio of times shall reach
LAYERS = 0.85  # of a step that its layers alone shall take, on a GPU
WAIT = 0.02  # of the time of a run that it may wait for data
RATE = 1e-6  # learning rate: nothing shall diverge


@dataclass(frozen=True)
class Plan:
    """What is measured: where, how large, and how often."""

    device: torch.device
    crop: int
    batch: int
    width: float
    steps: int = 1  # of a run
    warm: int = 1  # steps before the first

    @property
    def cuda(self) -> bool:
        """Whether the device is a CUDA GPU."""
        return self.device.type == "cuda"

    def sync(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Subject:
    """A form of training: one step of it, and the floating-point operations of that step."""

    step: Callable[[], None]
    flops: int


@dataclass(frozen=True)
class Step:
    """What was found of one subject's step: medians, and ratios to segtrain's.

    Attributes:
        seconds: Wall time.
        low: The shortest.
        high: The longest.
        cpu: CPU time, of all threads.
        flops: Floating-point operations.
        images: Per step.
    """

    seconds: float
    low: float
    high: float
    cpu: float
    flops: int
    images: int

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds


def flops_of(net: nn.Module, loss: Callable[[Any], Tensor], plan: Plan) -> int:
    """Floating-point operations of a step of a net, counted on shapes alone."""
    shapes = copy.deepcopy(net).to("meta")
    image = torch.empty(plan.batch, 3, plan.crop, plan.crop, device="meta")
    with FlopCounterMode(display=False) as counter:
        loss(shapes(image)).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def ours(plan: Plan) -> tuple[Subject, Learner]:
    """Segtrain's step, by the class that its runs use."""
    config = configuration(
        variant="8s", crop=plan.crop, batch=plan.batch, width=plan.width, dropout=0.5
    )
    learner = learner_of(config, plan.device)
    batch = random_batch(plan.batch, plan.crop, void=False)
    there = batch._replace(image=batch.image.to(plan.device), target=batch.target.to(plan.device))

    def step() -> None:
        learnt = learner.gradients(there)
        learnt.early_figures()  # as a run does before each update
        learner.update(RATE)

    flops = flops_of(Heads(learner.predictor.model), lambda found: found[0].sum(), plan)
    return Subject(step, flops), learner


def plain(net: nn.Module, loss: Callable[[Any, Tensor], Tensor], plan: Plan) -> Subject:
    """A net in the loop of its examples."""
    flops = flops_of(net, lambda found: sum_of(found).sum(), plan)
    net = net.to(plan.device).train()
    batch = random_batch(plan.batch, plan.crop, void=False)
    image = Preprocessing().normalise(batch.image.to(plan.device)).contiguous()
    if plan.cuda:
        net = net.to(memory_format=torch.channels_last)
        image = image.contiguous(memory_format=torch.channels_last)
    target = batch.target.to(plan.device).long()
    weights = [p for n, p in net.named_parameters() if not n.endswith("bias")]
    biases = [p for n, p in net.named_parameters() if n.endswith("bias")]
    groups = [{"params": weights, "weight_decay": 5e-4}, {"params": biases, "lr": 2 * RATE}]
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=0.9)

    def step() -> None:
        with autocast(plan.device):
            found = net(image)
            value = loss(found, target)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if value.item() != value.item():
            raise ArithmeticError("the loss is not a number")

    return Subject(step, flops)


def sum_of(found: Any) -> Tensor:  # noqa: ANN401 - logits, or those of several heads by name
    """The logits, or the sum of those of several heads."""
    total: Tensor = sum(found.values()) if isinstance(found, dict) else found
    return total


def cross_entropy(found: Tensor, target: Tensor) -> Tensor:
    """The mean over the labelled pixels."""
    return F.cross_entropy(found, target, ignore_index=255)


def with_auxiliary(found: Mapping[str, Tensor], target: Tensor) -> Tensor:
    """The same of both heads of torchvision's net, the auxiliary one by half."""
    return cross_entropy(found["out"], target) + 0.5 * cross_entropy(found["aux"], target)


def subjects(plan: Plan, names: Sequence[str]) -> tuple[dict[str, Subject], Learner]:
    """What takes turns, and segtrain's learner."""
    own, learner = ours(plan)
    found = {OURS: own}
    if PADDED in names:
        found[PADDED] = plain(PaddedFCN(CLASSES, plan.width), cross_entropy, plan)
    if TORCHVISION in names:
        from torchvision.models.segmentation import fcn_resnet50

        net = fcn_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)
        found[TORCHVISION] = plain(net, with_auxiliary, plan)
    return found, learner


def run_of(subject: Subject, plan: Plan) -> Run:
    """A run of some steps."""
    plan.sync()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(plan.steps):
        subject.step()
    plan.sync()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Run(wall, cpu, measuring.peak_memory(), plan.steps * plan.batch, {})


def compared(found: Mapping[str, Subject], plan: Plan, repeats: int) -> dict[str, Step]:
    """The steps of all subjects, in turns."""
    for subject in found.values():
        for _ in range(plan.warm):
            subject.step()
    turns = {name: partial(run_of, subject, plan) for name, subject in found.items()}
    runs = measuring.take_turns(turns, repeats)
    return {name: step_of(of, found[name].flops, plan) for name, of in runs.items()}


def step_of(runs: Sequence[Run], flops: int, plan: Plan) -> Step:
    """The medians of a subject's runs."""
    median = measuring.medians(runs)
    walls = [run.wall / plan.steps for run in runs]
    return Step(
        median.wall / plan.steps, min(walls), max(walls), median.cpu / plan.steps, flops, plan.batch
    )


def table(steps: Mapping[str, Step]) -> list[str]:
    """Times, operations and their ratios."""
    base = steps[OURS]
    head = f"{'step':14} {'s (min to max)':24} {'CPU s':>8} {'images/s':>9} {'GFLOP':>9}"
    lines = [f"{head} {'TFLOP/s':>8}   time   CPU  FLOPs  time/FLOPs  CPU/FLOPs"]
    for name, of in steps.items():
        span = f"{of.seconds:.3f} ({of.low:.3f} to {of.high:.3f})"
        more, wall, cpu = of.flops / base.flops, of.seconds / base.seconds, of.cpu / base.cpu
        lines.append(
            f"{name:14} {span:24} {of.cpu:8.3f} {of.rate:9.2f} {of.flops / 1e9:9.1f} "
            f"{of.flops / of.seconds / TERA:8.3f}  {wall:5.2f} {cpu:5.2f}  {more:5.2f}"
            f"  {wall / more:10.2f} {cpu / more:10.2f}"
        )
    if PADDED in steps:
        other = steps[PADDED]
        more = other.flops / base.flops
        shares = [other.seconds / base.seconds / more, other.cpu / base.cpu / more]
        verdict = ["reached" if share >= REACHED else "missed" for share in shares]
        lines.append(
            f"{REACHED} of the ratio of operations over the padded form: {verdict[0]} by the "
            f"clock, {verdict[1]} by CPU time"
        )
    return lines


def utilisation(step: Step, learner: Learner, plan: Plan) -> str:
    """What share of the device's peak a step reaches: six operations a multiply-accumulate."""
    flops = 6 * count_macs(learner.predictor.model, plan.crop, plan.crop) * step.rate
    peak = device_peak(plan.device, numbers(plan.device))
    share = f", {100 * flops / peak:.1f} % of its peak" if peak else ""
    return f"6 * MAC * images/s: {flops / TERA:.3f} TFLOP/s{share}"


@dataclass(frozen=True)
class Seen:
    """A layer with what it was given."""

    layer: nn.Module
    shape: tuple[int, ...]
    dtype: torch.dtype
    learns: bool  # whether what lies below it wants a gradient


def layers_of(learner: Learner, plan: Plan) -> list[Seen]:
    """The layers of the net, as one step passes through them."""
    found: list[Seen] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        x = inputs[0]
        found.append(Seen(module, tuple(x.shape), x.dtype, x.requires_grad))

    model = learner.predictor.model
    leaves = [m for m in model.modules() if isinstance(m, Upsample) or not list(m.children())]
    hooks = [m.register_forward_hook(note) for m in leaves]
    learner.gradients(random_batch(plan.batch, plan.crop, void=False))
    for hook in hooks:
        hook.remove()
    return found


def seconds_alone(seen: Seen, layout: torch.memory_format, plan: Plan, repeats: int) -> float:
    """The shortest time of a layer's passes, forward and backward, alone."""
    layer = copy.deepcopy(seen.layer)
    if hasattr(layer, "inplace"):
        layer.inplace = False  # a leaf that wants a gradient cannot be overwritten
    if not isinstance(layer, Upsample):
        layer = layer.to(memory_format=layout)
    x = torch.randn(seen.shape, device=plan.device).to(seen.dtype)
    x = x.contiguous(memory_format=layout).requires_grad_(seen.learns)
    with autocast(plan.device), torch.no_grad():
        back = torch.ones_like(layer(x))
    wants = [p for p in (x, *layer.parameters()) if p.requires_grad]

    def passes() -> None:
        with autocast(plan.device):
            y = layer(x)
        if wants:
            torch.autograd.grad(y, wants, back)

    times = []
    for _ in range(plan.warm + repeats):
        plan.sync()
        began = time.perf_counter()
        for _ in range(plan.steps):
            passes()
        plan.sync()
        times.append((time.perf_counter() - began) / plan.steps)
    return min(times)


def sum_alone(learner: Learner, plan: Plan, repeats: int) -> tuple[float, list[str]]:
    """The sum of the layers' best times alone, and the layers that take most of it, in words."""
    best: dict[tuple[object, ...], float] = {}
    by_name: dict[str, float] = {}
    names = {module: name for name, module in learner.predictor.model.named_modules()}
    for seen in layers_of(learner, plan):
        kind = (repr(seen.layer), *seen.shape, seen.learns)
        if kind not in best:
            layouts = (torch.channels_last, torch.contiguous_format)
            best[kind] = min(seconds_alone(seen, one, plan, repeats) for one in layouts)
        by_name[names[seen.layer]] = best[kind]
    largest = sorted(by_name, key=lambda name: -by_name[name])[:4]
    return sum(by_name.values()), [f"{name} {by_name[name]:.3f} s" for name in largest]


def alone(learner: Learner, step: Step, plan: Plan, repeats: int) -> str:
    """The layers alone against the step, in a line."""
    total, largest = sum_alone(learner, plan, repeats)
    aim = f" ({LAYERS} wanted)" if plan.cuda else ""
    return (
        f"layers alone, each in its best layout: {total:.3f} s, {total / step.seconds:.2f} of a "
        f"step{aim}; most of it {', '.join(largest)}"
    )


def waits(given: argparse.Namespace, device: torch.device) -> Iterator[str]:
    """A short run on shards by the command: what share of its time it waited for data."""
    with tempfile.TemporaryDirectory() as folder:
        words = {
            "shards": given.shards, "out": Path(folder) / "run", "steps": given.run_steps,
            "log-every": max(1, given.run_steps // 4), "val-every": 0, "crop": given.run_crop,
            "batch": given.run_batch, "width": given.run_width, "workers": given.workers,
            "device": device.type, "weights": "none", "norm": "group",
        }  # fmt: skip
        options = [text for name, value in words.items() for text in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "segtrain", "run", *options, "--no-live"]
        threads = {"OMP_NUM_THREADS": str(given.threads)}
        measuring.measure(command, environment=threads)
        text = (Path(folder) / "run" / "log.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    shares = [100 * line["data_wait"] for line in lines]
    rest = statistics.median(shares[1:] or shares)
    yield (
        f"{'waits for data':14} {rest:.1f} % of the time, {shares[0]:.1f} % in the first quarter "
        f"with the workers' start; {lines[-1]['images_per_second']:.1f} images/s, width "
        f"{given.run_width:g}, {given.run_crop} px, batch {given.run_batch}, {given.workers} "
        f"workers"
    )
    yield f"at most {100 * WAIT:.0f} % waiting: {'reached' if rest <= 100 * WAIT else 'missed'}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--crop", type=int, default=320)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=float, default=1.0, help="of both forms of FCN-8s")
    parser.add_argument("--steps", type=int, default=1, help="of a turn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", nargs="*", default=[PADDED, TORCHVISION],
                        choices=[PADDED, TORCHVISION])  # fmt: skip
    parser.add_argument("--shards", type=Path, help="measure the waiting of a run on these")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--run-steps", type=int, default=24)
    parser.add_argument("--run-width", type=float, default=0.25)
    parser.add_argument("--run-crop", type=int, default=320)
    parser.add_argument("--run-batch", type=int, default=4)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    given = arguments()
    torch.set_num_threads(given.threads)
    device = choose_device(given.device)
    plan = Plan(device, given.crop, given.batch, given.width, given.steps)
    print(measuring.header("torch", "torchvision"))
    print(f"{describe(device)}; {plan.crop} px, batch {plan.batch}, width {plan.width:g}, median "
          f"of {given.repeats} turns of {plan.steps} steps")  # fmt: skip
    found, learner = subjects(plan, given.peers)
    steps = compared(found, plan, given.repeats)
    print(*table(steps), utilisation(steps[OURS], learner, plan), sep="\n", flush=True)
    print(alone(learner, steps[OURS], plan, given.repeats), flush=True)
    del found, learner
    if given.shards:
        print(*waits(given, device), sep="\n")


if __name__ == "__main__":
    main()
