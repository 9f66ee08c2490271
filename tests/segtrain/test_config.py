"""Tests of segtrain.config."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from segtrain import recipes
from segtrain.config import RESUMABLE, TrainConfig, changed, field_values, inherited
from segtrain.errors import UsageError
from segtrain.options.families import FAMILIES
from segtrain.options.fields import flag
from segtrain.recipes import Recipe, Setting, configure, folder_of


def test_a_config_survives_json() -> None:
    """A configuration read from its own JSON is equal, paths and None included."""
    config = TrainConfig(init=Path("a/b"), out=Path("runs/x"), lr=0.3, weights="none")
    assert TrainConfig.from_plain(json.loads(json.dumps(config.plain()))) == config
    assert TrainConfig.from_plain(config.plain() | {"of_a_later_version": 1}) == config


def test_every_field_is_documented() -> None:
    """Each option says what it is in a whole sentence and stands in a panel."""
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["help"].endswith("."), field.name
        assert field.metadata["panel"] in {"Data", "Model", "Training", "Running", "Output"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 0, "--steps must be at least 1, not 0"),
        ("lr", 0.0, "--lr must be above 0"),
        ("lr", float("nan"), "--lr must be above 0, not nan"),
        ("dropout", 1.0, "--dropout must be below 1"),
        ("width", -1.0, "--width must be above 0"),
        ("width", 5.0, "--width must be at most 4"),
        ("momentum", 1.0, "--momentum must be below 1"),
        ("val_every", -1, "--val-every must be at least 0"),
        ("scale_min", 3.0, "--scale-min 3.0 is above --scale-max 2.0"),
    ],
)
def test_values_out_of_range_name_their_option(name: str, value: float, words: str) -> None:
    """A value outside its range is a usage error with the option, the range and the value."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=re.escape(words)):
        TrainConfig(**options)


def test_options_that_contradict_each_other_are_refused() -> None:
    """Nothing to learn, two starts, and weights of another width are usage errors with a way on."""
    with pytest.raises(UsageError, match=r"nothing to learn.*16s or 8s"):
        TrainConfig(variant="32s", upsampling="learned")
    with pytest.raises(UsageError, match=r"--skip-scales 0\.1,0\.1 with --variant 32s"):
        TrainConfig(variant="32s", skip_scales="0.1,0.1")
    with pytest.raises(UsageError, match=r"--freeze trunk would keep weights that are random"):
        TrainConfig(freeze="trunk")
    with pytest.raises(UsageError, match=r"--batch of 2 or more, or --norm group"):
        TrainConfig(crop=32, batch=1).resolved()
    with pytest.raises(UsageError, match=r"--batch of 8 or more in 4 parts, or --norm group"):
        TrainConfig(crop=32, batch=7, accumulate=4).resolved()
    with pytest.raises(UsageError, match=r"--accumulate 5 is above --batch 4"):
        TrainConfig(batch=4, accumulate=5)
    with pytest.raises(UsageError, match="give one of them"):
        TrainConfig(init=Path("runs/a"), weights="imagenet")
    with pytest.raises(UsageError, match=r"--width 1 only, not 0\.5"):
        TrainConfig(weights="imagenet", width=0.5)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "1,x", "0,1", "1,-1", "nan,1", "inf,1", "1,1,"])
def test_scales_that_are_no_two_numbers_are_refused(text: str) -> None:
    """A list of another length, of words or of numbers that cannot be meant names what is right."""
    words = f"--skip-scales takes two numbers above 0, such as 0.01,0.0001, not {text!r}"
    with pytest.raises(UsageError, match=re.escape(words)):
        TrainConfig(skip_scales=text)


def test_scales_are_two_numbers() -> None:
    """The factors on pool4 and pool3 are read in that order."""
    assert TrainConfig(skip_scales="0.01, 1e-4").pool_scales == (0.01, 0.0001)
    assert TrainConfig().pool_scales == (1, 1)


def test_parts_of_a_batch_may_change_where_they_change_nothing() -> None:
    """A resumed run may be cut otherwise, unless batch norm takes its statistics from a part."""
    plain = TrainConfig(norm="group").resolved()
    assert changed(plain, {"accumulate": 4}).accumulate == 4
    batch = TrainConfig(norm="batch", accumulate=2).resolved()
    assert changed(batch, {"accumulate": 2}) == batch
    with pytest.raises(UsageError, match=r"--accumulate cannot change.*--norm batch.*has 2, you"):
        changed(batch, {"accumulate": 4})


def test_cuts_and_losses_that_contradict_are_refused() -> None:
    """Scales without a cut, several native images, batch norm of one, a sum without its rate."""
    with pytest.raises(UsageError, match=r"--fit squash takes whole images.*--fit crop"):
        TrainConfig(fit="squash", scale_max=2.0)
    with pytest.raises(UsageError, match=r"--fit native takes one image a step.*not --batch 16"):
        TrainConfig(fit="native")
    with pytest.raises(UsageError, match=r"--norm batch with --fit native.*--norm group"):
        TrainConfig(fit="native", batch=1, norm="batch")
    with pytest.raises(UsageError, match=r"--loss-reduction sum needs its own --lr"):
        TrainConfig(loss_reduction="sum")
    staged = TrainConfig(loss_reduction="sum", staged=True, stage_lr="1e-8,1e-9,1e-9")
    assert staged.rate_of("8s") == 1e-9
    native = TrainConfig(fit="native", batch=1).resolved()
    assert (native.norm, native.scale_min, native.scale_max) == ("group", 1.0, 1.0)
    assert TrainConfig(optimizer="adamw").resolved().lr == 0.001
    assert TrainConfig().resolved().scale_min == 0.5


def test_a_resumed_run_is_found_by_options_that_its_defaults_would_not_suit(
    tmp_path: Path,
) -> None:
    """What is given on resume need not fit the defaults: the run's own options decide that."""
    assert folder_of({"out": tmp_path, "accumulate": 64, "fit": "native"}) == tmp_path
    assert folder_of({"accumulate": 64}) == Path("runs/fcn8s")
    assert folder_of({"variant": "16s", "staged": True}) == Path("runs/fcn16s-staged")
    with pytest.raises(UsageError, match="--accumulate 64 is above --batch 16"):
        TrainConfig(accumulate=64)


def test_the_default_folder_is_named_alike_on_start_and_on_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that is given, or that a recipe chooses, names the same folder in both."""
    chosen = Recipe("journal", "", "", (Setting("model", "fc_densenet67", "chosen here"),))
    monkeypatch.setitem(recipes.RECIPES, "journal", chosen)
    for given in (
        {}, {"model": "fc_densenet103"}, {"recipe": "journal"}, {"variant": "16s"},
        {"recipe": "journal", "model": "fcn", "variant": "32s"}, {"staged": True},
        {"recipe": "journal", "model": "fc_densenet56"},
    ):  # fmt: skip
        assert folder_of(given) == configure(given).resolved().out
    assert folder_of({"recipe": "journal"}) == Path("runs/fc_densenet67")


OTHERS = {
    "variant": "16s", "trunk": "vgg11", "head": "1x1", "upsampling": "learned",
    "activation": "elu", "score_activation": "relu", "skip_scales": "0.1,0.1",
    "conv_init": "zero", "hidden_bias": 1.0, "score_init": "he", "skip_init": "he", "staged": True,
}  # fmt: skip


def test_options_of_one_model_are_refused_with_another() -> None:
    """Each option that only FCN takes is refused with FC-DenseNet, by name and with the way on."""
    assert set(OTHERS) == FAMILIES["fcn"].own - FAMILIES["fc_densenet56"].own
    for name, value in OTHERS.items():
        with pytest.raises(UsageError, match=rf"{flag(name)} means nothing.*use --model fcn"):
            TrainConfig(model="fc_densenet56", **{name: value})
    with pytest.raises(UsageError, match="--norm none: FC-DenseNet67 is built with batch"):
        TrainConfig(model="fc_densenet67", norm="none")
    with pytest.raises(UsageError, match=r"LR-ASPP.* is built with batch norm; use --norm batch$"):
        TrainConfig(model="lraspp_mobilenet_v3_large", norm="group")
    with pytest.raises(UsageError, match="--freeze trunk: FC-DenseNet67 has no such part"):
        TrainConfig(model="fc_densenet67", freeze="trunk", weights="x.pt")
    with pytest.raises(UsageError, match="--weights imagenet: there are none for FC-DenseNet67"):
        TrainConfig(model="fc_densenet67", weights="imagenet")


def test_a_model_has_its_own_defaults() -> None:
    """FC-DenseNet has batch norm, native images too, and dropout 0.2; FCN what it had."""
    for options in ({}, {"fit": "native", "batch": 1}, {"weights": "x.pt"}):
        found = TrainConfig(model="fc_densenet103", **options).resolved()
        assert (found.norm, found.dropout, found.out) == ("batch", 0.2, Path("runs/fc_densenet103"))
        assert (found.title, found.words) == ("FC-DenseNet103", "FC-DenseNet103")
    assert TrainConfig().resolved().dropout == 0.5
    assert (TrainConfig().title, TrainConfig().words) == ("FCN-8s", "FCN-8s on vgg16")


def test_an_older_run_is_of_an_fcn() -> None:
    """Options without a model, of runs from before there were several, are those of an FCN."""
    plain = TrainConfig().plain()
    del plain["model"]
    assert TrainConfig.from_plain(plain).model == "fcn"


def test_a_run_starts_from_its_own_model_only() -> None:
    """--init from another model is refused with the word that names it."""
    theirs = TrainConfig(model="fc_densenet56").plain()
    with pytest.raises(UsageError, match="is FC-DenseNet56, not FCN-8s; add --model fc_densenet56"):
        inherited(TrainConfig(init=Path("x")), {}, theirs)
    ours = TrainConfig(model="fc_densenet56", init=Path("x"))
    assert inherited(ours, {}, theirs).model == "fc_densenet56"


def test_some_fields_are_read_without_the_others() -> None:
    """Values that only a recipe makes possible come back from JSON; unknown ones are left out."""
    given = {"fit": "native", "init": Path("a"), "out": None}
    plain = json.loads(json.dumps(given | {"init": "a", "of_a_later_version": 1}))
    assert field_values(plain) == given


def test_defaults_suit_each_other() -> None:
    """From scratch there is a norm and a high rate; with weights neither; given values stay."""
    scratch, tuned = TrainConfig().resolved(), TrainConfig(weights="imagenet").resolved()
    assert (scratch.norm, scratch.lr) == ("batch", 0.05)
    assert (tuned.norm, tuned.lr) == ("none", 0.001)
    assert (scratch.warmup, TrainConfig(steps=200).resolved().warmup) == (1000, 10)
    assert scratch.out == Path("runs/fcn8s")
    given = TrainConfig(norm="none", lr=0.7, warmup=0, out=Path("x")).resolved()
    assert (given.norm, given.lr, given.warmup, given.out) == ("none", 0.7, 0, Path("x"))


def test_a_resumed_run_keeps_what_decides_its_result() -> None:
    """Only options that change no weight may be given anew; equal values may always be repeated."""
    old = TrainConfig(steps=50, out=Path("runs/a")).resolved()
    new = changed(old, {"workers": 3, "steps": 50, "val_every": 7})
    assert (new.workers, new.val_every, new.steps) == (3, 7, 50)
    for name in ("lr", "seed", "batch", "crop", "variant", "steps"):
        assert name not in RESUMABLE
        with pytest.raises(UsageError, match=rf"{flag(name)} cannot change.*--init"):
            changed(old, {name: 99})


def test_a_net_that_starts_from_another_has_its_architecture() -> None:
    """Width, norm and head come from the net of --init; giving another is a usage error."""
    origin = TrainConfig(width=0.25, norm="group", variant="32s", dropout=0.1).resolved().plain()
    config = TrainConfig(init=Path("runs/a"))
    new = inherited(config, {}, origin)
    assert (new.width, new.norm, new.dropout, new.variant) == (0.25, "group", 0.1, "8s")
    assert inherited(config, {"dropout": 0.4}, origin).dropout == 0.4
    with pytest.raises(UsageError, match=r"--width is 1\.0, but the net of .* has 0\.25"):
        inherited(config, {"width": 1.0}, origin)


def test_what_its_weights_mean_goes_with_a_net() -> None:
    """Trunk and activations come with --init, and the scales of skips where that net has skips."""
    options = {"trunk": "vgg11", "activation": "elu", "score_activation": "relu"}
    origin = TrainConfig(**options, skip_scales="0.1,0.2", variant="16s").resolved().plain()
    config = TrainConfig(init=Path("runs/a"))
    new = inherited(config, {}, origin)
    assert (new.trunk, new.activation, new.score_activation) == ("vgg11", "elu", "relu")
    assert new.pool_scales == (0.1, 0.2)
    for name, value in (("trunk", "vgg16"), ("activation", "relu"), ("skip_scales", "1,1")):
        with pytest.raises(UsageError, match=rf"{flag(name)} is {value}, but the net of"):
            inherited(config, {name: value}, origin)
    coarse = TrainConfig(variant="32s").resolved().plain()
    given = dataclasses.replace(config, skip_scales="0.1,0.2")
    assert inherited(given, {"skip_scales": "0.1,0.2"}, coarse).pool_scales == (0.1, 0.2)
    old = {k: v for k, v in origin.items() if k not in (*options, "skip_scales")}
    assert inherited(config, {}, old).trunk == "vgg16"


@pytest.mark.parametrize(
    "given",
    [
        {"buffer": 7},
        {"crop": 64, "fit": "native", "batch": 1},
        {"power": 2.0, "schedule": "cosine"},
        {"keep": 5, "keep_every": 0},
        {"skip_init": "he", "variant": "32s"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_an_option_that_would_do_nothing_is_refused(given: dict[str, Any]) -> None:
    """The error names the option and why; where it does something it is taken."""
    name = next(iter(given))
    with pytest.raises(UsageError, match=rf"{flag(name)} .* does nothing: .*; leave it out"):
        TrainConfig(**given)
    useful = {"reader": "webdataset"} if name == "buffer" else {}
    assert getattr(TrainConfig(**{name: given[name]}, **useful), name) == given[name]
