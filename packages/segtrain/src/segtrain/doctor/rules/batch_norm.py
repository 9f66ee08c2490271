"""Batch norms whose batches are too small, or whose running statistics do not fit."""

import copy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrain.doctor.examination import BATCH_NORMS, DROPOUTS, Examination, still
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.motion import motion
from segtrain.doctor.silencing import mean_loss

FEW, SOME = 4, 8  # images that share statistics: too few, and fewer than are good
VALUES = 16  # of a channel in one batch, at least, in the layer that has the fewest
GAP = 0.5  # nats, and share of the loss with batch statistics
LONG = 500  # steps after which running statistics must fit


@dataclass(frozen=True)
class Gap:
    """Losses of one net on the same batches, by the statistics that its norms use.

    Attributes:
        batch: Of the batch itself, as in training.
        running: The running ones, as they are.
        fresh: Running ones made anew from all batches.
    """

    batch: float
    running: float
    fresh: float


def examine(exam: Examination) -> Opinion:
    """Look at the size of the batches, then at what their statistics are worth in evaluation."""
    patient = exam.patient
    norms = [m for m in patient.model.modules() if isinstance(m, BATCH_NORMS) and m.training]
    if not norms:
        return Unexamined("the net has no batch norm that is trained")
    config = patient.config
    images = max(1, config.batch // config.accumulate)
    values = images * exam.once(cells)
    findings = small(images, values)
    if patient.trained or exam.once(motion).broke is None:
        findings += apart(exam, exam.once(gap))
    if findings:
        return findings
    found = exam.once(gap)
    return Healthy(
        f"{images} images and {values} values of the smallest map share statistics; loss "
        f"{found.batch:.3f} with a batch's own, {found.fresh:.3f} with those of all"
    )


@torch.no_grad()
def cells(exam: Examination) -> int:
    """Places of an image in the smallest map that a trained batch norm sees."""
    model = exam.patient.model
    found: list[int] = []

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        found.append(given[0][0, 0].numel())

    norms = [m for m in model.modules() if isinstance(m, BATCH_NORMS) and m.training]
    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    try:
        with still(model):
            for shape in {batch.image.shape for batch in exam.batches}:
                batch = next(b for b in exam.batches if b.image.shape == shape)
                model(exam.inputs(batch)[0])
    finally:
        for hook in hooks:
            hook.remove()
    return min(found)


def small(images: int, values: int) -> list[Finding]:
    """Batches that are too small to take statistics from."""
    if images >= SOME and values >= VALUES:
        return []
    bad = images < FEW or values < VALUES
    words = f"{images} images" if images < SOME else f"{values} values a channel"
    return [
        RULE.finding(
            "warning" if bad else "note",
            f"Batch norm takes its statistics from {words}: "
            f"{'that is noise' if bad else 'that is few'}, and evaluation, which has others, will "
            "be worse than training.",
            evidence=f"{images} images a pass, {values} values a channel in the layer "
            "with the fewest",
            cause="--batch, divided by --accumulate, is what the norm sees",
            images=images,
            values=values,
        )
    ]


def apart(exam: Examination, found: Gap) -> list[Finding]:
    """Statistics with which the net is another one."""
    saved = exam.patient.checkpoint
    limit = found.batch + max(GAP, GAP * found.batch)
    losses: dict[str, Any] = asdict(found)
    if saved and saved.step >= LONG and found.running > limit and found.fresh <= limit:
        return [
            RULE.finding(
                "warning",
                "The running statistics of the norms have drifted: evaluation sees another net.",
                evidence=f"loss {found.running:.3f} in evaluation, {found.fresh:.3f} with "
                f"statistics made anew, {found.batch:.3f} with those of each batch",
                **losses,
            )
        ]
    if found.fresh > limit:
        return [
            RULE.finding(
                "warning",
                "The net lives on the statistics of its own batch: in evaluation it will fail.",
                evidence=f"loss {found.batch:.3f} with those of each batch, {found.fresh:.3f} with "
                "the mean of all",
                **losses,
            )
        ]
    return []


def gap(exam: Examination) -> Gap:
    """Judge a trained net, or the copy that was watched, with each kind of statistics."""
    trained = exam.patient.trained
    model = exam.patient.model if trained else exam.once(motion).learner.predictor.model
    model = copy.deepcopy(model)
    with still(model):
        batch = mean_loss(exam, model)
    running = mean_loss(exam, model.eval())
    refresh(exam, model)
    return Gap(batch, running, mean_loss(exam, model.eval()))


@torch.no_grad()
def refresh(exam: Examination, model: nn.Module) -> None:
    """Make running statistics anew: the mean over all batches."""
    model.train()
    for module in model.modules():
        if isinstance(module, DROPOUTS):
            module.eval()
        if isinstance(module, BATCH_NORMS) and module.training:
            module.reset_running_stats()
            module.momentum = None  # torch's word for the mean of all
    for batch in exam.batches:
        model(exam.inputs(batch)[0])


RULE = Rule(
    name="batch-norm",
    title="Batch norm",
    severity="warning",
    reason="In training each batch is normalised by its own statistics, in evaluation by a running "
    "mean of them. From few images they are noise (Wu and He, ECCV 2018: the error grows from 8 "
    "images down), and training much better than validation is the classic symptom.",
    evidence="Images a pass: fewer than 8 a note, fewer than 4 or than 16 values of a channel in "
    "the layer that has the fewest a warning. Then one net on the same batches with each batch's "
    "statistics and with the mean of all: half as much again, and half a nat, is a warning. A "
    "checkpoint of 500 steps or more whose own running statistics do that, and fresh ones do not, "
    "has drifted.",
    remedy="--norm group, a larger --batch, or fewer --accumulate. `segtrain eval RUN --statistics "
    "both` judges a trained net by its running statistics and by each image's own, and reports the "
    "gap of their mean IoU with its interval.",
    examine=examine,
)
