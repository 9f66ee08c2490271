"""What a file says of its net: JSON by name."""

import json
from pathlib import PureWindowsPath
from typing import Any

import torch

from segtrain import __version__
from segtrain.checkpoint import FORMAT, Checkpoint
from segtrain.manifests import IGNORE_INDEX

IMAGE = "uint8 (batch, height, width, 3), RGB, 0 to 255; any batch, height and width"
IDS = "uint8 (batch, height, width): at each pixel the id of the class with the highest logit"
LOGITS = "float32 (batch, classes, height, width); softmax over classes gives probabilities"
# where a run's files lay is nobody's business who is given its net
PRIVATE = ("shards", "cache", "out", "init", "classes", "watch")
WORDS = ("weights", "class_weights")  # words of these options stay, and names of files


def metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """Classes, preprocessing, origin and options of a net, readable by people and programs.

    Every value is JSON, for the metadata of ONNX and safetensors are strings by name.

    Args:
        checkpoint: Where the net comes from.
    """
    config = {k: v for k, v in checkpoint.config.items() if k not in PRIVATE}
    for name in WORDS:  # the paths of Windows are cut, and all others with them
        config[name] = PureWindowsPath(str(config.get(name, "none"))).name
    classes = [{"id": i, **known} for i, known in enumerate(checkpoint.classes)]
    plain: dict[str, Any] = {
        "segtrain_format": FORMAT,
        "exported_by": f"segtrain {__version__}, torch {torch.__version__}",
        "classes": classes,
        "ignore_index": IGNORE_INDEX,  # of the masks in training; never an answer
        "preprocessing": checkpoint.preprocessing,
        "datasets": checkpoint.manifests,
        "synthetic": checkpoint.synthetic,
        "step": checkpoint.step,
        "batches": checkpoint.batches,
        "best": checkpoint.best,
        "commit": checkpoint.commit,
        "versions": checkpoint.versions,
        "config": config,
    }
    return {name: json.dumps(value) for name, value in plain.items()}
