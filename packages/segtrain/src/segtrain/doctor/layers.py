"""The layers of a net by the names that people know them by, and its branches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from torch import nn

from segtrain.models.net import Net

TRUNKS = ("conv", "layer", "backbone.")  # beginnings of the labels of layers of trunks


@dataclass(frozen=True)
class Layer:
    """A module with a weight matrix or kernel: a convolution or a trained upsampling.

    Attributes:
        name: In the net: `features.24`.
        label: For people: `conv5_1`.
        module: Itself; its `weight` has 2 or more dimensions.
    """

    name: str
    label: str
    module: nn.Module

    @property
    def weight(self) -> nn.Parameter:
        """Its weights, the outputs first."""
        return cast("nn.Parameter", self.module.weight)

    @property
    def zero(self) -> bool:
        """Whether all its weights are exactly zero."""
        return not bool(self.weight.detach().any())


def layers(model: nn.Module) -> list[Layer]:
    """All layers with weights, in the order of the net's modules."""
    labels = model.labels() if isinstance(model, Net) else {}
    return [
        Layer(name, labels.get(name, name.rpartition(".")[2] or name), module)
        for name, module in model.named_modules()
        if isinstance(getattr(module, "weight", None), nn.Parameter) and module.weight.dim() > 1
    ]


def branches(model: nn.Module) -> dict[str, nn.Module]:
    """The score layer of each branch, the deep one first; empty for a net of another kind."""
    return model.branches() if isinstance(model, Net) else {}


def listed(found: Iterable[Layer]) -> str:
    """Layers for people: `conv5_1, fc6 and fc7`; runs of a trunk as `conv5_1 to conv5_3`."""
    groups: list[list[str]] = []
    for label in (layer.label for layer in found):
        follows = groups and label.startswith(TRUNKS) and groups[-1][-1].startswith(TRUNKS)
        if follows:
            groups[-1].append(label)
        else:
            groups.append([label])
    words = [g[0] if len(g) == 1 else f"{g[0]} to {g[-1]}" for g in groups]
    return joined(words)


def joined(words: Sequence[str]) -> str:
    """Words as a list in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
