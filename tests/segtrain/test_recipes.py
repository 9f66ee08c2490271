"""Tests of segtrain.recipes."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from segtrain.config import TrainConfig
from segtrain.options.families import PARTICULAR
from segtrain.recipes import RECIPES, configure, differences, recipe_words
from segtrain.session import start
from segtrain.toml_files import field_types

# a net and a run small enough for a test, whatever the recipe
THIN: dict[str, Any] = {
    "width": 0.06, "weights": "none", "steps": 16, "log_every": 4, "val_every": 0, "pictures": 0,
    "workers": 0, "threads": 1, "device": "cpu", "dropout": 0.0,
}  # fmt: skip
# what suits so small a net and so short a run; the recipes' own rates are for thousands of steps
SMALL: dict[str, dict[str, Any]] = {
    "modern": {"crop": 64, "batch": 4},
    "light": {"crop": 96, "batch": 4, "norm": "group", "lr": 0.02},
    "heavy": {"norm": "group", "lr": 1e-6},
    "scratch": {"crop": 64, "batch": 4},
    "journal": {"crop": 64, "batch": 4},
    "tiramisu": {"model": "fc_densenet56", "width": 0.25, "crop": 64, "batch": 4},
}


def test_recipes_hold_fields_of_the_configuration() -> None:
    """Every setting is a field, given once, with a reason; every recipe says what it is for."""
    names = {f.name for f in dataclasses.fields(TrainConfig)}
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert recipe.about.endswith(".")
        assert len(recipe.summary) <= 72
        for settings in (recipe.settings, recipe.again, *recipe.stages.values()):
            chosen = [setting.name for setting in settings]
            assert len(chosen) == len(set(chosen))
            assert set(chosen) <= names
            assert all(setting.reason for setting in settings)
        assert configure({"recipe": name}).resolved().recipe == name


def test_the_papers_numbers_are_the_papers() -> None:
    """light and heavy have the numbers of the papers and of the authors' solvers."""
    light, heavy = (configure({"recipe": name}).resolved() for name in ("light", "heavy"))
    numbers = ("batch", "lr", "momentum", "weight_decay", "loss_reduction", "schedule", "warmup")
    assert [getattr(light, n) for n in numbers] == [20, 1e-4, 0.9, 5e-4, "mean", "constant", 0]
    assert [getattr(heavy, n) for n in numbers] == [1, 1e-10, 0.99, 5e-4, "sum", "constant", 0]
    assert (heavy.fit, heavy.upsampling, heavy.skip_scales) == ("native", "fixed", "0.01,0.0001")
    for variant, rate in (("32s", 1e-10), ("16s", 1e-12), ("8s", 1e-14)):
        given: dict[str, Any] = {"recipe": "heavy", "variant": variant}
        stage = configure(given if variant == "32s" else given | {"init": Path("runs/a")})
        assert (stage.lr, stage.steps, stage.skip_scales) == (rate, 100_000, "1,1")
        assert stage.weights == ("imagenet" if variant == "32s" else "none")


def test_the_densenets_second_phase_is_on_whole_images() -> None:
    """tiramisu has its paper's numbers, and with --init those of fine-tuning; others win."""
    first = configure({"recipe": "tiramisu"}).resolved()
    assert (first.model, first.crop, first.batch, first.lr) == ("fc_densenet103", 224, 3, 1e-3)
    assert (first.optimizer, first.momentum, first.bias_rate) == ("rmsprop", 0, 1)
    assert (first.schedule, first.decay, first.weight_decay) == ("exponential", 0.995, 2e-4)
    fine = configure({"recipe": "tiramisu", "init": Path("runs/a")}).resolved()
    assert (fine.fit, fine.batch, fine.lr, fine.scales) == ("native", 1, 1e-4, (1, 1))
    assert (fine.optimizer, fine.schedule, fine.norm) == ("rmsprop", "exponential", "batch")
    cut = configure({"recipe": "tiramisu", "init": Path("runs/a"), "fit": "crop", "batch": 2})
    assert (cut.fit, cut.crop, cut.batch, cut.lr) == ("crop", 224, 2, 1e-4)
    other = configure({"recipe": "tiramisu", "schedule": "cosine"}).resolved()
    assert (other.schedule, other.decay_steps) == ("cosine", None)


def test_without_a_recipe_it_is_modern() -> None:
    """No recipe gives what modern gives, and says so; what is given wins over it."""
    assert configure({}) == configure({"recipe": "modern"})
    assert configure({}).recipe == "modern"
    assert configure({"ema": 0.5}).ema == 0.5
    assert configure({"recipe": "scratch", "norm": "batch"}).norm == "batch"


OTHERS: dict[str, Any] = {  # another value of each field
    "shards": ("elsewhere",), "train_split": "trainaug", "val_split": "seg11valid",
    "fit": "squash", "crop": 96, "scale_min": 0.7, "scale_max": 1.3,
    "jitter": 5, "mix": "voc2012=2", "cache": Path("c"), "cache_size": "7GB", "workers": 3,
    "recipe": "scratch", "lr": 0.25, "class_weights": "inverse-log",
    "weights": "a.pth", "init": Path("runs/a"), "out": Path("runs/b"), "norm": "group",
    "variant": "16s", "trunk": "vgg11", "head": "1x1", "upsampling": "learned",
    "activation": "elu", "score_activation": "relu", "skip_scales": "0.5,0.25", "conv_init": "zero",
    "score_init": "he", "skip_init": "he", "optimizer": "adamw", "schedule": "cosine",
    "loss_reduction": "sum", "device": "cpu", "threads": 2, "warmup": 7, "clip": 1.0, "ema": 0.5,
    "watch": ("dog.jpg",), "stage_steps": "3,2,1", "stage_lr": "0.1,0.01,0.001",
}  # fmt: skip
BESIDE: dict[str, dict[str, Any]] = {  # what must be given beside it
    "stage_steps": {"staged": True},
    "stage_lr": {"staged": True},
    "preprocessing": {"weights": "a.pth"},
    "freeze": {"weights": "a.pth"},
    "batch": {"fit": "crop"},
    "accumulate": {"batch": 2, "fit": "crop"},
    "compile": {"fit": "crop"},
    "width": {"weights": "none"},
    "aux_weight": {"model": "fcn_resnet50", "fit": "crop", "batch": 4},
    "loss_reduction": {"lr": 1e-6},
    "optimizer": {"lr": 1e-6},
    "crop": {"fit": "crop"},
    "buffer": {"reader": "webdataset"},
    "power": {"schedule": "poly"},
    "decay": {"schedule": "exponential"},
    "checkpointing": {"model": "fc_densenet56"},
    "decay_steps": {"schedule": "exponential"},
    "scale_min": {"fit": "crop", "scale_max": 1.3},
    "scale_max": {"fit": "crop", "scale_min": 0.7},
}


def another(name: str) -> object:
    """A value of a field that is not its default, by its type where OTHERS has none."""
    default = getattr(TrainConfig(), name)
    kind = field_types(name)[0]
    if name in OTHERS:
        return OTHERS[name]
    if get_origin(kind) is Literal:
        return next(word for word in get_args(kind) if word != default)
    if kind is bool:
        return not default
    if kind not in (int, float):
        pytest.skip(f"OTHERS has no text for {name}")
    return (default or 0) + 1 if kind is int else (default or 1.0) / 2


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(TrainConfig)])
def test_every_field_can_be_given_over_a_recipe(name: str) -> None:
    """Whatever the recipe, a given value is the one that the run has."""
    value = another(name)
    assert value != getattr(TrainConfig(), name)
    for recipe in RECIPES:
        own = {"model": "fcn"} if name in (*PARTICULAR, "freeze", "stage_steps", "stage_lr") else {}
        given = {"recipe": recipe, name: value} | own | BESIDE.get(name, {})
        assert getattr(configure(given).resolved(), name) == value


def test_values_that_lose_their_meaning_are_left_out() -> None:
    """A recipe's rate does not outlive its norm, its optimiser or its reduction."""
    assert configure({"recipe": "scratch", "norm": "none"}).resolved().lr == 0.001
    assert configure({"recipe": "light", "optimizer": "adamw"}).lr is None
    assert configure({"recipe": "light", "optimizer": "sgd"}).lr == 1e-4
    assert configure({"fit": "squash"}).scales == (1, 1)
    assert configure({"recipe": "light", "variant": "32s"}).upsampling == "fixed"


def test_differences_are_named() -> None:
    """The line at a run's start tells what differs from modern, and nothing where nothing does."""
    assert recipe_words(configure({}).resolved()) == "modern"
    changed = configure({"crop": 64, "ema": 0.0}).resolved()
    assert recipe_words(changed) == "modern; changed: crop 64, ema 0.0"
    other = configure({"model": "lraspp_mobilenet_v3_large"}).resolved()  # has its own dropout
    assert recipe_words(other) == "modern; changed: model lraspp_mobilenet_v3_large"
    config = configure({"recipe": "scratch", "workers": 3, "seed": 9}).resolved()
    words = recipe_words(config)
    assert words.startswith("scratch; unlike modern: scale-min 0.35, scale-max 1.25, norm group")
    assert "workers" not in words
    pairs = differences(TrainConfig(lr=0.5), TrainConfig(batch=3))
    assert pairs == {"lr": (0.5, None), "batch": (16, 3)}


@pytest.mark.parametrize("name", list(RECIPES))
def test_each_recipe_trains(name: str, shards: Path, tmp_path: Path) -> None:
    """A thin net lowers its loss in a few steps, and the run's files say by which recipe."""
    given = THIN | SMALL[name] | {"recipe": name, "shards": shards, "out": tmp_path / "run"}
    start(given)
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["recipe"] == name
    lines = [json.loads(text) for text in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.9 * lines[0]["loss"]
