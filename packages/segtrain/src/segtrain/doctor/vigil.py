"""The doctor's watch within a run: whether all layers wake in the first steps, and stay awake."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from segtrain.config import known
from segtrain.doctor.deaths import Deaths
from segtrain.doctor.gradients import MARGIN, largest, wake_steps
from segtrain.doctor.layers import listed
from segtrain.errors import DeadNetError
from segtrain.options.running import DeadLayers

AGAIN = 1000  # steps from one look to the next
LOOK = 3  # steps of a later look; a layer that is awake has a gradient at each


@dataclass
class Vigil:
    """Watches the gradients of a run for layers that are dead.

    It looks at the first steps, as many as a layer needs to wake, and at some steps after every
    thousandth. While it looks, the largest gradients stay on the device: a GPU is waited for at
    the end of a look alone.

    Attributes:
        model: The net that is trained.
        stops: Whether a dead net ends the run; else people are told once.
        tell: Shows a line to people.
        needed: Steps with a valid pixel that this look wants.
        left: Steps of this look that are still to come; 0 between looks.
        peaks: float32 `(P,)`: largest absolute gradient of each trained parameter in this look.
        counted: Steps of this look with a valid pixel.
        loss: Of the first step of this look, nats.
        told: Layers that people have been told of.
    """

    model: nn.Module
    stops: bool
    tell: Callable[[str], None]
    needed: int = 0
    left: int = 0
    peaks: Tensor | None = None
    counted: Tensor | int = 0
    loss: Tensor | None = None
    told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.begin(wake_steps(self.model) + MARGIN)

    def begin(self, steps: int) -> None:
        """Begin a look of so many steps."""
        self.needed = self.left = steps
        self.peaks, self.counted, self.loss = None, 0, None

    def look(self, step: int, loss: Tensor, valid: Tensor) -> None:
        """Look at the gradients of a step, before they move anything.

        Args:
            step: Its number, from 1.
            loss: Its loss.
            valid: Number or weight of its valid pixels; a step without any tells nothing.

        Raises:
            DeadNetError: If layers are dead and the run shall stop for it.
        """
        if not self.left and step % AGAIN == 0:
            self.begin(LOOK)
        if not self.left:
            return
        found = largest(self.model)
        self.peaks = found if self.peaks is None else torch.maximum(self.peaks, found)
        self.counted = self.counted + (valid > 0)
        self.loss = loss if self.loss is None else self.loss
        self.left -= 1
        if not self.left:
            self.left = self.needed - int(self.counted)  # a step more for each that was all void
            if not self.left:
                self.judge(step)

    def judge(self, step: int) -> None:
        """Say which layers are dead, at the end of a look.

        Raises:
            DeadNetError: If there are any and the run shall stop for it.
        """
        trained = [name for name, p in self.model.named_parameters() if p.requires_grad]
        pairs = zip(trained, known(self.peaks).tolist(), strict=True)
        silent = {name for name, peak in pairs if peak == 0}
        deaths = Deaths.of(self.model, silent, float(known(self.loss)))
        new = {layer.name for layer in deaths.dead} - self.told
        if not new:
            return
        self.told |= new
        words = message(deaths, step, self.needed)
        if self.stops:
            raise DeadNetError(
                f"{words}; to go on all the same, --dead-layers warn; "
                "nothing was saved of these steps: delete the run's folder, or name another --out"
            )
        self.tell(words)


def message(deaths: Deaths, step: int, steps: int) -> str:
    """What is wrong, since when, why, and what to do, in one line."""
    since = f"The gradient of {listed(deaths.dead)} was exactly zero in {steps} steps"
    parts = [
        f"step {step:,}: {deaths.verdict()} {since}",
        deaths.chain(),
        deaths.remedy() or "their units are off: a lower --lr, a --norm, --activation leaky_relu",
        "`segtrain doctor` with the same options tells more",
    ]
    return "; ".join(filter(None, parts))


def vigil_of(mode: DeadLayers, model: nn.Module, tell: Callable[[str], None]) -> Vigil | None:
    """The watch that `--dead-layers` asks for; None for `ignore`."""
    return None if mode == "ignore" else Vigil(model, mode == "stop", tell)
