"""Weights that were to be loaded and were not, or that are random themselves."""

from torch import Tensor

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.layers import Layer, layers, listed
from segtrain.models.net import Net

ENOUGH = 2000  # weights of a layer from which on its distribution tells
CERTAIN = 6.0  # standard errors


def examine(exam: Examination) -> Opinion:
    """Look for hidden layers that keep their random start though weights were named."""
    report = exam.patient.report
    if report is None:
        return Unexamined("the net starts from scratch, or is a checkpoint itself")
    fresh = report.of("fresh")
    found = layers(exam.patient.model)
    anew = [layer for layer in found if f"{layer.name}.weight" in fresh]
    model = exam.patient.predictor.model
    trunk = [layer for layer in anew if layer.name.startswith(model.trunk_names)]
    behind = [layer for layer in anew if layer not in trunk]
    head = [layer for layer in behind if not f"{layer.name}.".startswith(model.scoring)]
    findings = [not_loaded("warning", trunk, fresh)] if trunk else []
    findings += [not_loaded("note", head, fresh)] if head else []
    loaded = report.of("loaded")
    begun = [layer for layer in found if f"{layer.name}.weight" in loaded]
    findings += looks_random(model, begun) if exam.patient.origin is None else []
    return findings or Healthy(f"{len(begun)} of {len(found)} layers hold the weights of a source")


def not_loaded(severity: str, anew: list[Layer], fresh: dict[str, str]) -> Finding:
    """Hidden layers that start at random."""
    reasons = dict.fromkeys(fresh[f"{layer.name}.weight"] for layer in anew)
    return RULE.finding(
        "warning" if severity == "warning" else "note",
        f"{listed(anew)} {'starts' if len(anew) == 1 else 'start'} at random, though weights were "
        "named.",
        evidence=f"{len(anew)} layers were not found in the source",
        cause="; ".join(reason for reason in reasons if reason),
        layers=[layer.name for layer in anew],
    )


def looks_random(model: Net, begun: list[Layer]) -> list[Finding]:
    """A trunk that was loaded from weights which nobody trained."""
    trunk = [layer for layer in begun if layer.name.startswith(model.trunk_names)]
    large = [layer for layer in trunk if layer.weight.numel() >= ENOUGH]
    random = [layer for layer in large if is_he_normal(layer.weight.detach())]
    if len(random) < 3 or len(random) < 0.9 * len(large):
        return []
    return [
        RULE.finding(
            "warning",
            "The weights that were loaded look as if nobody had trained them.",
            evidence=f"{listed(random)} have the deviation and the kurtosis of He's start, each "
            f"within {CERTAIN:g} standard errors",
            cause="the file holds a net at its random start",
            layers=[layer.name for layer in random],
        )
    ]


def is_he_normal(weight: Tensor) -> bool:
    """Whether weights `(outputs, inputs, ...)` look drawn by He's rule: normal, of variance 2/n."""
    values = weight.float().flatten()
    count, inputs = values.numel(), weight[0].numel()
    expected = (2 / inputs) ** 0.5
    deviation = float(values.std())
    kurtosis = float((values / deviation).pow(4).mean()) if deviation else 0.0
    near = abs(deviation / expected - 1) < CERTAIN / (2 * count) ** 0.5
    return near and bool(abs(kurtosis - 3) < CERTAIN * (24 / count) ** 0.5)


RULE = Rule(
    name="loaded-weights",
    title="Loaded weights",
    severity="warning",
    reason="A transplant by names skips what does not match and says nothing: the run then starts "
    "from scratch and looks merely slow. ImageNet's weights are worth some 40 points of mean IoU "
    "on VOC (20 to 24 from scratch against 62 to 67).",
    evidence="The transplant report: layers of the trunk that start anew are a warning, other "
    "hidden layers (fc6 and fc7) a note, score layers are meant to. Then the distribution of what "
    "was loaded from a file: a trunk whose layers all have the deviation sqrt(2 / fan in) and the "
    "kurtosis 3 of He's start was never trained (trained layers miss both by far).",
    remedy="Check --trunk, --norm and --width against those of the source, and the file itself.",
    examine=examine,
)
