"""How long the rest of a run takes, validations included."""

from dataclasses import dataclass

MEMORY = 0.7  # weight of what was known before, when an interval is measured


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        steps: Training steps.
        batch: Images of each.
        val_every: Steps between validations, 0 for none.
        first: Images of a validation on the way, all data sets together.
        whole: Images of the last one.
    """

    steps: int
    batch: int = 1
    val_every: int = 0
    first: int = 0
    whole: int = 0

    def validations(self, done: int) -> int:
        """Validations after step `done`, the last one left out."""
        every = self.val_every
        return (self.steps - 1) // every - done // every if every and done < self.steps else 0

    def images(self, done: int) -> int:
        """Images to validate on after step `done`."""
        if not self.val_every or done >= self.steps:
            return 0
        return self.validations(done) * self.first + self.whole


@dataclass
class Pace:
    """What was measured so far.

    Attributes:
        step: Seconds of a training step; None before the first.
        image: Seconds of a validation image; None before the first.
    """

    step: float | None = None
    image: float | None = None

    def trained(self, steps: int, seconds: float) -> None:
        """Note so many steps; later ones count more than earlier ones."""
        if steps:
            self.step = blended(self.step, seconds / steps)

    def validated(self, images: int, seconds: float) -> None:
        """Note so many validation images."""
        if images:
            self.image = blended(self.image, seconds / images)

    def left(self, plan: Plan, done: int) -> tuple[float | None, bool]:
        """Seconds until the end of the run, and whether its validations are among them.

        Args:
            plan: The run's.
            done: Steps taken and reported.
        """
        if self.step is None:
            return None, False
        images = plan.images(done)
        return (plan.steps - done) * self.step + images * (self.image or 0.0), bool(
            self.image or not images
        )


def blended(old: float | None, new: float) -> float:
    """A running mean that forgets."""
    return new if old is None else MEMORY * old + (1 - MEMORY) * new


def duration(seconds: float) -> str:
    """A time for people: `3 d 4 h`, `3 h 12 min`, `12 min`, `41 s`."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min"
    return f"{hours // 24} d {hours % 24} h"
