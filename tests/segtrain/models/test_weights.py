"""Tests of segtrain.models.weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segtrain.checkpoint import load_checkpoint
from segtrain.config import TrainConfig
from segtrain.errors import WeightsError
from segtrain.models import build
from segtrain.models.fcn import FCN
from segtrain.models.sources import Source, checkpoint_source
from segtrain.models.weights import WeightsReport, transplant
from segtrain.session import start

MakeVgg = Callable[..., dict[str, Tensor]]
CLASSES = ("background", "cat", "dog", "bird")
SKIPS = {f"score_{n}.{p}" for n in ("pool4", "pool3") for p in ("weight", "bias")}


def thin(classes: int = 4, **options: object) -> FCN:
    """A fresh thin net."""
    torch.manual_seed(0)
    return FCN(classes, **({"width": 0.06} | options))


def ours(
    net: FCN, classes: tuple[str, ...] = CLASSES, scales: tuple[float, float] | None = None
) -> Source:
    """A net of ours as a source, every tensor of it drawn at random."""
    torch.manual_seed(9)
    state = {
        k: torch.randn_like(v) if v.is_floating_point() else v.clone()
        for k, v in net.state_dict().items()
    }
    return Source("a.pt", state, None, classes, scales)


def check_account(report: WeightsReport, model: FCN, source: Source) -> None:
    """Every tensor of the net and of the source stands in the report exactly once."""
    ours = [fate.tensor for fate in report.fates if fate.outcome != "unused"]
    theirs = [fate.source for fate in report.fates if fate.outcome != "fresh"]
    assert ours == list(model.state_dict())
    assert sorted(theirs) == sorted(source.state)
    for fate in report.fates:
        assert bool(fate.reason) or fate.outcome == "loaded"


def test_the_report_names_everything(make_vgg: MakeVgg) -> None:
    """Of torchvision's VGG the trunk and classifier are loaded; its scores and ours are told."""
    model, source = thin(), Source("a VGG", make_vgg(), None)
    report = transplant(model, source, CLASSES)
    check_account(report, model, source)
    assert set(report.of("fresh")) == {"score_fr.weight", "score_fr.bias", *SKIPS}
    assert report.of("unused") == {
        f"classifier.6.{p}": "scores the classes of ImageNet" for p in ("weight", "bias")
    }
    assert report.lines() == [
        "weights: a VGG: 30 of the net's 36 tensors",
        "  loaded     features.0 to features.28 (13 layers), head.fc6, head.fc7",
        "  start anew score_fr, score_pool4, score_pool3: not in the source",
        "  not used   classifier.6: scores the classes of ImageNet",
    ]
    assert torch.equal(model.features.get_parameter("0.weight"), source.state["features.0.weight"])
    plain = report.plain()
    assert plain["loaded"]["head.fc6.weight"] == "classifier.0.weight"
    assert plain["fresh"]["score_fr.bias"] == "not in the source"


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("trunk", ["vgg11", "vgg19"])
def test_norms_are_accounted_for(norm: str, trunk: str, make_vgg: MakeVgg) -> None:
    """Batch norms of a source go where the net has them, and are told where it has none."""
    model, source = thin(trunk=trunk, norm=norm), Source("x", make_vgg(trunk, norm="batch"), None)
    report = transplant(model, source, CLASSES)
    check_account(report, model, source)
    told = "the net has no such norm" in report.of("unused").values()
    assert told == (norm != "batch")
    state = model.state_dict()
    for fate in report.fates:
        if fate.outcome == "loaded" and fate.tensor.startswith("features."):
            assert torch.equal(state[fate.tensor], source.state[fate.source])


def test_a_1x1_head_takes_the_trunk_only(make_vgg: MakeVgg) -> None:
    """Without a 7x7 fc6 the classifier has no place, and the report says why."""
    model, source = thin(head="1x1"), Source("x", make_vgg(), None)
    report = transplant(model, source, CLASSES)
    check_account(report, model, source)
    assert all(name.startswith("features.") for name in report.of("loaded"))
    assert "no 7x7 layer" in report.of("unused")["classifier.0.weight"]


def test_zeros_that_were_asked_for_stay(make_vgg: MakeVgg) -> None:
    """With --conv-init zero the classifier is not transplanted over the zeros."""
    model, source = thin(conv_init="zero"), Source("x", make_vgg(), None)
    report = transplant(model, source, CLASSES, zero_head=True)
    check_account(report, model, source)
    assert torch.count_nonzero(model.head.get_parameter("fc6.weight")) == 0
    assert report.of("unused")["classifier.0.weight"] == "--conv-init zero asks for zeros"
    assert report.of("fresh")["head.fc6.weight"] == "--conv-init zero asks for zeros"


def test_a_net_of_another_width_is_refused(make_vgg: MakeVgg) -> None:
    """Weights of which nothing fits are an error with both shapes, and the net stays as it was."""
    model = thin(width=0.25)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"nothing of it fits.*\(8, 3, 3, 3\) there, \(16, 3, 3"):
        transplant(model, Source("x", make_vgg(), None), CLASSES)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_values_that_are_no_numbers_are_left_out(make_vgg: MakeVgg) -> None:
    """A published file has a classifier of NaN: it starts anew instead of spoiling the net."""
    state = make_vgg()
    state["classifier.0.weight"][3, 4] = float("nan")
    model = thin()
    report = transplant(model, Source("x", state, None), CLASSES)
    assert report.of("fresh")["head.fc6.weight"] == "holds values that are no numbers"
    assert all(bool(v.isfinite().all()) for v in model.state_dict().values())


def test_our_checkpoints_are_weights_too(trained: Path) -> None:
    """A checkpoint of the same net and classes loads every tensor."""
    saved = load_checkpoint(trained / "last.pt")
    source = checkpoint_source(saved, trained / "last.pt")
    model = thin(norm="batch")
    report = transplant(model, source, [c.name for c in saved.class_infos])
    check_account(report, model, source)
    assert set(report.of("loaded")) == set(model.state_dict())
    assert all(torch.equal(v, saved.judged[k]) for k, v in model.state_dict().items())


NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True)


@given(NAMES, NAMES)
@settings(max_examples=25)
def test_score_layers_are_taken_over_class_by_class(theirs: list[str], mine: list[str]) -> None:
    """Rows of classes of one name come over, the others stay as they began, whatever the order."""
    options = {"upsampling": "learned", "variant": "16s"}
    source = ours(thin(len(theirs), **options), tuple(theirs))
    model, fresh = thin(len(mine), **options), thin(len(mine), **options).state_dict()
    report = transplant(model, source, mine)
    check_account(report, model, source)
    state = model.state_dict()
    for i, name in enumerate(mine):
        for layer in ("score_fr.weight", "score_fr.bias", "score_pool4.weight"):
            expected = (
                source.state[layer][theirs.index(name)] if name in theirs else fresh[layer][i]
            )
            assert torch.equal(state[layer][i], expected)
        for j, other in enumerate(mine):
            found = state["upscore2.weight"][i, j]
            if {name, other} <= {*theirs}:
                kept = source.state["upscore2.weight"][theirs.index(name), theirs.index(other)]
            else:
                kept = fresh["upscore2.weight"][i, j]
            assert torch.equal(found, kept)
    complete = set(mine) <= set(theirs)
    outcome = "loaded" if complete else "partly"
    assert report.of(outcome).keys() >= {"score_fr.weight", "upscore2.weight"}


def test_other_classes_are_told_in_words() -> None:
    """The report says which classes were found by name and that the others start anew."""
    source = ours(thin(3), ("background", "dog", "tree"))
    report = transplant(thin(4), source, CLASSES)
    assert (
        "  partly     score_fr, score_pool4, score_pool3: 2 of 4 classes found by name "
        "(background, dog), the others anew"
    ) in report.lines()
    assert "2 of 4 classes found by name" in report.plain()["partly"]["score_fr.weight"]
    turned = ours(thin(4), tuple(reversed(CLASSES)))
    again = transplant(thin(4), turned, CLASSES)
    assert "rows by the names of the classes" in again.lines()[2]
    many = [f"c{i}" for i in range(9)]
    long = transplant(thin(10), ours(thin(9), tuple(many)), [*many, "new"])
    assert "9 of 10 classes found by name (c0, c1, c2, c3, c4, c5 and 3 more)" in long.lines()[2]


def test_scores_of_pools_scaled_otherwise_start_anew() -> None:
    """A score layer fits its pool's scale: with another --skip-scales it is not taken over."""
    source = ours(thin(), scales=(0.01, 0.0001))
    model = thin(skip_scales=(0.01, 1.0))
    report = transplant(model, source, CLASSES)
    check_account(report, model, source)
    reason = "scores a pool scaled by 0.0001, here by 1"
    assert report.of("fresh") == {f"score_pool3.{p}": reason for p in ("weight", "bias")}
    assert torch.count_nonzero(model.get_parameter("score_pool3.weight")) == 0


def test_a_finer_variant_starts_from_a_coarser(
    tmp_path: Path, shards: Path, tiny: dict[str, Any]
) -> None:
    """16s starts with everything of 32s, its new layers fresh, so that it predicts the same."""
    run = tmp_path / "a"
    start(tiny | {"shards": shards, "out": run, "variant": "32s", "steps": 3})
    origin = load_checkpoint(run / "last.pt")
    source = checkpoint_source(origin, run / "last.pt")
    chosen = TrainConfig(width=0.06, norm="batch", variant="16s", init=run).resolved()
    model = build(chosen, 4)
    report = transplant(model, source, source.classes or ())
    assert set(report.of("loaded")) == set(origin.model)
    assert set(report.of("fresh")) == {"score_pool4.weight", "score_pool4.bias"}
    assert "FCN-32s at step 3" in report.source
    coarse = build(origin.train_config, 4)
    coarse.load_state_dict(origin.model)
    image = torch.randn(1, 3, 64, 96)
    fine_logits, coarse_logits = model.eval()(image), coarse.eval()(image)
    middle = (..., slice(16, -16), slice(16, -16))
    difference = (fine_logits - coarse_logits)[middle].abs().mean()
    assert difference < 0.2 * coarse_logits[middle].std()  # x2 then x16 is nearly x32
