"""What --checkpointing saves of an FC-DenseNet's memory, and what it costs in time.

The bytes are those of all tensors that autograd keeps of a forward pass in float32, weights left
out, counted on shapes alone; a step needs these, the weights, their gradients and the optimiser's
state. The time is that of forward and backward on this machine, in turns.
"""

import argparse
import platform
import statistics
import time

import torch
from torch import Tensor

from segtrain.models.fc_densenet import PLANS, FCDenseNet

CLASSES = 21


def kept_bytes(net: FCDenseNet, batch: int, side: int) -> int:
    """Bytes that autograd keeps of one forward pass, storages counted once."""
    weights = {p.untyped_storage()._cdata for p in net.parameters()}  # noqa: SLF001 - its identity
    storages: dict[int, int] = {}
    held: list[Tensor] = []  # so that no identity is given out twice

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in weights:  # noqa: SLF001 - meta tensors have no address
            storages[storage._cdata] = storage.nbytes()  # noqa: SLF001
            held.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        net(torch.empty(batch, 3, side, side, device="meta"))
    return sum(storages.values())


def step_seconds(net: FCDenseNet, batch: int, side: int) -> float:
    """Seconds of one forward and backward pass."""
    image = torch.randn(batch, 3, side, side)
    begin = time.perf_counter()
    net(image).square().mean().backward()
    return time.perf_counter() - begin


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}\n")
    print("| net | batch | side | kept, MiB | with --checkpointing, MiB | share |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, (batch, side) in ((n, s) for n in PLANS for s in ((3, 224), (1, 512))):
        with torch.device("meta"):
            nets = [FCDenseNet(CLASSES, PLANS[name], recompute=again) for again in (False, True)]
        plain, again = (kept_bytes(net.train(), batch, side) / 2**20 for net in nets)
        print(f"| {name} | {batch} | {side} | {plain:,.0f} | {again:,.0f} | {again / plain:.2f} |")
    print("\n| net | batch | side | with against without, median (min to max) |")
    print("| --- | ---: | ---: | --- |")
    nets = [FCDenseNet(CLASSES, PLANS["fc_densenet56"], recompute=again) for again in (False, True)]
    ratios = []
    for _ in range(given.repeats):
        plain, again = (step_seconds(net.train(), 1, 64) for net in nets)
        ratios.append(again / plain)
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(f"| fc_densenet56 | 1 | 64 | {middle:.2f} ({low:.2f} to {high:.2f}) |")


if __name__ == "__main__":
    main()
