"""Whether what a file of a run's folder holds is what segtrain writes there."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from segtrain.log_files import is_count

# a shape is a type, a tuple of shapes of which one fits, [shape] for a list of such, [shape, n] for
# one of n, a mapping with the keys that there must be, or {str: shape} for a mapping whose values
# all fit
Shape = Any
NUMBER = "a finite number"
COUNT = "a whole number, 0 or more"
ANY = "anything but a whole number that no float holds"

INTERVAL = {"low": NUMBER, "high": NUMBER}
RESULT = {
    "images": COUNT,
    "pixel_accuracy": NUMBER,
    "mean_accuracy": NUMBER,
    "mean_iou": NUMBER,
    "frequency_weighted_iou": NUMBER,
    "mean_iou_interval": (None, INTERVAL),
    "classes_present": COUNT,
    "all_background_iou": NUMBER,
}
CONFIG = {
    "classes": [{"name": str, "color": [COUNT, 3]}],
    "manifests": {str: str},
    "preprocessing": {"channels": str, "mean": [NUMBER, 3], "range": NUMBER},
}
# of these config.json may lack some, for older versions wrote none
OPTIONAL = {
    "commit": (None, str),
    "versions": {str: str},
    "ranks": COUNT,
    "synthetic": bool,
    "class_weights": (None, [NUMBER]),
    "weights": (
        None,
        {"source": str, "loaded": {str: str}, "partly": {str: str}, "fresh": {str: str},
         "unused": {str: str}},
    ),
    "data": [
        {
            "dataset": str,
            "trained_on": COUNT,
            "validated_on": [COUNT, 2],
            "splits": [
                {"name": str, "samples": COUNT, "official": COUNT, "shards": COUNT, "bytes": COUNT,
                 "resized": bool, "pixels": [COUNT]}
            ],
        }
    ],
}  # fmt: skip
DOCTOR = {
    "findings": [{"rule": str, "severity": str, "verdict": str, "evidence": str, "remedy": str}]
}
EVALUATION = {
    "step": COUNT,
    "views": {"scales": [NUMBER], "flip": bool},
    "datasets": {
        str: {
            "split": str,
            "images": COUNT,
            "official_images": COUNT,
            "confusion": [[COUNT]],
            "classes": [
                {"name": str, "iou": (None, NUMBER), "accuracy": (None, NUMBER),
                 "target_pixels": COUNT}
            ],
        }
    },
}  # fmt: skip
# what a line of the log may hold; values of other kinds are left out
LINE = {
    "step": COUNT,
    "val": {str: RESULT},
    "final": {str: RESULT},
    "loss_floors": {str: NUMBER},
    "seconds": NUMBER,
}


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # JSON's whole numbers have no end


PLAIN: dict[Any, Callable[[object], bool]] = {
    None: lambda value: value is None,
    NUMBER: is_number,
    COUNT: is_count,
    ANY: lambda value: type(value) is not int or is_number(value),
}


def fits(value: object, shape: Shape) -> bool:
    """Whether a value of JSON has a shape."""
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, list):
        each, *count = shape
        if not isinstance(value, list) or (count and len(value) not in count):
            return False
        return all(fits(item, each) for item in value)
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return False
        if str in shape:
            return all(fits(item, shape[str]) for item in value.values())
        return all(key in value and fits(value[key], each) for key, each in shape.items())
    return PLAIN[shape](value) if shape in PLAIN else type(value) is shape


def misfit(plain: Mapping[str, Any], shape: Mapping[str, Shape]) -> str:
    """The first key whose value does not fit; empty where all do."""
    return next((k for k, each in shape.items() if not fits(plain.get(k), each)), "")


def sound_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a log without what is not as segtrain writes it."""
    return {k: v for k, v in line.items() if fits(v, LINE.get(k, ANY))}
