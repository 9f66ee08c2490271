"""What all nets have in common: how they are fed, frozen, examined and started from others."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# by what word of `--freeze`: the modules that keep their weights
Parts = Mapping[str, tuple[str, ...]]


def padded(image: Tensor, stride: int) -> Tensor:
    """Images `(N, C, H, W)` with zeros below and at the right, up to multiples of a stride."""
    height, width = image.shape[2:]
    return F.pad(image, (0, -width % stride, 0, -height % stride))


class Net(nn.Module):
    """A net that scores every pixel.

    `forward` takes images, float `(N, 3, H, W)`, normalised, of any H and W from 1 up, and gives
    logits `(N, C, H, W)`. It pads the images by zeros, below and at the right, to multiples of
    `stride`, so that an image that comes padded in this way is scored as it would be alone.

    Attributes:
        stride: What the sides of its input are padded to a multiple of.
        parts: What each word of `--freeze` keeps as it is.
        scoring: Beginnings of the names of tensors that have a row per class.
        trunk_names: Beginnings of the names of tensors without which weights are not worth loading.
        auxiliary_weight: Factor on the loss of the logits behind the first of `all_logits`.
        frozen: The modules that are frozen.
    """

    stride: int = 32
    parts: ClassVar[Parts] = {"none": ()}
    scoring: tuple[str, ...] = ()
    trunk_names: tuple[str, ...] = ("",)
    auxiliary_weight: float = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.frozen: tuple[str, ...] = ()

    def all_logits(self, image: Tensor) -> tuple[Tensor, ...]:
        """What is trained: the logits, and after them those of auxiliary heads, of equal shape."""
        return (self(image),)

    def branches(self) -> dict[str, nn.Module]:
        """The score layers that are summed up to the logits, by name, the deepest first."""
        return {}

    def labels(self) -> dict[str, str]:
        """Names that people know, by the names of modules; without one a module keeps its own."""
        return {}

    def placed(self, device: torch.device) -> Self:
        """Move the net to a device, in the memory order in which it computes fastest there.

        Returns:
            The net itself, in channels_last.
        """
        return self.to(device).to(memory_format=torch.channels_last)

    def freeze(self, part: str) -> None:
        """Keep a part of the net as it is while the rest is trained.

        Its weights get no gradient and its batch norms keep, and use, the statistics that they
        have; dropout goes on.

        Args:
            part: A word of `parts`.
        """
        self.frozen = self.parts[part]
        self.hold()

    def hold(self) -> None:
        """Let the modules that are `frozen` learn no more."""
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(requires_grad=False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Change between training and evaluation; batch norms that are frozen only evaluate."""
        super().train(mode)
        for name in self.frozen:
            for module in self.get_submodule(name).modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
                    module.eval()
        return self


class Heads(nn.Module):
    """A net in the form that trains: its `forward` gives the logits of all heads.

    Args:
        net: The net; its weights are shared, not copied.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """`Net.all_logits`."""
        return self.net.all_logits(image)
