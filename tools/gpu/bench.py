"""What the checks share: the plan of a session, nets, batches, and checks that are run in time."""

import signal
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from segtrain.batches import Batch
from segtrain.config import TrainConfig
from segtrain.learning import Learner, make_learner
from segtrain.manifests import ClassInfo
from segtrain.models import build
from segtrain.predictor import Predictor
from segtrain.preprocessing import Preprocessing
from segtrain.ranks import Ranks

CLASSES = 21
LAX = 10  # times its budget that a check has in a quick session, on whatever machine
NAMES = tuple(ClassInfo(str(i), (0, 0, 0)) for i in range(CLASSES))


class Failed(Exception):  # noqa: N818 - the verdict of a check, not an error of the program
    """What was found is not what should be; the message says by how much."""


class Skipped(Exception):  # noqa: N818
    """The check has no meaning here; the message says why."""


class OutOfTimeError(Exception):
    """The check's time was over."""


@dataclass(frozen=True)
class Plan:
    """What the checks are made with.

    Attributes:
        device: Where.
        quick: Whether to go through everything thin, to see that it runs.
        scratch: A folder for runs and shards.
        shards: Shards to train on; None where they are to be made.
        end: When everything must be over, by `time.monotonic`.
    """

    device: torch.device
    quick: bool
    scratch: Path
    shards: Path | None
    end: float

    @property
    def cuda(self) -> bool:
        """Whether the device is a CUDA GPU."""
        return self.device.type == "cuda"

    @property
    def width(self) -> float:
        """Width of the nets that are measured."""
        return 0.06 if self.quick else 1.0

    def sync(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize(self.device)


@dataclass
class Result:
    """What came of a check.

    Attributes:
        name: Its name.
        kind: `correctness` or `measurement`.
        verdict: `ok`, `failed`, `skipped`, or `out of time`.
        message: Why, in a line.
        seconds: How long it took.
        rows: Figures, one dictionary per line of a table.
    """

    name: str
    kind: str
    verdict: str = "ok"
    message: str = ""
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)


Work = Callable[[Plan, list[dict[str, Any]]], str]  # adds rows as it goes; gives a line for people


@dataclass(frozen=True)
class Check:
    """One check: its name, kind, time in seconds on a GPU, and what it does."""

    name: str
    kind: str
    budget: float
    work: Work


def run_check(check: Check, plan: Plan) -> Result:
    """Run a check within its time and that of the session; whatever happens gives a result."""
    result, began = Result(check.name, check.kind), time.monotonic()
    left = plan.end - began
    allowed = min(check.budget * (LAX if plan.quick else 1), left)
    try:
        with alarm(max(0.001, allowed)):
            result.message = check.work(plan, result.rows)
    except OutOfTimeError:
        result.verdict = "out of time"
        result.message = f"{max(0.0, allowed):.0f} s were not enough for all of it"
    except Skipped as reason:
        result.verdict, result.message = "skipped", str(reason)
    except Failed as reason:
        result.verdict, result.message = "failed", str(reason)
    except Exception as error:  # noqa: BLE001 - the other checks still have to run
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = (str(error).splitlines() or [""])[0]
        result.verdict = "failed"
        result.message = (
            f"{type(error).__name__}: {text} ({Path(place.filename).name}, line {place.lineno})"
        )
    free(plan)
    result.seconds = round(time.monotonic() - began, 2)
    return result


@contextmanager
def alarm(seconds: float):  # noqa: ANN201 - a generator of nothing
    """A block that is broken off when its time is over, where the system has alarms."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(_: int, __: FrameType | None) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def free(plan: Plan) -> None:
    """Give back what the last check held of the GPU's memory."""
    import gc

    gc.collect()
    if plan.cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(plan.device)


def configuration(**options: object) -> TrainConfig:
    """A configuration of a net that is not trained to any end; all its layers alive."""
    values: dict[str, Any] = {"dropout": 0.0}
    if options.get("model", "fcn") == "fcn":
        values |= {"norm": "none", "score_init": "he"}
        if options.get("variant") != "32s":
            values["skip_init"] = "he"
    return TrainConfig(out=Path("none"), **(values | options)).resolved()


def learner_of(config: TrainConfig, device: torch.device, seed: int = 3) -> Learner:
    """What learns by a configuration; equal seeds give equal weights on any device."""
    torch.manual_seed(seed)
    model = build(config, CLASSES)
    predictor = Predictor(model, Preprocessing(), device, NAMES, precision=config.precision)
    return make_learner(config, predictor, None, Ranks())


def random_batch(count: int, side: int, seed: int = 5, *, void: bool = True) -> Batch:
    """Random images whose targets hold void: none in the first, more in each, all in the last."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (count, side, side, 3), generator=rng, dtype=torch.uint8)
    target = torch.randint(0, CLASSES, (count, side * side), generator=rng, dtype=torch.uint8)
    if void and count > 1:
        for i in range(count):
            target[i, : side * side * i // (count - 1)] = 255
    return Batch(
        image.permute(0, 3, 1, 2), target.view(count, side, side), [str(i) for i in range(count)]
    )


def gradient_of(learner: Learner) -> torch.Tensor:
    """The whole gradient as one float64 vector on the CPU."""
    found = [p.grad for p in learner.predictor.model.parameters() if p.grad is not None]
    return torch.cat([g.detach().double().cpu().ravel() for g in found])


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Norm of the difference by the norm of the second."""
    a, b = ours.detach().double().cpu(), theirs.detach().double().cpu()
    return float((a - b).norm() / b.norm().clamp(min=1e-30))


def demand(rows: list[dict[str, Any]], figure: str, limit: float) -> str:
    """Fail where a figure of any row is above a limit; else say how large it is at most."""
    worst = max(rows, key=lambda row: float(row[figure]))
    value = float(worst[figure])
    if not value <= limit:  # NaN fails, too
        where = ", ".join(f"{k} {v}" for k, v in worst.items() if isinstance(v, str | int))
        raise Failed(f"{figure} is {value:.2e} at {where}; at most {limit:g} is right")
    return f"{figure} at most {value:.1e} (limit {limit:g})"
