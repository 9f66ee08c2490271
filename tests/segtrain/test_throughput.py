"""Tests of segtrain.throughput."""

import sys
from pathlib import Path

import pytest
import torch

from segtrain.ranks import Ranks
from segtrain.throughput import Gauge, device_peak, peak_memory, peak_of

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA H200 NVL", 835e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA A10G", None),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("Tesla V100-SXM2-16GB", None),
        ("AMD Instinct MI300X", None),
    ],
)
def test_peaks_are_those_of_whole_names(name: str, peak: float | None) -> None:
    """A GPU's peak is known by its whole name; a slice of one, or a stranger, has none."""
    assert peak_of(name) == peak


def test_only_a_gpu_in_bf16_has_a_peak() -> None:
    """A CPU has no peak here, and float32 is not what the table is of."""
    assert device_peak(CPU, "bf16") is None
    assert device_peak(torch.device("cuda"), "fp32") is None


def test_a_gauge_relates_images_to_the_hardware() -> None:
    """FLOP/s are those of an image times images; MFU is their share of all ranks' peak."""
    line = Gauge(CPU, Ranks(), 5 * 10**11, 100e12).line(20.0)
    assert (line["tflops"], line["mfu"]) == (10.0, 0.1)
    blind = Gauge(CPU, Ranks(), 5 * 10**11, None).line(20.0)
    assert (blind["tflops"], blind["mfu"]) == (10.0, None)
    native = Gauge(CPU, Ranks(), None, 100e12).line(20.0)
    assert (native["tflops"], native["mfu"]) == (None, None)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own account of a process")
def test_peak_memory_is_that_of_the_process() -> None:
    """On a CPU the figure is in bytes what the kernel noted as the most of this process."""
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak_memory(CPU) == pytest.approx(int(kilobytes) * 1024, rel=0.05)
