"""Every rule finds what is planted for it.

A case is a name, the rule, the severity that it must give, and what makes the examination sick. To
add one, add it to CASES; `words` must stand in the finding.
"""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from segtrain.checkpoint import Checkpoint, plain_classes
from segtrain.config import TrainConfig
from segtrain.data import Data
from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import SEVERITIES, Finding, Severity
from segtrain.doctor.motion import motion
from segtrain.doctor.rulebook import rulebook
from segtrain.learning import Learner
from segtrain.models.fcn import FCN
from segtrain.models.weights import Fate, WeightsReport
from segtrain.predictor import Predictor
from segtrain.preprocessing import PRESETS, Preprocessing

Examine = Callable[..., Examination]
Plant = Callable[[Examination], None]

ZERO_HIDDEN = {"head": "1x1", "conv_init": "zero"}


class Case(NamedTuple):
    """A sickness: by options alone, or by what a function does to the examination.

    Attributes:
        rule: Who must find it.
        severity: How bad the worst finding must be.
        words: What must stand in its text.
        options: Of the run.
        plant: Makes the patient sick; None where the options do.
    """

    rule: str
    severity: Severity
    words: tuple[str, ...]
    options: dict[str, Any]
    plant: Plant | None = None


def checkpoint_of(exam: Examination, step: int) -> Checkpoint:
    """A checkpoint of the patient's net as it is."""
    patient = exam.patient
    return Checkpoint(
        config=patient.config.plain(),
        classes=plain_classes(patient.predictor.classes),
        preprocessing=patient.predictor.preprocessing.fingerprint(),
        manifests={},
        synthetic=False,
        step=step,
        batches=step,
        model=copy.deepcopy(patient.predictor.model.state_dict()),
    )


def net(exam: Examination) -> FCN:
    """The patient's net."""
    return exam.patient.predictor.model


@torch.no_grad()
def negative_bias(exam: Examination) -> None:
    """All that goes into fc6's ReLU is negative."""
    net(exam).head.get_parameter("norm6.bias").fill_(-50)


def scaled(factor: float) -> Plant:
    """All hidden weights times a factor."""

    @torch.no_grad()
    def plant(exam: Examination) -> None:
        for module in [*net(exam).features, *net(exam).head]:
            if isinstance(module, nn.Conv2d):
                module.weight *= factor

    return plant


def freeze_fc6(exam: Examination) -> None:
    """Somebody set requires_grad by hand."""
    net(exam).head.get_parameter("fc6.weight").requires_grad_(requires_grad=False)


def forget_to_freeze(exam: Examination) -> None:
    """The option is noted, but nothing is frozen."""
    exam.patient.model.frozen = ("features",)  # type: ignore[assignment] # as FCN.freeze notes it


def loose_norms(exam: Examination) -> None:
    """The trunk is frozen, its norms still follow their batches."""
    forget_to_freeze(exam)
    net(exam).features.requires_grad_(requires_grad=False)


def forgetful_optimizer(exam: Examination) -> None:
    """The optimiser was made before the score layers were replaced."""
    make = exam.patient.make_learner

    def without_scores(config: TrainConfig, predictor: Predictor, data: Data) -> Learner:
        learner = make(config, predictor, data)
        scores = [p for n, p in predictor.model.named_parameters() if n.startswith("score_")]
        for group in learner.optimizer.param_groups:
            group["params"] = [p for p in group["params"] if all(p is not s for s in scores)]
        return learner

    exam.patient.make_learner = without_scores


def trunk_not_loaded(exam: Examination) -> None:
    """The names of the source's trunk do not match."""
    fates = [Fate("fresh", n, "", "not in the source") for n in net(exam).state_dict()]
    exam.patient.report = WeightsReport("a file", fates)


def random_file(exam: Examination) -> None:
    """All was loaded, but the file holds a net that nobody trained."""
    fates = [Fate("loaded", name, name) for name in net(exam).state_dict()]
    exam.patient.report = WeightsReport("a file", fates)


def only_decayed(exam: Examination) -> None:
    """A checkpoint whose trunk was moved by weight decay alone; all else was trained."""
    exam.patient.checkpoint = checkpoint_of(exam, 5000)
    for name, value in exam.patient.checkpoint.model.items():
        if name.startswith("features.") and value.is_floating_point():
            value.mul_(0.9)
        elif value.is_floating_point():
            value.add_(torch.rand(value.shape))


def another_input(exam: Examination) -> None:
    """The checkpoint was trained on Caffe's input."""
    exam.patient.checkpoint = checkpoint_of(exam, 5000)
    exam.patient.checkpoint.preprocessing = PRESETS["caffe"].fingerprint()


def wrong_record(exam: Examination) -> None:
    """The net learnt from RGB, the record says BGR."""
    trained = exam.once(motion).learner.predictor.model
    swapped = Preprocessing("BGR")
    exam.patient.predictor = replace(exam.patient.predictor, model=trained, preprocessing=swapped)
    exam.patient.checkpoint = checkpoint_of(exam, 5000)


def drifted(exam: Examination) -> None:
    """Running statistics of a trained net that are those of other data."""
    exam.patient.predictor = replace(
        exam.patient.predictor, model=exam.once(motion).learner.predictor.model
    )
    for module in net(exam).modules():
        if isinstance(module, nn.BatchNorm2d):
            module.get_buffer("running_mean").add_(3)
    exam.patient.checkpoint = checkpoint_of(exam, 5000)


def forgotten_depth(exam: Examination) -> None:
    """A trained net whose deep scores are next to nothing."""
    trained = exam.once(motion).learner.predictor.model
    trained.score_fr.weight.data.mul_(1e-4)
    exam.patient.predictor = replace(exam.patient.predictor, model=trained)
    exam.patient.checkpoint = checkpoint_of(exam, 5000)
    exam.measured.clear()


CASES = {
    "all hidden 1x1 at zero": Case(
        "dead-layers",
        "fatal",
        ("Only the skips from pool4 and pool3", "score_fr sees only zeros"),
        ZERO_HIDDEN | {"score_init": "he", "skip_init": "he"},
    ),
    "all but the skips at zero": Case(
        "dead-layers",
        "fatal",
        ("Only the skips", "every 1x1 layer of the deep branch at zero: fc6, fc7 and score_fr"),
        ZERO_HIDDEN | {"skip_init": "he"},
    ),
    "every 1x1 at zero": Case(
        "dead-layers",
        "fatal",
        ("Nothing in this net can learn: no weight", "every 1x1 layer at zero, with an activation"),
        ZERO_HIDDEN | {"score_activation": "relu"},
    ),
    "hidden layers of a 32s at zero": Case(
        "dead-layers",
        "fatal",
        ("Nothing in this net can learn but its last biases", "entropy"),
        {"conv_init": "zero", "variant": "32s", "norm": "none"},
    ),
    "score layers at zero in front of a ReLU": Case(
        "dead-layers",
        "fatal",
        ("Nothing in this net can learn", "every score layer at zero", "--score-activation none"),
        {"score_activation": "relu"},
    ),
    "a deep branch that is dead": Case(
        "unused-branches", "fatal", ("The deep branch says nothing", "see dead-layers"), ZERO_HIDDEN
    ),
    "branches that are dead behind an activation": Case(
        "unused-branches",
        "fatal",
        ("The deep branch says nothing", "The skip from pool3", "puts out zeros"),
        ZERO_HIDDEN | {"score_activation": "relu"},
    ),
    "zero layers that a bias wakes": Case(
        "symmetric-layers",
        "warning",
        ("fc6", "many times over"),
        ZERO_HIDDEN | {"hidden_bias": 0.1, "norm": "none", "score_init": "he"},
    ),
    "a deep branch that a trained net hardly uses": Case(
        "unused-branches", "warning", ("hardly used", "each at its mean"), {}, forgotten_depth
    ),
    "ReLUs that are off": Case(
        "dead-relus", "warning", ("100 % of the channels of head.act6",), {}, negative_bias
    ),
    "sigmoids at their bounds": Case(
        "saturated-activations",
        "warning",
        ("saturated",),
        {"activation": "sigmoid", "norm": "none"},
        scaled(1000),
    ),
    "a signal that explodes": Case(
        "signal-scale", "warning", ("explodes", "head.fc7"), {"norm": "none"}, scaled(4)
    ),
    "a signal that vanishes": Case(
        "signal-scale", "warning", ("vanishes", "head.fc7"), {"norm": "none"}, scaled(0.2)
    ),
    "a net that learns nothing by heart": Case(
        "one-batch",
        "warning",
        ("by heart", "see dead-layers"),
        {"conv_init": "zero", "variant": "32s", "norm": "none"},
    ),
    "a rate that float32 rounds away": Case(
        "falling-loss", "warning", ("does not move at all",), {"lr": 1e-30, "norm": "none"}
    ),
    "a rate that breaks the net": Case(
        "falling-loss", "warning", ("NaN or infinite", "--lr 1e+06"), {"lr": 1e6, "norm": "none"}
    ),
    "a rate at which the loss rises": Case(
        "falling-loss", "warning", ("rises instead",), {"lr": 5.0, "norm": "batch"}
    ),
    "the papers' rate on the mean loss": Case(
        "learning-rate", "note", ("far too low", "summed loss"), {"lr": 1e-10}
    ),
    "a rate that is too high": Case("learning-rate", "note", ("too high",), {"lr": 100.0}),
    "a layer frozen by hand": Case(
        "frozen-layers", "warning", ("head.fc6.weight will not learn",), {}, freeze_fc6
    ),
    "a trunk that should be frozen": Case(
        "frozen-layers", "warning", ("will change, though --freeze",), {}, forget_to_freeze
    ),
    "frozen norms that follow their batches": Case(
        "frozen-layers", "warning", ("batch statistics move",), {}, loose_norms
    ),
    "an optimiser without the score layers": Case(
        "missed-parameters", "warning", ("score_fr.bias", "in no group"), {}, forgetful_optimizer
    ),
    "a trunk that was not loaded": Case(
        "loaded-weights",
        "warning",
        ("conv1_1 to conv5_2 start at random", "not in the source"),
        {},
        trunk_not_loaded,
    ),
    "weights that nobody trained": Case(
        "loaded-weights",
        "warning",
        ("nobody had trained",),
        {"width": 0.125, "norm": "none"},
        random_file,
    ),
    "a trunk moved by weight decay alone": Case(
        "untrained-layers",
        "warning",
        ("conv1_1 to conv5_2 have learnt nothing in 5,000 steps",),
        {},
        only_decayed,
    ),
    "an input that the checkpoint does not know": Case(
        "input-range", "warning", ("trained on: BGR, 0 to 255",), {}, another_input
    ),
    "a record of the wrong channels": Case(
        "input-range",
        "warning",
        ("does better with channels as RGB",),
        {"norm": "group"},
        wrong_record,
    ),
    "statistics of two images": Case(
        "batch-norm", "warning", ("2 images: that is noise",), {"batch": 2}
    ),
    "statistics that have drifted": Case(
        "batch-norm", "warning", ("have drifted",), {"norm": "batch"}, drifted
    ),
}


RULES = {rule.name: rule for rule in rulebook()}


def findings_of(exam: Examination, name: str) -> list[Finding]:
    """What one rule finds, which is never worse than the rule says."""
    rule = RULES[name]
    opinion = rule.examine(exam)
    found = opinion if isinstance(opinion, list) else []
    worst = SEVERITIES.index(rule.severity)
    assert all(SEVERITIES.index(finding.severity) >= worst for finding in found)
    return found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_planted_is_found(case: Case, examine: Examine) -> None:
    """The rule finds it, and says what it is."""
    exam = examine(**case.options)
    if case.plant:
        case.plant(exam)
    found = findings_of(exam, case.rule)
    assert found, "nothing was found"
    assert found[0].severity == case.severity
    text = " ".join(f"{f.verdict} {f.evidence} {f.cause} {f.remedy}" for f in found)
    for words in case.words:
        assert words in text


def test_every_rule_has_a_planted_case() -> None:
    """No rule stands in the book without a sickness that proves it.

    Those about labels, data and floors have theirs in the file beside this one.
    """
    beside = Path(__file__).with_name("test_planted_data.py").read_text("utf-8")
    about_data = set(re.findall(r'Planted\(\s*"([a-z-]+)"', beside))
    assert set(RULES) == {case.rule for case in CASES.values()} | about_data
