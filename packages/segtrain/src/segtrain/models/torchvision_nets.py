"""Torchvision's nets for segmentation: FCN and DeepLabv3 on dilated ResNets, LR-ASPP.

They are made by torchvision and their tensors keep its names, so that state dicts go both ways.
"""

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from segtrain.models.layers import fill
from segtrain.models.net import Net, padded

AUXILIARY_WEIGHT = 0.5  # torchvision's references/segmentation/train.py, criterion


class Head(NamedTuple):
    """The part of a net behind its backbone.

    Attributes:
        hidden: Its modules that score nothing.
        scores: Its score layers by the name of their branch, the deepest first.
        auxiliary: Whether torchvision has an auxiliary head beside it.
    """

    hidden: tuple[str, ...]
    scores: dict[str, str]
    auxiliary: bool


# by the beginning of torchvision's name of the net
HEADS = {
    "fcn": Head(("classifier.0", "classifier.1"), {"deep": "classifier.4"}, auxiliary=True),
    "deeplabv3": Head(
        ("classifier.0", "classifier.1", "classifier.2"), {"deep": "classifier.4"}, auxiliary=True
    ),
    "lraspp": Head(
        ("classifier.cbr", "classifier.scale"),
        {"deep": "classifier.high_classifier", "low": "classifier.low_classifier"},
        auxiliary=False,
    ),
}
AUXILIARY = Head(
    ("aux_classifier.0", "aux_classifier.1"), {"aux": "aux_classifier.4"}, auxiliary=False
)
# by its end: the stride of the backbone's last maps, whose last stages dilate instead of striding
STRIDES = {"resnet50": 8, "resnet101": 8, "mobilenet_v3_large": 16}
SEGMENTERS = (
    "fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101",
    "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large",
)  # fmt: skip


class TorchvisionNet(Net):
    """One of torchvision's nets for segmentation.

    The images are padded by zeros to multiples of the stride of the deepest maps; the scores are
    enlarged bilinearly to that size and cut, as torchvision enlarges them to the image's. So for
    images whose sides the stride divides the logits are torchvision's own.

    What looks at the whole map (the pooling of DeepLabv3 and LR-ASPP) sees the padding, too:
    always the same, for images only share a batch at one padded size.

    Args:
        name: Torchvision's name, `fcn_resnet50`.
        num_classes: C, background included.
        auxiliary_weight: Factor on the loss of the auxiliary head; at 0 there is none. LR-ASPP
            never has one.
        score_init: `zero` or `he`: weights of the score layers, the auxiliary one included.

    Attributes:
        name: Torchvision's name.
        backbone: Its trunk, which gives feature maps by name.
        classifier: Its head.
        aux_classifier: The auxiliary head, on the maps before the last stage; None without one.
    """

    trunk_names = ("backbone.",)

    def __init__(
        self,
        name: str,
        num_classes: int,
        *,
        auxiliary_weight: float = AUXILIARY_WEIGHT,
        score_init: str = "zero",
    ) -> None:
        super().__init__()
        self.name = name
        self.head = HEADS[family_of(name)]
        self.stride = STRIDES[backbone_of(name)]
        auxiliary = self.head.auxiliary and auxiliary_weight > 0
        self.auxiliary_weight = auxiliary_weight if auxiliary else 0.0
        made = fresh(name, num_classes, auxiliary=auxiliary)
        self.backbone: nn.Module = made.backbone
        self.classifier: nn.Module = made.classifier
        self.aux_classifier: nn.Module | None = made.aux_classifier if auxiliary else None
        self.heads = (self.head, AUXILIARY) if auxiliary else (self.head,)
        layers = [layer for head in self.heads for layer in head.scores.values()]
        self.scoring = tuple(f"{layer}." for layer in layers)
        for layer in layers:
            fill(self.score_layer(layer), score_init)

    def score_layer(self, name: str) -> nn.Conv2d:
        """A score layer by its name in the net."""
        layer: Any = self.get_submodule(name)
        found: nn.Conv2d = layer
        return found

    def branches(self) -> dict[str, nn.Module]:
        """The score layers whose scores are summed up; the auxiliary one is none of them."""
        return {branch: self.score_layer(name) for branch, name in self.head.scores.items()}

    def labels(self) -> dict[str, str]:
        """All layers of a ResNet without its `backbone.`, as `layer4.2.conv3`; others in full."""
        names = [name for name, _ in self.named_modules() if name]
        short = "resnet" in self.name
        return {name: name.removeprefix("backbone.") if short else name for name in names}

    def freeze(self, part: str) -> None:
        """Keep a part of the net as it is; see `Net.freeze`.

        Args:
            part: `none`, `trunk`: the backbone, or `head`: all but the score layers.
        """
        hidden = tuple(name for head in self.heads for name in head.hidden)
        self.frozen = {"none": (), "trunk": ("backbone",), "head": ("backbone", *hidden)}[part]
        self.hold()

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(N, C, H, W)` of images `(N, 3, H, W)`, as `Net` says."""
        whole = padded(image, self.stride)
        return self.enlarged(self.scores(self.backbone(whole)), whole, image)

    def all_logits(self, image: Tensor) -> tuple[Tensor, ...]:
        """The logits, and after them those of the auxiliary head: `(N, C, H, W)` each."""
        whole = padded(image, self.stride)
        features = self.backbone(whole)
        found = [self.scores(features)]
        if self.aux_classifier is not None:
            found.append(self.aux_classifier(features["aux"]))
        return tuple(self.enlarged(scores, whole, image) for scores in found)

    def scores(self, features: dict[str, Tensor]) -> Tensor:
        """What the head makes of the backbone's maps: `(N, C, h, w)`."""
        # LR-ASPP's head takes both its maps, the others the deepest
        found: Tensor = self.classifier(features.get("out", features))
        return found

    def enlarged(self, scores: Tensor, whole: Tensor, image: Tensor) -> Tensor:
        """Scores at the size of the padded images, cut to that of the images."""
        wide = F.interpolate(scores, whole.shape[2:], mode="bilinear", align_corners=False)
        return wide[:, :, : image.shape[2], : image.shape[3]]


def family_of(name: str) -> str:
    """`fcn`, `deeplabv3` or `lraspp`."""
    return name.partition("_")[0]


def backbone_of(name: str) -> str:
    """Torchvision's name of the backbone of a net: `resnet50`."""
    return name.partition("_")[2]


def fresh(name: str, num_classes: int, *, auxiliary: bool) -> Any:  # noqa: ANN401 - its classes differ
    """Torchvision's net with random weights."""
    from torchvision.models import get_model

    options = {"aux_loss": True} if auxiliary else {}
    return get_model(name, weights=None, weights_backbone=None, num_classes=num_classes, **options)
