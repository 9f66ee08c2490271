"""What a validation counted, kept in the run's folder: enough for every figure of it, later on.

`validations/005000-voc2012.npz` is of a validation on the way, `validations/final-voc2012.npz` of
all images at the end. A comparison of two runs needs nothing else, neither nets nor images.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segtrain.errors import RunError
from segtrain.evaluate import Counted, SetResult
from segtrain.files import Write
from segtrain.manifests import ClassInfo
from segtrain.metrics import ImageCounts

FORMAT = "segtrain-counts/1"


def as_file(result: SetResult, step: int) -> Write:
    """What writes a result, compressed.

    The file holds, by numpy's format: `facts` (JSON: format, step, data set, split, classes and
    what qualifies the figures), `confusion` int64 `(C, C)` with targets as rows, `keys` of the n
    images, and int64 `(n, C)` each `true`, `targets` and `preds`, as `ImageCounts` has them.

    Args:
        result: What was judged.
        step: Training steps of the net.
    """
    facts = {
        "format": FORMAT,
        "step": step,
        "dataset": result.dataset,
        "split": result.split,
        "official_images": result.official,
        "synthetic": result.synthetic,
        "resized_targets": result.resized,
        "classes": [{"name": c.name, "color": list(c.color)} for c in result.classes],
    }
    images = result.counted.images
    data = io.BytesIO()  # to a path of another ending, numpy would add its own
    np.savez_compressed(
        data,
        facts=np.array(json.dumps(facts)),
        confusion=result.confmat.numpy(),
        keys=np.array(images.keys, dtype=np.str_),
        true=images.true,
        targets=images.targets,
        preds=images.preds,
    )
    return lambda part: part.write_bytes(data.getvalue())


@dataclass(frozen=True, eq=False)
class Kept:
    """A validation as it was kept.

    Attributes:
        step: Training steps of the net.
        result: What was judged.
        whole: Whether it is that of all validation images at the end.
    """

    step: int
    result: SetResult
    whole: bool = False


def read_counts(path: Path) -> Kept:
    """Read what `as_file` wrote.

    Raises:
        RunError: If the file cannot be read, is damaged, or of an unknown format.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            facts = json.loads(str(arrays["facts"]))
            if str(facts["format"]).split(".")[0] != FORMAT:
                raise RunError(
                    f"{path}: its format is {facts['format']!r}, this version reads {FORMAT!r}; "
                    "use the segtrain that wrote it"
                )
            return Kept(int(facts["step"]), result_of(facts, arrays))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise RunError(
            f"{path}: cannot be read as the counts of a validation: {error}; delete it, the report "
            "does without"
        ) from error


def result_of(facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> SetResult:
    """The result that a file holds.

    Raises:
        ValueError: If its parts do not fit each other.
    """
    classes = tuple(ClassInfo(str(c["name"]), tuple(c["color"])) for c in facts["classes"])
    confusion = np.asarray(arrays["confusion"], np.int64)
    keys = tuple(str(key) for key in arrays["keys"])
    parts = [np.asarray(arrays[name], np.int64) for name in ("true", "targets", "preds")]
    size = len(classes)
    fits = all(part.shape == (len(keys), size) for part in parts)
    if not fits or confusion.shape != (size, size) or confusion.sum() != parts[1].sum():
        raise ValueError("its parts do not fit each other")
    return SetResult(
        dataset=str(facts["dataset"]),
        split=str(facts["split"]),
        official=int(facts["official_images"]),
        synthetic=bool(facts["synthetic"]),
        resized=bool(facts["resized_targets"]),
        classes=classes,
        counted=Counted(torch.from_numpy(confusion), ImageCounts(keys, *parts)),
    )
