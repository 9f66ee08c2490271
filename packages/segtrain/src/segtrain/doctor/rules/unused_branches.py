"""Branches of an FCN that give nothing to its scores."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.layers import branches
from segtrain.doctor.motion import motion
from segtrain.doctor.silencing import Branch, Branches, silencing

CONSTANT = 1e-5  # spread over strength below which scores are a constant, rounding aside
HARDLY = 0.005  # nats that a branch of a trained net should be worth, at least
LONG = 1000  # steps after which a net counts as trained


def examine(exam: Examination) -> Opinion:
    """Find branches without which nothing changes."""
    found = exam.once(silencing)
    if not found.by_name:
        return Unexamined("the branches of such a net are not known")
    findings = [finding for name in found.by_name for finding in examine_branch(exam, found, name)]
    if findings:
        return findings
    if not exam.patient.trained:
        return Healthy(f"scores of {', '.join(found.by_name)} vary with the image")
    costs = [f"{n} {b.levelled.loss - found.whole.loss:+.3f}" for n, b in found.by_name.items()]
    return Healthy(f"loss {found.whole.loss:.3f}; without what a branch sees: {', '.join(costs)}")


def examine_branch(exam: Examination, found: Branches, name: str) -> list[Finding]:
    """The finding on one branch, if there is one."""
    branch, patient = found.by_name[name], exam.patient
    if branch.spread <= CONSTANT * branch.strength:
        if name != "deep" and not is_dead(exam, name):
            return []  # a skip may sleep, as long as it can wake
        return [nothing(exam, found, name)]
    worth = branch.levelled.loss - found.whole.loss
    if patient.checkpoint and patient.checkpoint.step >= LONG and name == "deep" and worth < HARDLY:
        return [hardly(found, branch)]
    return []


def is_dead(exam: Examination, name: str) -> bool:
    """Whether a skip's score layer never had a gradient."""
    made = exam.once(motion)
    module = branches(made.learner.predictor.model)[name]
    return any(layer.module is module for layer in made.dead())


def figures(found: Branches, branch: Branch) -> str:
    """What the net loses without a branch."""
    return (
        f"with its scores at zero the loss goes from {found.whole.loss:.3f} to "
        f"{branch.silenced.loss:.3f} and the mean IoU from {100 * found.whole.iou:.1f} to "
        f"{100 * branch.silenced.iou:.1f} %, with each at its mean to {branch.levelled.loss:.3f} "
        f"and {100 * branch.levelled.iou:.1f} %"
    )


def nothing(exam: Examination, found: Branches, name: str) -> Finding:
    """A branch whose scores are the same at every place of every image."""
    branch = found.by_name[name]
    made = exam.once(motion)
    what = "The deep branch" if name == "deep" else f"The skip from {name}"
    model = exam.patient.model
    module = branches(model)[name]
    score = next(n for n, found in model.named_modules() if found is module)
    kind = "zeros" if branch.strength == 0 else "the same scores at every pixel of every image"
    steps = f" after {made.gradients.steps} steps" if not exam.patient.trained else ""
    return RULE.finding(
        "fatal",
        f"{what} says nothing about the image: {score} puts out {kind}.",
        evidence=f"{figures(found, branch)}; its scores vary by {branch.spread:.2g}{steps}",
        cause="it is dead, see dead-layers" if made.dead() else "nothing of the image reaches it",
        branch=name,
        spread=branch.spread,
        strength=branch.strength,
        loss=found.whole.loss,
        loss_silenced=branch.silenced.loss,
        loss_levelled=branch.levelled.loss,
        iou=found.whole.iou,
        iou_silenced=branch.silenced.iou,
    )


def hardly(found: Branches, branch: Branch) -> Finding:
    """A deep branch that a trained net could do without."""
    return RULE.finding(
        "warning",
        "The deep branch is hardly used: this net predicts from its skips.",
        evidence=figures(found, branch),
        remedy="train 32s, 16s and 8s one after the other by --staged, or give it more steps",
        branch="deep",
        loss=found.whole.loss,
        loss_levelled=branch.levelled.loss,
    )


RULE = Rule(
    name="unused-branches",
    title="Unused branches",
    severity="fatal",
    reason="An FCN-8s whose deep branch is dead still learns from its skips: the loss falls and "
    "pictures look plausible, but what the net could know of objects is missing (in "
    "[the table](initialisation.md) dead and healthy rows end at the same loss). Only silencing "
    "the branch tells.",
    evidence="The scores of each branch over all places of all images of the examination, after "
    "the steps of dead-layers; loss and mean IoU with the branch's scores at zero, and with each "
    "at its mean, for a constant could come from any bias. Fatal: the scores of the deep branch "
    "are constant (spread below 1e-5 of their strength), or those of a skip that also never had a "
    "gradient. A skip that still sleeps is healthy. In a net trained for 1,000 steps or more, a "
    "deep branch that is worth less than 0.005 nats beyond its mean is a warning.",
    remedy="Find what cuts the branch off: a zero layer, a factor of 0, a frozen or unused layer.",
    examine=examine,
)
