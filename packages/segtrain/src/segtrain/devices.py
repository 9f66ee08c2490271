"""Where the net runs, and in which numbers."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from segtrain.errors import UsageError
from segtrain.options.running import Precision


def choose_device(name: str) -> torch.device:
    """The device that `--device` names; `auto` takes a GPU where there is one.

    Raises:
        UsageError: If there is no such device here.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": has_mps()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if present[kind])
    if not present[name]:
        raise UsageError(
            f"--device {name}: torch {torch.__version__} finds none here; "
            f"there is: {', '.join(kind for kind, here in present.items() if here)}"
        )
    return torch.device(name)


def has_mps() -> bool:
    """Whether an Apple GPU is here."""
    return torch.backends.mps.is_available()


def numbers(device: torch.device, precision: Precision = "auto") -> Literal["bf16", "fp32"]:
    """In which numbers the net's products are computed.

    Args:
        device: Where.
        precision: `--precision`; `auto` is bf16 on a CUDA GPU that has it, fp32 elsewhere.
    """
    if precision == "auto":
        return "bf16" if device.type == "cuda" and has_bf16() else "fp32"
    return "fp32" if device.type == "mps" else precision


def has_bf16() -> bool:
    """Whether the CUDA GPU computes in bfloat16 itself."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def check_precision(device: torch.device, precision: Precision) -> None:
    """Refuse numbers that the device does not have.

    Raises:
        UsageError: With the way on.
    """
    if precision == "bf16" and (device.type == "mps" or (device.type == "cuda" and not has_bf16())):
        raise UsageError(
            f"--precision bf16: this {device.type} device does not compute in bfloat16; use "
            "--precision fp32, or leave it out"
        )


def autocast(device: torch.device, precision: Precision = "auto") -> AbstractContextManager[object]:
    """The numbers of the net's products: bfloat16, or float32 that is not cut to TF32.

    The weights, the loss and the optimiser stay in float32 anyway.
    """
    chosen = numbers(device, precision)
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = chosen != "fp32"
    return torch.autocast(device.type, torch.bfloat16) if chosen == "bf16" else nullcontext()


@contextmanager
def tuned(device: torch.device, *, steady: bool) -> Iterator[None]:
    """A block whose convolutions cuDNN chooses by trial, which pays where sizes stay the same."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = steady and device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device; from pinned memory it is copied while the GPU computes."""
    if device.type != "cuda":
        return tensor.to(device)
    side, computing = copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(side):
        there = tensor.to(device, non_blocking=True)
    computing.wait_stream(side)
    there.record_stream(computing)
    return there


@cache
def copy_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of a GPU that copies beside its computing."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch does not annotate it


def describe(device: torch.device, precision: Precision = "auto") -> str:
    """The device for people: `cuda (NVIDIA H200), bfloat16` or `cpu, 2 threads, float32`."""
    words = {"bf16": "bfloat16", "fp32": "float32"}[numbers(device, precision)]
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)}), {words}"
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads, {words}"
    return f"{device.type}, {words}"


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """States of torch's random numbers on the CPU and on the device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_rng_state(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put back what `rng_state` read; states of devices that are not used are left out."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
