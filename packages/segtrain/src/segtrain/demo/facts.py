"""What the page says of the net itself: where it comes from, and what it can be trusted with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtrain.checkpoint import Checkpoint
from segtrain.devices import describe
from segtrain.predictor import Predictor
from segtrain.terminal import percent

POOR = 0.3  # mean IoU below which most of what a net says of a photo is wrong


@dataclass(frozen=True)
class Facts:
    """What is known of a net.

    Attributes:
        net: Variant and step.
        file: The checkpoint's path.
        judged: Its validation.
        computing: Device and numbers, and its views where there are several.
        cautions: What to know before believing it; none for a good net.
    """

    net: str
    file: str
    judged: str
    computing: str
    cautions: tuple[str, ...]


def facts(checkpoint: Checkpoint, path: Path, predictor: Predictor) -> Facts:
    """What a checkpoint tells of its net.

    Args:
        checkpoint: What was read.
        path: Where from.
        predictor: Its net.
    """
    device = describe(predictor.device, predictor.precision)
    computing = "; ".join(filter(None, (device, predictor.views.words())))
    net = f"{checkpoint.train_config.title}, step {checkpoint.step:,}"
    judged = judgement(checkpoint.best, checkpoint.step)
    return Facts(net, str(path), judged, computing, tuple(cautions(checkpoint)))


def judgement(best: dict[str, Any] | None, step: int) -> str:
    """A run's best validation in words, and of which step it is where not of this one."""
    if best is None:
        return "not validated yet"
    when = "" if best["step"] == step else f" at step {best['step']:,}"
    images = f"{best['images']:,} validation images of {best['dataset']}"
    return f"mean IoU {percent(best['mean_iou'])} % on {images}{when}"


def cautions(checkpoint: Checkpoint) -> list[str]:
    """What to know before one believes the net."""
    said = []
    if checkpoint.synthetic:
        said.append(
            "This net was trained on generated data. It knows their drawn shapes; what it says of "
            "a photo means nothing."
        )
    if checkpoint.best is None:
        said.append("This net was not validated yet: nobody knows how good it is.")
    elif checkpoint.best["mean_iou"] < POOR:
        said.append(
            f"This net is weak (mean IoU {percent(checkpoint.best['mean_iou'])} %): expect most "
            "objects to be missed or named wrongly."
        )
    return said
