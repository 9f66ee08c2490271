"""Comparisons of nets that are none, for tests of what is said about them."""

import numpy as np
import torch

from segtrain.compare import Comparison
from segtrain.evaluate import Counted, set_result
from segtrain.metrics import ImageCounts, confusion, margins
from segtrain.sampleset import SampleSet


def many(samples: SampleSet, quality: tuple[float, float], images: int = 60) -> Comparison:
    """Two nets that are right on a share of the pixels of random images."""
    results = []
    for number, share in enumerate(quality):
        matrices = []
        for i in range(images):
            target = torch.from_numpy(np.random.default_rng(i).integers(0, 4, 400))
            wrong = torch.from_numpy(np.random.default_rng([i, number]).random(400) >= share)
            matrices.append(confusion((target + wrong) % 4, target, 4))
        keys = [f"k{i}" for i in range(images)]
        counts = ImageCounts.of(keys, [margins(m) for m in matrices], 4)
        counted = Counted(torch.stack(matrices).sum(0), counts)
        results.append(set_result(samples, "val", counted))
    return Comparison(samples, *results)
