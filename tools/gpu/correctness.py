"""Does the device compute what the CPU computes? Each check fails beyond a stated tolerance."""

import copy
import json
import shutil
import socket
from itertools import product
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gpu.bench import (
    Check,
    Failed,
    Plan,
    Skipped,
    configuration,
    demand,
    gradient_of,
    learner_of,
    random_batch,
    relative,
)
from gpu.shards import training_shards
from segtrain.batches import BatchDataset, batches
from segtrain.devices import autocast, moved
from segtrain.models.net import Heads
from segtrain.optimizer import restore_optimizer
from segtrain.sampler import Order
from segtrain.session import resume, start
from segtrain.shards import open_shards
from segtrain.transforms import Augmentation

Rows = list[dict[str, Any]]
CPU = torch.device("cpu")


def float32(plan: Plan, rows: Rows) -> str:
    """Loss, logits and gradient in float32 against the CPU, for each variant and norm."""
    norms = ("group",) if plan.quick else ("none", "batch", "group")
    variants = ("32s", "8s") if plan.quick else ("32s", "16s", "8s")
    width = 0.06 if plan.quick else 0.25
    for variant, norm in product(variants, norms):
        config = configuration(variant=variant, norm=norm, width=width, crop=96, precision="fp32")
        batch = random_batch(4, 96)
        ours, theirs = (learner_of(config, device) for device in (plan.device, CPU))
        logits = []
        for learner in (ours, theirs):
            image = learner.predictor.preprocessing.normalise(batch.image.to(learner.device))
            with torch.no_grad(), autocast(learner.device, "fp32"):
                logits.append(learner.predictor.model(image))
        losses = [float(x.gradients(batch).loss) for x in (ours, theirs)]
        rows.append(
            {
                "variant": variant,
                "norm": norm,
                "logits": relative(*logits),
                "loss": abs(losses[0] - losses[1]) / losses[1],
                "gradient": relative(gradient_of(ours), gradient_of(theirs)),
            }
        )
    return "; ".join([demand(rows, "logits", 1e-4), demand(rows, "loss", 1e-5),
                      demand(rows, "gradient", 2e-3)])  # fmt: skip


def bfloat16(plan: Plan, rows: Rows) -> str:
    """Loss and gradient in bfloat16 against float32 on the same device."""
    width = 0.06 if plan.quick else 0.25
    variants = ("8s",) if plan.quick else ("32s", "8s")
    for variant, norm in product(variants, ("none", "group")):
        found = []
        for precision in ("bf16", "fp32"):
            config = configuration(
                variant=variant, norm=norm, width=width, crop=96, precision=precision
            )
            learner = learner_of(config, plan.device)
            loss = float(learner.gradients(random_batch(4, 96)).loss)
            found.append((loss, gradient_of(learner)))
        (loss, ours), (expected, theirs) = found
        rows.append(
            {
                "variant": variant,
                "norm": norm,
                "loss": abs(loss - expected) / expected,
                "angle": 1 - float(ours @ theirs / (ours.norm() * theirs.norm())),
            }
        )
    return "; ".join([demand(rows, "loss", 0.03), demand(rows, "angle", 0.1)])


def parts(plan: Plan, rows: Rows) -> str:
    """A batch in parts against the same batch at once."""
    batch = random_batch(5, 64)
    for count in (3,) if plan.quick else (2, 3):
        found = []
        for accumulate in (1, count):
            config = configuration(
                norm="group", width=0.06, crop=64, batch=5, accumulate=accumulate, precision="fp32"
            )
            learner = learner_of(config, plan.device)
            learner.gradients(batch)
            found.append(gradient_of(learner))
        rows.append({"parts": count, "gradient": relative(found[1], found[0])})
    return demand(rows, "gradient", 1e-4)


def optimisers(plan: Plan, rows: Rows) -> str:
    """Steps of the optimiser (fused on a GPU) from equal gradients, against the CPU's."""
    for name in ("sgd", "adamw"):
        config = configuration(width=0.06, crop=32, optimizer=name, lr=0.01, precision="fp32")
        ours, theirs = (learner_of(config, device) for device in (plan.device, CPU))
        pairs = list(zip(ours.predictor.model.parameters(), theirs.predictor.model.parameters(),
                         strict=True))  # fmt: skip
        for step in range(4):
            torch.manual_seed(step)
            for a, b in pairs:
                b.grad = torch.randn_like(b)
                a.grad = b.grad.to(a.device)
            for learner in (ours, theirs):
                learner.update(0.01)
            if step == 1:  # a state goes from one device to the other and back
                restore_optimizer(ours.optimizer, copy.deepcopy(theirs.optimizer.state_dict()))
        ways = {group.get("fused") for group in ours.optimizer.param_groups}
        if plan.cuda and ways != {True}:
            raise Failed(f"{name} is not fused: {ways}")
        worst = max(relative(a, b) for a, b in pairs)
        rows.append({"optimiser": name, "fused": str(ways == {True}), "weights": worst})
    return demand(rows, "weights", 1e-5)


def copies(plan: Plan, rows: Rows) -> str:
    """Batches from workers through pinned memory and the copying stream, byte for byte."""
    samples = open_shards((str(training_shards(plan)),)).train_set()
    data = BatchDataset(samples, Order(samples.shard_sizes, 0), Augmentation(64), 4)
    count = 3 if plan.quick else 40
    workers = 0 if plan.quick else 2
    busy = torch.randn(512, 512, device=plan.device)
    for k, batch in enumerate(batches(data, 0, count, workers, pin=plan.cuda)):
        if plan.cuda and not batch.image.is_pinned():
            raise Failed("batches are not in pinned memory")
        for _ in range(20):
            busy = busy @ busy / 512  # work that the copy has to wait beside
        image, target = moved(batch.image, plan.device), moved(batch.target, plan.device)
        expected = data.make(k)
        for ours, theirs in ((image, expected.image), (target, expected.target)):
            if not torch.equal(ours.cpu(), theirs):
                raise Failed(f"batch {k} is another one on the device")
    rows.append({"batches": count, "workers": workers})
    return f"{count} batches equal byte for byte"


def compiled(plan: Plan, rows: Rows) -> str:
    """A compiled step against the plain one; thin on a CPU, without code of its own."""
    batch, found = random_batch(2, 64), []
    plain = torch.compile
    try:
        if not plan.cuda:
            torch.compile = lambda net, **options: plain(net, backend="eager", **options)  # type: ignore[assignment]
        for wanted in (False, True):
            config = configuration(
                width=0.06, norm="group", crop=64, batch=2, compile=wanted, precision="fp32"
            )
            learner = learner_of(config, plan.device)
            learner.gradients(batch)
            found.append(gradient_of(learner))
    finally:
        torch.compile = plain
    rows.append({"norm": "group", "gradient": relative(found[1], found[0])})
    return demand(rows, "gradient", 1e-3)


def recomputed(plan: Plan, rows: Rows) -> str:
    """--checkpointing against keeping everything: gradient, statistics and counts of batch norms.

    Dropout is on: masks that were drawn anew on the way back would show in the gradient.
    """
    width, side = (0.06, 32) if plan.quick else (0.5, 128)
    batch = random_batch(2, side)
    for precision in ("fp32", "bf16"):
        gradients, statistics, counts = [], [], []
        for again in (False, True):
            config = configuration(
                model="fc_densenet103", width=width, crop=side, batch=2, dropout=0.2,
                precision=precision, checkpointing=again,
            )  # fmt: skip
            learner = learner_of(config, plan.device)
            torch.manual_seed(11)
            learner.gradients(batch)
            gradients.append(gradient_of(learner))
            held = dict(learner.predictor.model.named_buffers())
            moments = [value for name, value in held.items() if "running" in name]
            statistics.append(torch.cat([value.double().cpu().ravel() for value in moments]))
            counts.append({int(v) for n, v in held.items() if n.endswith("num_batches_tracked")})
        if counts != [{1}, {1}]:
            raise Failed(f"batch norms counted {counts} batches without and with it, not one")
        rows.append(
            {
                "precision": precision,
                "statistics": relative(*reversed(statistics)),
                "angle": 1 - float(torch.cosine_similarity(*gradients, dim=0)),
            }
        )
    # a CPU repeats itself but for the rounding of the angle; a GPU may sum in another order
    limits = (1e-2, 1e-2) if plan.cuda else (0.0, 1e-12)
    pairs = zip(("statistics", "angle"), limits, strict=True)
    return "; ".join(demand(rows, figure, limit) for figure, limit in pairs)


def resumed(plan: Plan, rows: Rows) -> str:
    """A run gone on from its middle against the run that was never stopped."""
    whole, part = plan.scratch / "whole", plan.scratch / "part"
    start({"shards": (str(training_shards(plan)),), "out": whole, "steps": 8, "keep_every": 4,
           "log_every": 1, "val_every": 0, "batch": 4, "crop": 64, "norm": "group", "lr": 0.01,
           "width": 0.06 if plan.quick else 0.25, "workers": 0, "device": plan.device.type,
           "precision": "fp32", "live": False, "recipe": "modern"})  # fmt: skip
    part.mkdir()
    for name, source in (("config.json", "config.json"), ("last.pt", "step-000004.pt"),
                         ("log.jsonl", "log.jsonl")):  # fmt: skip
        shutil.copyfile(whole / source, part / name)
    resume({"out": part})
    logs = [[json.loads(t) for t in (run / "log.jsonl").read_text().splitlines()]
            for run in (part, whole)]  # fmt: skip
    for ours, theirs in zip(*logs, strict=True):
        error = abs(ours["loss"] - theirs["loss"]) / theirs["loss"]
        rows.append({"step": ours["step"], "loss": ours["loss"], "difference": error})
    return demand(rows, "difference", 0.0 if plan.device.type == "cpu" else 1e-3)


def synchronised(plan: Plan, rows: Rows) -> str:
    """SyncBatchNorm and shared gradients of one rank against the plain net."""
    if not plan.cuda:
        raise Skipped("SyncBatchNorm needs a GPU")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    batch, found = random_batch(4, 64), []
    config = configuration(norm="batch", width=0.25, crop=64, precision="fp32")
    dist.init_process_group("cpu:gloo,cuda:nccl", init_method=address, rank=0, world_size=1)
    try:
        for shared in (False, True):
            learner = learner_of(config, plan.device)
            if shared:
                nn.SyncBatchNorm.convert_sync_batchnorm(learner.predictor.model)
                learner.shared = DistributedDataParallel(
                    Heads(learner.predictor.model), gradient_as_bucket_view=True
                )
            learner.gradients(batch)
            found.append(gradient_of(learner))
    finally:
        dist.destroy_process_group()
    rows.append({"ranks": 1, "gradient": relative(found[1], found[0])})
    return demand(rows, "gradient", 2e-3)


CHECKS = [
    Check(name, "correctness", budget, work)
    for name, budget, work in (
        ("float32 against the CPU", 60, float32),
        ("bfloat16 against float32", 30, bfloat16),
        ("a batch in parts", 20, parts),
        ("--checkpointing", 30, recomputed),
        ("optimisers", 20, optimisers),
        ("copies to the device", 40, copies),
        ("SyncBatchNorm and shared gradients", 30, synchronised),
        ("resume", 60, resumed),
        ("compiled against plain", 90, compiled),
    )
]
