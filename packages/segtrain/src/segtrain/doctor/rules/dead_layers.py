"""Layers that never get a gradient, and the chain of zero layers that is to blame."""

from segtrain.doctor.activity import Flow, activity
from segtrain.doctor.deaths import Deaths
from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.gradients import MARGIN
from segtrain.doctor.layers import Layer, layers, listed
from segtrain.doctor.motion import Motion, motion


def examine(exam: Examination) -> Opinion:
    """Find layers whose gradient was exactly zero at every step."""
    made = exam.once(motion)
    if made.gradients.steps < made.needed + MARGIN:
        return Unexamined(f"the loss broke at step {made.broke}, before all layers could wake")
    deaths = Deaths.of(exam.patient.model, made.gradients.silent, made.losses[0])
    if deaths.dead:
        return [found(exam, made, deaths)]
    trained = [layer for layer in layers(exam.patient.model) if layer.weight.requires_grad]
    latest = max(made.gradients.first[f"{layer.name}.weight"] for layer in trained)
    return Healthy(f"all {len(trained)} layers had a gradient by step {latest}")


def found(exam: Examination, made: Motion, deaths: Deaths) -> Finding:
    """The finding on these layers."""
    steps = made.gradients.steps
    return RULE.finding(
        "fatal",
        deaths.verdict(),
        evidence=f"the gradient of {listed(deaths.dead)} was exactly zero at each of {steps} "
        f"steps; whatever can wake here does so by step {made.needed}",
        cause=cause(exam, deaths),
        remedy=deaths.remedy(),
        dead=[layer.name for layer in deaths.dead],
        zero=[layer.name for layer in deaths.zero],
        steps=steps,
        needed=made.needed,
    )


def cause(exam: Examination, deaths: Deaths) -> str:
    """Why they are dead: the zero layers, what they block and what they starve."""
    flows = exam.once(activity)
    rest = [layer for layer in deaths.dead if not layer.zero]
    starved = [layer for layer in rest if flows[layer.name].zero_input]
    blocked = [layer for layer in rest if layer not in starved]
    parts = [deaths.chain() or cut(flows)]
    parts += consequence(starved, "sees", "see", "only zeros, from which no weight can learn")
    parts += consequence(blocked, "gets", "get", "no gradient from above")
    return "; ".join(parts)


def cut(flows: dict[str, Flow]) -> str:
    """What else keeps a gradient away: an activation that is always off, or nothing known."""
    called = {name: flow for name, flow in flows.items() if flow.calls}
    off = [name for name, flow in called.items() if flow.zero_output and not flow.zero_input]
    if off:
        return f"{off[0]} puts out nothing but zeros on every batch"
    return (
        "no gradient reaches them: their output is not used, or detach() or no_grad() cuts it off "
        "from the loss"
    )


def consequence(found: list[Layer], one: str, more: str, what: str) -> list[str]:
    """What follows for other layers, if there are any."""
    return [f"{listed(found)} {one if len(found) == 1 else more} {what}"] if found else []


RULE = Rule(
    name="dead-layers",
    title="Dead layers",
    severity="fatal",
    reason="A layer whose gradient is exactly zero never moves. A zero score layer is no such "
    "layer: its input is not zero, so it moves at the first step, and what lies below it at the "
    "second (that is how the FCN papers start). But a zero *hidden* layer with zero bias before a "
    "ReLU puts out 0, where the ReLU's slope is 0; and of two zero layers in a row, each "
    "multiplies the other's gradient by zero. Neither ever moves, nor does anything that learns "
    "through them alone ([the table](initialisation.md)).",
    evidence="The largest absolute gradient of each parameter, before weight decay and momentum "
    "are added (a weight that only decays has not learnt), at each of the first steps on real "
    "batches. With k layers at zero, whatever can wake has a gradient by step k + 1; the doctor "
    "looks at 3 steps more at least, 40 by default. Frozen layers do not count.",
    remedy="Start hidden layers at random, and use what every layer puts out.",
    examine=examine,
)
