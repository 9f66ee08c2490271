"""How pixels become the numbers that the net sees; stored in every checkpoint."""

from dataclasses import asdict, dataclass
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
        wide = tensor(scale, device=image.device).view(1, 3, 1, 1)
        return ordered.float() * wide - tensor(shift, device=image.device).view(1, 3, 1, 1)

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
    def from_fingerprint(cls, plain: dict[str, Any]) -> Self:
        """Read what `fingerprint` wrote.

        Raises:
            CheckpointError: If the channels are in an order that this version does not know.
        """
        order = plain.get("channels")
        if order not in ORDERS:
            raise CheckpointError(
                f"the checkpoint wants its input as {order!r}; this version of segtrain knows "
                f"{' and '.join(ORDERS)} only"
            )
        red, green, blue = plain["mean"]
        std_red, std_green, std_blue = plain["std"]
        return cls(order, plain["range"], (red, green, blue), (std_red, std_green, std_blue))


# by name of `--preprocessing`; Caffe's VGGs saw pixels of 0..255 less the mean of ImageNet
PRESETS = {
    "torchvision": Preprocessing(),
    "caffe": Preprocessing(
        "BGR", 255.0, (104.00698793, 116.66876762, 122.67891434), (1.0, 1.0, 1.0)
    ),
}
