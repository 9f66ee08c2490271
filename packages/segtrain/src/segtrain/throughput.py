"""How near a run comes to what the hardware can: FLOP/s, their share of its peak, and memory."""

import re
import sys
from dataclasses import dataclass
from typing import Any

import torch

from segtrain.ranks import Ranks

TERA = 1e12
# dense bfloat16 products of the tensor cores in TFLOP/s, by torch's name of the GPU, from its
# maker's data sheets; a name that is not here in whole (a slice of a GPU, say) has no known peak
PEAKS = {
    r"B200": 2250,
    r"H200( .*)?": 989,
    r"H200 NVL": 835,
    r"GH200 .*": 989,
    r"H100 80GB HBM3|H100 SXM5.*": 989,
    r"H100 NVL": 835,
    r"H100 PCIe": 756,
    r"A100-(SXM4|PCIE)-[48]0GB|A100 80GB PCIe": 312,
    r"A30": 165,
    r"A10": 125,
    r"L40S": 362,
    r"L4": 121,
    r"GeForce RTX 4090": 165,
    r"GeForce RTX 3090": 71,
}


def peak_of(name: str) -> float | None:
    """The dense bfloat16 peak of a GPU in FLOP/s, None where it is not known.

    Args:
        name: As torch names it, `NVIDIA H100 80GB HBM3`.
    """
    bare = name.removeprefix("NVIDIA ")
    found = [peak for pattern, peak in PEAKS.items() if re.fullmatch(pattern, bare)]
    return min(found) * TERA if found and "MIG" not in bare else None


def device_peak(device: torch.device, numbers: str) -> float | None:
    """The peak of a device for products in `bf16` or `fp32`, in FLOP/s; None where not known."""
    if device.type != "cuda" or numbers != "bf16":
        return None
    return peak_of(torch.cuda.get_device_name(device))


def peak_memory(device: torch.device) -> int | None:
    """The most memory that this process has held at once so far, in bytes.

    On a CUDA GPU what tensors took of the GPU's memory, elsewhere all that the process had of the
    machine's; None on a system that does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024


@dataclass(frozen=True)
class Gauge:
    """What turns images per second into a share of the hardware's peak.

    Attributes:
        device: Where this rank computes.
        ranks: The processes of the run.
        flops: Floating-point operations of one training image, forward and backward; None where
            images differ in size.
        peak: Of one device, in FLOP/s; None where it is not known.
    """

    device: torch.device
    ranks: Ranks
    flops: int | None
    peak: float | None

    def line(self, images_per_second: float) -> dict[str, Any]:
        """The log's figures; all ranks come here together.

        Args:
            images_per_second: Of the whole run.
        """
        rate = self.flops * images_per_second if self.flops else None
        whole = self.peak * self.ranks.world if self.peak else None
        memory = self.ranks.most(peak_memory(self.device) or 0)[0]
        return {
            "tflops": None if rate is None else float(f"{rate / TERA:.4g}"),
            "mfu": None if rate is None or whole is None else round(rate / whole, 4),
            "peak_memory": int(memory) or None,
        }
