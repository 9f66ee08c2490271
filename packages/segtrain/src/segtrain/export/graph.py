"""The net with all that stands around it, as one graph: from pixels to class ids."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.fx.experimental._config as sizes_config
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from segtrain.checkpoint import Checkpoint
from segtrain.errors import ExportError
from segtrain.models.net import padded
from segtrain.predictor import Predictor, load_predictor

TRACED = (2, 45, 77)  # batch, height and width of the example that torch follows through the net


class Answer(NamedTuple):
    """What the graph answers.

    Attributes:
        ids: uint8 `(N, H, W)`: the class of the highest logit at each pixel.
        logits: float32 `(N, C, H, W)`.
    """

    ids: Tensor
    logits: Tensor


def plain_predictor(checkpoint: Checkpoint, path: Path) -> Predictor:
    """A checkpoint's net on the CPU, in float32, channel after channel in memory.

    In torch's other order, channels_last, tracing goes by cases of sizes; and there the CPU's
    group norm sums so that logits of a photo were 1e-3 off those of float64, where these are
    within 1e-5.

    Raises:
        CheckpointError: If its weights do not fit its configuration.
    """
    predictor = load_predictor(checkpoint, path, "cpu")
    net = predictor.model.to(memory_format=torch.contiguous_format)
    net.requires_grad_(requires_grad=False)
    return replace(predictor, model=net, precision="fp32")


class PixelsToClasses(nn.Module):
    """A net that takes pixels as they come out of an image file.

    It does what `Predictor` does around its net, in float32 and without Pillow.

    Args:
        predictor: The net, on the CPU, and what its input wants.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.net = predictor.model
        self.preprocessing = predictor.preprocessing
        self.stride = predictor.model.stride

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Score and decide every pixel.

        Args:
            image: uint8 `(N, H, W, 3)`, RGB, 0..255; any N, H and W from 1 up.

        Returns:
            As `Answer`: ids uint8 `(N, H, W)` and logits float32 `(N, C, H, W)`.
        """
        height, width = image.shape[1:3]
        pixels = image.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
        nchw = self.preprocessing.normalise(pixels)
        whole = padded(nchw, self.stride)
        logits = self.net(whole)[:, :, :height, :width]
        return logits.argmax(1).to(torch.uint8), logits


def trace(graph: PixelsToClasses) -> ExportedProgram:
    """Follow an example through the graph; number, height and width of images stay open.

    Where torch cannot prove that a step holds at every size, it would refuse sizes at which the
    example's proof does not go through, as of images that a single cell of the coarsest layer
    covers (torch 2.9). These assertions are taken out; that the sizes hold is left to the trials
    of `segtrain.export.trials`, which are made on every file.

    Raises:
        ExportError: If torch cannot trace it.
    """
    example = (torch.zeros(*TRACED, 3, dtype=torch.uint8),)
    names = ("batch", "height", "width")
    with any_size(), torch.no_grad():
        try:
            named = {i: Dim(name, min=1) for i, name in enumerate(names)}
            return scrubbed(torch.export.export(graph, example, dynamic_shapes=(named,)))
        except (RuntimeError, AssertionError, ValueError):
            return traced_without_proof(graph, example)


def traced_without_proof(graph: PixelsToClasses, example: tuple[Tensor]) -> ExportedProgram:
    """The same where torch cannot prove that every size holds.

    Raises:
        ExportError: If torch cannot trace it.
    """
    sizes = (dict.fromkeys(range(3), Dim.AUTO),)
    try:
        program = torch.export.export(
            graph, example, dynamic_shapes=sizes, prefer_deferred_runtime_asserts_over_guards=True
        )
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ExportError(
            f"torch {torch.__version__} cannot trace this net ({said(error)}); `--format "
            "safetensors` needs no trace"
        ) from error
    nodes = program.graph_module.graph
    for node in list(nodes.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:  # noqa: SLF001 - its only name
            nodes.erase_node(node)
    nodes.eliminate_dead_code()
    program.graph_module.recompile()
    return scrubbed(program)


def said(error: Exception) -> str:
    """The first line of what torch says, or the kind of an error that says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextlib.contextmanager
def any_size() -> Iterator[None]:
    """Within this, torch takes no size for larger than 1 merely because the example's is."""
    # made by torch's install_config_module, which its type does not tell
    with sizes_config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        yield


def scrubbed(program: ExportedProgram) -> ExportedProgram:
    """A program without the paths of source files that torch notes at each node."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program
