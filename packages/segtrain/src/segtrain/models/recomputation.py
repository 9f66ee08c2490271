"""Activation checkpointing: what a layer computes on the way is made again for backward, not kept.

Chen et al., arXiv:1604.06174; for dense blocks Pleiss et al., arXiv:1707.06990: each layer there
joins and normalises all maps in front of it, so that what is kept grows with the square of the
depth; with only the maps themselves kept it grows with the depth.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Contexts = tuple[AbstractContextManager[None], AbstractContextManager[None]]
suspended: ContextVar[bool] = ContextVar("suspended", default=False)


def joined_through(layer: nn.Module, maps: Sequence[Tensor], *, recompute: bool) -> Tensor:
    """A layer's output for some maps joined along the channels.

    Args:
        layer: The layer; its batch norms count the batch once, its dropout is drawn once.
        maps: `(N, C_i, h, w)` each.
        recompute: Whether to keep nothing but the maps for backward, and compute the rest again.
    """
    if not recompute or not torch.is_grad_enabled() or suspended.get():
        out: Tensor = layer(torch.cat(list(maps), 1))
        return out

    def run(*parts: Tensor) -> Tensor:
        made: Tensor = layer(torch.cat(parts, 1))
        return made

    def contexts() -> Contexts:
        return nullcontext(), uncounted(layer)

    kept: Tensor = checkpoint(run, *maps, use_reentrant=False, context_fn=contexts)
    return kept


@contextmanager
def uncounted(layer: nn.Module) -> Iterator[None]:
    """Within it batch norms count into copies of their statistics, which are thrown away."""
    norms = [m for m in layer.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]  # noqa: SLF001 - torch's only common base
    counted = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    for norm, buffers in zip(norms, counted, strict=True):
        for name, value in buffers.items():
            setattr(norm, name, value.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, counted, strict=True):
            for name, value in buffers.items():
                setattr(norm, name, value)


@contextmanager
def everything_kept() -> Iterator[None]:
    """Within it nothing is computed again, so that each layer is passed once each way."""
    token = suspended.set(True)
    try:
        yield
    finally:
        suspended.reset(token)
