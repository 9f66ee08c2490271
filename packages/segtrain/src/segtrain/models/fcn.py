"""FCN-32s, 16s and 8s on the VGG16 trunk (Long, Shelhamer, Darrell; CVPR 2015, PAMI 2016).

In the "same" form: the input is padded to a multiple of 32 and fc6 has padding 3, where the
original pads the image by 100 pixels and crops; that doubles the trunk's work.
"""

from collections import OrderedDict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 32  # of pool5
# VGG16, configuration D: channels of each 3x3 convolution, block by block, a pooling after each
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HIDDEN = 4096  # channels of fc6 and fc7
SCALES = {"32s": 32, "16s": 16, "8s": 8}


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

    weight: Tensor

    def __init__(self, channels: int, factor: int, *, learned: bool) -> None:
        super().__init__()
        self.factor = factor
        self.groups = 1 if learned else channels
        kernel = bilinear_kernel(factor)  # (2f, 2f)
        if learned:
            self.weight = nn.Parameter(torch.eye(channels)[:, :, None, None] * kernel)
        else:
            stack = kernel.expand(channels, 1, -1, -1).contiguous()  # (C, 1, 2f, 2f)
            self.register_buffer("weight", stack, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scores `(N, C, h, w)` to `(N, C, h * factor, w * factor)`."""
        wide = F.pad(x, (1, 1, 1, 1), mode="replicate")  # (N, C, h + 2, w + 2)
        cut = self.factor + self.factor // 2  # the repeated cell, and half a kernel
        return F.conv_transpose2d(
            wide, self.weight, stride=self.factor, padding=cut, groups=self.groups
        )


class FCN(nn.Module):
    """An FCN on VGG16.

    `features` has the indices of torchvision's `vgg16` (`vgg16_bn` where there is a norm), so that
    its weights load by name. Hidden layers start with He's normal initialisation (fan in), biases
    at 0, score layers at 0 as in the paper; see `conv_init`, `score_init` and `skip_init`.

    Args:
        num_classes: C, background included.
        variant: `32s`, `16s` (adds the skip from pool4) or `8s` (and from pool3).
        head: `paper`: fc6 is 7x7, fc7 1x1; `1x1`: both are 1x1.
        upsampling: `fixed`: all bilinear; `learned`: the x2 layers between skips are trained from
            a bilinear start, the last stays fixed.
        norm: `none`, `batch` or `group`: after each hidden convolution, before its ReLU.
        width: Factor on all hidden channel counts, rounded to multiples of 8.
        dropout: Probability after fc6 and fc7, 0..1 (1 excluded).
        conv_init: `he` or `zero`: weights of fc6 and fc7. At zero they never move.
        score_init: `zero` or `he`: weights of score_fr, the deep score layer.
        skip_init: `zero` or `he`: weights of score_pool4 and score_pool3.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        variant: str = "8s",
        head: str = "paper",
        upsampling: str = "fixed",
        norm: str = "none",
        width: float = 1.0,
        dropout: float = 0.5,
        conv_init: str = "he",
        score_init: str = "zero",
        skip_init: str = "zero",
    ) -> None:
        super().__init__()
        self.variant = variant
        self.kind_of_head = head
        self.features, self.pool_ends = make_trunk(norm, width)
        channels = [scaled(block[-1], width) for block in BLOCKS]
        hidden = scaled(HIDDEN, width)
        self.head = make_head(channels[4], hidden, head, norm, dropout)
        self.score_fr = nn.Conv2d(hidden, num_classes, 1)
        learned = upsampling == "learned"
        if variant in ("16s", "8s"):
            self.upscore2 = Upsample(num_classes, 2, learned=learned)
            self.score_pool4 = nn.Conv2d(channels[3], num_classes, 1)
        if variant == "8s":
            self.upscore_pool4 = Upsample(num_classes, 2, learned=learned)
            self.score_pool3 = nn.Conv2d(channels[2], num_classes, 1)
        self.upscore = Upsample(num_classes, SCALES[variant], learned=False)
        self.initialise(conv_init, score_init, skip_init)

    def initialise(self, conv_init: str, score_init: str, skip_init: str) -> None:
        """Set all weights of convolutions; biases are 0."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                rule = "he"
                if name.startswith("head."):
                    rule = conv_init
                elif name.startswith("score_"):
                    rule = score_init if name == "score_fr" else skip_init
                fill(module, rule)

    def forward(self, image: Tensor) -> Tensor:
        """Score every pixel.

        Args:
            image: float `(N, 3, H, W)`, normalised; any H and W from 1 up.

        Returns:
            Logits `(N, C, H, W)`.
        """
        height, width = image.shape[2:]
        x = F.pad(image, (0, -width % STRIDE, 0, -height % STRIDE))  # multiples of 32
        pool3, pool4, pool5 = self.pools(x)  # strides 8, 16, 32
        score = self.score_fr(self.head(pool5))  # (N, C, H/32, W/32)
        if self.variant != "32s":
            score = self.upscore2(score) + self.score_pool4(pool4)  # (N, C, H/16, W/16)
        if self.variant == "8s":
            score = self.upscore_pool4(score) + self.score_pool3(pool3)  # (N, C, H/8, W/8)
        logits: Tensor = self.upscore(score)  # (N, C, H, W), padded
        return logits[:, :, :height, :width]

    def pools(self, x: Tensor) -> list[Tensor]:
        """Outputs of pool3, pool4 and pool5 for an input of sides that 32 divides."""
        outputs = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.pool_ends[2:]:
                outputs.append(x)
        return outputs


def make_trunk(norm: str, width: float) -> tuple[nn.Sequential, list[int]]:
    """VGG16's convolutions and poolings, and the indices of its five poolings."""
    layers: list[nn.Module] = []
    ends = []
    last = 3
    for block in BLOCKS:
        for channels in block:
            out = scaled(channels, width)
            layers += [nn.Conv2d(last, out, 3, padding=1), *norm_layer(norm, out)]
            layers.append(nn.ReLU(inplace=True))
            last = out
        ends.append(len(layers))
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers), ends


def make_head(channels: int, hidden: int, head: str, norm: str, dropout: float) -> nn.Sequential:
    """The convolutions fc6 and fc7, each with norm, ReLU and dropout."""
    size = 7 if head == "paper" else 1
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    convs = {
        "6": nn.Conv2d(channels, hidden, size, padding=size // 2),
        "7": nn.Conv2d(hidden, hidden, 1),
    }
    for number, conv in convs.items():
        layers[f"fc{number}"] = conv
        for module in norm_layer(norm, hidden):
            layers[f"norm{number}"] = module
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        layers[f"drop{number}"] = nn.Dropout(dropout)
    return nn.Sequential(layers)


def fill(conv: nn.Conv2d, rule: str) -> None:
    """Initialise one convolution: its weights by `he` or `zero`, its bias at 0."""
    if rule == "he":
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    else:
        nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


class ParameterCount(NamedTuple):
    """Numbers of weights of a net.

    Attributes:
        layers: Weights and biases of all layers but the upsampling; these are trained.
        learned: Weights of trained upsampling layers, C x C kernels.
        fixed: Weights of fixed upsampling layers, one kernel per class.
    """

    layers: int
    learned: int
    fixed: int


def count_parameters(model: FCN) -> ParameterCount:
    """Count a net's weights; a full C x C fixed upsampling would have C times `fixed`."""
    upsampling = [m for m in model.modules() if isinstance(m, Upsample)]
    learned = sum(m.weight.numel() for m in upsampling if m.groups == 1)
    fixed = sum(m.weight.numel() for m in upsampling if m.groups > 1)
    return ParameterCount(sum(p.numel() for p in model.parameters()) - learned, learned, fixed)
