"""Numbers on their way from a device, readable before the work that was queued after them."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Readout:
    """A tensor's numbers at one moment of the device's work.

    On a CUDA GPU they are copied to pinned memory as soon as they are known; reading waits for
    them alone, while the GPU goes on with what was queued afterwards.

    Attributes:
        numbers: Where they arrive.
        arrived: What says so; None where they are there already.
    """

    numbers: Tensor
    arrived: torch.cuda.Event | None

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """Send a tensor's numbers on their way."""
        values = values.detach()
        if values.device.type != "cuda":
            return cls(values, None)
        numbers = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        numbers.copy_(values, non_blocking=True)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record(torch.cuda.current_stream(values.device))
        return cls(numbers, arrived)

    def read(self) -> Tensor:
        """The numbers, as soon as they are here."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.numbers
