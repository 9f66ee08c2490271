"""TensorBoard's event files, written record by record, with the floors as lines of their own.

TensorBoard draws equal tags of several folders into one chart. The net's figures lie in
`tensorboard/net`; the levels at which nothing was learnt lie in folders beside it, as constants
under the same tags, so that each chart shows what its curve must be compared with.
"""

import importlib
import io
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from segtrain.errors import RunError
from segtrain.log_files import GrowingFile, flat

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

EVENT_FILES = "events.out.tfevents.*.segtrain"
NET = "net"
LOSS_FLOORS = {"loss_floors.uniform": "floor ln C", "loss_floors.prior": "floor class prior"}
BACKGROUND = "floor all background"


def check_installed() -> None:
    """Refuse to start where TensorBoard's library is missing.

    Raises:
        RunError: If it is, with what to install.
    """
    try:
        importlib.import_module("tensorboard.summary.writer.record_writer")
    except ImportError as error:
        raise RunError(
            f"--tensorboard needs a package that is not here ({error}): "
            "`pip install 'segtrain[tensorboard]'`, or leave it out: log.jsonl has the same figures"
        ) from error


def curves(line: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The figures of a line of the log by folder, then by tag."""
    found: dict[str, dict[str, float]] = {}

    def put(folder: str, name: str, value: float) -> None:
        found.setdefault(folder, {})[tag_of(name)] = float(value)

    for name, value in flat(line).items():
        if name in LOSS_FLOORS:
            put(LOSS_FLOORS[name], "loss", value)
        elif name.endswith(".all_background_iou"):
            put(BACKGROUND, name.replace("all_background_iou", "mean_iou"), value)
        elif name != "step" and isinstance(value, int | float):
            put(NET, name, value)
    return found


def tag_of(name: str) -> str:
    """`val.voc2012.mean_iou` as TensorBoard groups it: `val_voc2012/mean_iou`."""
    head, _, tail = name.partition(".")
    dataset, _, part = tail.partition(".")
    return f"{head}_{dataset}/{part}" if part else name.replace(".", "/")


class EventFolder:
    """One of TensorBoard's runs: a folder with an event file that grows.

    Args:
        path: The folder; it is made with the first event.
        first: Events of this step and later ones, from before, are void: a resumed run makes them
            again. 0 where there are none.
    """

    def __init__(self, path: Path, first: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        events = [Event(wall_time=time.time(), file_version="brain.Event:2")]
        if first:
            began = SessionLog(status=SessionLog.START)
            events.append(Event(wall_time=time.time(), step=first, session_log=began))
        self.file = GrowingFile(path / next_name(path), [framed(event) for event in events])

    def add(self, step: int, values: "Iterable[Summary.Value]") -> None:
        """Note an event with these values; `flush` writes it."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        self.file.waiting.append(framed(event))

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            OSError: If it cannot be written; it waits for the next time.
        """
        self.file.path.parent.mkdir(parents=True, exist_ok=True)
        self.file.flush()


def next_name(folder: Path) -> str:
    """A name after all that are there, for TensorBoard reads files in the order of names."""
    marks = [int(path.name.split(".")[3]) for path in folder.glob(EVENT_FILES)]
    number = max([int(time.time()), *(mark + 1 for mark in marks)])
    return EVENT_FILES.replace("*", f"{number:010d}")


class EventLog:
    """All folders of a run's event files.

    Args:
        path: The folder that `tensorboard --logdir` takes.
        first: As in `EventFolder`.
    """

    def __init__(self, path: Path, first: int) -> None:
        self.path, self.first = path, first
        self.folders: dict[str, EventFolder] = {}

    def folder(self, name: str) -> EventFolder:
        """One of them; it is made when it is first written to."""
        if name not in self.folders:
            self.folders[name] = EventFolder(self.path / name, self.first)
        return self.folders[name]

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line of the log.

        Raises:
            OSError: If it cannot be written; it waits for the next one.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary

        for name, figures in curves(line).items():
            values = [Summary.Value(tag=t, simple_value=v) for t, v in figures.items()]
            self.folder(name).add(line["step"], values)
        self.flush()

    def picture(self, step: int, name: str, picture: Image.Image) -> None:
        """Append the picture of a validation.

        Raises:
            OSError: If it cannot be written; it waits for the next one.
        """
        self.folder(NET).add(step, [picture_value(f"pictures/{name}", picture)])
        self.flush()

    def flush(self) -> None:
        """Write what was noted in each folder.

        Raises:
            OSError: If one cannot be written; it waits for the next time.
        """
        for folder in self.folders.values():
            folder.flush()


def framed(event: "Event") -> bytes:
    """An event as event files frame it: length, checksum, content, checksum."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    data = io.BytesIO()
    RecordWriter(data).write(event.SerializeToString())
    return data.getvalue()


def picture_value(tag: str, picture: Image.Image) -> "Summary.Value":
    """A picture as TensorBoard keeps it."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    data = io.BytesIO()
    picture.save(data, format="PNG")
    image = Summary.Image(
        height=picture.height,
        width=picture.width,
        colorspace=len(picture.getbands()),
        encoded_image_string=data.getvalue(),
    )
    return Summary.Value(tag=tag, image=image)
