"""A learning rate that is far from what this net wants."""

from segtrain.config import known
from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.range_test import RangeTest, range_test
from segtrain.manifests import IGNORE_INDEX

FAR = 100.0  # factor from which on another rate is worth a word
LITTLE = 0.05  # of the best fall of the loss


def examine(exam: Examination) -> Opinion:
    """Try other rates for a few steps each; advice only."""
    found = exam.once(range_test)
    rate, best = known(exam.patient.config.lr), found.best
    if found.gain(best) <= 0:
        return Unexamined("no rate lowered the loss within these few steps")
    if best >= FAR and found.gain(1.0) < LITTLE * found.gain(best):
        return [low(exam, found)]
    if found.gain(1.0) < 0 and found.gain(0.1) < 0:
        return [high(exam, found)]
    return Healthy(f"--lr {rate:g} lowers the loss; the fastest of those tried is {best * rate:g}")


def tried(exam: Examination, found: RangeTest) -> str:
    """The losses by rate."""
    rate = known(exam.patient.config.lr)
    return "; ".join(f"{factor * rate:.1e}: {loss:.3g}" for factor, loss in found.after.items())


def pixels(exam: Examination) -> int:
    """Valid pixels of a batch, of which a summed loss is so much larger than the mean one."""
    valid = [int((batch.target != IGNORE_INDEX).sum()) for batch in exam.batches]
    return round(sum(valid) / len(valid))


def low(exam: Examination, found: RangeTest) -> Finding:
    """A rate at which nothing will happen."""
    rate, count = known(exam.patient.config.lr), pixels(exam)
    return RULE.finding(
        "note",
        f"--lr {rate:g} looks far too low: in the first steps {found.best * rate:.1e} does more "
        "than twenty times as much.",
        evidence=f"loss {found.before:.3g} before; after a few steps at each rate, "
        f"{tried(exam, found)}",
        cause=f"published rates for the summed loss must be multiplied by its pixels for the mean "
        f"one: a batch here has {count:,} of them, so {rate:g} on the sum is {rate * count:.1e} on "
        "the mean",
        remedy=f"try --lr {found.best * rate / 10:.1e}",
        rate=rate,
        losses={str(k): v for k, v in found.after.items()},
    )


def high(exam: Examination, found: RangeTest) -> Finding:
    """A rate at which steps overshoot, even a tenth of it."""
    rate = known(exam.patient.config.lr)
    return RULE.finding(
        "note",
        f"--lr {rate:g} looks too high: a few steps raise the loss, even at a tenth of it.",
        evidence=f"loss {found.before:.3g} before; after a few steps at each rate, "
        f"{tried(exam, found)}",
        remedy=f"try --lr {found.best * rate:.1e}, or a longer --warmup",
        rate=rate,
        losses={str(k): v for k, v in found.after.items()},
    )


RULE = Rule(
    name="learning-rate",
    title="Learning rate",
    severity="note",
    reason="A rate that is a hundred times too low looks like a net that cannot learn. The usual "
    "way to one: the FCN papers' 1e-10 belongs to a loss that is *summed* over the pixels; on the "
    "mean loss, which is smaller by their number (187,500 at 500 x 375), the same step needs "
    "1.9e-5. A short range test (Smith, WACV 2017) tells.",
    evidence="From the same start a few steps at 1/1000 to 1000 times --lr, further up where the "
    "largest is still best; then the loss on the examination's batches. Too low: a rate a hundred "
    "times higher falls twenty times as far. Too high: the loss rises, at a tenth of the rate, "
    "too. So few steps favour high rates, so this is advice, no more.",
    remedy="A rate some ten times below the fastest one.",
    examine=examine,
)
