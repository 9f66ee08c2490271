"""The metrics against those of torchmetrics and scikit-learn, on the same pixels."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    jaccard_score,
)
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)

from segtrain.metrics import confusion, scores

CLASSES = 7
Pixels = tuple[np.ndarray, np.ndarray]


@pytest.fixture(params=range(4))
def pixels(request: pytest.FixtureRequest) -> Pixels:
    """Prediction and target of 5,000 pixels: void, skewed classes, and one class in neither."""
    rng = np.random.default_rng(request.param)
    present = rng.permutation(CLASSES)[:-1]
    target = rng.choice(present, 5000, p=rng.dirichlet(np.ones(CLASSES - 1)) * 0.94 + 0.01)
    pred = np.where(rng.random(5000) < 0.7, target, rng.choice(present, 5000))
    return pred, np.where(rng.random(5000) < 0.05, 255, target)


def test_torchmetrics_agrees(pixels: Pixels) -> None:
    """Matrix, IoU by class, mean IoU and both accuracies are torchmetrics', void left out."""
    pred, target = (torch.from_numpy(p).long() for p in pixels)
    confmat = confusion(pred, target, CLASSES)
    found = scores(confmat)
    options = {"num_classes": CLASSES, "ignore_index": 255}
    assert torch.equal(confmat, multiclass_confusion_matrix(pred, target, **options))
    by_class = multiclass_jaccard_index(pred, target, average="none", **options)
    for ours, theirs in zip(found.iou, by_class.tolist(), strict=True):
        assert (ours is None and theirs == 0) or ours == pytest.approx(theirs)
    mean = multiclass_jaccard_index(pred, target, average="macro", **options)
    assert found.mean_iou == pytest.approx(float(mean))
    micro = multiclass_accuracy(pred, target, average="micro", **options)
    assert found.pixel_accuracy == pytest.approx(float(micro))
    macro = multiclass_accuracy(pred, target, average="macro", **options)
    assert found.mean_accuracy == pytest.approx(float(macro))


def test_scikit_learn_agrees(pixels: Pixels) -> None:
    """All four metrics are scikit-learn's on the labelled pixels and the classes in them."""
    pred, target = pixels
    found_matrix = confusion(torch.from_numpy(pred), torch.from_numpy(target), CLASSES)
    found = scores(found_matrix)
    valid = target != 255
    pred, target = pred[valid], target[valid]
    labels = list(range(CLASSES))
    assert found_matrix.tolist() == confusion_matrix(target, pred, labels=labels).tolist()
    assert found.pixel_accuracy == pytest.approx(accuracy_score(target, pred))
    assert found.mean_accuracy == pytest.approx(balanced_accuracy_score(target, pred))
    assert found.mean_iou == pytest.approx(jaccard_score(target, pred, average="macro"))
    weighted = jaccard_score(target, pred, average="weighted")
    assert found.frequency_weighted_iou == pytest.approx(weighted)
    present = [c for c in labels if found.iou[c] is not None]
    by_class = jaccard_score(target, pred, labels=present, average=None)
    assert [found.iou[c] for c in present] == pytest.approx(by_class.tolist())
    assert found.left_out == 1
