"""Start weights: torchvision's VGG16 and our own checkpoints, transplanted layer by layer."""

import sys
import urllib.error
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from segtrain.checkpoint import Checkpoint, check_classes, find_checkpoint, load_plain
from segtrain.config import TrainConfig, known
from segtrain.errors import CheckpointError, WeightsError
from segtrain.manifests import ClassInfo
from segtrain.models.fcn import FCN

State = dict[str, Tensor]
COARSENESS = {"32s": 0, "16s": 1, "8s": 2}


@dataclass
class WeightsReport:
    """What became of the weights of a source and of the layers of the net.

    Attributes:
        source: Where the weights came from, for people.
        loaded: Names of the net's tensors that were loaded.
        unused: Tensors of the source that were not, with the reason.
        fresh: Tensors of the net that keep their initialisation, with the reason.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The report for people: a line per reason."""
        out = [f"weights: {self.source}: {len(self.loaded)} tensors loaded"]
        for title, entries in (("not used", self.unused), ("start anew", self.fresh)):
            by_reason: dict[str, list[str]] = {}
            for name, reason in entries.items():
                by_reason.setdefault(reason, []).append(name.rsplit(".", 1)[0])
            for reason, names in by_reason.items():
                out.append(f"weights: {title}: {', '.join(dict.fromkeys(names))} ({reason})")
        return out

    def plain(self) -> dict[str, object]:
        """The report as plain types, for JSON."""
        return {
            "source": self.source,
            "loaded": self.loaded,
            "unused": self.unused,
            "fresh": self.fresh,
        }


def imagenet_url(trunk: str, norm: str) -> str:
    """The address of torchvision's weights for a trunk with this norm, with its hash in it."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(f"{trunk}_bn" if norm == "batch" else trunk)
    return str(weights.IMAGENET1K_V1.url)


def download_imagenet(trunk: str, norm: str) -> State:
    """Torchvision's ImageNet weights, from its cache or downloaded and checked by hash.

    Raises:
        WeightsError: If they can be neither found nor downloaded.
    """
    url = imagenet_url(trunk, norm)
    try:
        state: State = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=sys.stderr.isatty(), check_hash=True,
            weights_only=True,
        )  # fmt: skip
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"{url}: could not be downloaded ({error}); two ways on: download that file elsewhere "
            "and give it as --weights FILE, or train from scratch with --weights none"
        ) from error
    return state


def convolutions(state: State) -> dict[str, str]:
    """Map torchvision's trunk tensors to those of the net, by the order of the layers.

    Returns:
        For each `features.N.part` of `state`, its role: `conv3.weight`, `norm3.bias`, ...
    """
    numbers = sorted({int(n.split(".")[1]) for n in state if n.startswith("features.")})
    roles, convs = {}, -1
    for number in numbers:
        weight = state[f"features.{number}.weight"]
        convs += weight.ndim == 4
        kind = "conv" if weight.ndim == 4 else "norm"
        prefix = f"features.{number}."
        for name in state:
            if name.startswith(prefix):
                roles[name] = f"{kind}{convs}.{name.removeprefix(prefix)}"
    return roles


def from_torchvision(state: State, model: FCN) -> tuple[State, dict[str, str]]:
    """Rename and reshape a VGG16 state dict of torchvision for the net.

    The classifier's first two layers become fc6 and fc7 (Long et al., section 4.1).

    Returns:
        Tensors by the net's names, and the source's names that have no place, with the reason.
    """
    places = {role: name for name, role in convolutions(model.state_dict()).items()}
    named, unused = {}, {}
    for name, role in convolutions(state).items():
        if role in places:
            named[places[role]] = state[name]
        else:
            unused[name] = "the net has no such norm"
    for layer, target in (("classifier.0", "head.fc6"), ("classifier.3", "head.fc7")):
        for part in ("weight", "bias"):
            value = state.get(f"{layer}.{part}")
            if value is None:
                continue
            reason = refuse_classifier(model)
            if reason:
                unused[f"{layer}.{part}"] = reason
            elif part == "weight":
                size = 7 if layer == "classifier.0" else 1
                named[f"{target}.weight"] = value.view(value.shape[0], -1, size, size)
            else:
                named[f"{target}.bias"] = value
    for name in state:
        if name.startswith("classifier.6."):
            unused[name] = "scores the classes of ImageNet"
    return named, unused


def refuse_classifier(model: FCN) -> str | None:
    """Why the classifier's layers cannot become fc6 and fc7, None where they can."""
    if model.kind_of_head != "paper":
        return "fc6 of --head 1x1 is no 7x7 layer, and fc7 would not fit what a new fc6 puts out"
    return None


def transplant(model: FCN, named: State, report: WeightsReport, keep: tuple[str, ...] = ()) -> None:
    """Load what fits into the net and note everything else.

    Args:
        model: The net, initialised.
        named: Tensors by the net's names.
        report: Where to note.
        keep: Prefixes of layers that keep their initialisation because an option asks for it.

    Raises:
        WeightsError: If nothing fits.
    """
    state = model.state_dict()
    for name, value in named.items():
        if name not in state:
            report.unused[name] = "this net has no such layer"
        elif name.startswith(keep):
            report.unused[name] = "--conv-init zero asks for zeros"
        elif state[name].shape != value.shape:
            shapes = f"{tuple(value.shape)} there, {tuple(state[name].shape)} here"
            report.unused[name] = f"another shape: {shapes}"
        else:
            state[name] = value
            report.loaded.append(name)
    if not any(name.startswith("features.") for name in report.loaded):
        trunk_first = sorted(report.unused.items(), key=lambda entry: entry[0][:9] != "features.")
        reasons = "; ".join(f"{name}: {reason}" for name, reason in trunk_first[:2])
        raise WeightsError(
            f"{report.source}: nothing of it fits the trunk of this net"
            + (f" ({reasons})" if reasons else "; expected a VGG16 with layers features.0, ...")
            + "; check --width and --norm, or use --weights none"
        )
    loaded = set(report.loaded)
    report.fresh |= {name: "not in the source" for name in state if name not in loaded}
    model.load_state_dict(state)


def load_weights(model: FCN, config: TrainConfig) -> WeightsReport | None:
    """Load what `--weights` names.

    Returns:
        The report; None for `none`.

    Raises:
        WeightsError: If the weights cannot be had or do not fit at all.
    """
    if config.weights == "none":
        return None
    if config.weights == "imagenet":
        state = download_imagenet(config.trunk, known(config.norm))
        report = WeightsReport(f"torchvision's {config.trunk}, ImageNet")
    else:
        state = read_weights(Path(config.weights), known(config.norm))
        report = WeightsReport(config.weights)
    named = state
    if any(name.startswith("classifier.") for name in state):
        named, report.unused = from_torchvision(state, model)
    keep = ("head.fc6", "head.fc7") if config.conv_init == "zero" else ()
    transplant(model, named, report, keep)
    return report


def read_weights(path: Path, norm: str) -> State:
    """Read a state dict: torchvision's, or that of one of our checkpoints.

    Args:
        path: The file.
        norm: The norm of the net that it is for. Norms shift the numbers of the trunk's layers, so
            a checkpoint with another one would match by name where it does not belong.

    Raises:
        WeightsError: If the file is missing, holds neither, or is a checkpoint of another norm.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path}: there is no such file; --weights takes imagenet, none, or the path of a "
            "state dict of torchvision's VGG16 or of a checkpoint of segtrain"
        )
    try:
        plain = load_plain(path)
    except CheckpointError as error:
        raise WeightsError(str(error)) from error
    if isinstance(plain, dict) and str(plain.get("format", "")).startswith("segtrain/"):
        other = plain["config"]["norm"]
        if other != norm:
            raise WeightsError(
                f"{path}: its net was made with --norm {other}, this one has --norm {norm}; use "
                f"--init {path}, which takes over its net, or add --norm {other}"
            )
        plain = plain["model"]
    if not isinstance(plain, dict) or not all(isinstance(v, Tensor) for v in plain.values()):
        raise WeightsError(
            f"{path}: holds no state dict (names and tensors); expected torchvision's VGG16 or a "
            "checkpoint of segtrain"
        )
    return plain


def load_origin(
    model: FCN, config: TrainConfig, origin: Checkpoint, classes: tuple[ClassInfo, ...]
) -> WeightsReport:
    """Start a net from another run's: 32s, then 16s, then 8s, or the same variant again.

    Raises:
        CheckpointError: If that net is finer than this one, or has other classes.
    """
    path = find_checkpoint(known(config.init))
    theirs = origin.config["variant"]
    if COARSENESS[theirs] > COARSENESS[config.variant]:
        raise CheckpointError(
            f"{path}: is an FCN-{theirs}; an FCN-{config.variant} starts from its own or a "
            f"coarser variant; use --variant {theirs} or another --init"
        )
    check_classes(origin, classes, path)
    report = WeightsReport(f"{path}, FCN-{theirs} at step {origin.step:,}")
    transplant(model, origin.model, report)
    return report
