"""What flows: inputs and outputs of every layer and activation of the net."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from segtrain.doctor.examination import Examination, still
from segtrain.doctor.layers import layers
from segtrain.doctor.motion import motion
from segtrain.models.net import Heads, Net

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.Sigmoid, nn.Tanh)
FLAT = 0.01  # a slope below this share of the steepest is flat


@dataclass
class Flow:
    """What went through one module, in all calls together.

    Attributes:
        kind: The class of the module: `Conv2d`, `ReLU`, ...
        calls: Times it was called.
        zero_input: Whether its input was exactly zero everywhere, always.
        zero_output: The same of its output.
        squares: Mean squares of its output, call by call.
        turn: Calls in the pass that is under way: a ReLU may stand at several places of a net.
        active: bool `(channels,)` by turn: channels whose output was ever other than zero.
        flat: Shares of its outputs where the activation is flat on both or its one bounded side,
            call by call; empty for those that are not bounded.
    """

    kind: str
    calls: int = 0
    zero_input: bool = True
    zero_output: bool = True
    squares: list[float] = field(default_factory=list)
    turn: int = 0
    active: dict[int, Tensor] = field(default_factory=dict)
    flat: list[float] = field(default_factory=list)

    @property
    def strength(self) -> float:
        """Root mean square of its outputs."""
        return float((sum(self.squares) / max(1, len(self.squares))) ** 0.5)

    @property
    def asleep(self) -> float:
        """Share of the channels whose output was zero at every place of every image."""
        if not self.active:
            return 0.0
        return 1 - float(torch.cat(list(self.active.values())).float().mean())

    @property
    def saturated(self) -> float:
        """Share of the outputs where the activation is flat."""
        return sum(self.flat) / max(1, len(self.flat))

    def see(self, output: Tensor, module: nn.Module) -> None:
        """Note one call."""
        self.zero_output = self.zero_output and not bool(output.any())
        self.squares.append(float(output.float().square().mean()))
        seen = output.flatten(2).any(2).any(0) if output.dim() > 2 else output.bool().any(0)
        before = self.active.get(self.turn)
        self.active[self.turn] = seen if before is None else before | seen
        self.turn += 1
        share = flat_share(module, output.float())
        if share is not None:
            self.flat.append(share)


def flat_share(module: nn.Module, output: Tensor) -> float | None:
    """Share of outputs where a bounded activation is flat, by its slope written in its value."""
    if isinstance(module, nn.Sigmoid):
        return float((4 * output * (1 - output) < FLAT).float().mean())
    if isinstance(module, nn.Tanh):
        return float((1 - output.square() < FLAT).float().mean())
    if isinstance(module, nn.ELU):
        return float((output < (FLAT - 1) * module.alpha).float().mean())
    return None


def activity(exam: Examination) -> dict[str, Flow]:
    """What goes through layers and activations, by module name, before any step."""
    return flows(exam, exam.patient.model)


def later_activity(exam: Examination) -> dict[str, Flow]:
    """The same after the steps of `motion`."""
    return flows(exam, exam.once(motion).learner.predictor.model)


def flows(exam: Examination, model: nn.Module) -> dict[str, Flow]:
    """What goes through layers and activations on all batches, in the order of the calls.

    A net is looked at with its auxiliary heads.
    """
    heads = Heads(model) if isinstance(model, Net) else model
    names = {layer.module: layer.name for layer in layers(model)}
    names |= {m: name for name, m in model.named_modules() if isinstance(m, ACTIVATIONS)}
    found: dict[str, Flow] = {}
    with ExitStack() as stack, torch.no_grad(), still(model):
        for module, name in names.items():
            for handle in watch(module, name, found):
                stack.callback(handle.remove)
        for number, batch in enumerate(exam.batches):
            exam.progress("watching activations", number, len(exam.batches))
            heads(exam.inputs(batch)[0])
            for flow in found.values():
                flow.turn = 0
    silent = {n: Flow(type(m).__name__) for m, n in names.items() if n not in found}
    return found | silent


def watch(module: nn.Module, name: str, found: dict[str, Flow]) -> tuple[Any, Any]:
    """Hooks that note what goes in and out; an activation may overwrite its own input."""

    def before(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        flow = found.setdefault(name, Flow(type(module).__name__))
        flow.calls += 1
        flow.zero_input = flow.zero_input and not bool(given[0].any())

    def after(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        found[name].see(output, module)

    return module.register_forward_pre_hook(before), module.register_forward_hook(after)
