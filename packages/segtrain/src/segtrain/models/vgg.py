"""The trunks: VGG11, 13, 16 and 19 (Simonyan and Zisserman, ICLR 2015, table 1)."""

from torch import nn

from segtrain.models.layers import ACTIVATIONS, norm_layer, scaled

CHANNELS = (64, 128, 256, 512, 512)  # of the five blocks; a pooling ends each
# 3x3 convolutions of each block: configurations A, B, D and E
DEPTHS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def make_trunk(
    trunk: str, norm: str, activation: str, width: float
) -> tuple[nn.Sequential, list[int]]:
    """A VGG's convolutions and poolings, with the indices of torchvision's `features`.

    Args:
        trunk: `vgg11`, `vgg13`, `vgg16` or `vgg19`.
        norm: `none`, `batch` or `group`, after each convolution.
        activation: A name of `ACTIVATIONS`, after that.
        width: Factor on the channel counts.

    Returns:
        The layers, and the indices of the five poolings.
    """
    layers: list[nn.Module] = []
    ends = []
    last = 3
    for channels, depth in zip(CHANNELS, DEPTHS[trunk], strict=True):
        out = scaled(channels, width)
        for _ in range(depth):
            layers += [nn.Conv2d(last, out, 3, padding=1), *norm_layer(norm, out)]
            layers.append(ACTIVATIONS[activation]())
            last = out
        ends.append(len(layers))
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers), ends
