"""Taking the step again at which a run's numbers broke, with an eye on every layer."""

from dataclasses import dataclass, replace
from pathlib import Path

from segtrain.checkpoint import check_record, load_state
from segtrain.config import TrainConfig
from segtrain.devices import describe, set_rng_state
from segtrain.learning import Learner, make_learner
from segtrain.manifests import ClassInfo
from segtrain.nonfinite import Capture, load_capture
from segtrain.options.training import Device
from segtrain.preprocessing import Preprocessing
from segtrain.ranks import Ranks
from segtrain.starts import make_predictor
from segtrain.terminal import print_line, print_table
from segtrain.tracing import Range, Trace, broken_weight, watched


@dataclass(frozen=True)
class Replay:
    """What happened when the step was taken again.

    Attributes:
        capture: The step.
        device: Where it was taken again, for people.
        loss: The loss.
        weight: The first weight that was NaN or infinite before the step, in words.
        trace: Every layer's output and gradient.
    """

    capture: Capture
    device: str
    loss: float
    weight: str
    trace: Trace

    @property
    def verdict(self) -> str:
        """Where it began, in words; empty where everything stayed finite."""
        if self.weight:
            return f"the weights are broken already: {self.weight}"
        return self.trace.origin()

    def heads(self) -> list[str]:
        """What is replayed, a line each."""
        capture, exact = self.capture, ""
        if not capture.exact:
            exact = (
                f", but from the weights after step {capture.model_step:,}: those before it were "
                "not known any more"
            )
        where = f"step {capture.step:,} of {capture.config['out']} ({capture.device})"
        return [
            f"{where}: {capture.found}",
            f"taken again on {self.device}{exact}: loss {self.loss:g}",
            f"keys: {', '.join(capture.batch.keys)}",
        ]

    def rows(self) -> list[list[str]]:
        """A row for each layer's output in the order of the net, then one for each gradient."""
        outputs = [[f"{p.layer} {p.kind}", *range_words(p.left)] for p in self.trace.forward]
        gradients = [[f"gradient of {g.of}", *range_words(g.values)] for g in self.trace.backward]
        return outputs + gradients


def range_words(values: Range) -> list[str]:
    """Least, greatest, and the share that is not finite in per cent."""
    share = f"{100 * values.share:.3g}" if values.broken else "0"
    return [f"{values.low:.3g}", f"{values.high:.3g}", share]


def replay(path: Path, device: Device) -> Replay:
    """Take the step again that a run kept.

    Args:
        path: The `nonfinite-STEP.pt`.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        CheckpointError: If the file cannot be read or its weights do not fit its configuration.
    """
    capture = load_capture(path)
    learner = learner_of(capture, path, device)
    model = learner.predictor.model
    weight = broken_weight(model.named_parameters())
    set_rng_state(capture.rng, learner.device)
    with watched(model) as trace:
        learnt = learner.gradients(capture.batch)
    return Replay(capture, describe(learner.device), float(learnt.loss), weight, trace)


def learner_of(capture: Capture, path: Path, device: Device) -> Learner:
    """What learnt, as it stood before the step.

    Raises:
        CheckpointError: If no net can be made of what the file says of it.
    """
    check_record(capture.config, capture.identity.get("preprocessing"), path)
    plain = TrainConfig.from_plain(capture.config)
    config = replace(plain, device=device, compile=False)  # compiled layers cannot be looked at
    classes = tuple(ClassInfo(c["name"], tuple(c["color"])) for c in capture.identity["classes"])
    preprocessing = Preprocessing.from_fingerprint(capture.identity["preprocessing"])
    predictor = make_predictor(config, classes, preprocessing)
    load_state(predictor.model, capture.model, path)
    return make_learner(config, predictor, capture.identity.get("class_weights"), Ranks())


def print_replay(found: Replay) -> None:
    """The step layer by layer on stdout, and where it began."""
    for line in found.heads():
        print_line(line)
    print_table("", ["layer", "min", "max", "not finite %"], found.rows())
    print_line(found.verdict or "everything stayed finite", "bold")
