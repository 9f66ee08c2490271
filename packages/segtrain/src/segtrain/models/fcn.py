"""FCN-32s, 16s and 8s on a VGG (Long, Shelhamer, Darrell; CVPR 2015, PAMI 2016).

In the "same" form: the input is padded to a multiple of 32 and fc6 has padding 3, where the
original pads the image by 100 pixels and crops; that doubles the trunk's work.
"""

from collections import OrderedDict
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from segtrain.models.layers import ACTIVATIONS, Upsample, fill, norm_layer, scaled
from segtrain.models.net import Net, Parts, padded
from segtrain.models.vgg import CHANNELS, make_trunk

HIDDEN = 4096  # channels of fc6 and fc7
SCALES = {"32s": 32, "16s": 16, "8s": 8}


class FCN(Net):
    """An FCN on a VGG.

    `features` has the indices of torchvision's `vgg16` and its kin (`vgg16_bn` where there is a
    norm), so that their weights load by name. Hidden layers start with He's normal initialisation
    (fan in), biases at 0, score layers at 0 as in the paper; see `conv_init`, `hidden_bias`,
    `score_init` and `skip_init`.

    Args:
        num_classes: C, background included.
        variant: `32s`, `16s` (adds the skip from pool4) or `8s` (and from pool3).
        trunk: `vgg11`, `vgg13`, `vgg16` or `vgg19`.
        head: `paper`: fc6 is 7x7, fc7 1x1; `1x1`: both are 1x1.
        upsampling: `fixed`: all bilinear; `learned`: the x2 layers between skips are trained from
            a bilinear start, the last stays fixed.
        norm: `none`, `batch` or `group`: after each hidden convolution, before its activation.
        activation: A name of `ACTIVATIONS`: after each hidden layer.
        score_activation: The same: after each score layer; `none` in the papers.
        skip_scales: Factors on pool4 and pool3 before their score layers.
        width: Factor on all hidden channel counts, rounded to multiples of 8.
        dropout: Probability after fc6 and fc7, 0..1 (1 excluded).
        conv_init: `he` or `zero`: weights of fc6 and fc7. At zero and a `hidden_bias` of 0, in
            front of a ReLU, they never move.
        hidden_bias: What is added in front of the activations of fc6 and fc7 at the start: the
            bias of their norm where they have one, else their own.
        score_init: `zero` or `he`: weights of score_fr, the deep score layer.
        skip_init: `zero` or `he`: weights of score_pool4 and score_pool3.
    """

    stride = 32  # of pool5
    parts: ClassVar[Parts] = {"none": (), "trunk": ("features",), "head": ("features", "head")}
    scoring = ("score_", "upscore")
    trunk_names = ("features.",)

    def __init__(
        self,
        num_classes: int,
        *,
        variant: str = "8s",
        trunk: str = "vgg16",
        head: str = "paper",
        upsampling: str = "fixed",
        norm: str = "none",
        activation: str = "relu",
        score_activation: str = "none",
        skip_scales: tuple[float, float] = (1.0, 1.0),
        width: float = 1.0,
        dropout: float = 0.5,
        conv_init: str = "he",
        hidden_bias: float = 0.0,
        score_init: str = "zero",
        skip_init: str = "zero",
    ) -> None:
        super().__init__()
        self.variant = variant
        self.trunk = trunk
        self.kind_of_head = head
        self.skip_scales = skip_scales
        self.features, self.pool_ends = make_trunk(trunk, norm, activation, width)
        channels = [scaled(count, width) for count in CHANNELS]
        hidden = scaled(HIDDEN, width)
        self.head = make_head(channels[4], hidden, head, norm, activation, dropout)
        self.score_fr = nn.Conv2d(hidden, num_classes, 1)
        learned = upsampling == "learned"
        if variant in ("16s", "8s"):
            self.upscore2 = Upsample(num_classes, 2, learned=learned)
            self.score_pool4 = nn.Conv2d(channels[3], num_classes, 1)
        if variant == "8s":
            self.upscore_pool4 = Upsample(num_classes, 2, learned=learned)
            self.score_pool3 = nn.Conv2d(channels[2], num_classes, 1)
        self.score_activation = ACTIVATIONS[score_activation]()
        self.upscore = Upsample(num_classes, SCALES[variant], learned=False)
        self.initialise(conv_init, score_init, skip_init)
        start_biases(self.head, hidden_bias)

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

    def placed(self, device: torch.device) -> Self:
        """As `Net.placed`, but that on a CPU the kernel of fc6 is contiguous.

        There torch computes the gradient of a kernel in that order and turns it afterwards, which
        for the three quarters of all weights that fc6 has takes longer than the gradient itself.
        """
        net = super().placed(device)
        if device.type == "cpu":
            net.fc6.weight.data = net.fc6.weight.data.contiguous()
        return net

    @property
    def fc6(self) -> nn.Conv2d:
        """The first convolution of the head."""
        layer = self.head.get_submodule("fc6")
        if not isinstance(layer, nn.Conv2d):
            raise TypeError(f"fc6 is a {type(layer).__name__}")
        return layer

    def branches(self) -> dict[str, nn.Module]:
        """The score layers: of the deep branch, then of the skips from pool4 and pool3."""
        named = {"deep": "score_fr", "pool4": "score_pool4", "pool3": "score_pool3"}
        return {b: getattr(self, layer) for b, layer in named.items() if hasattr(self, layer)}

    def labels(self) -> dict[str, str]:
        """VGG's own names of its convolutions, `conv1_1` to `conv5_3`, by the net's."""
        labels, block, number = {}, 1, 0
        for index, layer in enumerate(self.features):
            if isinstance(layer, nn.Conv2d):
                number += 1
                labels[f"features.{index}"] = f"conv{block}_{number}"
            if index in self.pool_ends:
                block, number = block + 1, 0
        return labels

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(N, C, H, W)` of images `(N, 3, H, W)`, as `Net` says."""
        height, width = image.shape[2:]
        x = padded(image, self.stride)
        pool3, pool4, pool5 = self.pools(x)  # strides 8, 16, 32
        after = self.score_activation
        score = after(
            self.score_fr(self.head(ordered_as(self.fc6.weight, pool5)))
        )  # (N, C, H/32, W/32)
        if self.variant != "32s":
            skip = after(self.score_pool4(pool4 * self.skip_scales[0]))
            score = self.upscore2(score) + skip  # (N, C, H/16, W/16)
        if self.variant == "8s":
            skip = after(self.score_pool3(pool3 * self.skip_scales[1]))
            score = self.upscore_pool4(score) + skip  # (N, C, H/8, W/8)
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


def make_head(
    channels: int, hidden: int, head: str, norm: str, activation: str, dropout: float
) -> nn.Sequential:
    """The convolutions fc6 and fc7, each with norm, activation and dropout."""
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
        layers[f"act{number}"] = ACTIVATIONS[activation]()
        layers[f"drop{number}"] = nn.Dropout(dropout)
    return nn.Sequential(layers)


def ordered_as(kernel: Tensor, maps: Tensor) -> Tensor:
    """Maps `(N, C, h, w)` in the memory order of a kernel that is contiguous; else as they are.

    Of two orders torch would turn the kernel.
    """
    if kernel.is_contiguous(memory_format=torch.channels_last):
        return maps
    return maps.contiguous()


def start_biases(head: nn.Sequential, value: float) -> None:
    """Set what is added last in front of each activation of the head.

    A norm takes out what the bias of the convolution before it adds; its own bias does that work.
    """
    for number in ("6", "7"):
        layer = getattr(head, f"norm{number}", None) or getattr(head, f"fc{number}")
        nn.init.constant_(layer.bias, value)
