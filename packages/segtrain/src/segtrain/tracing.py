"""Where numbers stop being finite: every layer's output and gradient in one step, looked at."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from segtrain.models.recomputation import everything_kept


@dataclass(frozen=True)
class Range:
    """What the numbers of a tensor are like.

    Attributes:
        low, high: Least and greatest of the finite ones; NaN where there is none.
        count: How many numbers there are.
        broken: How many of them are NaN or infinite.
    """

    low: float
    high: float
    count: int
    broken: int

    @classmethod
    def of(cls, values: Tensor) -> "Range":
        """Look at a tensor's numbers."""
        wide = values.detach().float()
        finite = wide[wide.isfinite()]
        low, high = (float(x) for x in finite.aminmax()) if len(finite) else (float("nan"),) * 2
        return cls(low, high, wide.numel(), wide.numel() - len(finite))

    @property
    def share(self) -> float:
        """Share of the numbers that are NaN or infinite, 0..1."""
        return self.broken / max(1, self.count)

    def words(self) -> str:
        """The range for people."""
        return f"{self.low:.3g} to {self.high:.3g}"


@dataclass(frozen=True)
class Passage:
    """What came out of one layer.

    Attributes:
        layer: Its name in the net.
        kind: Its type.
        entered: The numbers that went in.
        left: Those that came out.
    """

    layer: str
    kind: str
    entered: Range
    left: Range


@dataclass(frozen=True)
class Gradient:
    """A gradient that came by on the way back.

    Attributes:
        of: A layer's output (its name) or a weight (its name).
        kind: The layer's type, or `weight`.
        values: Its numbers.
    """

    of: str
    kind: str
    values: Range


@dataclass
class Trace:
    """All that was seen in one step, in the order in which it happened.

    Attributes:
        forward: Layers on the way to the loss.
        backward: Gradients on the way back.
    """

    forward: list[Passage] = field(default_factory=list)
    backward: list[Gradient] = field(default_factory=list)

    def origin(self) -> str:
        """Where numbers stopped being finite, in words; empty where they did not."""
        for passage in self.forward:
            if passage.left.broken and passage.entered.broken:
                return f"it began in what is between the layers, just before {passage.layer}"
            if passage.left.broken:
                return (
                    f"it began in {passage.layer} ({passage.kind}): "
                    f"{100 * passage.left.share:.3g} % of its output are NaN or infinite, while "
                    f"its input is finite ({passage.entered.words()})"
                )
        for gradient in self.backward:
            if gradient.values.broken:
                what = "" if gradient.kind == "weight" else "the output of "
                return (
                    f"the forward pass is finite; it began in the gradient of {what}{gradient.of}: "
                    f"{100 * gradient.values.share:.3g} % are NaN or infinite"
                )
        return ""


@contextmanager
def watched(model: nn.Module) -> Iterator[Trace]:
    """Look at every layer and gradient of what the net does within the `with` block."""
    trace = Trace()
    entered: dict[str, Range] = {}
    hooks = []
    for name, module in model.named_modules():
        if next(module.children(), None) is None:
            hooks.append(module.register_forward_pre_hook(before_layer(entered, name)))
            hooks.append(module.register_forward_hook(after_layer(trace, entered, name)))
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            hook = gradient_hook(trace, name, "weight")
            hooks.append(weight.register_hook(hook))  # type: ignore[no-untyped-call]
    try:
        with everything_kept():
            yield trace
    finally:
        for hook in hooks:
            hook.remove()


def before_layer(
    entered: dict[str, Range], name: str
) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """Looks at a layer's input, before the layer can overwrite it in place."""

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        entered[name] = Range.of(inputs[0])

    return look


def after_layer(
    trace: Trace, entered: dict[str, Range], name: str
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """Looks at a layer's output, and later at its gradient."""

    def look(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        kind = type(module).__name__
        trace.forward.append(Passage(name, kind, entered[name], Range.of(output)))
        if output.requires_grad:
            output.register_hook(gradient_hook(trace, name, kind))  # type: ignore[no-untyped-call]

    return look


def gradient_hook(trace: Trace, name: str, kind: str) -> Callable[[Tensor], None]:
    """Looks at a gradient."""

    def look(gradient: Tensor) -> None:
        trace.backward.append(Gradient(name, kind, Range.of(gradient)))

    return look


def broken_weight(named: Iterable[tuple[str, Tensor]]) -> str:
    """The first tensor that holds a NaN or an infinity, in words; empty where none does."""
    floating = [(name, value) for name, value in named if value.is_floating_point()]
    if not floating or all_finite([value for _, value in floating]):
        return ""
    for name, value in floating:
        found = Range.of(value)
        if found.broken:
            return f"{name} ({found.broken:,} of {found.count:,} numbers)"
    return ""


def all_finite(values: list[Tensor]) -> bool:
    """Whether all numbers of these tensors are finite; asks their device once."""
    if not values:
        return True
    # largest magnitudes: NaN and infinity come through, and no sum can overflow
    peaks = torch.stack([p.float() for p in torch._foreach_norm(values, float("inf"))])  # noqa: SLF001 - the public way looks at one tensor at a time
    return bool(peaks.isfinite().all())
