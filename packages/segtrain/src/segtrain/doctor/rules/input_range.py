"""An input that is not what the net was trained on."""

from dataclasses import dataclass, replace

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.silencing import judge
from segtrain.preprocessing import PRESETS, Preprocessing

BETTER = 0.9  # loss with another input over that with the net's own
CLEARLY = 0.05  # nats


@dataclass(frozen=True)
class Inputs:
    """Losses of a trained net by what it is shown: as it is set up, and otherwise."""

    own: float
    others: dict[str, float]


def examine(exam: Examination) -> Opinion:
    """Compare the input with the checkpoint's record, and try others on a trained net."""
    patient = exam.patient
    saved = patient.checkpoint or patient.origin
    if saved is None:
        return Unexamined("there is no checkpoint to compare with")
    recorded = Preprocessing.from_fingerprint(saved.preprocessing)
    ours = patient.predictor.preprocessing
    if recorded != ours:
        return [
            RULE.finding(
                "warning",
                "The net is shown another input than it was trained on.",
                evidence=f"shown: {ours.words()}; trained on: {recorded.words()}",
                shown=ours.fingerprint(),
                recorded=saved.preprocessing,
            )
        ]
    if not patient.trained:
        return Healthy(f"as the net of --init had it: {ours.words()}")
    found = exam.once(other_inputs)
    best = min(found.others, key=lambda name: found.others[name])
    if found.others[best] < min(BETTER * found.own, found.own - CLEARLY):
        return [misread(found, best)]
    return Healthy(f"loss {found.own:.3f}; the best of other inputs gives {found.others[best]:.3f}")


def other_inputs(exam: Examination) -> Inputs:
    """Judge a trained net on its own input, on its channels swapped and on the known presets."""
    ours = exam.patient.predictor.preprocessing
    swapped = replace(ours, channels="RGB" if ours.channels == "BGR" else "BGR")
    others = {f"channels as {swapped.channels}": swapped}
    others |= {f"--preprocessing {name}": p for name, p in PRESETS.items() if p != ours}
    losses = {name: judge(shown(exam, p), exam.patient.model).loss for name, p in others.items()}
    return Inputs(judge(exam, exam.patient.model).loss, losses)


def shown(exam: Examination, preprocessing: Preprocessing) -> Examination:
    """The same examination with another input; its batches are not read again."""
    predictor = replace(exam.patient.predictor, preprocessing=preprocessing)
    other = replace(exam, patient=replace(exam.patient, predictor=predictor), measured={})
    other.__dict__["batches"] = exam.batches
    return other


def misread(found: Inputs, best: str) -> Finding:
    """A net that does better on an input that it is said not to want."""
    return RULE.finding(
        "warning",
        f"The net does better with {best} than with what its checkpoint says.",
        evidence=f"loss {found.own:.3f} as recorded, {found.others[best]:.3f} with {best}",
        cause="its weights were trained with that input, and the record is wrong",
        own=found.own,
        others=found.others,
    )


RULE = Rule(
    name="input-range",
    title="Input of a checkpoint",
    severity="warning",
    reason="A net trained on BGR and 0..255, as Caffe's, loses many points on RGB and 0..1, and "
    "nothing breaks: the loss is only higher. Each checkpoint records what its net saw.",
    evidence="The record of --checkpoint or --init against what the net is shown here; for "
    "--checkpoint also the loss with red and blue swapped and with the other presets: one that is "
    "a tenth lower than with the net's own is a finding.",
    remedy="--preprocessing with what the weights were trained on.",
    examine=examine,
)
