"""How fast a net is judged at the images' own size, against a plain loop of single images.

    .venv/bin/python tools/bench/evaluation.py --shards DIR [--images 24] [--batch 8] [--threads 1]

`segtrain eval` decodes ahead in threads and predicts batches of images of one padded size; the
loop decodes an image, predicts it, takes the prediction to the CPU and counts it there, then goes
on to the next. Both run the same net, FCN-8s with random weights, in the same numbers, by turns.
The confusion matrices must be equal; in bfloat16, whose sums depend on the kernel that cuDNN
chooses for a batch, predictions of a few pixels may differ, and their number is printed.

Printed are medians of images a second by the clock, of CPU time, and ratios to the loop. On a CPU a
batch saves next to nothing: the net takes all the time there is in either.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import torch
from measuring import Run
from numpy.typing import NDArray

sys.path.append(str(measuring.ROOT / "tools"))

from gpu.bench import CLASSES, configuration, learner_of

from segtrain.devices import autocast, choose_device, describe, numbers
from segtrain.evaluate import evaluate_set
from segtrain.manifests import IGNORE_INDEX
from segtrain.predictor import Predictor
from segtrain.samples import load
from segtrain.sampleset import SampleSet, join
from segtrain.shards import open_shards

LOOP = "batch-1 loop"
AIM = 3.0  # times the loop's rate, on a GPU
MOVED = 0.05  # share of pixels that a net of random weights may decide otherwise in bfloat16
Matrix = NDArray[np.int64]


def predictor_of(width: float, device: torch.device, classes: int = CLASSES) -> Predictor:
    """FCN-8s with random weights, none of them 0, ready to predict."""
    learner = learner_of(configuration(variant="8s", width=width), device)
    if classes > CLASSES:
        raise SystemExit(f"the shards have {classes} classes, the net {CLASSES}")
    return replace(learner.predictor, model=learner.predictor.model.eval())


def loop(predictor: Predictor, samples: SampleSet, count: int) -> Matrix:
    """The confusion matrix `(C, C)`, by one image after the other."""
    size = len(predictor.classes)
    total = np.zeros((size, size), np.int64)
    for number in range(count):
        _, image, mask = load(samples, number)
        pixels = torch.from_numpy(np.array(image)).to(predictor.device).permute(2, 0, 1)
        with torch.inference_mode(), autocast(predictor.device, predictor.precision):
            scores = predictor.model(predictor.preprocessing.normalise(pixels[None]))
        ids = scores[0].float().argmax(0).cpu().numpy()
        valid = mask != IGNORE_INDEX
        pairs = mask[valid].astype(np.int64) * size + ids[valid]
        total += np.bincount(pairs, minlength=size * size).reshape(size, size)
    return total


def batched(predictor: Predictor, samples: SampleSet, count: int, batch: int) -> Matrix:
    """The same by what `segtrain eval` calls."""
    found = evaluate_set(predictor, samples, range(count), lambda *_: None, batch)
    return found.confmat.numpy()


def run_of(work: Callable[[], Matrix], device: torch.device, count: int) -> Run:
    """One pass over the images, with its matrix."""
    wall, cpu = time.perf_counter(), time.process_time()
    matrix = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Run(wall, cpu, measuring.peak_memory(), count, {"matrix": matrix})


def difference(ours: Matrix, theirs: Matrix, *, exact: bool) -> str:
    """How many pixels were predicted as something else, in words.

    Raises:
        SystemExit: If that is more than rounding explains, or the targets differ.
    """
    moved = int(np.abs(ours - theirs).sum()) // 2
    allowed = 0 if exact else int(MOVED * theirs.sum())
    if moved > allowed or (ours.sum(1) != theirs.sum(1)).any():
        raise SystemExit(f"the confusion matrices differ by {moved:,} pixels")
    return f"of {int(theirs.sum()):,} pixels {moved:,} counted differently"


def measure(
    predictor: Predictor, samples: SampleSet, count: int, batches: list[int], repeats: int
) -> tuple[dict[str, list[Run]], list[str]]:
    """Runs of the loop and of each batch size by turns, and how their counts compare."""
    works: dict[str, Callable[[], Matrix]] = {LOOP: partial(loop, predictor, samples, count)}
    for batch in batches:
        works[f"--batch {batch}"] = partial(batched, predictor, samples, count, batch)
    device = predictor.device
    turns = {name: partial(run_of, work, device, count) for name, work in works.items()}
    runs = measuring.take_turns(turns, repeats, warm=True)
    exact = numbers(device, predictor.precision) == "fp32"
    theirs = runs[LOOP][0].more["matrix"]
    said = [
        f"{name}: {difference(of[0].more['matrix'], theirs, exact=exact)}"
        for name, of in runs.items()
        if name != LOOP
    ]
    return runs, said


def verdict(runs: dict[str, list[Run]]) -> str:
    """Whether the target of the GPU is reached."""
    rates = {name: run.count / run.wall for name, run in median_runs(runs).items()}
    best = max((name for name in rates if name != LOOP), key=lambda name: rates[name])
    ratio = rates[best] / rates[LOOP]
    return f"{best}: {ratio:.2f} times the loop ({AIM:g} wanted on a GPU)"


def median_runs(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """The medians of each subject's runs."""
    return {name: measuring.medians(of) for name, of in runs.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = choose_device(given.device)
    shards = open_shards(str(given.shards))
    samples = join(shards.sets(given.split))
    count = min(given.images, len(samples))
    print(measuring.header("torch", "pillow"))
    print(f"{describe(device)}; FCN-8s, width {given.width:g}, {count} images of {given.split} at "
          f"their stored size, median of {given.repeats} turns")  # fmt: skip
    predictor = predictor_of(given.width, device, len(shards.classes))
    runs, said = measure(predictor, samples, count, given.batch, given.repeats)
    print(measuring.rates(runs, LOOP), *said, verdict(runs), sep="\n")


if __name__ == "__main__":
    main()
