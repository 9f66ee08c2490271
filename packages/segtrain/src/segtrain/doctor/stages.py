"""How long each stage of the data takes, against a step of the net."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray

from segtrain.doctor.examination import Examination
from segtrain.ranks import Ranks, default_workers
from segtrain.sampler import Draw
from segtrain.samples import decode

IMAGES = 32  # that are timed
STEPS = 3  # of the net; the first warms up, the quickest of the others counts
STAGES = ("read", "decode", "transform", "copy")


@dataclass(frozen=True)
class Stages:
    """Seconds of one process.

    Attributes:
        read: Of an image and its mask, from the shard.
        decode: Of both, to pixels.
        transform: Scaling, cutting and flipping both.
        copy: To the device, and to the numbers that the net wants.
        step: Of one step of the net on a batch that lies in memory, copy included.
        batch: Images of a step.
        workers: Processes that make batches; 0 does it in the one that computes.
        cores: Of this machine.
        accelerator: Whether the net is computed elsewhere than on these cores.
        remote: Whether shards lie at a URL.
    """

    read: float
    decode: float
    transform: float
    copy: float
    step: float
    batch: int
    workers: int
    cores: int
    accelerator: bool
    remote: bool = False

    @property
    def make(self) -> float:
        """Of one image until it is ready to be copied."""
        return self.read + self.decode + self.transform

    @property
    def make_batch(self) -> float:
        """Seconds until the next batch is made, by all processes together."""
        return self.batch * self.make / max(1, min(self.workers, self.cores))

    @property
    def waiting(self) -> float:
        """Share of a run's time that the net waits for data, 0..1."""
        wait = self.make_batch if not self.workers else max(0.0, self.make_batch - self.step)
        return wait / (wait + self.step)

    @property
    def workers_needed(self) -> int:
        """Processes that make batches as fast as steps use them up."""
        share = self.batch * self.make / self.step
        return math.ceil(round(share, 9))  # a quotient a hair above 27 needs 27

    @property
    def slowest(self) -> str:
        """The stage of making an image that takes longest."""
        return max(STAGES[:-1], key=lambda stage: float(getattr(self, stage)))


@dataclass
class Clock:
    """Sums of seconds by stage."""

    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time spent within."""
        begin = time.perf_counter()
        yield
        self.spent[stage] += time.perf_counter() - begin


def stages(exam: Examination) -> Stages | None:
    """Time some images and steps; None where no image can be read.

    Raises:
        SampleError: If a shard cannot be read.
    """
    if exam.patient.data.streams is not None:
        return None
    clock, timed = Clock(), 0
    draws = fresh_draws(exam)
    for done, draw in enumerate(draws):
        exam.progress("timing the data", done, len(draws))
        timed += time_image(exam, draw, clock)
    if not timed:
        return None
    config, device = exam.patient.config, exam.device
    workers = config.workers
    return Stages(
        **{stage: seconds / timed for stage, seconds in clock.spent.items()},
        step=time_step(exam),
        batch=config.batch,
        workers=default_workers(device, Ranks()) if workers is None else workers,
        cores=os.cpu_count() or 1,
        accelerator=device.type != "cpu",
        remote=exam.patient.data.train.remote,
    )


def fresh_draws(exam: Examination) -> list[Draw]:
    """Samples that were not read yet, so that no cache has them; of a URL, those that are here."""
    data, size = exam.patient.data, exam.patient.config.batch
    first = 0 if data.train.remote else exam.plan.batches * size
    return [data.order.draw(first + position) for position in range(IMAGES)]


def time_image(exam: Examination, draw: Draw, clock: Clock) -> bool:
    """Take one sample through all stages; False where it cannot be decoded."""
    data, count = exam.patient.data, len(exam.patient.predictor.classes)
    with clock.time("read"):
        sample = data.train.read(draw.sample)
    try:
        with clock.time("decode"):
            decoded = decode(sample, count)
    except (OSError, ValueError, SyntaxError):
        return False  # ids-out-of-range tells of it
    with clock.time("transform"):
        pixels, _ = data.augmentation.cut(
            decoded.image, decoded.mask, data.order.seed, draw.epoch, draw.sample
        )
    with clock.time("copy"):
        copy(exam, pixels)
    return True


def copy(exam: Examination, pixels: NDArray[Any]) -> None:
    """Copy an image `(H, W, 3)` to the device, and wait for it."""
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(exam.device)
    settle(exam.patient.predictor.preprocessing.normalise(image))


def settle(tensor: torch.Tensor) -> None:
    """Wait until a tensor is there."""
    float(tensor.detach().flatten()[0])


def time_step(exam: Examination) -> float:
    """Seconds of a step that changes nothing, on a batch in memory."""
    learner, batch = exam.learner(), exam.batch(0)
    weights = next(learner.predictor.model.parameters())
    taken = []
    for done in range(STEPS):
        exam.progress("timing the net", done, STEPS)
        begin = time.perf_counter()
        learner.gradients(batch)
        learner.update(0.0)
        settle(weights)
        taken.append(time.perf_counter() - begin)
    return min(taken[1:])
