"""What each model takes: the options that mean something to it, and its own defaults."""

from dataclasses import dataclass
from typing import Literal

ModelName = Literal[
    "fcn",
    "fc_densenet56",
    "fc_densenet67",
    "fc_densenet103",
    "fcn_resnet50",
    "fcn_resnet101",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "deeplabv3_mobilenet_v3_large",
    "lraspp_mobilenet_v3_large",
]
Norm = Literal["none", "batch", "group"]
Freeze = Literal["none", "trunk", "head"]


@dataclass(frozen=True)
class Family:
    """What a model takes.

    Attributes:
        title: Its name for people; of FCN that of the family, to which the variant belongs.
        own: Fields of the configuration that mean something to it and not to every other model.
        norms: The words of `--norm` that it can be built with.
        norm: The norm that it has where none is given; None: as its start and fit ask for.
        native_batch_norm: Whether batch norm may take its statistics from one whole image.
        pools: Whether a batch norm sees maps that were pooled to one value an image.
        dropout: Its default; None where the model has its own.
        auxiliary: Factor on the loss of its auxiliary head by default; None where it has none.
        tuned_rate: Learning rate of sgd by default where it starts from weights; None: as from
            scratch.
        imagenet: Whether there are weights for `--weights imagenet`.
        coco: Whether there are weights for `--weights coco`.
        freezes: The words of `--freeze` that it has parts for.
    """

    title: str
    own: frozenset[str] = frozenset()
    norms: tuple[Norm, ...] = ("none", "batch", "group")
    norm: Norm | None = None
    native_batch_norm: bool = False
    pools: bool = False
    dropout: float | None = 0.5
    auxiliary: float | None = None
    tuned_rate: float | None = None
    imagenet: bool = False
    coco: bool = False
    freezes: tuple[Freeze, ...] = ("none",)

    def takes(self, name: str, value: object) -> bool:
        """Whether a value of a field means something to the model."""
        if name in PARTICULAR:
            return name in self.own
        if name == "norm":
            return value is None or value in self.norms
        if name == "freeze":
            return value in self.freezes
        if name != "weights":
            return True
        return {"imagenet": self.imagenet, "coco": self.coco}.get(str(value), True)


FCN = Family(
    "FCN",
    own=frozenset(
        {
            "variant", "trunk", "head", "upsampling", "activation", "score_activation",
            "skip_scales", "conv_init", "hidden_bias", "score_init", "skip_init", "staged",
            "width", "dropout",
        }
    ),
    imagenet=True,
    freezes=("none", "trunk", "head"),
)  # fmt: skip


def fc_densenet(layers: int) -> Family:
    """An FC-DenseNet; its authors train it by native single images with batch norm, too."""
    return Family(
        f"FC-DenseNet{layers}",
        own=frozenset({"width", "dropout", "checkpointing"}),
        norms=("batch", "group"),
        norm="batch",
        native_batch_norm=True,
        dropout=0.2,
    )


def torchvision(title: str, *, auxiliary: float | None = None, pools: bool = False) -> Family:
    """One of torchvision's nets, which has its own channels, batch norms and dropout.

    Its references train with a rate of 0.02 and 32 images a step, half of both being the default.
    """
    return Family(
        title,
        own=frozenset({"score_init", "aux_weight"} if auxiliary else {"score_init"}),
        norms=("batch",),
        norm="batch",
        pools=pools,
        dropout=None,
        auxiliary=auxiliary,
        tuned_rate=0.01,
        imagenet=True,
        coco=True,
        freezes=("none", "trunk", "head"),
    )


FAMILIES: dict[ModelName, Family] = {
    "fcn": FCN,
    "fc_densenet56": fc_densenet(56),
    "fc_densenet67": fc_densenet(67),
    "fc_densenet103": fc_densenet(103),
    "fcn_resnet50": torchvision("FCN on ResNet-50", auxiliary=0.5),
    "fcn_resnet101": torchvision("FCN on ResNet-101", auxiliary=0.5),
    "deeplabv3_resnet50": torchvision("DeepLabv3 on ResNet-50", auxiliary=0.5, pools=True),
    "deeplabv3_resnet101": torchvision("DeepLabv3 on ResNet-101", auxiliary=0.5, pools=True),
    "deeplabv3_mobilenet_v3_large": torchvision(
        "DeepLabv3 on MobileNetV3-Large", auxiliary=0.5, pools=True
    ),
    "lraspp_mobilenet_v3_large": torchvision("LR-ASPP on MobileNetV3-Large"),
}
# fields that only some models take
PARTICULAR = frozenset[str]().union(*(family.own for family in FAMILIES.values()))
