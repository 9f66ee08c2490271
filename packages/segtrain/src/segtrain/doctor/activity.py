"""What flows: inputs and outputs of every layer and activation of the net, as it starts."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrain.doctor.examination import Examination, still
from segtrain.doctor.layers import layers

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.Sigmoid, nn.Tanh)


@dataclass
class Flow:
    """What went through one module.

    Attributes:
        calls: Times it was called.
        zero_input: Whether its input was exactly zero everywhere, always.
        zero_output: The same of its output.
    """

    calls: int = 0
    zero_input: bool = True
    zero_output: bool = True


def activity(exam: Examination) -> dict[str, Flow]:
    """What goes through layers and activations, by module name, before any step."""
    model = exam.patient.model
    names = {layer.module: layer.name for layer in layers(model)}
    names |= {m: name for name, m in model.named_modules() if isinstance(m, ACTIVATIONS)}
    flows = {name: Flow() for name in names.values()}
    with ExitStack() as stack, torch.no_grad(), still(model):
        for module, name in names.items():
            for handle in watch(module, flows[name]):
                stack.callback(handle.remove)
        for number, batch in enumerate(exam.batches):
            exam.progress("watching activations", number, len(exam.batches))
            model(exam.inputs(batch)[0])
    return flows


def watch(module: nn.Module, flow: Flow) -> tuple[Any, Any]:
    """Hooks that note what goes in and out; an activation may overwrite its own input."""

    def before(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        flow.calls += 1
        flow.zero_input = flow.zero_input and not bool(given[0].any())

    def after(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        flow.zero_output = flow.zero_output and not bool(output.any())

    return module.register_forward_pre_hook(before), module.register_forward_hook(after)
