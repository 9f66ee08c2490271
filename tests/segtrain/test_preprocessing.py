"""Tests of segtrain.preprocessing."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segtrain.manifests import ClassInfo
from segtrain.models.fcn import FCN
from segtrain.predictor import Predictor
from segtrain.preprocessing import PRESETS, Preprocessing

CLASSES = (ClassInfo("background", (0, 0, 0)), ClassInfo("red", (255, 0, 0)))
BYTE = st.integers(0, 255)


@given(BYTE, BYTE, BYTE)
def test_torchvisions_input_is_its_own_formula(red: int, green: int, blue: int) -> None:
    """A pixel over 255, less ImageNet's mean, by its deviation; channels stay in their order."""
    image = torch.tensor([red, green, blue], dtype=torch.uint8).view(1, 3, 1, 1)
    found = PRESETS["torchvision"].normalise(image).flatten().tolist()
    values, means, stds = (red, green, blue), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = [(v / 255 - m) / s for v, m, s in zip(values, means, stds, strict=True)]
    assert found == pytest.approx(expected, abs=1e-5)


@given(BYTE, BYTE, BYTE)
def test_caffes_input_is_blue_first_less_the_mean(red: int, green: int, blue: int) -> None:
    """Caffe's VGGs saw blue, green, red of 0 to 255 less ImageNet's mean in that order."""
    image = torch.tensor([red, green, blue], dtype=torch.uint8).view(1, 3, 1, 1)
    found = PRESETS["caffe"].normalise(image).flatten().tolist()
    expected = [blue - 104.00698793, green - 116.66876762, red - 122.67891434]
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_the_memory_format_is_kept(name: str) -> None:
    """Images whose channels lie last in memory stay so, with the same values."""
    plain = torch.randint(0, 256, (2, 3, 6, 5), dtype=torch.uint8)
    last = plain.contiguous(memory_format=torch.channels_last)
    found = PRESETS[name].normalise(last)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, PRESETS[name].normalise(plain))


@pytest.mark.parametrize("name", PRESETS)
def test_a_fingerprint_survives_json(name: str) -> None:
    """What is read from a checkpoint's plain types is equal to what was written."""
    plain = json.loads(json.dumps(PRESETS[name].fingerprint()))
    assert Preprocessing.from_fingerprint(plain) == PRESETS[name]


@pytest.mark.parametrize(("name", "seen"), [("torchvision", 0), ("caffe", 2)])
def test_a_net_that_sees_one_channel_sees_the_right_one(name: str, seen: int) -> None:
    """A net that looks at red alone, wherever its weights expect it, finds what is red."""
    net = FCN(2, width=0.06, variant="8s", dropout=0.0, skip_init="zero").eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for index, layer in enumerate(net.features):
            if index < net.pool_ends[2] and isinstance(layer, torch.nn.Conv2d):
                layer.weight[0, seen if index == 0 else 0, 1, 1] = 1.0  # the pixel itself
        net.score_pool3.weight[1, 0] = 1.0
        net.score_pool3.bias[0] = 0.2 * (1.0 if name == "torchvision" else 100.0)
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :32, 0] = 255
    pixels[:, 32:64, 1] = 255
    pixels[:, 64:, 2] = 255
    predictor = Predictor(net, PRESETS[name], torch.device("cpu"), CLASSES)
    ids = predictor.predict(Image.fromarray(pixels))
    assert (ids[:, 8:24] == 1).all()
    assert (ids[:, 40:] == 0).all()
