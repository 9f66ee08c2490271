"""FC-DenseNet56, 67 and 103 (Jégou et al., CVPR-W 2017, arXiv:1611.09326).

A stack of maps grows layer by layer. On the way down everything goes on; on the way up only what
the last block made is upsampled, and joined by the stack of equal size from the way down.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtrain.models.layers import norm_groups
from segtrain.models.net import Net, padded
from segtrain.models.recomputation import joined_through

FIRST = 48  # maps of the first convolution
LEAST = 2  # maps of a thin net's first convolution and layers
EPSILON = 1e-4  # Lasagne's in batch norm, which the authors used


class Plan(NamedTuple):
    """The size of a net.

    Attributes:
        depths: Layers of each block: five on the way down, the bottleneck, five on the way up.
        growth: Maps that a layer adds.
    """

    depths: tuple[int, ...]
    growth: int


# section 4.1 and tables 1 and 2
PLANS = {
    "fc_densenet56": Plan((4,) * 11, 12),
    "fc_densenet67": Plan((5,) * 11, 16),
    "fc_densenet103": Plan((4, 5, 7, 10, 12, 15, 12, 10, 7, 5, 4), 16),
}


def thinned(maps: int, width: float) -> int:
    """A count of maps times `width`, to the nearest whole number, at least 2."""
    return max(LEAST, round(maps * width))


def norm_of(norm: str, channels: int) -> nn.Module:
    """The norm in front of a layer: `batch` or `group`."""
    if norm == "group":
        return nn.GroupNorm(norm_groups(channels), channels)
    return nn.BatchNorm2d(channels, eps=EPSILON)


class Layer(nn.Sequential):
    """Norm, ReLU, convolution, dropout: `(N, channels, h, w)` to `(N, out, h, w)`.

    Args:
        channels: Maps that it sees.
        out: Maps that it makes.
        size: Side of its kernel.
        norm: `batch` or `group`.
        dropout: Probability, of each value.
    """

    def __init__(self, channels: int, out: int, size: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.norm = norm_of(norm, channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(channels, out, size, padding=size // 2)
        self.drop = nn.Dropout(dropout)


class Block(nn.ModuleList):
    """A dense block: each layer sees all maps in front of it, the block's input among them.

    Args:
        channels: Maps of its input.
        depth: Layers.
        growth: Maps that each makes.
        norm: `batch` or `group`.
        dropout: Probability after each convolution.
        recompute: Whether layers keep only their maps for backward.
    """

    def __init__(
        self,
        channels: int,
        depth: int,
        growth: int,
        norm: str,
        dropout: float,
        *,
        recompute: bool = False,
    ) -> None:
        seen = [channels + growth * i for i in range(depth)]
        super().__init__(Layer(count, growth, 3, norm, dropout) for count in seen)
        self.recompute = recompute
        self.made = growth * depth
        self.total = channels + self.made

    def forward(self, stack: Tensor) -> tuple[Tensor, Tensor]:
        """The stack with the maps of all layers behind it, and these maps alone.

        Args:
            stack: `(N, channels, h, w)`.

        Returns:
            `(N, channels + depth * growth, h, w)` and `(N, depth * growth, h, w)`.
        """
        made: list[Tensor] = []
        for layer in self:
            made.append(joined_through(layer, [stack, *made], recompute=self.recompute))
        new = torch.cat(made, 1)
        return torch.cat([stack, new], 1), new


class Up(nn.Module):
    """A transition up: 3x3 transposed convolution of stride 2 on what the last block made.

    Args:
        channels: Maps that the last block made; as many go on.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, channels, 3, stride=2)

    def forward(self, made: Tensor, skip: Tensor) -> Tensor:
        """The upsampled maps in front of the skip.

        Args:
            made: `(N, channels, h, w)`.
            skip: `(N, S, 2h, 2w)`, the stack of the way down.

        Returns:
            `(N, channels + S, 2h, 2w)`. Of the convolution's 2h + 1 rows and columns the last are
            cut: the authors' centred crop of one row takes it from there.
        """
        height, width = skip.shape[2:]
        return torch.cat([self.conv(made)[:, :, :height, :width], skip], 1)


class FCDenseNet(Net):
    """An FC-DenseNet.

    Weights of convolutions start uniformly by He's rule (fan in), biases at 0.

    Args:
        num_classes: C, background included.
        plan: Its size.
        norm: `batch` or `group`, in front of each hidden layer.
        width: Factor on the maps of the first convolution and on the growth, to whole numbers
            from 2 up.
        dropout: Probability after each hidden convolution but the first and the upsampling ones,
            0..1 (1 excluded).
        recompute: Whether the layers of its blocks keep only their maps for backward and compute
            the rest again; the same numbers in less memory.
    """

    stride = 32  # of five poolings
    scoring = ("score.",)
    trunk_names = ("first.", "down.")

    def __init__(
        self,
        num_classes: int,
        plan: Plan,
        *,
        norm: str = "batch",
        width: float = 1.0,
        dropout: float = 0.2,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        growth, middle = thinned(plan.growth, width), len(plan.depths) // 2
        channels = thinned(FIRST, width)
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.down, self.transitions = nn.ModuleList(), nn.ModuleList()
        self.ups, self.up = nn.ModuleList(), nn.ModuleList()
        skips = []
        for depth in plan.depths[:middle]:
            block = Block(channels, depth, growth, norm, dropout, recompute=recompute)
            channels = block.total
            skips.append(channels)
            self.down.append(block)
            self.transitions.append(Layer(channels, channels, 1, norm, dropout))
        self.bottleneck = Block(
            channels, plan.depths[middle], growth, norm, dropout, recompute=recompute
        )
        made = self.bottleneck.made
        for depth, skip in zip(plan.depths[middle + 1 :], reversed(skips), strict=True):
            self.ups.append(Up(made))
            block = Block(made + skip, depth, growth, norm, dropout, recompute=recompute)
            self.up.append(block)
            made, channels = block.made, block.total
        self.score = nn.Conv2d(channels, num_classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                nn.init.zeros_(known_bias(module))

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(N, C, H, W)` of images `(N, 3, H, W)`, as `Net` says."""
        height, width = image.shape[2:]
        stack = self.first(padded(image, self.stride))
        skips = []
        for block, transition in zip(self.down, self.transitions, strict=True):
            stack, _ = block(stack)
            skips.append(stack)
            stack = F.max_pool2d(transition(stack), 2)
        _, made = self.bottleneck(stack)
        for up, block in zip(self.ups, self.up, strict=True):
            stack, made = block(up(made, skips.pop()))
        logits: Tensor = self.score(stack)
        return logits[:, :, :height, :width]


def known_bias(conv: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """The bias of a convolution that has one.

    Raises:
        TypeError: If it has none: a mistake in the program.
    """
    if conv.bias is None:
        raise TypeError("the convolution has no bias")
    return conv.bias
