"""Batch norms that normalise each image by its own statistics, as some nets are judged.

In training a batch norm takes mean and variance from the batch, in evaluation their running means.
Some published nets, FC-DenseNet among them, were judged by the statistics of the image at hand.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from segtrain.errors import PhotoError
from segtrain.models.net import Net

BatchNorm = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - the common base, SyncBatchNorm's too


def trained_norms(net: Net) -> dict[str, BatchNorm]:
    """The batch norms that take a batch's statistics in training, by name.

    Those of frozen parts use their running statistics in training, too, and are left out.
    """
    frozen = tuple(f"{name}." for name in net.frozen)
    return {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, BatchNorm) and not f"{name}.".startswith(frozen)
    }


@contextmanager
def image_statistics(net: Net) -> Iterator[None]:
    """Within it, batch norms that were trained use each image's own mean and variance.

    Each image of a batch is normalised by itself, so that company changes nothing; the variance is
    the biased one, as in torch's training. All of the padded image counts, its zeros as well.
    Running statistics are neither used nor changed. The net is to be in evaluation mode.

    Raises:
        PhotoError: Within it, from the net, if a norm sees a single value of a channel.
    """
    hooks = [
        norm.register_forward_hook(functools.partial(by_image, name))
        for name, norm in trained_norms(net).items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def by_image(name: str, norm: BatchNorm, inputs: tuple[Tensor, ...], _: Tensor) -> Tensor:
    """What a batch norm gives when it normalises each image by itself, in place of what it gave.

    Args:
        name: Of the norm.
        norm: The norm.
        inputs: Its input alone, `(N, C, H, W)`.

    Raises:
        PhotoError: If H x W is 1: one value has no variance, and nothing of it would be left.
    """
    [x] = inputs
    if x.shape[2:].numel() == 1:
        raise PhotoError(
            f"the batch norm {name} sees one value of each channel, and one value has no "
            "variance: the image is too small for --statistics batch, or the net pools it to one "
            "place; take running"
        )
    return F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=norm.eps)
