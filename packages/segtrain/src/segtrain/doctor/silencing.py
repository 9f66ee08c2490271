"""What each branch of an FCN is worth: the net with the branch's scores put at zero."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrain.doctor.examination import Examination, as_judged
from segtrain.doctor.layers import branches
from segtrain.doctor.motion import motion
from segtrain.loss import pixel_loss
from segtrain.metrics import confusion, scores


@dataclass(frozen=True)
class Judgement:
    """A net on the examination's batches.

    Attributes:
        loss: Mean over all valid pixels, nats.
        iou: Mean IoU over the classes present, 0..1.
    """

    loss: float
    iou: float


@dataclass(frozen=True)
class Branch:
    """What one branch gives to the logits.

    Attributes:
        strength: Root mean square of its scores.
        spread: Root mean square of what its scores vary over places and images, class by class:
            the rest is a constant, which any bias could give.
        silenced: The net without it.
    """

    strength: float
    spread: float
    silenced: Judgement


@dataclass(frozen=True)
class Branches:
    """The branches of a net, by name, and the net with all of them."""

    whole: Judgement
    by_name: dict[str, Branch]


def silencing(exam: Examination) -> Branches:
    """Judge the net with each branch silenced; empty for a net whose branches are not known.

    A trained net is judged as it is; a new one after the steps of `motion`, for at its start the
    scores of all branches may be zero.
    """
    trained = exam.patient.trained
    model = exam.patient.model if trained else exam.once(motion).learner.predictor.model
    found: dict[str, Branch] = {}
    modules = branches(model)
    for number, (name, module) in enumerate(modules.items()):
        exam.progress("silencing branches", number, len(modules))
        strength, spread = outputs(exam, model, module)
        with silent(module):
            found[name] = Branch(strength, spread, judge(exam, model))
    return Branches(judge(exam, model), found)


@contextmanager
def silent(module: nn.Module) -> Iterator[None]:
    """The module puts out zeros: in front of the softmax, as if it were not there."""

    def hush(_: nn.Module, __: Any, output: Tensor) -> Tensor:  # noqa: ANN401 - torch's own
        return torch.zeros_like(output)

    handle = module.register_forward_hook(hush)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def judge(exam: Examination, model: nn.Module) -> Judgement:
    """Loss and IoU on all batches of the examination, in float32."""
    total, pixels, matrix = 0.0, 0, torch.zeros(0)
    with as_judged(exam, model):
        for batch in exam.batches:
            image, target = exam.inputs(batch)
            logits: Tensor = model(image)
            loss, valid = pixel_loss(logits, target)
            total, pixels = total + float(loss), pixels + int(valid)
            counted = confusion(logits.argmax(1), target, logits.shape[1]).cpu()
            matrix = counted if not matrix.numel() else matrix + counted
    return Judgement(total / pixels, scores(matrix).mean_iou)


@torch.no_grad()
def outputs(exam: Examination, model: nn.Module, module: nn.Module) -> tuple[float, float]:
    """Strength and spread of what a module puts out, see `Branch`."""
    seen: list[Tensor] = []

    def note(_: nn.Module, __: Any, output: Tensor) -> None:  # noqa: ANN401 - torch's own
        seen.append(output.float().transpose(0, 1).flatten(1))  # (C, N * h * w)

    handle = module.register_forward_hook(note)
    with as_judged(exam, model):
        for batch in exam.batches:
            model(exam.inputs(batch)[0])
    handle.remove()
    values = torch.cat(seen, 1)  # (C, positions)
    apart = values - values.mean(1, keepdim=True)
    return float(values.square().mean().sqrt()), float(apart.square().mean().sqrt())
