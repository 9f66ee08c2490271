"""ReLUs whose channels are off on every pixel of every image."""

from segtrain.doctor.activity import Flow, activity, later_activity
from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined

MANY = 0.9  # share of a layer's channels


def examine(exam: Examination) -> Opinion:
    """Find layers of ReLUs of which hardly any is ever on."""
    before, after = exam.once(activity), exam.once(later_activity)
    called = {name: flow for name, flow in after.items() if flow.kind == "ReLU" and flow.calls}
    relus = [name for name, flow in called.items() if not flow.zero_input]
    if not relus:
        return Unexamined("the net has no ReLU that anything comes to")
    findings = [
        finding(name, before[name], after[name]) for name in relus if after[name].asleep > MANY
    ]
    if findings:
        return findings
    worst = max(relus, key=lambda name: after[name].asleep)
    share = 100 * after[worst].asleep
    return Healthy(f"at most {share:.0f} % of a layer's channels are never on ({worst})")


def finding(name: str, before: Flow, after: Flow) -> Finding:
    """A layer that is off."""
    steps = "" if before.asleep > MANY else ", and the first steps at this rate switched them off"
    return RULE.finding(
        "warning",
        f"{100 * after.asleep:.0f} % of the channels of {name} are off on every pixel of every "
        "image, so the weights before them get no gradient.",
        evidence=f"never on: {100 * before.asleep:.0f} % of its channels at the start, "
        f"{100 * after.asleep:.0f} % after the steps",
        cause=f"what goes in is negative everywhere{steps}",
        layer=name,
        asleep_before=before.asleep,
        asleep_after=after.asleep,
    )


RULE = Rule(
    name="dead-relus",
    title="Dead ReLUs",
    severity="warning",
    reason="A ReLU that is 0 for every input has slope 0 for every input: its unit gets no "
    "gradient and does not come back by itself. One step that is too large can do that to a whole "
    "layer, as can a negative bias. Some dead units are usual (a thin net without norm loses a "
    "tenth of a layer, a high rate under group norm a third), a dead layer is not.",
    evidence="Channels of each ReLU whose output is 0 at every place of every image of the "
    "examination, at the start and after the steps of dead-layers. A finding: more than 90 % of a "
    "layer's channels.",
    remedy="A lower --lr or a longer --warmup, a --norm, or --activation leaky_relu.",
    examine=examine,
)
