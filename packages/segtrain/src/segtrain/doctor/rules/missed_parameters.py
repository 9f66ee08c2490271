"""Parameters that get gradients, but that no optimiser moves."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Healthy, Opinion, Rule
from segtrain.doctor.rules.frozen_layers import shortened


def examine(exam: Examination) -> Opinion:
    """Compare the optimiser's parameters with those of the net."""
    learner = exam.learner()
    trained = {n: p for n, p in learner.predictor.model.named_parameters() if p.requires_grad}
    groups = learner.optimizer.param_groups
    held = [id(p) for group in groups for p in group["params"]]
    missed = sorted(name for name, p in trained.items() if id(p) not in held)
    doubled = sorted(name for name, p in trained.items() if held.count(id(p)) > 1)
    if missed:
        return [
            RULE.finding(
                "warning",
                f"{shortened(missed)} will stay as they are: no optimiser has them.",
                evidence=f"{len(missed)} of {len(trained)} trained parameters are in no group",
                cause="they were left out, or replaced after the optimiser was made",
                parameters=missed,
            )
        ]
    if doubled:
        return [
            RULE.finding(
                "warning",
                f"{shortened(doubled)} move twice a step: they are in two groups.",
                evidence=f"{len(doubled)} of {len(trained)} parameters",
                parameters=doubled,
            )
        ]
    return Healthy(f"the optimiser has all {len(trained)} parameters, in {len(groups)} groups")


RULE = Rule(
    name="missed-parameters",
    title="Parameters without optimiser",
    severity="warning",
    reason="A parameter that no group of the optimiser holds has gradients like all others and "
    "never moves: the usual fault after a layer was replaced or groups were made by type of layer.",
    evidence="Identity of the net's trained parameters with those of the optimiser's groups.",
    remedy="Make the groups from all parameters, after the net is complete.",
    examine=examine,
)
