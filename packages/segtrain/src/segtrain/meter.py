"""What happened since the last line of the log, and what a line says of it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from segtrain.throughput import Gauge


@dataclass
class Meter:
    """Sums over the interval since the last log line.

    Attributes:
        loss: Sum of the steps' losses.
        steps: Steps.
        void_steps: Steps whose batch had no valid pixel.
        train_iou: Mean IoU of the interval's last batch; None before it is known.
        grad_norm: Norm of the gradient of the interval's last batch, before it was clipped.
        seconds: Time spent on steps.
        waited: Part of it spent waiting for data, and for the slowest rank's data.
    """

    loss: float = 0.0
    steps: int = 0
    void_steps: int = 0
    train_iou: float | None = None
    grad_norm: float | None = None
    seconds: float = 0.0
    waited: float = 0.0

    def plain(self) -> dict[str, float]:
        """The sums for a checkpoint; what is not known yet is left out."""
        return {k: v for k, v in asdict(self).items() if v is not None}

    @classmethod
    def from_plain(cls, plain: dict[str, float]) -> Self:
        """Read what `plain` wrote."""
        counts = {name: int(plain.get(name, 0)) for name in ("steps", "void_steps")}
        return cls(**(plain | counts))  # type: ignore[arg-type]  # counts are whole

    def line(self, batch: int, gauge: Gauge) -> dict[str, Any]:
        """What the interval was like, for the log; all ranks come here together.

        Args:
            batch: Images per step.
            gauge: Relates images per second to the hardware.
        """
        seconds = max(self.seconds, 1e-9)
        rate = self.steps * batch / seconds
        return {
            "loss": self.loss / max(1, self.steps),
            "train_iou": self.train_iou,
            "grad_norm": self.grad_norm,
            "images_per_second": round(rate, 3),
            "data_wait": round(self.waited / seconds, 4),
            **gauge.line(rate),
            "void_batches": self.void_steps,
        }
