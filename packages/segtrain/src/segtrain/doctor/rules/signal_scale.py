"""Signals that grow or shrink from layer to layer."""

from itertools import pairwise

from segtrain.doctor.activity import Flow, activity
from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined

LARGEST = 1e4  # of the strongest layer over the input
SMALLEST = 1e-4  # of the weakest layer over the input


def examine(exam: Examination) -> Opinion:
    """Find a net whose layers put out far more, or far less, than goes into the first."""
    flows = exam.once(activity)
    scores = exam.patient.predictor.model.scoring  # may start at zero
    convs = {name: flow for name, flow in flows.items() if flow.kind.startswith("Conv")}
    hidden = {name: flow for name, flow in convs.items() if not f"{name}.".startswith(scores)}
    alive = {name: flow.strength for name, flow in hidden.items() if flow.strength > 0}
    if len(alive) < 2:
        return Unexamined("there are no two layers that put out anything")
    given = float(exam.inputs(exam.batch(0))[0].square().mean().sqrt()) or 1.0
    relative = {name: strength / given for name, strength in alive.items()}
    strongest, weakest = (pick(relative, key=lambda n: relative[n]) for pick in (max, min))
    findings: list[Finding] = []
    if relative[strongest] > LARGEST:
        findings.append(finding("explodes", strongest, relative, hidden))
    if relative[weakest] < SMALLEST:
        findings.append(finding("vanishes", weakest, relative, hidden))
    if findings:
        return findings
    low, high = relative[weakest], relative[strongest]
    return Healthy(f"layers put out {low:.2g} to {high:.2g} times what comes in")


def finding(what: str, name: str, relative: dict[str, float], hidden: dict[str, Flow]) -> Finding:
    """A signal that has left the range, with the step from layer to layer at which it did most."""
    pairs = {b: relative[b] / relative[a] for a, b in pairwise(n for n in hidden if n in relative)}
    pick = max if what == "explodes" else min
    jump = pick(pairs, key=lambda n: pairs[n])
    return RULE.finding(
        "warning",
        f"The signal {what} on its way through the net: {name} puts out {relative[name]:.1e} times "
        "what comes in.",
        evidence=f"root mean squares over the input's; the largest jump is {pairs[jump]:.2g}, at "
        f"{jump}",
        cause="the weights do not keep the size of what they pass on, and no norm does",
        layer=name,
        relative=relative,
    )


RULE = Rule(
    name="signal-scale",
    title="Exploding or vanishing signal",
    severity="warning",
    reason="If each of 16 layers multiplies its signal by 3, the last puts out 4e7 times the "
    "first, by a third a 2e-8th of it; gradients on their way back likewise. He's start keeps the "
    "size through ReLUs (He et al., ICCV 2015); norms do in any case.",
    evidence="Root mean square of what each hidden layer puts out at the start, over that of the "
    "input. A finding: above 1e4 or below 1e-4 (ImageNet's VGGs reach some tens). Layers that put "
    "out nothing at all are the matter of dead-layers.",
    remedy="--norm batch or group, He's start (--conv-init he), and an input of the range that the "
    "weights know (--preprocessing).",
    examine=examine,
)
