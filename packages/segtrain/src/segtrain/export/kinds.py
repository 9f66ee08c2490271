"""The kinds of files: how each is written, and opened again to be tried."""

import importlib
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from segtrain import __version__
from segtrain.checkpoint import load_checkpoint
from segtrain.errors import ExportError, UsageError
from segtrain.export.graph import PixelsToClasses, plain_predictor, said, trace
from segtrain.export.metadata import IDS, IMAGE, LOGITS
from segtrain.export.trials import Answers, Pixels, Run, predicted
from segtrain.predictor import Predictor
from segtrain.safetensors_files import INSTALL, write_safetensors

if typing.TYPE_CHECKING:
    import onnx

# torch writes its own operators for 18 and converts from there; every runtime since 2023 reads it
OPSET = 18
LIMIT = 2**31 - 2**24  # bytes of weights; a protobuf message holds less than 2 GiB
NOTES = "metadata.json"  # the file within a .pt2 that describes it


@dataclass(frozen=True)
class Exported:
    """What is exported.

    Attributes:
        predictor: The net, on the CPU.
        strings: What describes it.
    """

    predictor: Predictor
    strings: Mapping[str, str]

    @cached_property
    def program(self) -> torch.export.ExportedProgram:
        """The net with all that stands around it, traced once for all kinds."""
        return trace(PixelsToClasses(self.predictor))


class Kind(NamedTuple):
    """One kind of file.

    Attributes:
        title: For people.
        ending: Of its name.
        packages: What it needs beside torch.
        write: Writes it to a path.
        open: Opens it, ready to answer.
    """

    title: str
    ending: str
    packages: tuple[str, ...]
    write: Callable[[Exported, Path], None]
    open: Callable[[Path], Run]


def write_onnx(exported: Exported, path: Path) -> None:
    """Write the graph as ONNX, in one file.

    Raises:
        ExportError: If its weights are too large for one, or torch cannot translate it.
        OSError: If it cannot be written.
    """
    size = sum(w.nbytes for w in exported.predictor.model.state_dict().values())
    if size > LIMIT:
        raise ExportError(
            f"{path.name}: one ONNX file holds less than 2 GiB, the net's weights are {size:,} "
            "bytes; use --format torch or safetensors"
        )
    try:
        made = torch.onnx.export(
            exported.program,
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["ids", "logits"],
            verbose=False,
        )
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ExportError(
            f"torch {torch.__version__} cannot translate this net to ONNX ({said(error)}); use "
            "--format torch or safetensors"
        ) from error
    if made is None:
        raise ExportError("torch made no ONNX program of this net; use --format torch")
    proto = made.model_proto
    describe_onnx(proto, exported.strings)
    path.write_bytes(proto.SerializeToString())


def describe_onnx(proto: "onnx.ModelProto", strings: Mapping[str, str]) -> None:
    """Give an ONNX model its descriptions, names for its open sizes, and none of torch's notes.

    Args:
        proto: Changed in place.
        strings: What describes the net.
    """
    graph = proto.graph
    for noted in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del noted.metadata_props[:]  # paths of source files among them
    del graph.value_info[:]
    documents = {"image": IMAGE, "ids": IDS, "logits": LOGITS}
    axes = {0: "batch", -2: "height", -1: "width"}
    for value in (*graph.input, *graph.output):
        value.doc_string = documents[value.name]
        sizes = value.type.tensor_type.shape.dim
        last = -1 if value.name == "image" else 0  # its channels come last
        for place, name in axes.items():
            sizes[place + last if place else 0].dim_param = name
    proto.producer_name, proto.producer_version = "segtrain", __version__
    proto.doc_string = "Semantic segmentation: pixels in, a class for each pixel out."
    for key, value in strings.items():
        proto.metadata_props.add(key=key, value=value)


def open_onnx(path: Path) -> Run:
    """Open an ONNX file by onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no other base
        raise ExportError(f"{path.name}: onnxruntime cannot open it: {error}") from error

    def run(pixels: Pixels) -> Answers:
        try:
            ids, logits = session.run(["ids", "logits"], {"image": pixels})
        except Exception as error:
            raise ExportError(f"{path.name}: onnxruntime cannot run it: {error}") from error
        return ids, logits

    return run


def write_torch(exported: Exported, path: Path) -> None:
    """Write the graph by `torch.export.save`.

    Raises:
        OSError: If it cannot be written.
    """
    values = {name: json.loads(value) for name, value in exported.strings.items()}
    notes = {"image": IMAGE, "ids": IDS, "logits": LOGITS, **values}
    with path.open("wb") as file:
        torch.export.save(exported.program, file, extra_files={NOTES: json.dumps(notes, indent=1)})


def open_torch(path: Path) -> Run:
    """Open a file of `torch.export`."""
    with path.open("rb") as file:
        net = torch.export.load(file).module()

    @torch.inference_mode()
    def run(pixels: Pixels) -> Answers:
        try:
            ids, logits = net(torch.from_numpy(pixels))
        except (RuntimeError, AssertionError) as error:
            raise ExportError(f"{path.name}: torch cannot run it: {error}") from error
        return ids.numpy(), logits.numpy()

    return run


def write_weights(exported: Exported, path: Path) -> None:
    """Write the weights alone, under the net's own names.

    Raises:
        OSError: If they cannot be written.
    """
    write_safetensors(path, exported.predictor.model.state_dict(), exported.strings)


def open_weights(path: Path) -> Run:
    """Build the net anew from a file of weights and what describes them."""
    net = plain_predictor(load_checkpoint(path), path)

    def run(pixels: Pixels) -> Answers:
        logits = predicted(net, pixels)
        return logits.argmax(1).astype(np.uint8), logits

    return run


KINDS = {
    "onnx": Kind(
        f"ONNX, opset {OPSET}", ".onnx", ("onnx", "onnxscript", "onnxruntime"),
        write_onnx, open_onnx,
    ),
    "torch": Kind("torch.export", ".pt2", (), write_torch, open_torch),
    "safetensors": Kind(
        "weights", ".safetensors", ("safetensors",), write_weights, open_weights
    ),
}  # fmt: skip


def parse_kinds(words: str) -> list[str]:
    """Names of kinds from `onnx,torch`, each once.

    Raises:
        UsageError: If one is unknown, or there is none.
    """
    names = list(dict.fromkeys(word.strip() for word in words.split(",")))
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise UsageError(
            f"--format {words}: {unknown[0]!r} is no format; there are {', '.join(KINDS)}, several "
            "with commas between"
        )
    return names


def check_packages(names: list[str]) -> None:
    """Refuse what cannot be written or tried with the packages that are here.

    Raises:
        ExportError: With the way to get them.
    """
    for name in names:
        for package in KINDS[name].packages:
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise ExportError(
                    f"--format {name} needs a package that is not here ({error}): {INSTALL}"
                ) from error
