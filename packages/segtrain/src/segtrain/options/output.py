"""What a run writes, and how often: a panel of options."""

from dataclasses import dataclass, field
from pathlib import Path

from segtrain.options.fields import about


@dataclass(frozen=True)
class OutputOptions:
    """What a run writes, and how often; each field's `help` says what it does."""

    out: Path | None = field(
        default=None,
        metadata=about("Output", "Folder of the run. By default runs/fcn8s, by model and variant."),
    )
    log_every: int = field(
        default=20, metadata=about("Output", "Steps between lines of log.jsonl.", min=1)
    )
    save_every: int = field(
        default=500, metadata=about("Output", "Steps between checkpoints last.pt.", min=1)
    )
    keep_every: int = field(
        default=5000,
        metadata=about(
            "Output",
            "Steps between checkpoints that are kept beside last.pt and best.pt, as "
            "step-005000.pt; 0 keeps none.",
            min=0,
        ),
    )
    keep: int = field(
        default=3,
        metadata=about(
            "Output", "How many of these to keep; older ones are removed. 0 keeps all.", min=0
        ),
    )
    val_every: int = field(
        default=1000,
        metadata=about(
            "Output",
            "Steps between validations, which choose best.pt; 0 never validates.",
            min=0,
        ),
    )
    val_images: int = field(
        default=100,
        metadata=about(
            "Output",
            "Images per data set of these validations; 0 takes all. The end always takes all.",
            min=0,
        ),
    )
    pictures: int = field(
        default=4,
        metadata=about(
            "Output",
            "Validation images drawn with truth and prediction at each validation.",
            min=0,
        ),
    )
    watch: tuple[str, ...] | None = field(
        default=None,
        metadata=about(
            "Output",
            "A photo of your own, without truth, that is predicted at each validation, for "
            "`segtrain report` to show; may be given several times, also folders and patterns. "
            "The run keeps a copy.",
        ),
    )
    csv: bool = field(
        default=False,
        metadata=about("Output", "Also write log.csv: a line of log.jsonl per row."),
    )
    tensorboard: bool = field(
        default=False,
        metadata=about(
            "Output",
            "Also write tensorboard/: all figures, the floors beside them, and pictures. Needs "
            "the package tensorboard.",
        ),
    )
    live: bool = field(
        default=True,
        metadata=about("Output", "On a terminal, show a live view instead of a line per step."),
    )
