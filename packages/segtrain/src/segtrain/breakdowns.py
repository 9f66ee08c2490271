"""Errors of torch in the middle of a step, in words for the person at the keyboard."""

import torch

from segtrain.batches import is_lost_worker
from segtrain.errors import RunError
from segtrain.ranks import is_lost_rank

COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")


def explained(error: RuntimeError, at: str, where: torch.device, resume: str) -> RunError | None:
    """The user's error for one of torch's that came in the middle of a step, None for others.

    The net may be half-way through the step: it is not to be saved, last.pt stays as it is.

    Args:
        error: What torch raised.
        at: The step, for people.
        where: The device that was computing.
        resume: The command that goes on with the run.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return RunError(
            f"{at}: the memory of {where} is full; cut batches by --accumulate 2 or more, or use "
            "a smaller --batch, --crop or --width"
        )
    if is_lost_worker(error):
        return RunError(
            f"{at}: a data worker was ended from outside ({error}); if memory ran out, use "
            f"fewer --workers; go on with `{resume}`"
        )
    if any(kind.__module__.startswith(COMPILERS) for kind in type(error).__mro__):
        return RunError(
            f"{at}: torch could not compile the net here ({str(error).splitlines()[0]}); use "
            f"--no-compile: `{resume} --no-compile`"
        )
    if is_lost_rank(error):
        told = RunError(
            f"{at}: another rank has ended, and what it said is the cause "
            f"({str(error).splitlines()[0]}); go on with `{resume}`"
        )
        told.shared = True
        return told
    return None
