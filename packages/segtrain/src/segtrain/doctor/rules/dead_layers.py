"""Layers that never get a gradient, and the chain of zero layers that is to blame."""

from torch import nn

from segtrain.doctor.activity import Flow, activity
from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.layers import Layer, branches, joined, layers, listed
from segtrain.doctor.motion import MARGIN, Motion, motion


def examine(exam: Examination) -> Opinion:
    """Find layers whose gradient was exactly zero at every step."""
    made = exam.once(motion)
    trained = [layer for layer in layers(exam.patient.model) if layer.weight.requires_grad]
    if made.gradients.steps < made.needed + MARGIN:
        return Unexamined(f"the loss broke at step {made.broke}, before all layers could wake")
    names = {layer.name for layer in made.dead()}
    dead = [layer for layer in trained if layer.name in names]
    if not dead:
        latest = max(made.gradients.first[f"{layer.name}.weight"] for layer in trained)
        return Healthy(f"all {len(trained)} layers had a gradient by step {latest}")
    return [found(exam, made, dead, trained)]


def found(exam: Examination, made: Motion, dead: list[Layer], trained: list[Layer]) -> Finding:
    """The finding on these layers."""
    zero = [layer for layer in dead if layer.zero]
    steps = made.gradients.steps
    return RULE.finding(
        "fatal",
        verdict(exam, made, dead, trained),
        evidence=f"the gradient of {listed(dead)} was exactly zero at each of {steps} steps; "
        f"whatever can wake here does so by step {made.needed}",
        cause=cause(exam, zero, dead),
        remedy=remedy(zero),
        dead=[layer.name for layer in dead],
        zero=[layer.name for layer in zero],
        steps=steps,
        needed=made.needed,
    )


def verdict(exam: Examination, made: Motion, dead: list[Layer], trained: list[Layer]) -> str:
    """What these dead layers make of the net, in the words of a friend."""
    deep, skips = sorted_branches(exam, dead)
    if len(made.gradients.silent) == len(made.gradients.names):
        return (
            "Nothing in this net can learn: no weight and no bias moves. The loss will stay where "
            f"it is, at {made.losses[0]:.2f}, however long it runs."
        )
    if len(dead) == len(trained):
        return (
            "Nothing in this net can learn but its last biases. The loss will fall to the entropy "
            "of the classes' shares and stay there; no prediction will look at the image."
        )
    if deep and skips:
        return (
            f"Only {joined(skips)} will learn. The deep branch ({listed(dead)}) stays as it "
            "starts: the loss will fall and pictures will look plausible, but objects are seen "
            "by their fine features alone."
        )
    return f"{listed(dead)} will never learn, however long the run."


def sorted_branches(exam: Examination, dead: list[Layer]) -> tuple[bool, list[str]]:
    """Whether the deep score layer is among the dead, and the names of the skips that are not."""
    gone = {layer.module for layer in dead}
    by_name = branches(exam.patient.model)
    skips = [f"the skip from {n}" for n, m in by_name.items() if n != "deep" and m not in gone]
    return by_name.get("deep") in gone, skips


def cause(exam: Examination, zero: list[Layer], dead: list[Layer]) -> str:
    """Why they are dead: the zero layers, what they block and what they starve."""
    flows = exam.once(activity)
    rest = [layer for layer in dead if layer not in zero]
    starved = [layer for layer in rest if flows[layer.name].zero_input]
    blocked = [layer for layer in rest if layer not in starved]
    parts = [chain(exam, zero)] if zero else [cut(flows)]
    parts += consequence(starved, "sees", "see", "only zeros, from which no weight can learn")
    parts += consequence(blocked, "gets", "get", "no gradient from above")
    return "; ".join(parts)


def chain(exam: Examination, zero: list[Layer]) -> str:
    """Which layers at zero are to blame, by the name of the set-up, and how they block."""
    one = len(zero) == 1
    start = f"{setup(zero)}: {listed(zero)} {'starts' if one else 'start'} with all weights at zero"
    kinds = {type(module) for module in exam.patient.model.modules()}
    how = "two zero layers in a row each multiply the other's gradient by zero"
    if nn.ReLU in kinds:
        how = "what is 0 comes out of a ReLU as 0, and its slope there is 0, so no gradient passes"
    return f"{start}; {how}"


def setup(zero: list[Layer]) -> str:
    """The name of a way to start, by which layers start at zero and never wake."""
    names = {layer.name for layer in zero}
    hidden = {"head.fc6", "head.fc7"} <= names
    deep = "score_fr" in names
    skips = bool(names & {"score_pool4", "score_pool3"})
    known = {
        (True, False, False): "the hidden 1x1 layers at zero",
        (True, True, False): "every 1x1 layer but the skips at zero",
        (True, True, True): "every 1x1 layer at zero, with an activation behind the scores",
        (False, True, True): "every score layer at zero, with an activation behind them",
    }
    return known.get((hidden, deep, skips), "layers at zero that cannot wake")


def cut(flows: dict[str, Flow]) -> str:
    """What else keeps a gradient away: an activation that is always off, or nothing known."""
    off = [
        n for n, flow in flows.items() if flow.calls and flow.zero_output and not flow.zero_input
    ]
    if off:
        return f"{off[0]} puts out nothing but zeros on every batch"
    return (
        "no gradient reaches them: their output is not used, or detach() or no_grad() cuts it off "
        "from the loss"
    )


def consequence(found: list[Layer], one: str, more: str, what: str) -> list[str]:
    """What follows for other layers, if there are any."""
    return [f"{listed(found)} {one if len(found) == 1 else more} {what}"] if found else []


def remedy(zero: list[Layer]) -> str:
    """What to change, by the zero layers that are to blame."""
    names = {layer.name for layer in zero}
    if any(name.startswith("head.") for name in names):
        return "--conv-init he: hidden layers start at random; only score layers may start at zero"
    if any(name.startswith("score_") for name in names):
        return "--score-activation none: nothing behind the score layers, which may then be zero"
    return RULE.remedy


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
