"""The files that a run's log is kept in: JSON lines always, CSV and TensorBoard on request."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

# what a line of the log holds, by name: unit and meaning; nested names are joined by dots
FIELDS = {
    "step": "training steps taken",
    "epoch": "samples drawn over the training images; passes, where none is weighed; "
    "none where they are not counted",
    "loss": "nats per valid pixel, mean over the steps since the line before",
    "loss_floors.uniform": "nats: ln C, the loss of a net that puts out zeros",
    "loss_floors.prior": "nats: entropy of the class distribution of the training pixels",
    "train_iou": "0..1, mean IoU on this step's own batch, before its update",
    "grad_norm": "Euclidean norm of this step's gradient, before it is clipped",
    "lr": "learning rate of this step, before each group's factor",
    "images_per_second": "training images per second of steps, without validations and saving",
    "data_wait": "0..1, share of that time spent waiting for data",
    "tflops": "10^12 floating-point operations per second of that rate, all ranks together",
    "mfu": "0..1, their share of the GPUs' dense bfloat16 peak, where that is known",
    "peak_memory": "bytes: the most that tensors took of a GPU, or a process of the machine",
    "void_batches": "steps since the line before whose batch had no valid pixel",
    "seconds": "s, work on the run until here, validations included, over all its sessions",
    "order_from": "step at which the order of samples began, only of --reader webdataset",
    "val_iou": "0..1, mean IoU on the primary data set, which picks best.pt",
}
# what each validation of a data set adds, under `val.NAME.` and, at the end, `final.NAME.`
RESULT_FIELDS = {
    "images": "images judged",
    "official_images": "images of the published split, 0 where there is none",
    "pixel_accuracy": "0..1",
    "mean_accuracy": "0..1, mean over the classes present",
    "mean_iou": "0..1, mean over the classes present",
    "frequency_weighted_iou": "0..1",
    "mean_iou_interval.low": "0..1, lower end of the mean IoU's interval over images",
    "mean_iou_interval.high": "0..1, its upper end",
    "mean_iou_interval.level": "0..1, how often such intervals are meant to hold the truth",
    "mean_iou_interval.resamples": "resamples that it was made of",
    "mean_iou_interval.over": "what was resampled",
    "classes_present": "classes in truth or prediction",
    "all_background_iou": "0..1, mean IoU of predicting background everywhere",
    "resized_targets": "true where the masks may be smaller than their sources",
}


@dataclass
class GrowingFile:
    """A file that grows by whole records; what cannot be written waits for the next one.

    A disk that is full for a while leaves neither half a record nor a gap.

    Attributes:
        path: The file; it is made by the first record.
        waiting: Records that are still to be written, in order.
    """

    path: Path
    waiting: list[bytes] = field(default_factory=list)

    def append(self, record: bytes) -> None:
        """Write a record after those that wait.

        Raises:
            OSError: If it cannot be written; the file is then as it was, and the record waits.
        """
        self.waiting.append(record)
        self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OSError: If it cannot be written; the file is then as it was.
        """
        if not self.waiting:
            return
        with self.path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                write_whole(file, b"".join(self.waiting))
            except OSError:
                file.truncate(end)
                raise
        self.waiting.clear()

    def sync(self) -> None:
        """Have what was written on the disk, so that a power failure cannot take it."""
        if self.path.exists():
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())


def write_whole(file: FileIO, data: bytes) -> None:
    """Write all of `data`: a full disk takes a part and fails only at the next attempt."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def json_record(line: Mapping[str, Any]) -> bytes:
    """A line of log.jsonl."""
    return (json.dumps(line) + "\n").encode()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log.jsonl, up to the first that a kill left half-written."""
    lines: list[dict[str, Any]] = []
    if not path.exists():
        return lines
    for text in path.read_text("utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or not is_count(line.get("step")):
            break
        lines.append(line)
    return lines


def is_count(value: object) -> bool:
    """Whether a value of JSON is a whole number, 0 or more, that a machine counts."""
    return type(value) is int and 0 <= value <= sys.maxsize  # true is none


def lines_before(lines: Iterable[dict[str, Any]], step: int, *, due: bool) -> list[dict[str, Any]]:
    """The lines that a run resumed from a checkpoint does not write again.

    Args:
        lines: Those of its log.
        step: The checkpoint's step.
        due: Whether the line of that step itself is still to be written.
    """
    return [line for line in lines if line["step"] < step + (not due)]


def flat(line: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested line with one level: `{"val": {"voc2012": 1}}` is `{"val.voc2012": 1}`."""
    found: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def columns(datasets: Iterable[str], mixed: Iterable[str] = ()) -> list[str]:
    """The columns of log.csv, the same from the first line to the last.

    Args:
        datasets: Those that the run validates on.
        mixed: Those that it trains on, where they are weighed: each has its own `epochs`.
    """
    nested = [f"{kind}.{name}.{part}" for kind in ("val", "final") for name in datasets
              for part in RESULT_FIELDS]  # fmt: skip
    return [*FIELDS, *(f"epochs.{name}" for name in mixed), *nested]


def csv_record(values: Iterable[object]) -> bytes:
    """A line of log.csv: numbers with all their digits, nothing where there is no value."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


@dataclass
class CsvTable:
    """What log.csv holds.

    Attributes:
        names: Its columns.
    """

    names: list[str]

    def header(self) -> bytes:
        """The first line."""
        return csv_record(self.names)

    def record(self, line: Mapping[str, Any]) -> bytes:
        """A line of the log as a line of the table."""
        values = flat(line)
        return csv_record("" if values.get(n) is None else values[n] for n in self.names)
