"""How pixels become the numbers that the net sees; stored in every checkpoint."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import Tensor, tensor

from segtrain.errors import CheckpointError


@dataclass(frozen=True)
class Preprocessing:
    """Channel order, range and normalisation of the net's input.

    The defaults are those of torchvision's ImageNet weights.

    Attributes:
        channels: Order of the channels; only `"RGB"` is known.
        range: The value that a pixel of 255 becomes before mean and deviation.
        mean: Mean of each channel, in that range.
        std: Standard deviation of each channel, in that range.
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
            float32 `(N, 3, H, W)`, about -2.1..2.6, in the memory format of `image`.
        """
        scale = [self.range / 255.0 / s for s in self.std]
        shift = [m / s for m, s in zip(self.mean, self.std, strict=True)]
        wide = tensor(scale, device=image.device).view(1, 3, 1, 1)
        return image.float() * wide - tensor(shift, device=image.device).view(1, 3, 1, 1)

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
        if plain.get("channels") != "RGB":
            raise CheckpointError(
                f"the checkpoint wants its input as {plain.get('channels')!r}; this version of "
                "segtrain knows 'RGB' only"
            )
        red, green, blue = plain["mean"]
        std_red, std_green, std_blue = plain["std"]
        return cls("RGB", plain["range"], (red, green, blue), (std_red, std_green, std_blue))
