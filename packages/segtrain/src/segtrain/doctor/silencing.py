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
        silenced: The net with the branch's scores at zero.
        levelled: The net with each of them at its mean: what a bias could not replace is gone.
    """

    strength: float
    spread: float
    silenced: Judgement
    levelled: Judgement


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
        values = outputs(exam, model, module)  # (C, positions)
        mean = values.mean(1)
        spread = float((values - mean[:, None]).square().mean().sqrt())
        with replaced(module, torch.zeros_like(mean)):
            silenced = judge(exam, model)
        with replaced(module, mean):
            levelled = judge(exam, model)
        strength = float(values.square().mean().sqrt())
        found[name] = Branch(strength, spread, silenced, levelled)
    return Branches(judge(exam, model), found)


@contextmanager
def replaced(module: nn.Module, scores: Tensor) -> Iterator[None]:
    """The module puts out these scores `(C,)` at every place; zeros are as if it were not there."""

    def hush(_: nn.Module, __: Any, output: Tensor) -> Tensor:  # noqa: ANN401 - torch's own
        wide = scores.to(output.dtype).view(1, -1, 1, 1).expand_as(output)
        return wide.clone()  # an activation behind it may write into it

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
        for logits, target in predictions(exam, model):
            loss, valid = pixel_loss(logits, target)
            total, pixels = total + float(loss), pixels + int(valid)
            counted = confusion(logits.argmax(1), target, logits.shape[1]).cpu()
            matrix = counted if not matrix.numel() else matrix + counted
    return Judgement(total / pixels, scores(matrix).mean_iou)


@torch.no_grad()
def mean_loss(exam: Examination, model: nn.Module) -> float:
    """Mean loss over all valid pixels of the examination, the net in the mode that it is in."""
    pairs = [pixel_loss(*pair) for pair in predictions(exam, model)]
    return sum(float(loss) for loss, _ in pairs) / sum(int(valid) for _, valid in pairs)


def predictions(exam: Examination, model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits, float32 `(N, C, H, W)`, and targets, uint8 `(N, H, W)`, batch by batch."""
    for batch in exam.batches:
        image, target = exam.inputs(batch)
        yield model(image), target


@torch.no_grad()
def outputs(exam: Examination, model: nn.Module, module: nn.Module) -> Tensor:
    """What a module puts out on all batches: float32 `(C, positions)`."""
    seen: list[Tensor] = []

    def note(_: nn.Module, __: Any, output: Tensor) -> None:  # noqa: ANN401 - torch's own
        seen.append(output.float().transpose(0, 1).flatten(1))  # (C, N * h * w)

    handle = module.register_forward_hook(note)
    with as_judged(exam, model):
        for batch in exam.batches:
            model(exam.inputs(batch)[0])
    handle.remove()
    return torch.cat(seen, 1)
