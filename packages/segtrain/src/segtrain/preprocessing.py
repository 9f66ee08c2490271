"""How pixels become the numbers that the net sees; stored in every checkpoint."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from torch import Tensor, tensor

from segtrain.errors import CheckpointError

ORDERS = ("RGB", "BGR")


@dataclass(frozen=True)
class Preprocessing:
    """Channel order, range and normalisation of the net's input.

    The defaults are those of torchvision's ImageNet weights.

    Attributes:
        channels: Order of the channels, `RGB` or `BGR`.
        range: The value that a pixel of 255 becomes before mean and deviation.
        mean: Mean of each channel, in that range and order.
        std: Standard deviation of each channel, in that range and order.
    """

    channels: str = "RGB"
    range: float = 1.0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def normalise(self, image: Tensor) -> Tensor:
        """Turn uint8 pixels into the net's input, on the device where they are.

        Args:
            image: uint8 `(N, 3, H, W)`, RGB, 0..255.

        Returns:
            float32 `(N, 3, H, W)` in the order of `channels`, in the memory format of `image`:
            about -2.1..2.6 for torchvision's weights, -124..151 for Caffe's.
        """
        scale = [self.range / 255.0 / s for s in self.std]
        shift = [m / s for m, s in zip(self.mean, self.std, strict=True)]
        ordered = image.flip(1) if self.channels == "BGR" else image
        return ordered.float() * by_channel(scale, image) - by_channel(shift, image)

    def words(self) -> str:
        """For people: `RGB, 0 to 1, mean 0.485, 0.456, 0.406, deviation 0.229, 0.224, 0.225`."""
        mean = ", ".join(f"{m:g}" for m in self.mean)
        std = ", ".join(f"{s:g}" for s in self.std)
        return f"{self.channels}, 0 to {self.range:g}, mean {mean}, deviation {std}"

    def fingerprint(self) -> dict[str, Any]:
        """These values as plain types, for a checkpoint."""
        plain = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}

    @classmethod
    def from_fingerprint(cls, plain: object) -> Self:
        """Read what `fingerprint` wrote.

        Raises:
            CheckpointError: If it lacks a value, or has one that this version does not know.
        """
        if not isinstance(plain, dict) or not plain.keys() >= FIELDS:
            raise CheckpointError(
                f"its preprocessing is not complete: expected {', '.join(sorted(FIELDS))}, found "
                f"{plain!r}"
            )
        order = plain["channels"]
        if order not in ORDERS:
            raise CheckpointError(
                f"its net wants its input as {order!r}; this version of segtrain knows "
                f"{' and '.join(ORDERS)} only"
            )
        try:
            return cls(order, positive(plain["range"]), triple(plain["mean"]),
                       triple(map(positive, plain["std"])))  # fmt: skip
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"its preprocessing is damaged: {error}") from error


def by_channel(values: list[float], image: Tensor) -> Tensor:
    """A number for each channel of images, float32 `(1, 3, 1, 1)` on their device.

    From pageable memory a GPU would take them only when all that was queued before is done, and
    each step would wait for the update of the one before.
    """
    there = tensor(values, pin_memory=image.is_cuda).to(image.device, non_blocking=True)
    return there.view(1, 3, 1, 1)


FIELDS = {f.name for f in fields(Preprocessing)}


def positive(value: object) -> float:
    """A number above 0.

    Raises:
        TypeError: If it is none.
        ValueError: If it is not above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    if not value > 0:
        raise ValueError(f"{value!r} is not above 0")
    return value


def triple(values: Iterable[float]) -> tuple[float, float, float]:
    """Three finite numbers, one for each channel.

    Raises:
        TypeError: If they are no numbers.
        ValueError: If they are not three, or not finite.
    """
    red, green, blue = values
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError(f"{[red, green, blue]} are not all finite")
    return red, green, blue


# by name of `--preprocessing`; Caffe's VGGs saw pixels of 0..255 less the mean of ImageNet
PRESETS = {
    "torchvision": Preprocessing(),
    "caffe": Preprocessing(
        "BGR", 255.0, (104.00698793, 116.66876762, 122.67891434), (1.0, 1.0, 1.0)
    ),
}
