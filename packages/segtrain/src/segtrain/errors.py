"""What can go wrong, as one tree. Each message says what, where, and what to do next.

SegtrainError              anything that the person at the keyboard can put right; exit code 1
├── UsageError             options that cannot be meant together; exit code 2
├── ShardsError            a shards directory that is missing, empty, damaged or does not fit
│   └── SampleError        one sample that cannot be read; names its shard and key
├── CheckpointError        a checkpoint that is missing, truncated, foreign or does not fit
├── WeightsError           pre-trained weights that cannot be had or do not fit
├── RunError               a run folder that cannot be used or written
│   ├── NonFiniteError     a loss that became NaN or infinite; names the step and the keys
│   └── DeadNetError       layers that cannot learn; names them, the cause and the remedy
├── ExportError            a net that cannot be exported, or a file that answers otherwise than it
├── PhotoError             a photo that is no image or cannot be written about
└── InterruptedRunError    Ctrl-C or SIGTERM, after everything was saved; exit code 130 or 143
"""

from typing import Self


class SegtrainError(Exception):
    """Base of all errors whose message is meant for the person at the keyboard.

    Attributes:
        exit_code: Of the process.
        shared: Whether all ranks of the run raise it.
        quiet: Whether another rank tells it.
    """

    exit_code = 1
    shared = False
    quiet = False

    def saying(self, message: str) -> Self:
        """The same error with another message."""
        told = type(self)(message)
        told.shared = self.shared
        return told


class UsageError(SegtrainError):
    """Options that cannot be meant together, or a value outside its range."""

    exit_code = 2


class ShardsError(SegtrainError):
    """A shards directory that is missing, empty, damaged or does not fit."""


class SampleError(ShardsError):
    """One sample that cannot be read; the message names its shard and key."""


class CheckpointError(SegtrainError):
    """A checkpoint that is missing, truncated, foreign or does not fit."""


class WeightsError(SegtrainError):
    """Pre-trained weights that cannot be had or do not fit."""


class RunError(SegtrainError):
    """A run folder that cannot be used or written."""


class NonFiniteError(RunError):
    """A loss that became NaN or infinite; the message names the step and the keys."""

    shared = True  # for the loss is that of all ranks


class DeadNetError(RunError):
    """Layers that cannot learn; the message names them, the cause and the remedy."""

    shared = True  # for gradients are those of all ranks


class ExportError(SegtrainError):
    """A net that cannot be exported, or whose exported file does not answer as the net does."""


class PhotoError(SegtrainError):
    """A photo that is no image, is too large, or would be overwritten."""


class InterruptedRunError(SegtrainError):
    """Ctrl-C or SIGTERM: the run was saved and can be resumed.

    Attributes:
        exit_code: 128 plus the number of the signal: 130 for Ctrl-C, 143 for SIGTERM.
    """

    shared = True

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
