"""The layers that nets are made of: activations, norms, bilinear upsampling, and their start."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# by name of `--activation`; torch's own parameters
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.01, inplace=True),
    "elu": lambda: nn.ELU(inplace=True),
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}


def scaled(channels: int, width: float) -> int:
    """A channel count times `width`, to the nearest multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))


def norm_groups(channels: int) -> int:
    """Groups of a group norm: 32 as in its paper, fewer where less than 4 channels would share."""
    return next(g for g in range(min(32, max(1, channels // 4)), 0, -1) if channels % g == 0)


def norm_layer(norm: str, channels: int) -> list[nn.Module]:
    """The normalisation after a convolution, as a list of no or one module."""
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "group":
        return [nn.GroupNorm(norm_groups(channels), channels)]
    return []


def fill(conv: nn.Conv2d, rule: str) -> None:
    """Initialise one convolution: its weights by `he` or `zero`, its bias at 0."""
    if rule == "he":
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    else:
        nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def bilinear_kernel(factor: int) -> Tensor:
    """The kernel of bilinear upsampling by an even `factor`.

    Returns:
        float32 `(2 * factor, 2 * factor)`, its sum `factor ** 2`.
    """
    centre = factor - 0.5  # the kernel's size is even: its middle lies between two cells
    ramp = 1 - (torch.arange(2 * factor) - centre).abs() / factor
    return ramp[:, None] * ramp[None, :]


class Upsample(nn.Module):
    """Transposed convolution by `factor`, kernel `2 * factor`, bilinear or from a bilinear start.

    The border cells are repeated once before, so that scores at the border keep their size
    instead of fading to zero; in the original, the border lies in the padding that is cropped.

    Args:
        channels: C, classes.
        factor: 2, 8, 16 or 32.
        learned: Whether the kernel is trained. It is then a full C x C one, as in the paper; the
            fixed one is applied to each class apart (equal, for its other entries are 0).
    """

    kernel: Tensor

    def __init__(self, channels: int, factor: int, *, learned: bool) -> None:
        super().__init__()
        self.channels = channels
        self.factor = factor
        self.learned = learned
        kernel = bilinear_kernel(factor)  # (2f, 2f)
        if learned:
            self.weight = nn.Parameter(torch.eye(channels)[:, :, None, None] * kernel)
        else:
            # two-dimensional, so that no memory format can turn it: torch's sharing of buffers
            # between ranks fails on a turned one
            self.register_buffer("kernel", kernel, persistent=False)

    def kernels(self) -> Tensor:
        """The kernels: `(C, C, 2f, 2f)` where they are trained, else `(C, 1, 2f, 2f)`."""
        return self.weight if self.learned else self.kernel.expand(self.channels, 1, -1, -1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores `(N, C, h, w)` to `(N, C, h * factor, w * factor)`."""
        wide = F.pad(x, (1, 1, 1, 1), mode="replicate")  # (N, C, h + 2, w + 2)
        cut = self.factor + self.factor // 2  # the repeated cell, and half a kernel
        groups = 1 if self.learned else self.channels
        return F.conv_transpose2d(
            wide, self.kernels(), stride=self.factor, padding=cut, groups=groups
        )
