"""Every rule about labels, data and floors finds what is planted for it, and is quiet without.

A case changes the pairs that a data set is made of, or the examination. To add one, add it to
CASES; `words` must stand in the finding.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import SEVERITIES, Finding, Healthy, Severity, Unexamined
from segtrain.doctor.report import examined
from segtrain.doctor.rulebook import rulebook
from segtrain.doctor.stages import STAGES, Stages, stages
from segtrain.doctor.standing import Standing, standing
from segtrain.errors import SampleError

Examine = Callable[..., Examination]
Pair = tuple[str, Image.Image, np.ndarray]
RULES = {rule.name: rule for rule in rulebook()}


def relabelled(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """Class 3 has the id 4, which there is not."""
    return key, image, np.where(mask == 3, np.uint8(4), mask)


def blurred(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """The mask was resized bilinearly, its void with it."""
    small = Image.fromarray(mask).resize((mask.shape[1] // 2, mask.shape[0] // 2))
    return key, image, np.asarray(small.resize(image.size, Image.Resampling.BILINEAR))


def blended(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """A mask of the ids 0 and 3 was resized bilinearly."""
    plain = Image.fromarray(np.where((mask > 0) & (mask < 255), np.uint8(3), np.uint8(0)))
    small = plain.resize((mask.shape[1] * 2 // 3, mask.shape[0] * 2 // 3))
    return key, image, np.asarray(small.resize(image.size, Image.Resampling.NEAREST))


def coloured(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """The mask is one of colours."""
    return key, image, np.stack([mask] * 3, axis=2)


def moved(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """The mask lies 2 pixels too far right and 3 too far up."""
    return key, image, np.roll(mask, (-3, 2), (0, 1))


def mirrored(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """Only the mask was mirrored."""
    return key, image, np.ascontiguousarray(mask[:, ::-1])


def swapped(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """The image is another one: that of the mask is turned."""
    other = image.transpose(Image.Transpose.TRANSPOSE).resize(image.size)
    return key, other, mask


def without_3(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """Class 3 is labelled as class 1."""
    return key, image, np.where(mask == 3, np.uint8(1), mask)


def unlabelled(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """Background is void."""
    return key, image, np.where(mask == 0, np.uint8(255), mask)


def void(key: str, image: Image.Image, mask: np.ndarray) -> Pair:
    """Every fifth mask is void altogether."""
    return key, image, mask * 0 + 255 if int(key[-3:]) % 5 == 0 else mask


def same(pairs: list[Pair]) -> list[Pair]:
    """Three of the training images under other names."""
    return [(f"voc2012_v{key[-3:]}", image, mask) for key, image, mask in pairs[4:7]]


def slow(stage: str, seconds: float, **others: Any) -> Callable[[Examination], None]:  # noqa: ANN401
    """One stage takes so long, each other a millisecond, a step 80."""

    def plant(exam: Examination) -> None:
        times = dict.fromkeys(STAGES, 0.001) | {stage: seconds}
        given = {"batch": 16, "workers": 4, "cores": 8, "accelerator": True} | others
        exam.measured[stages] = Stages(**times, step=0.08, **given)

    return plant


def doubled(exam: Examination) -> None:
    """The net puts out each score twice."""
    exam.patient.model.register_forward_hook(lambda _, __, out: torch.cat([out, out], 1))


def loud(exam: Examination) -> None:
    """The deep score layer is far too large."""
    layer = exam.patient.predictor.model.score_fr
    assert isinstance(layer, nn.Conv2d)
    nn.init.normal_(layer.weight, std=1000.0)


def old(steps: int) -> Callable[[Examination], None]:
    """The net, which says nothing, counts as one that was trained for so many steps."""

    def plant(exam: Examination) -> None:
        exam.patient.checkpoint = SimpleNamespace(step=steps)  # type: ignore[assignment] # a stub

    return plant


class Planted(NamedTuple):
    """A sickness of the data, or of the examination.

    Attributes:
        rule: Who must find it.
        severity: How bad the worst finding must be.
        words: What must stand in its text.
        change: Makes a pair sick; None leaves the data alone.
        plant: Makes the examination sick; None leaves it alone.
        options: Of the run.
        val: The validation pairs, from those that the sick ones are made of; None has none.
    """

    rule: str
    severity: Severity
    words: tuple[str, ...]
    change: Callable[..., Pair] | None = None
    plant: Callable[[Examination], None] | None = None
    options: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's default, which nothing changes
    val: Callable[[list[Pair]], list[Pair]] | None = None


CASES = {
    "an id too many": Planted(
        "ids-out-of-range",
        "fatal",
        ("hold id 4, which no class has", "counted from 1", "voc2012-train-000000.tar: voc2012_"),
        relabelled,
    ),
    "void that was interpolated": Planted(
        "ids-out-of-range", "fatal", ("more, which no class has", "interpolation"), blurred
    ),
    "masks of colours": Planted(
        "ids-out-of-range", "fatal", ("cannot be read", "mode RGB", "voc2012_a"), coloured
    ),
    "masks resized bilinearly": Planted(
        "interpolated-masks", "warning", ("look interpolated", "nearest rule"), blended
    ),
    "masks moved": Planted(
        "shifted-masks",
        "warning",
        ("about 2 pixels too far right and 3 pixels too far up",),
        moved,
    ),
    "masks mirrored": Planted(
        "shifted-masks", "warning", ("are mirrored left to right, and their images",), mirrored
    ),
    "masks of other images": Planted(
        "shifted-masks", "warning", ("nothing to do with their images",), swapped
    ),
    "scores of more classes": Planted(
        "first-loss", "fatal", ("starts at a loss of 2.0794", "8.00 classes"), plant=doubled
    ),
    "scores far too large": Planted("first-loss", "warning", ("sure, and wrong",), plant=loud),
    "a net no better than a constant": Planted(
        "prior-loss", "warning", ("After 5,000 steps", "loss 1.386"), plant=old(5000)
    ),
    "a young net no better than a constant": Planted(
        "prior-loss", "note", ("After 10 steps",), plant=old(10)
    ),
    "background everywhere": Planted(
        "single-class", "warning", ("predicts background everywhere",), plant=old(5000)
    ),
    "no better than background": Planted(
        "background-floor", "warning", ("After 5,000 steps",), plant=old(5000)
    ),
    "a class that is only judged": Planted(
        "absent-classes",
        "warning",
        ("stripes (3): in validation, but no pixel to train on",),
        without_3,
        val=same,
    ),
    "a class that is nowhere": Planted(
        "absent-classes", "warning", ("stripes (3): no pixel in training.",), without_3
    ),
    "background that is void": Planted(
        "void-share", "warning", ("are void: no loss", "objects everywhere"), unlabelled
    ),
    "masks that are all void": Planted(
        "void-share", "warning", ("8 of the 40 looked at, such as voc2012_a000",), void
    ),
    "training images in val": Planted(
        "shared-images",
        "fatal",
        ("3 images of voc2012 val are trained on", "voc2012_a004 = voc2012_v004"),
        val=same,
    ),
    "decoding too slow for a GPU": Planted(
        "data-waiting",
        "warning",
        ("wait for data 47 %", "most of it goes to decode", "--workers 8"),
        plant=slow("decode", 0.036),
    ),
    "reading too slow for all cores": Planted(
        "data-waiting", "warning", ("fast local disk",), plant=slow("read", 0.2)
    ),
    "scaling too slow on a CPU": Planted(
        "data-waiting",
        "note",
        ("goes to transform", "--workers 1 (they take cores"),
        plant=slow("transform", 0.003, workers=0, accelerator=False),
    ),
}
SILENT = {  # what the healthy set may leave open, for a new net or for want of material
    "absent-classes",  # few validation images may lack one: a note
    "background-floor",
    "data-waiting",  # measured, so it may be anything on a busy machine
    "interpolated-masks",
    "prior-loss",
    "single-class",
}


def findings_of(exam: Examination, name: str) -> list[Finding]:
    """What one rule finds, which is never worse than the rule says."""
    rule = RULES[name]
    opinion = rule.examine(exam)
    found = opinion if isinstance(opinion, list) else []
    worst = SEVERITIES.index(rule.severity)
    assert all(SEVERITIES.index(finding.severity) >= worst for finding in found)
    return found


@pytest.fixture(scope="module")
def pairs(make_pair: Callable[[str, int], Pair]) -> list[Pair]:
    """The scenes that healthy and sick data sets are made of."""
    return [make_pair(f"voc2012_a{number:03d}", number) for number in range(40)]


@pytest.fixture(scope="module")
def healthy(
    pairs: list[Pair], make_shards: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """They as they are."""
    return make_shards(tmp_path_factory.mktemp("data") / "healthy", train=pairs, val=6)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_planted_is_found(
    case: Planted,
    examine: Examine,
    pairs: list[Pair],
    healthy: Path,
    make_shards: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """The rule finds it, and says what it is."""
    shards = healthy
    if case.change or case.val:
        train = [case.change(*p) for p in pairs] if case.change else pairs
        val = case.val(pairs) if case.val else []
        shards = make_shards(tmp_path / "sick", train=train, val=val)
    validates = shards == healthy or case.val
    exam = examine(shards=shards, val_every=1000 if validates else 0, **case.options)
    if case.plant:
        case.plant(exam)
    found = findings_of(exam, case.rule)
    assert found, "nothing was found"
    assert found[0].severity == case.severity
    text = " ".join(f"{f.verdict} {f.evidence} {f.cause} {f.remedy}" for f in found)
    for words in case.words:
        assert words in text


@pytest.mark.parametrize("name", sorted({case.rule for case in CASES.values()}))
def test_healthy_data_are_healthy(name: str, examine: Examine, healthy: Path) -> None:
    """The same rules find nothing in the data that the sick ones were made of."""
    opinion = RULES[name].examine(examine(shards=healthy))
    if isinstance(opinion, list):
        assert name in SILENT
        assert [finding.severity for finding in opinion] == ["note"]
    else:
        assert isinstance(opinion, (Healthy, Unexamined) if name in SILENT else Healthy)


@pytest.mark.parametrize("name", ["background-floor", "prior-loss", "single-class"])
def test_a_trained_net_that_learnt_is_healthy(name: str, examine: Examine) -> None:
    """Above the floors, with several classes, nothing is found."""
    exam = examine()
    old(5000)(exam)
    exam.measured[standing] = Standing(0.3, torch.tensor(
        [[700, 10, 10, 0], [20, 80, 0, 0], [30, 0, 50, 0], [20, 0, 0, 80]]))  # fmt: skip
    assert isinstance(RULES[name].examine(exam), Healthy)


def test_data_that_break_a_run_are_still_told(
    examine: Examine, pairs: list[Pair], make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """Where no batch can be made, the labels' rules say why; what needed batches says so."""
    shards = make_shards(tmp_path / "sick", train=[relabelled(*p) for p in pairs], val=0)
    report = examined(examine(shards=shards, val_every=0))
    assert [finding.rule for finding in report.findings if finding.severity == "fatal"] == [
        "ids-out-of-range"
    ]
    assert report.unexamined["Dead layers"].startswith("the data cannot be read: ")


@pytest.mark.parametrize("name", sorted({case.rule for case in CASES.values()}))
def test_a_stream_is_looked_at_as_far_as_it_goes(
    name: str, examine: Examine, healthy: Path
) -> None:
    """Rules that need single samples or all keys leave a stream's training set out."""
    exam = examine(shards=healthy, reader="webdataset", val_every=0)
    opinion = RULES[name].examine(exam)
    looks = {"first-loss", "absent-classes"}
    assert isinstance(opinion, Healthy if name in looks else Unexamined)


def test_an_image_that_nobody_can_explain_ends_the_examination(
    examine: Examine, pairs: list[Pair], make_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """Where data break a rule and none finds why, the error is raised, with shard and key."""
    shards = make_shards(tmp_path / "sick", train=pairs, val=0, per_shard=50)
    exam = examine(shards=shards, val_every=0)
    samples = exam.patient.data.train
    with samples.shards[0].path.open("r+b") as file:
        for offset, size in samples.spans[:, :2].tolist():
            file.seek(offset)
            file.write(bytes(size))
    with pytest.raises(SampleError, match=r"voc2012-train-000000\.tar: voc2012_a\d+: "):
        examined(exam)
