"""Tests of segtrain.metrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segtrain.metrics import all_background, confusion, prior_entropy, scores

labels = st.lists(st.sampled_from([0, 1, 2, 3, 4, 255]), min_size=1, max_size=40)


def oracle(pred: list[int], target: list[int], size: int) -> dict[str, float]:
    """The four metrics by their definitions, pixel by pixel."""
    pairs = [(t, p) for t, p in zip(target, pred, strict=True) if t != 255]
    iou, acc, weights = {}, {}, {}
    for c in range(size):
        both = sum(t == c and p == c for t, p in pairs)
        either = sum(t == c or p == c for t, p in pairs)
        mine = sum(t == c for t, _ in pairs)
        if either:
            iou[c] = both / either
        if mine:
            acc[c], weights[c] = both / mine, mine / len(pairs)
    return {
        "pixel_accuracy": sum(t == p for t, p in pairs) / len(pairs) if pairs else 0.0,
        "mean_accuracy": sum(acc.values()) / len(acc) if acc else 0.0,
        "mean_iou": sum(iou.values()) / len(iou) if iou else 0.0,
        "frequency_weighted_iou": sum(weights[c] * iou[c] for c in weights),
        "left_out": size - len(iou),
        "present": len(acc),
    }


@given(labels, st.randoms(use_true_random=False))
def test_metrics_follow_their_definitions(target: list[int], random: object) -> None:
    """All metrics equal those counted pixel by pixel, void left out, absent classes left out."""
    pred = [random.randrange(5) for _ in target]
    confmat = confusion(torch.tensor(pred), torch.tensor(target, dtype=torch.uint8), 5)
    found = scores(confmat)
    for name, value in oracle(pred, target, 5).items():
        assert getattr(found, name) == pytest.approx(value), name


@given(labels, labels)
def test_matrices_of_parts_add_up_to_that_of_the_whole(a: list[int], b: list[int]) -> None:
    """One matrix over a set is the sum over its images, whatever their sizes."""
    preds = [torch.zeros(len(x), dtype=torch.long) for x in (a, b)]
    targets = [torch.tensor(x) for x in (a, b)]
    parts = sum(confusion(p, t, 5) for p, t in zip(preds, targets, strict=True))
    assert torch.equal(torch.as_tensor(parts), confusion(torch.cat(preds), torch.cat(targets), 5))


@given(labels)
def test_the_floor_is_a_prediction_of_background(target: list[int]) -> None:
    """The all-background floor, taken from any predictions, equals predicting 0 everywhere."""
    ids = torch.tensor(target)
    any_pred = torch.arange(len(target)) % 5
    zeros = torch.zeros(len(target), dtype=torch.long)
    assert all_background(confusion(any_pred, ids, 5)) == scores(confusion(zeros, ids, 5))


def test_matrix_rows_are_targets() -> None:
    """A pixel of target 1 predicted as 2 counts in row 1, column 2."""
    confmat = confusion(torch.tensor([[2, 0]]), torch.tensor([[1, 255]]), 3)
    assert confmat.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert confmat.dtype == torch.int64


def test_perfect_predictions_score_one() -> None:
    """Predicting the target gives 1 in all four metrics."""
    ids = torch.tensor([0, 1, 1, 3])
    found = scores(confusion(ids, ids, 5))
    assert found.mean_iou == found.pixel_accuracy == found.mean_accuracy == 1
    assert found.frequency_weighted_iou == pytest.approx(1)
    assert found.iou == (1.0, 1.0, None, 1.0, None)
    assert (found.left_out, found.present) == (2, 3)


def test_prior_entropy_of_known_distributions() -> None:
    """An even distribution over n classes has ln n, a certain one 0."""
    assert prior_entropy(torch.tensor([5, 5, 5, 5])) == pytest.approx(math.log(4))
    assert prior_entropy(torch.tensor([7, 0, 0])) == 0
    share = np.array([0.7, 0.2, 0.1])
    expected = -(share * np.log(share)).sum()
    assert prior_entropy(torch.tensor([7, 2, 1])) == pytest.approx(expected)
