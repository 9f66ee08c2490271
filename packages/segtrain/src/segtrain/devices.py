"""Where the net runs, and in which numbers."""

from contextlib import AbstractContextManager, nullcontext

import torch

from segtrain.errors import UsageError


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


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 for the net's products on a CUDA GPU; plain float32 elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def describe(device: torch.device) -> str:
    """The device for people: `cuda (NVIDIA H200), bfloat16` or `cpu, 2 threads, float32`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)}), bfloat16"
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads, float32"
    return f"{device.type}, float32"


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
