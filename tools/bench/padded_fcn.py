"""FCN-8s as its authors drew it: 100 pixels of padding, nothing padded at fc6, scores cropped.

Written after the paper (Long, Shelhamer, Darrell; CVPR 2015, PAMI 2016), for comparison: it
computes the same scores on a map that the padding makes larger.
"""

import torch
from torch import Tensor, nn

from segtrain.models.layers import bilinear_kernel, fill

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions of VGG16
HIDDEN = 4096
# Where the deeper map begins on the skip's, in its cells. fc6 leaves three cells of the stride of
# 32 out at each side, six of 16; the transposed convolution that doubles adds one at each side.
AT_POOL4 = 5
AT_POOL3 = 2 * AT_POOL4 - 1
# The image begins at 99, as the first 3x3 takes one of the 100; the scores at 8 * 9, less the half
# kernel of 4 pixels that the last transposed convolution adds
AT_IMAGE = 99 - (8 * AT_POOL3 - 4)


class PaddedFCN(nn.Module):
    """FCN-8s with padding 100 in conv1_1, crops, and full (C x C) transposed convolutions.

    Args:
        num_classes: C, background included.
        width: Factor on the hidden channels, as that of segtrain's nets.
        dropout: Probability after fc6 and fc7.
    """

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        counts = [max(8, 8 * round(c * width / 8)) for c, _ in BLOCKS]
        hidden = max(8, 8 * round(HIDDEN * width / 8))
        ins = [3, *counts[:-1]]
        depths = [depth for _, depth in BLOCKS]
        blocks = [block(*sizes) for sizes in zip(ins, counts, depths, strict=True)]
        first = blocks[0][0]
        if isinstance(first, nn.Conv2d):
            first.padding = (100, 100)
        self.to_pool3 = nn.Sequential(*blocks[:3])
        self.to_pool4, self.to_pool5 = blocks[3], blocks[4]
        self.head = nn.Sequential(
            nn.Conv2d(counts[4], hidden, 7), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Conv2d(hidden, hidden, 1), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Conv2d(hidden, num_classes, 1),
        )  # fmt: skip
        self.score_pool4 = nn.Conv2d(counts[3], num_classes, 1)
        self.score_pool3 = nn.Conv2d(counts[2], num_classes, 1)
        self.upscore2 = upsampling(num_classes, 2)
        self.upscore_pool4 = upsampling(num_classes, 2)
        self.upscore = upsampling(num_classes, 8)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fill(module, "he")

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(N, C, H, W)` of normalised images `(N, 3, H, W)`."""
        pool3 = self.to_pool3(image)
        pool4 = self.to_pool4(pool3)
        scores = self.upscore2(self.head(self.to_pool5(pool4)))
        scores = scores + cropped(self.score_pool4(pool4), AT_POOL4, scores)
        scores = self.upscore_pool4(scores)
        scores = scores + cropped(self.score_pool3(pool3), AT_POOL3, scores)
        return cropped(self.upscore(scores), AT_IMAGE, image).contiguous()


def block(channels: int, out: int, depth: int) -> nn.Sequential:
    """Convolutions of a VGG with the pooling behind them, which keeps what is left at the edge."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Conv2d(out if number else channels, out, 3, padding=1)]
        layers += [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.MaxPool2d(2, 2, ceil_mode=True))


def upsampling(channels: int, factor: int) -> nn.ConvTranspose2d:
    """A transposed convolution between all classes, from a bilinear start."""
    layer = nn.ConvTranspose2d(channels, channels, 2 * factor, stride=factor, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels)[:, :, None, None] * bilinear_kernel(factor))
    return layer


def cropped(x: Tensor, offset: int, like: Tensor) -> Tensor:
    """The part of a map that begins at `offset` and has the height and width of another."""
    height, width = like.shape[2:]
    return x[:, :, offset : offset + height, offset : offset + width]
