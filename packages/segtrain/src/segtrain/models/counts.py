"""What a net costs: its weights, and the products of one forward pass."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from segtrain.models.layers import Upsample
from segtrain.models.net import Heads, Net


class ParameterCount(NamedTuple):
    """Numbers of weights of a net.

    Attributes:
        layers: Weights and biases of all layers but the upsampling; these are trained.
        learned: Weights of trained upsampling layers, C x C kernels.
        fixed: Weights of fixed upsampling layers, one kernel per class.
    """

    layers: int
    learned: int
    fixed: int


def count_parameters(model: nn.Module) -> ParameterCount:
    """Count a net's weights; a full C x C fixed upsampling would have C times `fixed`."""
    upsampling = [m for m in model.modules() if isinstance(m, Upsample)]
    learned = sum(m.kernels().numel() for m in upsampling if m.learned)
    fixed = sum(m.kernels().numel() for m in upsampling if not m.learned)
    return ParameterCount(sum(p.numel() for p in model.parameters()) - learned, learned, fixed)


def weight_words(model: nn.Module) -> str:
    """A net's trained weights for people: `1,234 weights`, and how many learn where not all do."""
    count = count_parameters(model)
    total = count.layers + count.learned
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    part = f", of which {learning:,} learn" if learning != total else ""
    return f"{total:,} weights{part}"


def count_macs(model: nn.Module, height: int, width: int) -> int:
    """Multiply-accumulates of one image's forward pass: of all convolutions, transposed ones too.

    What activations, norms and poolings add is below one in a hundred and left out. A
    multiply-accumulate is two floating-point operations. Nothing is computed: the pass runs on
    shapes alone.

    Args:
        model: The net, wherever it is.
        height: Of the image, in pixels, before the net pads it.
        width: The same.
    """
    return sum(macs for macs, _ in layer_macs(model, height, width))


def count_training_macs(model: nn.Module, height: int, width: int) -> int:
    """Multiply-accumulates of one image's forward and backward pass.

    Backward, a layer costs as much again for the gradient of its weights, if they are trained, and
    for that of its input, if something below it is: about three forward passes in all, fewer where
    a part is frozen. Auxiliary heads are counted here and not in `count_macs`.

    Args:
        model: The net, wherever it is.
        height: Of the image, in pixels, before the net pads it.
        width: The same.
    """
    found = layer_macs(model, height, width, trained=True)
    return sum(macs * passes for macs, passes in found)


def layer_macs(
    model: nn.Module, height: int, width: int, *, trained: bool = False
) -> list[tuple[int, int]]:
    """For each convolution and upsampling: multiply-accumulates of a pass, passes of training.

    Args:
        model: The net, wherever it is.
        height: Of the image, in pixels, before the net pads it.
        width: The same.
        trained: Whether in the form that trains, with auxiliary heads.
    """
    form = Heads(model) if trained and isinstance(model, Net) else model
    found: list[tuple[int, int]] = []

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if isinstance(module, nn.ConvTranspose2d):
            macs = inputs[0].numel() * module.weight[0].numel()
            learns = module.weight.requires_grad
        elif isinstance(module, nn.Conv2d):
            macs, learns = output.numel() * module.weight[0].numel(), module.weight.requires_grad
        elif isinstance(module, Upsample):
            rows, columns = (side + 2 for side in inputs[0].shape[-2:])  # with repeated borders
            kernels = module.kernels()
            macs, learns = rows * columns * kernels.numel(), kernels.requires_grad
        else:
            return
        found.append((macs, 1 + learns + inputs[0].requires_grad))

    hooks = [
        m.register_forward_hook(note)
        for m in model.modules()
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | Upsample)
    ]
    tensors: dict[str, Any] = dict(form.named_parameters()) | dict(form.named_buffers())
    shapes = {
        name: torch.empty_like(value, device="meta", requires_grad=value.requires_grad)
        for name, value in tensors.items()
    }
    image = torch.empty(1, 3, height, width, device="meta")
    training = model.training
    try:
        with torch.enable_grad():
            model.eval()
            torch.func.functional_call(form, shapes, (image,))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return found
