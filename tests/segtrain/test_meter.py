"""Tests of segtrain.meter."""

import json

import torch

from segtrain.meter import Meter
from segtrain.ranks import Ranks
from segtrain.throughput import Gauge

GAUGE = Gauge(torch.device("cpu"), Ranks(), 10**12, 100e12)


def test_a_line_is_of_its_interval() -> None:
    """Means are over the steps; rates over the seconds spent on them."""
    line = Meter(loss=6.0, steps=4, void_steps=1, train_iou=0.25, seconds=2.0, waited=0.5).line(
        8, GAUGE
    )
    assert (line["loss"], line["void_batches"], line["train_iou"]) == (1.5, 1, 0.25)
    assert (line["images_per_second"], line["data_wait"]) == (16.0, 0.25)
    assert (line["tflops"], line["mfu"]) == (16.0, 0.16)


def test_a_meter_survives_a_checkpoint() -> None:
    """What is not known yet stays unknown, and counts stay whole numbers."""
    meter = Meter(loss=6.5, steps=4, void_steps=1, seconds=2.0)
    back = Meter.from_plain(json.loads(json.dumps(meter.plain())))
    assert back == meter
    assert type(back.steps) is int
    assert Meter.from_plain({}) == Meter()
