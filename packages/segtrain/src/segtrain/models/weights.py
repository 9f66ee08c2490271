"""Transplanting weights: tensor by tensor, score layers by the names of the classes."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from segtrain.errors import WeightsError
from segtrain.models.fcn import FCN
from segtrain.models.layouts import Move, moves
from segtrain.models.net import Net
from segtrain.models.sources import Source

Outcome = Literal["loaded", "partly", "fresh", "unused"]
WORDS = {"loaded": "loaded", "partly": "partly", "fresh": "start anew", "unused": "not used"}
HEAD = ("head.fc6.", "head.fc7.")
NAMED = 6  # classes that a line names
TRUNKS = ("features.", "conv", "backbone.")  # beginnings of the names of layers of trunks
# COCO's names of classes of VOC, and VOC's of them
VOC_NAMES = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}
COCO_NAMES = {voc: coco for coco, voc in VOC_NAMES.items()}


class Fate(NamedTuple):
    """What became of one tensor.

    Attributes:
        outcome: `loaded`; `partly`: the rows of some classes; `fresh`: it keeps its
            initialisation; `unused`: it is the source's and has no place.
        tensor: Its name in the net; empty where it is unused.
        source: Its name in the source; empty where it is fresh.
        reason: Why it is not loaded as it is; empty where it is.
    """

    outcome: Outcome
    tensor: str
    source: str
    reason: str = ""


@dataclass
class WeightsReport:
    """What became of every tensor of a source and of the net.

    Attributes:
        source: Where the weights came from, for people.
        fates: The net's tensors in their order, then the source's that were not used.
    """

    source: str
    fates: list[Fate] = field(default_factory=list)

    def of(self, outcome: Outcome) -> dict[str, str]:
        """The tensors of one outcome, with the reason.

        Names are the net's; those of `unused` ones the source's.
        """
        found = (fate for fate in self.fates if fate.outcome == outcome)
        return {fate.tensor or fate.source: fate.reason for fate in found}

    def lines(self) -> list[str]:
        """The report for people: how much was loaded, then a line per outcome and reason."""
        ours = [fate for fate in self.fates if fate.tensor]
        begun = len(self.of("loaded")) + len(self.of("partly"))
        out = [f"weights: {self.source}: {begun} of the net's {len(ours)} tensors"]
        groups: dict[tuple[Outcome, str], list[str]] = {}
        for fate in self.fates:
            layer = (fate.tensor or fate.source).rpartition(".")[0]
            groups.setdefault((fate.outcome, fate.reason), []).append(layer)
        for (outcome, reason), layers in groups.items():
            why = f": {reason}" if reason else ""
            out.append(f"  {WORDS[outcome]:10} {layer_words(list(dict.fromkeys(layers)))}{why}")
        return out

    def plain(self) -> dict[str, object]:
        """The report as plain types, for JSON."""
        return {
            "source": self.source,
            "loaded": {fate.tensor: fate.source for fate in self.fates if fate.outcome == "loaded"},
            "partly": self.of("partly"),
            "fresh": self.of("fresh"),
            "unused": self.of("unused"),
        }


def layer_words(layers: list[str]) -> str:
    """Names of layers for people; those of a trunk as a range."""
    trunk = [layer for layer in layers if layer.startswith(TRUNKS)]
    rest = [layer for layer in layers if layer not in trunk]
    if len(trunk) > 2:
        trunk = [f"{trunk[0]} to {trunk[-1]} ({len(trunk)} layers)"]
    return ", ".join(trunk + rest)


def transplant(
    model: Net, source: Source, classes: Sequence[str], *, zero_head: bool = False
) -> WeightsReport:
    """Load what fits into the net and account for everything else.

    Args:
        model: The net, initialised; on the CPU.
        source: The weights.
        classes: Names of the net's classes in the order of their ids.
        zero_head: Whether an option asks for zeros in fc6 and fc7, which are then kept.

    Raises:
        WeightsError: If the source is of another trunk or nothing of it fits.
    """
    state = model.state_dict()
    fates: dict[str, Fate] = {}
    unused: list[Fate] = []
    for move in moves(source.state, model, source.words):
        why = refusal(move, state, source, model, zero_head=zero_head)
        if why:
            unused.append(Fate("unused", "", move.source, why))
            if move.target:
                fates[move.target] = Fate("fresh", move.target, "", why)
            continue
        ours = state[move.target]
        if scores_classes(model, move.target):
            value, reason, whole = fitted(move, ours, source.classes, classes)
        else:
            value, reason, whole = move.value, "", True
        state[move.target] = value
        fates[move.target] = Fate("loaded" if whole else "partly", move.target, move.source, reason)
    fresh = {name: Fate("fresh", name, "", absence(name, fates)) for name in state}
    report = WeightsReport(source.words, [*(fresh | fates).values(), *unused])
    check_loaded(report, model)
    model.load_state_dict(state)
    return report


def absence(name: str, fates: Container[str]) -> str:
    """Why a tensor that the source does not have starts anew.

    Files of old have no counters beside the statistics of their batch norms.
    """
    norm, _, part = name.rpartition(".")
    old = part == "num_batches_tracked" and f"{norm}.running_mean" in fates
    return "a mere counter, not in the source" if old else "not in the source"


def refusal(
    move: Move, state: dict[str, Tensor], source: Source, model: Net, *, zero_head: bool
) -> str:
    """Why a tensor of the source is not loaded; empty where it is."""
    if not move.target:
        return move.reason
    if zero_head and move.target.startswith(HEAD):
        return "--conv-init zero asks for zeros"
    if move.value.is_floating_point() and not bool(move.value.isfinite().all()):
        return "holds values that are no numbers"
    if scores_classes(model, move.target):
        return score_refusal(move, state[move.target], source, model)
    return shape_refusal(move.value.shape, state[move.target].shape)


def shape_refusal(theirs: torch.Size, ours: torch.Size) -> str:
    """Why a tensor of this shape does not fit; empty where it does."""
    return "" if theirs == ours else f"another shape: {tuple(theirs)} there, {tuple(ours)} here"


def score_refusal(move: Move, ours: Tensor, source: Source, model: Net) -> str:
    """Why a score or upsampling layer is not loaded; empty where it is, at least in part."""
    if isinstance(model, FCN) and (why := scale_refusal(move.target, source, model)):
        return why
    first = 2 if move.target.startswith("upscore") else 1  # of the dimensions that are no classes
    if move.value.ndim != ours.ndim or move.value.shape[first:] != ours.shape[first:]:
        return shape_refusal(move.value.shape, ours.shape)
    if source.classes is None and move.value.shape != ours.shape:
        return f"scores {len(move.value)} classes that the file does not name"
    return ""


def scale_refusal(target: str, source: Source, model: FCN) -> str:
    """Why the score layer of a skip is not loaded: it scores a pool at another scale."""
    scales = source.pool_scales or model.skip_scales
    for i, layer in enumerate(("score_pool4.", "score_pool3.")):
        if target.startswith(layer) and scales[i] != model.skip_scales[i]:
            return f"scores a pool scaled by {scales[i]:g}, here by {model.skip_scales[i]:g}"
    return ""


def scores_classes(model: Net, name: str) -> bool:
    """Whether a tensor of the net has a row per class."""
    return name.startswith(model.scoring)


def fitted(
    move: Move, ours: Tensor, theirs: tuple[str, ...] | None, classes: Sequence[str]
) -> tuple[Tensor, str, bool]:
    """The tensor of a score or upsampling layer to load.

    Args:
        move: The source's.
        ours: The net's, initialised.
        theirs: The source's classes.
        classes: The net's classes.

    Returns:
        It, why it is not the source's as it is (empty where it is), and whether it is complete.
    """
    if theirs is None:
        return move.value, "rows in their order, for the file names no classes", True
    if tuple(classes) == theirs:
        return move.value, "", True
    pairs = {name: found for name in classes if (found := counterpart(name, theirs)) is not None}
    shared = list(pairs)
    here = torch.tensor([classes.index(name) for name in shared], dtype=torch.long)
    there = torch.tensor(list(pairs.values()), dtype=torch.long)
    value = ours.clone()
    if move.target.startswith("upscore"):  # (C, C, k, k)
        value[here[:, None], here] = move.value[there[:, None], there]
    else:
        value[here] = move.value[there]
    if len(shared) == len(classes):
        return value, "rows by the names of the classes", True
    return value, class_words(shared, len(classes)), False


def counterpart(name: str, theirs: Sequence[str]) -> int | None:
    """The place of a class in a list, by its name or the other name that VOC or COCO has for it."""
    for known in (name, VOC_NAMES.get(name), COCO_NAMES.get(name)):
        if known in theirs:
            return theirs.index(known)
    return None


def class_words(shared: list[str], total: int) -> str:
    """Which rows were found by name: `2 of 5 classes by name (disc, square)`."""
    more = f" and {len(shared) - NAMED} more" * (len(shared) > NAMED)
    named = f" ({', '.join(shared[:NAMED])}{more})" if shared else ""
    return f"{len(shared)} of {total} classes found by name{named}, the others anew"


def check_loaded(report: WeightsReport, model: Net) -> None:
    """Refuse a source of which no hidden layer fits.

    Raises:
        WeightsError: With the first reasons.
    """
    if any(name.startswith(model.trunk_names) for name in report.of("loaded")):
        return
    fresh = [(n, why) for n, why in report.of("fresh").items() if n.startswith(model.trunk_names)]
    reasons = "; ".join(f"{name}: {reason}" for name, reason in fresh[:2])
    raise WeightsError(
        f"{report.source}: nothing of it fits the trunk of this net ({reasons}); check --model, "
        "--width, --trunk and --norm, or use --weights none"
    )
