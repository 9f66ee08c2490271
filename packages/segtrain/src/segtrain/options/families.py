"""What each model takes: the options that mean something to it, and its own defaults."""

from dataclasses import dataclass
from typing import Literal

ModelName = Literal["fcn", "fc_densenet56", "fc_densenet67", "fc_densenet103"]
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
        dropout: Its default.
        imagenet: Whether there are weights for `--weights imagenet`.
        freezes: The words of `--freeze` that it has parts for.
    """

    title: str
    own: frozenset[str] = frozenset()
    norms: tuple[Norm, ...] = ("none", "batch", "group")
    norm: Norm | None = None
    native_batch_norm: bool = False
    dropout: float = 0.5
    imagenet: bool = False
    freezes: tuple[Freeze, ...] = ("none",)

    def takes(self, name: str, value: object) -> bool:
        """Whether a value of a field means something to the model."""
        if name in PARTICULAR:
            return name in self.own
        if name == "norm":
            return value is None or value in self.norms
        if name == "freeze":
            return value in self.freezes
        return name != "weights" or value != "imagenet" or self.imagenet


FCN = Family(
    "FCN",
    own=frozenset(
        {
            "variant", "trunk", "head", "upsampling", "activation", "score_activation",
            "skip_scales", "conv_init", "hidden_bias", "score_init", "skip_init", "staged",
        }
    ),
    imagenet=True,
    freezes=("none", "trunk", "head"),
)  # fmt: skip


def fc_densenet(layers: int) -> Family:
    """An FC-DenseNet; its authors train it by native single images with batch norm, too."""
    return Family(
        f"FC-DenseNet{layers}",
        norms=("batch", "group"),
        norm="batch",
        native_batch_norm=True,
        dropout=0.2,
    )


FAMILIES: dict[ModelName, Family] = {
    "fcn": FCN,
    "fc_densenet56": fc_densenet(56),
    "fc_densenet67": fc_densenet(67),
    "fc_densenet103": fc_densenet(103),
}
# fields that only some models take
PARTICULAR = frozenset[str]().union(*(family.own for family in FAMILIES.values()))
