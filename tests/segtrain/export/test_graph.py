"""Nets of each family are traced so that every size is taken, with a proof of it or without."""

import numpy as np
import pytest
import torch

from segtrain.export.graph import (
    TRACED,
    PixelsToClasses,
    any_size,
    trace,
    traced_without_proof,
)
from segtrain.export.trials import PARTS, predicted
from segtrain.manifests import ClassInfo
from segtrain.models.fc_densenet import FCDenseNet, Plan
from segtrain.models.fcn import FCN
from segtrain.models.net import Net
from segtrain.predictor import Predictor
from segtrain.preprocessing import PRESETS

CLASSES = tuple(ClassInfo(f"class {i}", (i, i, i)) for i in range(3))


def ready(net: Net, preset: str) -> Predictor:
    """A net of random weights, none of them zero, ready to predict."""
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.05)
    model = net.eval().requires_grad_(requires_grad=False)
    return Predictor(model, PRESETS[preset], torch.device("cpu"), CLASSES, precision="fp32")


def check(program: torch.export.ExportedProgram, predictor: Predictor) -> None:
    """Hold a traced program to the net at sizes that the trace did not see."""
    run = program.module()
    rng = np.random.default_rng(3)
    for shape in (*((1, *size) for size in PARTS), (3, 40, 33)):
        pixels = rng.integers(0, 256, (*shape, 3), np.uint8)
        with torch.inference_mode():
            ids, logits = run(torch.from_numpy(pixels))
        truth = predicted(predictor, pixels)
        np.testing.assert_allclose(logits, truth, atol=1e-5 * float(np.abs(truth).max()))
        np.testing.assert_array_equal(ids, logits.numpy().argmax(1))


def test_an_fc_densenet_is_traced() -> None:
    """Five transitions down and up, and skips joined by concatenation, at every size."""
    torch.manual_seed(0)
    predictor = ready(FCDenseNet(3, Plan((1,) * 11, 4), width=0.25), "torchvision")
    check(trace(PixelsToClasses(predictor)), predictor)


@pytest.mark.parametrize("proof", [True, False])
def test_a_net_on_caffes_pixels_is_traced(proof: bool) -> None:
    """BGR of 0 to 255, group norm and learned upsampling; also without proof."""
    torch.manual_seed(0)
    net = FCN(3, variant="16s", trunk="vgg11", norm="group", width=0.06, upsampling="learned")
    predictor = ready(net, "caffe")
    graph = PixelsToClasses(predictor)
    if proof:
        check(trace(graph), predictor)
        return
    with any_size(), torch.no_grad():
        example = (torch.zeros(*TRACED, 3, dtype=torch.uint8),)
        check(traced_without_proof(graph, example), predictor)
