"""One examination: what the rules ask for is measured once, on copies, with real batches."""

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from segtrain.batches import Batch, BatchDataset
from segtrain.devices import rng_state, set_rng_state
from segtrain.doctor.patient import Patient
from segtrain.errors import ShardsError
from segtrain.learning import Learner
from segtrain.manifests import IGNORE_INDEX

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

T = TypeVar("T")
Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


def in_silence(words: str, done: int, total: int) -> None:
    """Shows no progress."""


@dataclass(frozen=True)
class Plan:
    """How much is done; less is quicker and finds less.

    Attributes:
        batches: Different global batches that are looked at.
        steps: Steps in which the copy is watched, at least.
        overfit: Steps in which a copy learns a few images by heart, at most.
        rate_steps: Steps at each learning rate that is tried.
    """

    batches: int = 8
    steps: int = 40
    overfit: int = 150
    rate_steps: int = 12


@dataclass
class Examination:
    """An examination of one patient.

    Attributes:
        patient: Who is examined.
        progress: Told what is going on.
        plan: How much is done.
        measured: Results of the probes that have been made, by probe.
    """

    patient: Patient
    progress: Progress = in_silence
    plan: Plan = field(default_factory=Plan)
    measured: dict[Callable[..., object], object] = field(default_factory=dict)

    def once(self, probe: Callable[["Examination"], T]) -> T:
        """The result of a probe, which is made at the first call.

        Each begins with the random numbers of the run's seed, whatever was made before it.
        """
        if probe not in self.measured:
            with undisturbed(self.device):
                torch.manual_seed(self.patient.config.seed)
                self.measured[probe] = probe(self)
        return cast("T", self.measured[probe])

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.patient.predictor.device

    @functools.cached_property
    def batches(self) -> list[Batch]:
        """The first global batches of the run that hold a valid pixel, on the CPU.

        Raises:
            SampleError: If a sample cannot be read.
            ShardsError: If no batch has a valid pixel.
        """
        wanted = self.plan.batches
        tried = 4 * wanted
        make = global_batches(self.patient, tried)
        found: list[Batch] = []
        for k in range(tried):
            self.progress("reading batches", len(found), wanted)
            batch = make(k)
            if bool((batch.target != IGNORE_INDEX).any()):
                found.append(batch)
            if len(found) == wanted:
                break
        if not found:
            where = ", ".join(self.patient.config.shards)
            raise ShardsError(
                f"{where}: the first {tried} batches hold no labelled pixel at all, all is 255; "
                "look at the masks with `segdata show`"
            )
        return found

    def batch(self, step: int) -> Batch:
        """The batch of a step (0 is the first); after the last one the first comes again."""
        return self.batches[step % len(self.batches)]

    def learner(self) -> Learner:
        """A copy of the patient's net with a new optimiser, to train and throw away."""
        model = copy.deepcopy(self.patient.predictor.model).train()
        predictor = replace(self.patient.predictor, model=model)
        return self.patient.make_learner(self.patient.config, predictor, self.patient.data)

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the net sees, float32 `(N, 3, H, W)`, and the targets, uint8 `(N, H, W)`."""
        image = self.patient.predictor.preprocessing.normalise(batch.image.to(self.device))
        return image, batch.target.to(self.device)


def global_batches(patient: Patient, count: int) -> Callable[[int], Batch]:
    """What makes the first batches of the patient's run, by number, in order."""
    data, config = patient.data, patient.config
    if data.streams is not None:
        stream = data.streams.batches(config, data.augmentation, 0, count)
        return lambda _: next(stream)
    return BatchDataset(data.train, data.order, data.augmentation, config.batch).make


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Whatever draws torch's random numbers here, they are put back afterwards."""
    saved = rng_state(device)
    try:
        yield
    finally:
        set_rng_state(saved, device)


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """The net as it trains, but with nothing random and nothing that it remembers.

    Norms use the statistics of the batch and leave the running ones alone; dropout is off.
    """
    modes = {module: module.training for module in model.modules()}
    norms = [m for m in model.modules() if isinstance(m, BATCH_NORMS)]
    running = [m.track_running_stats for m in norms]
    model.train()
    for module in model.modules():
        if isinstance(module, DROPOUTS):
            module.eval()
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracks in zip(norms, running, strict=True):
            norm.track_running_stats = tracks
        for module, training in modes.items():
            module.training = training


@contextmanager
def as_judged(exam: Examination, model: nn.Module) -> Iterator[None]:
    """The net as it is judged: a trained one in evaluation mode, a new one `still`.

    After a few steps the running statistics of norms are still those of the start.
    """
    if not exam.patient.trained:
        with still(model):
            yield
        return
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
