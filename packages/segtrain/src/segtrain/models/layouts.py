"""The names that state dicts give to a VGG's layers, and the places of these in the net."""

import re
from typing import NamedTuple

from torch import Tensor

from segtrain.errors import WeightsError
from segtrain.models.fcn import FCN
from segtrain.models.net import Net
from segtrain.models.torchvision_nets import TorchvisionNet, backbone_of
from segtrain.models.vgg import DEPTHS

State = dict[str, Tensor]
CAFFE = re.compile(r"conv(\d)_(\d)\.(weight|bias)")
# the first layers of the classifier, torchvision's and Caffe's names, and the kernels they become
FULLY_CONNECTED = {
    "classifier.0": ("head.fc6", 7),
    "classifier.3": ("head.fc7", 1),
    "fc6": ("head.fc6", 7),
    "fc7": ("head.fc7", 1),
}
SCORES_IMAGENET = ("classifier.6.", "fc8.")


class Move(NamedTuple):
    """A tensor of a source and its place in the net.

    Attributes:
        source: Its name in the source.
        target: The net's name of its place; empty where it has none.
        value: The tensor, in the shape of its place.
        reason: Why it has no place.
    """

    source: str
    target: str
    value: Tensor
    reason: str = ""


def moves(state: State, model: Net, where: str) -> list[Move]:
    """Find the place of every tensor of a state dict.

    Args:
        state: By the net's own names; for an FCN also by torchvision's (`features.0.weight`) or
            by Caffe's (`conv1_1.weight`), for one of torchvision's nets by those of its backbone
            as a classifier (`layer1.0.conv1.weight`).
        model: The net.
        where: What the state dict is, for messages.

    Raises:
        WeightsError: If it is of another VGG or backbone.
    """
    if isinstance(model, TorchvisionNet):
        return backbone_moves(state, model, where)
    if not isinstance(model, FCN) or any(name.startswith("head.") for name in state):
        return [own(name, value, model) for name, value in state.items()]
    roles = trunk_roles(state)
    check_trunk(roles, model, where)
    places = {role: name for name, role in trunk_roles(model.state_dict()).items()}
    found = []
    for name, value in state.items():
        if name in roles:
            target = places.get(roles[name], "")
            found.append(Move(name, target, value, "" if target else "the net has no such norm"))
        else:
            found.append(foreign(name, value, model))
    return found


def own(name: str, value: Tensor, model: Net) -> Move:
    """The place of one of our own tensors: that of its name."""
    here = name in model.state_dict()
    return Move(name, name if here else "", value, "" if here else "this net has no such layer")


def backbone_moves(state: State, model: TorchvisionNet, where: str) -> list[Move]:
    """Find the places in one of torchvision's nets.

    Raises:
        WeightsError: If the backbone is another one.
    """
    whole = any(name.startswith("backbone.") for name in state)
    places = {name: name if whole else classifier_place(name) for name in state}
    check_backbone(set(places.values()), model, where)
    return [
        own(places[name], value, model)._replace(source=name)
        if places[name]
        else Move(name, "", value, "belongs to a classifier of images")
        for name, value in state.items()
    ]


def classifier_place(name: str) -> str:
    """The place of a classifier's tensor in the nets on it; empty for what scores its classes.

    MobileNetV3's layers are `features.0`, `features.1`, ..., a ResNet's stand beside its `fc`.
    """
    if name.startswith(("classifier.", "fc.")):
        return ""
    return f"backbone.{name.removeprefix('features.')}"


def check_backbone(found: set[str], model: TorchvisionNet, where: str) -> None:
    """Refuse tensors of another backbone, of which some would fit by their names.

    Args:
        found: Names as the net would have them.
        model: The net.
        where: What the tensors are, for messages.

    Raises:
        WeightsError: With a tensor that only one of both has.
    """
    ours = {name for name in model.state_dict() if name.startswith("backbone.")}
    theirs = {name for name in found if name.startswith("backbone.")}
    counters = {name for name in ours | theirs if name.endswith("num_batches_tracked")}
    other = sorted((ours ^ theirs) - counters)  # files of old have no counters
    if other:
        side = "it lacks" if other[0] in ours else "this net has no"
        raise WeightsError(
            f"{where}: is of another net than {model.name}: {side} {other[0]}; expected a state "
            f"dict of torchvision's {model.name} or of its {backbone_of(model.name)}; use another "
            "file, another --model, or --weights none"
        )


def foreign(name: str, value: Tensor, model: FCN) -> Move:
    """The place of a tensor that lies behind somebody's trunk.

    The classifier's first two layers become fc6 and fc7 (Long et al., section 4.1).
    """
    layer, _, part = name.rpartition(".")
    if layer in FULLY_CONNECTED:
        target, size = FULLY_CONNECTED[layer]
        if model.kind_of_head != "paper":
            why = "fc6 of --head 1x1 is no 7x7 layer, and fc7 would not fit what a new fc6 puts out"
            return Move(name, "", value, why)
        if part == "weight" and value.shape[1:].numel() % size**2 == 0:
            value = value.reshape(value.shape[0], -1, size, size)
        return Move(name, f"{target}.{part}", value)
    if name.startswith(SCORES_IMAGENET):
        return Move(name, "", value, "scores the classes of ImageNet")
    if name.startswith(("score", "upscore")):
        return Move(name, "", value, "scores classes that the file does not name")
    return Move(name, "", value, "this net has no such layer")


def trunk_roles(state: State) -> dict[str, str]:
    """The roles of a trunk's tensors, by the order of its layers.

    Returns:
        For each `features.N.part` or `convB_L.part` of `state`: `conv3.weight`, `norm3.bias`, ...
    """
    caffe = sorted({found.groups()[:2] for name in state if (found := CAFFE.fullmatch(name))})
    if caffe:
        order = {f"conv{block}_{layer}": k for k, (block, layer) in enumerate(caffe)}
        split = (name.rpartition(".") for name in state)
        return {f"{k}.{p}": f"conv{order[k]}.{p}" for k, _, p in split if k in order}
    matches = (re.fullmatch(r"features\.(\d+)\..+", name) for name in state)
    numbers = sorted({int(match.group(1)) for match in matches if match})
    roles, convs = {}, -1
    for number in numbers:
        weight = state.get(f"features.{number}.weight")
        if weight is None:
            continue
        convs += weight.ndim == 4
        kind = "conv" if weight.ndim == 4 else "norm"
        prefix = f"features.{number}."
        for name in state:
            if name.startswith(prefix):
                roles[name] = f"{kind}{convs}.{name.removeprefix(prefix)}"
    return roles


def check_trunk(roles: dict[str, str], model: FCN, where: str) -> None:
    """Refuse a source whose convolutions are not as many as the net's: their order would not fit.

    Raises:
        WeightsError: With what it is.
    """
    count = len({role for role in roles.values() if re.fullmatch(r"conv\d+\.weight", role)})
    depths = {sum(depth): trunk for trunk, depth in DEPTHS.items()}
    if not count:
        raise WeightsError(
            f"{where}: holds no VGG: expected layers named features.0, features.2, ... as "
            "torchvision's, or conv1_1, conv1_2, ... as Caffe's; use another file, or --weights "
            "none"
        )
    if depths.get(count) != model.trunk:
        theirs = depths.get(count)
        hint = f"add --trunk {theirs}" if theirs else "use another file, or --weights none"
        raise WeightsError(
            f"{where}: has {count} convolutions in its trunk{f', as {theirs}' if theirs else ''}; "
            f"this net has --trunk {model.trunk}; {hint}"
        )
