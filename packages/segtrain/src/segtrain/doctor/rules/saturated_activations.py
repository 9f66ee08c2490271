"""Activations that are driven to where they are flat."""

from segtrain.doctor.activity import activity, later_activity
from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Healthy, Opinion, Rule, Unexamined

MANY = 0.5  # share of a layer's outputs


def examine(exam: Examination) -> Opinion:
    """Find layers most of whose outputs are at a bound of the activation."""
    found = [exam.once(activity), exam.once(later_activity)]
    names = [name for name, flow in found[1].items() if flow.flat]
    if not names:
        return Unexamined("no activation of the net has a bound on both sides, or is an ELU")
    shares = {name: max(flows[name].saturated for flows in found) for name in names}
    sick = [name for name in names if shares[name] > MANY]
    worst = max(names, key=lambda name: shares[name])
    words = f"{100 * shares[worst]:.0f} % of the outputs of {worst} lie where it is flat"
    if not sick:
        return Healthy(f"at most {words}")
    return [
        RULE.finding(
            "warning",
            f"{', '.join(sick)} {'is' if len(sick) == 1 else 'are'} saturated: most outputs are at "
            "a bound, where next to no gradient passes.",
            evidence=words,
            cause="what goes in is too large",
            layers=sick,
            shares={name: shares[name] for name in sick},
        )
    ]


RULE = Rule(
    name="saturated-activations",
    title="Saturated activations",
    severity="warning",
    reason="Sigmoid and tanh are flat far from 0, ELU far below it: where the slope is a hundredth "
    "of its maximum, the gradient is divided by a hundred, in each such layer again (Glorot and "
    "Bengio, AISTATS 2010).",
    evidence="Share of a layer's outputs where the slope is below 1 % of the steepest, at the "
    "start and after the steps of dead-layers. A finding: more than half of them.",
    remedy="A --norm before the activation, smaller start weights or input, or --activation relu.",
    examine=examine,
)
