"""Tests of segtrain.breakdowns."""

import pytest
import torch

from segtrain.breakdowns import explained
from segtrain.errors import RunError

CPU = torch.device("cpu")


class InductorError(RuntimeError):
    """An error of torch's compiler, by the module that it says it is from."""


InductorError.__module__ = "torch._inductor.exc"


@pytest.mark.parametrize(
    ("error", "words", "shared"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            "memory of cpu is full.*--accumulate",
            False,
        ),
        (RuntimeError("DataLoader worker (pid 7) is killed"), r"\(pid 7\).*fewer --workers", False),
        (
            InductorError("no C compiler\nmore"),
            r"not compile.*no C compiler\).*--no-compile",
            False,
        ),
        (
            RuntimeError("[gloo/pair.cc:534] Connection closed by peer [::1]\nmore"),
            r"another rank has ended.*closed by peer \[::1\]\)",
            True,
        ),
    ],
    ids=["memory", "worker", "compiler", "rank"],
)
def test_errors_of_torch_are_told_with_the_way_on(
    error: RuntimeError, words: str, shared: bool
) -> None:
    """Each names the step and what to do, in one line; a lost rank is told by one rank for all."""
    told = explained(error, "step 8", CPU, "segtrain run --out a --resume")
    assert isinstance(told, RunError)
    assert str(told).startswith("step 8: ")
    assert "\n" not in str(told)
    assert told.shared == shared
    with pytest.raises(RunError, match=words):
        raise told


def test_a_mistake_of_the_program_stays_what_it_is() -> None:
    """Another error is not ours to explain."""
    assert explained(RuntimeError("shapes do not match"), "step 8", CPU, "x") is None
