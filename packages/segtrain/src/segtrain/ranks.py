"""The processes of one run: who is who, sums over all of them, and stopping together.

`torchrun` starts a process per GPU and tells each its place in environment variables. Each takes
its part of every global batch; sums over all of them make the step that of one process. Rank 0
writes, prints and validates its share like the others.

Two laws keep them from waiting for one another for ever. Every step and validation has places where
all ranks `meet`: there a signal that reached one, or an error that befell one, stops all. An error
that strikes between these places ends its rank, and that ends the connection of the others.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from segtrain.devices import choose_device
from segtrain.errors import RunError, SegtrainError, UsageError
from segtrain.interruption import Interruption, StopRequested

T = TypeVar("T")
MOST_WORKERS = 16  # processes that read for a rank
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
PLACES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")  # without one of these a process is alone


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those of the run; alone by default.

    Attributes:
        rank: Its number, 0 and up; rank 0 writes and prints.
        world: How many there are.
        local: Its number on its machine, which is that of its GPU.
        local_world: How many there are on this machine.
        launched: Whether torchrun started it, which passes signals on.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    local_world: int = 1
    launched: bool = False

    @property
    def main(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.world == 1

    @property
    def launcher(self) -> str:
        """What stands before `segtrain` on the command line of a run with as many ranks."""
        if self.alone:
            return ""
        count = self.local_world if self.local_world == self.world else "..."
        return f"torchrun --nproc-per-node {count} -m "

    def device(self, kind: torch.device) -> torch.device:
        """The device of this rank, of the kind that all of them use."""
        return torch.device("cuda", self.local) if self.launched and kind.type == "cuda" else kind

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all ranks, written into `value`, which has one shape and type on all."""
        if not self.alone:
            dist.all_reduce(value)
        return value

    def most(self, *values: float) -> list[float]:
        """The largest of each value over all ranks."""
        found = torch.tensor(values, dtype=torch.float64)
        if not self.alone:
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return [float(value) for value in found]

    def gather(self, what: T) -> list[T]:
        """What each rank gives, in the order of the ranks; pickled on its way."""
        if self.alone:
            return [what]
        found: list[T | None] = [None] * self.world
        dist.all_gather_object(found, what)
        return [each for each in found if each is not None]

    def reseed(self, seed: int, step: int) -> None:
        """Set torch's random numbers by run, step and rank, so that dropout can be repeated."""
        state = np.random.SeedSequence([seed, step, self.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0]))

    def meet(self, stop: Interruption, error: SegtrainError | None = None) -> None:
        """Where all ranks come by: stop if any was signalled or has failed.

        Args:
            stop: This rank's signals.
            error: What befell this rank; it then comes here from wherever it was.

        Raises:
            SegtrainError: That of the first rank that failed, on all ranks.
            StopRequested: If a rank was signalled and none failed.
        """
        if self.alone:
            if error is not None:
                raise error
            stop.check()
            return
        signal, failed = map(int, self.most(stop.number, error is not None))
        if signal:
            stop.number = stop.number or signal
        if failed:
            raise self.common(error)
        if signal:
            raise StopRequested

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block without sums that each rank does for itself: one's error becomes everyone's.

        Raises:
            SegtrainError: That of the first rank that failed, on all ranks.
        """
        error = None
        try:
            yield
        except SegtrainError as caught:
            error = caught
        if self.alone and error is not None:
            raise error
        if self.most(error is not None)[0]:
            raise self.common(error)

    def in_turn(self, work: Callable[[], T]) -> T:
        """What `work` gives; one rank of each machine begins, so that downloads are made once.

        Raises:
            SegtrainError: That of the first rank that failed, on all ranks.
        """
        found: list[T] = []
        for turn in (True, False):
            with self.together():
                if (self.local == 0) == turn:
                    found.append(work())
        return found[0]

    def common(self, error: SegtrainError | None) -> SegtrainError:
        """The error that all ranks raise where some have failed: that of the first of these."""
        found = self.gather((type(error), str(error)) if error else (None, ""))
        failed = [rank for rank, (kind, _) in enumerate(found) if kind]
        kind, message = found[failed[0]]
        where = "" if len(failed) == self.world else f"rank {failed[0]}: "
        told = (kind or RunError)(where + message)
        told.shared = True
        return told


def place(variables: Mapping[str, str]) -> Ranks:
    """This process's place by the environment that torchrun makes; alone without one.

    Raises:
        UsageError: If only some of the variables are set, or one is no number in range.
    """
    if not any(name in variables for name in PLACES):
        return Ranks()
    missing = [name for name in VARIABLES if not variables.get(name)]
    if missing:
        raise UsageError(
            f"the environment sets {', '.join(n for n in VARIABLES if n not in missing)} but not "
            f"{', '.join(missing)}; start several ranks by `torchrun --nproc-per-node N -m "
            "segtrain run ...`, or unset these for one process"
        )
    names = {"rank": "RANK", "world": "WORLD_SIZE", "local": "LOCAL_RANK"}
    try:
        numbers = {field: int(variables[name]) for field, name in names.items()}
        beside = int(variables.get("LOCAL_WORLD_SIZE") or numbers["world"])
    except ValueError as error:
        raise UsageError(f"the environment's places of ranks are no numbers: {error}") from error
    if not (0 <= numbers["rank"] < numbers["world"] and 0 <= numbers["local"] < beside):
        told = ", ".join(f"{name} {variables[name]}" for name in names.values())
        raise UsageError(f"the environment's places of ranks contradict each other: {told}")
    return Ranks(**numbers, local_world=beside, launched=True)


def check_batch(ranks: Ranks, batch: int, parts: int) -> None:
    """Refuse a batch that does not have an image for every part of every rank.

    Raises:
        UsageError: With the options and the way on.
    """
    if batch < ranks.world * parts:
        cut = f" in {parts} parts each" if parts > 1 else ""
        raise UsageError(
            f"--batch {batch} is too small for {ranks.world} ranks{cut}: each needs an image; use "
            f"a --batch of {ranks.world * parts} or more"
        )


def check_devices(ranks: Ranks, device: torch.device) -> None:
    """Refuse ranks for which there are no devices.

    Raises:
        UsageError: If there are fewer GPUs on this machine than ranks, or the device cannot sum.
    """
    if ranks.alone:
        return
    if device.type == "mps":
        raise UsageError(
            f"{ranks.world} ranks need CUDA GPUs, or --device cpu: an Apple GPU trains alone"
        )
    there = torch.cuda.device_count()
    if device.type == "cuda" and there < ranks.local_world:
        raise UsageError(
            f"{ranks.local_world} ranks were started on this machine, but it has {there} "
            f"GPU{'s' * (there != 1)}; use --nproc-per-node {there}"
        )


@contextmanager
def joined(device: Callable[[], str]) -> Iterator[Ranks]:
    """The ranks of this run, connected for the time of the block.

    An error that all ranks raise alike is `quiet` on all but one. Within such a block another one
    keeps the connection: several runs, one after the other, share it.

    Args:
        device: Tells where they shall compute, as `--device` names it.

    Raises:
        UsageError: If the environment or the machine does not fit.
        RunError: If they cannot be connected.
    """
    ranks = place(os.environ)
    if dist.is_initialized():
        yield ranks
        return
    try:
        kind = choose_device(device())
        check_devices(ranks, kind)
        connect(ranks, kind)
        yield ranks
        leave()
    except SegtrainError as error:
        met = ranks.alone or dist.is_initialized()
        error.quiet = bool(ranks.rank if error.shared else ranks.local * (not met))
        if error.shared:
            leave()
        raise


def leave() -> None:
    """End the connection, which all ranks do; one that fails by itself only breaks it off."""
    if dist.is_initialized():
        dist.destroy_process_group()


def connect(ranks: Ranks, device: torch.device) -> None:
    """Connect this rank with the others.

    Raises:
        RunError: If that fails.
    """
    if ranks.alone:
        return
    if device.type == "cuda":
        torch.cuda.set_device(ranks.local)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, rank=ranks.rank, world_size=ranks.world)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RunError(
            f"rank {ranks.rank} could not meet the others at {where}: {error}; is the port free "
            "and reached from every machine?"
        ) from error


def is_lost_rank(error: RuntimeError) -> bool:
    """Whether torch says by this error that another rank is gone."""
    words = ("Connection closed by peer", "Connection reset by peer", "NCCL", "gloo")
    return any(word in str(error) for word in words)


def default_workers(device: torch.device, ranks: Ranks) -> int:
    """One process per core to feed a GPU; none on a CPU, whose cores the net itself needs."""
    cores = (os.cpu_count() or 1) // ranks.local_world
    return min(MOST_WORKERS, max(1, cores)) if device.type != "cpu" else 0
