"""What `segtrain recipes` prints: recipes, runs and TOML files as tables of options."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtrain.config import TrainConfig
from segtrain.errors import UsageError
from segtrain.options.fields import flag
from segtrain.recipes import RECIPES, configure, differences
from segtrain.toml_files import near_miss, read_toml, toml_text

OVERVIEW = ("weights", "norm", "fit", "batch", "loss_reduction", "lr", "steps")
LEFT_TO_RUN = ("recipe", "shards", "out", "device", "workers", "threads")  # say nothing of learning
DERIVED = ("norm", "scale_min", "scale_max", "lr", "warmup")  # follow from others unless given


@dataclass(frozen=True)
class Table:
    """A table for people: a title, its columns and rows of as many words."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def words(value: object) -> str:
    """A value as the command line takes it; `-` for None."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, Path):
        return value.as_posix()
    return f"{value:g}" if isinstance(value, float) else str(value)


def find(word: str) -> TrainConfig:
    """The resolved configuration that a word stands for.

    Args:
        word: A recipe's name, a run's folder, or a TOML file.

    Raises:
        UsageError: If it is none of them.
    """
    if word in RECIPES:
        return configure({"recipe": word}).resolved()
    path = Path(word)
    if path.is_dir():
        return read_run(path)
    if path.suffix == ".toml":
        return configure(read_toml(path)).resolved()
    hint = near_miss(word, RECIPES) or f"; there are: {', '.join(RECIPES)}"
    raise UsageError(f"{word}: is no recipe, no run's folder and no TOML file{hint}")


def read_run(folder: Path) -> TrainConfig:
    """The configuration in a run's config.json, without torch.

    Raises:
        UsageError: If there is none, or it cannot be read.
    """
    path = folder / "config.json"
    try:
        return TrainConfig.from_plain(json.loads(path.read_text("utf-8"))["config"])
    except OSError as error:
        raise UsageError(
            f"{folder}: holds no run (no readable config.json); name a recipe, a run's folder or "
            "a TOML file"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise UsageError(f"{path}: is damaged: {error}") from error


def overview() -> Table:
    """All recipes, with what tells them apart."""
    rows = []
    for name in RECIPES:
        config = find(name)
        rows.append([name, *(words(getattr(config, field)) for field in OVERVIEW)])
    titles = ["recipe", *(field.removesuffix("_reduction") for field in OVERVIEW)]
    return Table("Recipes", titles, rows)


def summaries() -> Table:
    """What each recipe is for."""
    rows = [[recipe.name, recipe.summary] for recipe in RECIPES.values()]
    return Table("", ["recipe", "what it is"], rows)


def settings(word: str) -> list[Table]:
    """Every option of one configuration; of a recipe with reasons, and of its stages."""
    config = find(word)
    recipe = RECIPES.get(word)
    reasons = {n: s.reason for n, s in recipe.chosen({}).items()} if recipe else {}
    named = [f for f in dataclasses.fields(config) if f.name not in LEFT_TO_RUN]
    chosen = [[flag(n), words(getattr(config, n)), reason] for n, reason in reasons.items()]
    rest = [[flag(f.name), words(getattr(config, f.name))] for f in named if f.name not in reasons]
    tables = [Table("", ["option", "value", "reason or source"], chosen)] if chosen else []
    for variant, stage in (recipe.stages if recipe else {}).items():
        rows = [[flag(s.name), words(s.value), s.reason] for s in stage]
        title = f"As a stage of --variant {variant}"
        tables.append(Table(title, ["option", "value", "reason or source"], rows))
    if recipe and recipe.again:
        rows = [[flag(s.name), words(s.value), s.reason] for s in recipe.again]
        tables.append(Table("With --init RUN", ["option", "value", "reason or source"], rows))
    title = "As in every run" if recipe else ""
    return [*tables, Table(title, ["option", "value"], rest)]


def comparison(a: str, b: str) -> Table:
    """The options in which two configurations differ."""
    found = differences(find(a), find(b))
    rows = [[flag(name), words(x), words(y)] for name, (x, y) in found.items() if name != "recipe"]
    return Table("", ["option", a, b], rows)


def as_toml(word: str) -> str:
    """A TOML file that gives this configuration; what follows from other options is a comment."""
    config = find(word)
    recipe = RECIPES.get(word)
    notes = {n: s.reason for n, s in recipe.chosen({}).items()} if recipe else {}
    kept: dict[str, Any] = dict.fromkeys(LEFT_TO_RUN[2:])
    derived = {name for name in DERIVED if name not in notes and follows(config, name)}
    return toml_text(dataclasses.replace(config, **(kept | {"device": "auto"})), notes, derived)


def follows(config: TrainConfig, name: str) -> bool:
    """Whether a field's value is the one that a configuration gets where none is given."""
    unset: dict[str, Any] = {name: None}
    again = dataclasses.replace(config, **unset).resolved()
    return bool(getattr(again, name) == getattr(config, name))
