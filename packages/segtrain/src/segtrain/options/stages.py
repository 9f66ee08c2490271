"""How the variants are trained one after the other: options of the panel of training."""

from dataclasses import dataclass, field

from segtrain.errors import UsageError
from segtrain.options.fields import about, numbers

STAGES_FILE = "stages.json"  # beside the folders of a staged run's stages
VARIANTS = ("32s", "16s", "8s")  # from coarse to fine


@dataclass(frozen=True)
class StageOptions:
    """Training 32s, then 16s from it, then 8s; each field's `help` says what it does."""

    staged: bool = field(
        default=False,
        metadata=about(
            "Training",
            "Train 32s, then 16s from it, then 8s, up to --variant, in one command; each begins "
            "with the last step's net of the one before.",
        ),
    )
    stage_steps: str | None = field(
        default=None,
        metadata=about(
            "Training",
            "With --staged, steps of 32s, 16s and 8s, such as 300,200,100; else --steps.",
        ),
    )
    stage_lr: str | None = field(
        default=None,
        metadata=about(
            "Training",
            "Learning rates of the stages 32s, 16s and 8s, such as 1e-3,1e-4,1e-5, in place of "
            "--lr. Recipes have their own.",
        ),
    )

    def steps_of(self, variant: str) -> int | None:
        """The steps of a variant's stage, None where `stage_steps` was not given.

        Raises:
            UsageError: If they are not three whole numbers above 0.
        """
        if self.stage_steps is None:
            return None
        found = numbers("stage_steps", self.stage_steps, 3, "300,200,100")
        if any(n != int(n) for n in found):
            raise UsageError(f"--stage-steps takes whole numbers, not {self.stage_steps!r}")
        return int(found[VARIANTS.index(variant)])

    def rate_of(self, variant: str) -> float | None:
        """The learning rate of a variant's stage, None where `stage_lr` was not given.

        Raises:
            UsageError: If they are not three numbers above 0.
        """
        if self.stage_lr is None:
            return None
        return numbers("stage_lr", self.stage_lr, 3, "1e-3,1e-4,1e-5")[VARIANTS.index(variant)]
