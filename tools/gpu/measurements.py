"""How fast: steps on data that lie on the device, steps fed by the loader, and a run."""

import json
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import evaluation
import measuring
import torch
import train_step

from gpu.bench import (
    CLASSES,
    Check,
    Failed,
    Plan,
    Skipped,
    configuration,
    free,
    learner_of,
    random_batch,
)
from gpu.shards import training_shards
from segtrain.batches import Batch
from segtrain.capacity import fits, with_batch
from segtrain.config import TrainConfig
from segtrain.devices import numbers
from segtrain.learning import Learner
from segtrain.models.counts import count_training_macs
from segtrain.ranks import Ranks
from segtrain.session import start
from segtrain.shards import open_shards
from segtrain.throughput import TERA, device_peak, peak_memory

Rows = list[dict[str, Any]]
WARM = 3  # steps before the clock starts; cuDNN tries its ways in the first
LEAST = 5  # steps that are timed at least
SECONDS = 1.0  # of timed steps


def timed(plan: Plan, learner: Learner, batch: Batch) -> float:
    """Seconds of a training step on a batch that lies on the device."""
    there = Batch(batch.image.to(plan.device), batch.target.to(plan.device), batch.keys)

    def step() -> None:
        learner.gradients(there)
        learner.update(1e-6)

    for _ in range(1 if plan.quick else WARM):
        step()
    plan.sync()
    began, taken = time.perf_counter(), 0
    least, seconds = (1, 0.0) if plan.quick else (LEAST, SECONDS)
    while taken < least or time.perf_counter() - began < seconds:
        step()
        taken += 1
        plan.sync()  # a few microseconds of a step of many milliseconds
    return (time.perf_counter() - began) / taken


def measure(plan: Plan, config: TrainConfig, *, channels_last: bool = True) -> dict[str, Any]:
    """Images per second, FLOP/s, MFU and memory of a configuration's steps."""
    row: dict[str, Any] = {
        "variant": config.variant if config.model == "fcn" else config.model,
        "px": config.crop,
        "batch": config.batch,
        "layout": "channels_last" if channels_last else "contiguous",
        "compiled": "yes" if config.compile else "no",
    }
    free(plan)
    try:
        learner = learner_of(config, plan.device)
        batch = random_batch(config.batch, config.crop)
        if not channels_last:
            learner.predictor.model.to(memory_format=torch.contiguous_format)
            batch = batch._replace(image=batch.image.contiguous())
        seconds = timed(plan, learner, batch)
    except torch.OutOfMemoryError:
        return row | {"images/s": None, "TFLOP/s": None, "MFU %": None, "GiB": None}
    flops = 2 * count_training_macs(learner.predictor.model, config.crop, config.crop)
    rate = config.batch / seconds
    peak = device_peak(plan.device, numbers(plan.device, config.precision))
    memory = peak_memory(plan.device)
    return row | {
        "images/s": round(rate, 1),
        "TFLOP/s": round(flops * rate / TERA, 2),
        "MFU %": round(100 * flops * rate / peak, 1) if peak else None,
        "GiB": round(memory / 2**30, 2) if memory else None,
    }


def best(rows: Rows) -> str:
    """The fastest row in a line."""
    measured = [row for row in rows if row.get("images/s")]
    if not measured:
        raise Failed("nothing could be measured")
    row = max(measured, key=lambda found: found["TFLOP/s"])
    share = f", MFU {row['MFU %']} %" if row["MFU %"] is not None else ""
    return (
        f"most: {row['variant']} at {row['px']} px, batch {row['batch']}: {row['images/s']} "
        f"images/s, {row['TFLOP/s']} TFLOP/s{share}"
    )


def nets(plan: Plan, sizes: Iterable[int], batches: Iterable[int], **options: object) -> Any:  # noqa: ANN401
    """The configurations of a table."""
    variants = ("8s",) if plan.quick else ("8s", "16s", "32s")
    for variant in variants:
        for size in sizes:
            for batch in batches:
                yield configuration(
                    variant=variant, crop=size, batch=batch, width=plan.width, dropout=0.5,
                    **options,
                )  # fmt: skip


def throughput(plan: Plan, rows: Rows) -> str:
    """Steps of each variant, size and batch."""
    sizes, counts = ((32,), (1, 2)) if plan.quick else ((320, 480, 512), (8, 16, 32, 64))
    for config in nets(plan, sizes, counts):
        rows.append(measure(plan, config))
    return best(rows)


def layouts(plan: Plan, rows: Rows) -> str:
    """channels_last against contiguous."""
    sizes, counts = ((32,), (2,)) if plan.quick else ((320, 480), (16, 32))
    gains = []
    for config in nets(plan, sizes, counts):
        if config.variant == "16s":
            continue
        pair = [measure(plan, config, channels_last=last) for last in (True, False)]
        rows.extend(pair)
        if all(row["images/s"] for row in pair):
            gains.append(pair[0]["images/s"] / pair[1]["images/s"] - 1)
    return f"channels_last gains {100 * min(gains):.0f} to {100 * max(gains):.0f} %"


def norms(plan: Plan, rows: Rows) -> str:
    """What norms and float32 cost."""
    side, count = (32, 2) if plan.quick else (480, 16)
    for norm, precision in (("none", "auto"), ("batch", "auto"), ("group", "auto"),
                            ("none", "fp32")):  # fmt: skip
        config = configuration(
            variant="8s", crop=side, batch=count, width=plan.width, norm=norm, precision=precision
        )
        rows.append({"norm": norm, "precision": precision} | measure(plan, config))
    return best(rows)


def dense(plan: Plan, rows: Rows) -> str:
    """FC-DenseNet103 in bfloat16 with and without --checkpointing: time and memory of a step."""
    cases = ((32, 2),) if plan.quick else ((224, 3), (224, 16), (480, 4))
    found = []
    for side, count in cases:
        pair = []
        for again in (False, True):
            config = configuration(
                model="fc_densenet103", crop=side, batch=count, width=plan.width, dropout=0.2,
                precision="bf16", checkpointing=again,
            )  # fmt: skip
            pair.append({"checkpointing": "yes" if again else "no"} | measure(plan, config))
        rows.extend(pair)
        without, kept = (f"{row['GiB']} GiB" if row["images/s"] else "too much" for row in pair)
        found.append(f"{count} of {side} px: {without}, with it {kept}")
    if not any(row["images/s"] for row in rows):
        raise Failed("nothing could be measured")
    if not plan.cuda:
        return "steps with and without --checkpointing; memory is measured on a GPU only"
    return "; ".join(found)


def compiling(plan: Plan, rows: Rows) -> str:
    """Compiled against plain steps, and how long compiling takes."""
    if not plan.cuda:
        raise Skipped("compiled code is measured on a GPU only")
    gains = []
    for size in (480, 320, 512):
        config = configuration(variant="8s", crop=size, batch=32, width=plan.width, dropout=0.5)
        plain = measure(plan, config)
        began = time.perf_counter()
        made = measure(plan, replace(config, compile=True))
        rows.extend([plain, made | {"s in all": round(time.perf_counter() - began, 1)}])
        if plain["images/s"] and made["images/s"]:
            gains.append(f"{size} px {100 * (made['images/s'] / plain['images/s'] - 1):+.0f} %")
    return f"compiled against plain: {', '.join(gains)}"


def capacity(plan: Plan, rows: Rows) -> str:
    """`--batch auto`: what it finds, and that steps of that size do fit."""
    if not plan.cuda:
        told: list[str] = []
        config = configuration(width=plan.width, crop=64, batch=0)
        rows.append({"px": 64, "batch": with_batch(config, CLASSES, Ranks(), told.append).batch})
        return told[0]
    for size in (320, 480):
        config = configuration(variant="8s", crop=size, batch=0, dropout=0.5)
        began = time.perf_counter()
        found = with_batch(config, CLASSES, Ranks(), print)
        seconds = time.perf_counter() - began
        row = measure(plan, found)
        if row["images/s"] is None:
            raise Failed(f"{found.batch} images of {size} px were found to fit, and do not")
        double = fits(config, CLASSES, plan.device, 2 * found.batch)
        if double:
            raise Failed(f"twice {found.batch} images of {size} px would have fitted as well")
        rows.append(row | {"s to find": round(seconds, 1)})
    return ", ".join(f"{row['batch']} images of {row['px']} px" for row in rows)


def logged(plan: Plan, name: str, rows: Rows, **options: object) -> list[dict[str, Any]]:
    """Train a run and give the lines of its log; its last lines become rows."""
    out = plan.scratch / name
    given: dict[str, Any] = {
        "shards": (str(training_shards(plan)),), "out": out, "width": plan.width,
        "device": plan.device.type, "live": False, "weights": "none",
    }  # fmt: skip
    start(given | options)
    lines = [json.loads(text) for text in (out / "log.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        rows.append(
            {
                "step": line["step"],
                "loss": round(line["loss"], 4),
                "images/s": line["images_per_second"],
                "data wait %": round(100 * line["data_wait"], 1),
                "MFU %": None if line["mfu"] is None else round(100 * line["mfu"], 1),
                "GiB": round((line["peak_memory"] or 0) / 2**30, 2),
            }
        )
    return lines


def end_to_end(plan: Plan, rows: Rows) -> str:
    """Decoding, cutting, copying and learning together: how long the GPU waits for data."""
    side, count, steps = (32, 2, 2) if plan.quick else (480, 32, 60)
    logged(plan, "end-to-end", rows, steps=steps, log_every=max(1, steps // 4), val_every=0,
           crop=side, batch=count, **({"workers": 0} if plan.quick else {}))  # fmt: skip
    alone = measure(
        plan, configuration(variant="8s", crop=side, batch=count, width=plan.width, norm="batch",
                            dropout=0.5)
    )  # fmt: skip
    last = rows[-1]
    return (
        f"{last['images/s']} images/s with the loader, {alone['images/s']} without; waits for "
        f"data {last['data wait %']} % of the time"
    )


def training(plan: Plan, rows: Rows) -> str:
    """A run with validation: the loss must fall."""
    side, count, steps = (32, 4, 6) if plan.quick else (320, 32, 150)
    lines = logged(plan, "training", rows, steps=steps, log_every=max(1, steps // 6),
                   val_every=steps, val_images=16, crop=side, batch=count, lr=0.02, norm="group",
                   pictures=0, **({"workers": 0, "threads": 1} if plan.quick else {}))  # fmt: skip
    if not plan.quick and not lines[-1]["loss"] < 0.9 * lines[0]["loss"]:
        raise Failed(f"the loss went from {lines[0]['loss']:.3f} to {lines[-1]['loss']:.3f}")
    scores = ", ".join(
        f"{name} {100 * val['mean_iou']:.1f} % (floor {100 * val['all_background_iou']:.1f})"
        for name, val in lines[-1]["final"].items()
    )
    return f"loss {lines[0]['loss']:.3f} to {lines[-1]['loss']:.3f}; mean IoU {scores}"


def other_forms(plan: Plan, rows: Rows) -> str:
    """Steps of FCN-8s against its padded form, torchvision's fcn_resnet50, and its layers alone."""
    side, count, repeats = (32, 2, 1) if plan.quick else (480, 16, 5)
    times = (1, 1) if plan.quick else (5, 3)  # steps of a turn, and before the first
    turns = train_step.Plan(plan.device, side, count, plan.width, *times)
    names = (train_step.PADDED, train_step.TORCHVISION)
    found, learner = train_step.subjects(turns, names)
    steps = train_step.compared(found, turns, repeats)
    ours = steps[train_step.OURS]
    waits = queue_waits(plan, found[train_step.OURS].step)
    for name, of in steps.items():
        rows.append(
            {
                "form": name,
                "px": side,
                "batch": count,
                "ms": round(1000 * of.seconds, 2),
                "images/s": round(of.rate, 1),
                "TFLOP/s": round(of.flops / of.seconds / TERA, 2),
                "time": round(of.seconds / ours.seconds, 3),
                "FLOPs": round(of.flops / ours.flops, 3),
            }
        )
    total, _ = train_step.sum_alone(learner, turns, 3)
    rows[0] |= {"layers alone / step": round(total / ours.seconds, 3), "waits": waits}
    padded = rows[1]
    return (
        f"the padded form takes {padded['time']:g} times as long for {padded['FLOPs']:g} times the "
        f"operations; layers alone {total / ours.seconds:.2f} of a step, which waits "
        f"{'an unknown number of' if waits is None else waits} times"
    )


def queue_waits(plan: Plan, step: Callable[[], None]) -> int | None:
    """How often a step waits for all of the GPU's queue, by torch's count; None on a CPU."""
    if not plan.cuda:
        return None
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in seen)


def judging(plan: Plan, rows: Rows) -> str:
    """Evaluation at the images' own size in batches against a loop of single images."""
    samples = open_shards(str(training_shards(plan))).sets("train")[0]
    count, batches, repeats = (6, [2], 1) if plan.quick else (min(256, len(samples)), [8, 16], 2)
    predictor = evaluation.predictor_of(plan.width, plan.device, len(samples.classes))
    try:
        runs, said = evaluation.measure(predictor, samples, count, batches, repeats)
    except SystemExit as error:
        raise Failed(str(error)) from error
    for name, of in runs.items():
        median = measuring.medians(of)
        rows.append({"how": name, "images": count, "images/s": round(count / median.wall, 1)})
    return f"{evaluation.verdict(runs)}; {said[-1]}"


CHECKS = [
    Check("throughput", "measurement", 150, throughput),
    Check("end to end", "measurement", 60, end_to_end),
    Check("--batch auto", "measurement", 50, capacity),
    Check("a training run", "measurement", 70, training),
    Check("against other forms", "measurement", 40, other_forms),
    Check("evaluation in batches", "measurement", 40, judging),
    Check("channels_last", "measurement", 40, layouts),
    Check("norms and float32", "measurement", 30, norms),
    Check("FC-DenseNet103 and --checkpointing", "measurement", 40, dense),
    Check("compiled steps", "measurement", 150, compiling),
]
