"""Where a net stands before it learns anything here: its loss and predictions, and the floors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from segtrain.doctor.examination import Examination, as_judged
from segtrain.doctor.layers import branches
from segtrain.loss import pixel_loss
from segtrain.metrics import Scores, all_background, confusion, prior_entropy, scores


@dataclass(frozen=True)
class Standing:
    """A net on the examination's batches, as it was admitted.

    Attributes:
        loss: Mean over all valid pixels, nats, without class weights.
        confmat: int64 `(C, C)`, rows targets; C is the number of the net's scores if that is more
            than there are classes.
    """

    loss: float
    confmat: Tensor

    @property
    def prior(self) -> float:
        """Entropy of the labels of these very batches: the best that a constant can do, nats."""
        return prior_entropy(self.confmat.sum(1))

    @property
    def scores(self) -> Scores:
        """The metrics."""
        return scores(self.confmat)

    @property
    def floor(self) -> Scores:
        """The metrics of all background on the same images."""
        return all_background(self.confmat)

    @property
    def predicted(self) -> Tensor:
        """Share of the valid pixels that each class is predicted for, float64 `(C,)`."""
        return self.confmat.sum(0).double() / self.confmat.sum()

    @property
    def labelled(self) -> Tensor:
        """Share of the valid pixels that each class has, float64 `(C,)`."""
        return self.confmat.sum(1).double() / self.confmat.sum()


@torch.no_grad()
def standing(exam: Examination) -> Standing:
    """Judge the net as it is, on all batches of the examination, in float32."""
    model, count = exam.patient.model, len(exam.patient.predictor.classes)
    total, pixels = 0.0, 0
    matrix = torch.zeros(0)
    with as_judged(exam, model):
        for number, batch in enumerate(exam.batches):
            exam.progress("judging the net as it starts", number, len(exam.batches))
            image, target = exam.inputs(batch)
            logits: Tensor = model(image)
            loss, valid = pixel_loss(logits, target)
            total, pixels = total + float(loss), pixels + int(valid)
            counted = confusion(logits.argmax(1), target, max(count, logits.shape[1])).cpu()
            matrix = counted if not matrix.numel() else matrix + counted
    return Standing(total / pixels, matrix)


def says_nothing(exam: Examination) -> bool:
    """Whether all score layers of the net are zero, weights and biases, so that its scores are."""
    found = branches(exam.patient.model)
    return bool(found) and not any(
        bool(parameter.detach().any())
        for layer in found.values()
        for parameter in layer.parameters()
    )
