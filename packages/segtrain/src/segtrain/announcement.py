"""What a run says of itself before its first step, and what its live view knows by then."""

from collections.abc import Iterator, Sequence

from segtrain.config import TrainConfig
from segtrain.data import Data
from segtrain.devices import describe
from segtrain.manifests import ClassInfo
from segtrain.models.counts import weight_words
from segtrain.models.weights import WeightsReport
from segtrain.pace import Plan
from segtrain.recipes import recipe_words
from segtrain.train import Trainer
from segtrain.training_view import View
from segtrain.validation import floors


def view_of(config: TrainConfig, data: Data) -> View:
    """What the live view knows before the run begins."""
    plan = Plan(
        steps=config.steps,
        batch=config.batch,
        val_every=config.val_every,
        first=sum(len(chosen.first) for chosen in data.val_sets),
        whole=sum(len(chosen.samples) for chosen in data.val_sets),
    )
    title = f"{config.title}  {config.out}"
    return View(title, plan, floors(len(data.shards.classes), data.pixels))


def recipe_lines(
    config: TrainConfig, classes: Sequence[ClassInfo], weights: Sequence[float] | None
) -> Iterator[str]:
    """What a run is trained by: its recipe and what differs from the default one."""
    if config.recipe is not None:
        yield f"recipe: {recipe_words(config)}"
    if config.ema:
        yield (
            f"weights: validation, best.pt, eval and predict use their running average, decay "
            f"{config.ema:g}"
        )
    if weights is not None:
        pairs = zip(classes, weights, strict=True)
        yield "class weights: " + ", ".join(f"{c.name} {weight:.3g}" for c, weight in pairs)


def announce(trainer: Trainer, data: Data, report: WeightsReport | None) -> None:
    """Say what is trained on what, and what the figures must be compared with."""
    config, show = trainer.config, trainer.display.line
    for line in data.lines():
        show(line)
    show(
        f"net: {config.words}, width {config.width:g}, norm {config.norm}, "
        f"{weight_words(trainer.predictor.model)}; "
        f"{describe(trainer.predictor.device, config.precision)}"
    )
    for line in report.lines() if report else []:
        show(line)
    known = ", ".join(f"{name} {loss:.3f}" for name, loss in trainer.floors.items())
    for line in recipe_lines(config, trainer.predictor.classes, data.class_weights):
        show(line)
    show(f"losses of a net that has learnt nothing: {known}")
    shared = f", shared by {trainer.ranks.world} ranks" if not trainer.ranks.alone else ""
    cut = f", in {config.accumulate} parts" if config.accumulate > 1 else ""
    show(
        f"run: {trainer.folder.path}, {config.steps:,} steps of {config.batch} images{shared}{cut}"
    )
