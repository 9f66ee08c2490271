"""The log of a run under way: each line to every file that was asked for, whatever the disk does.

A log that cannot be written is no reason to lose hours of training: it is told once, its lines
wait in memory, and they are written as soon as the disk takes them. A run that ends with lines
still waiting ends with an error.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from segtrain.errors import RunError
from segtrain.event_files import NET, EventLog
from segtrain.files import Write, write_beside
from segtrain.log_files import (
    CsvTable,
    GrowingFile,
    columns,
    json_record,
    lines_before,
    read_lines,
)

Tell = Callable[[str], None]


@dataclass
class RunLog:
    """The files of a run's log, open for more lines.

    Attributes:
        json: log.jsonl.
        tell: Called with a remark for people.
        table: The layout of `csv`.
        csv: log.csv, None where it was not asked for.
        events: TensorBoard's files, None where they were not asked for.
        lines: All lines of the run.
        failing: What cannot be written at the moment.
    """

    json: GrowingFile
    tell: Tell
    table: CsvTable
    csv: GrowingFile | None = None
    events: EventLog | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line to every file."""
        self.lines.append(line)
        self.attempt(str(self.json.path), lambda: self.json.append(json_record(line)))
        if self.csv:
            table, record = self.csv, self.table.record(line)
            self.attempt(str(table.path), lambda: table.append(record))
        if self.events:
            events = self.events
            self.attempt(str(events.path), lambda: events.write(line))

    def picture(self, step: int, name: str, picture: Image.Image, path: Path) -> None:
        """Keep the picture of a validation as a file, and among TensorBoard's."""
        self.file(path, lambda part: picture.save(part, format="PNG"))
        if self.events:
            events = self.events
            self.attempt(str(events.path), lambda: events.picture(step, name, picture))

    def file(self, path: Path, write: Write) -> None:
        """Keep a file of a validation, in a folder that is made if need be."""

        def save() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_beside(path, write)

        self.attempt(str(path.parent), save)

    def attempt(self, what: str, write: Callable[[], None]) -> None:
        """Write something that the run can go on without; say so when that fails, and when it ends.

        Args:
            what: Its path.
            write: Does it.
        """
        try:
            write()
        except (OSError, RunError) as error:
            if what not in self.failing:
                self.tell(f"{what}: cannot be written ({reason(error)}); training goes on")
            self.failing.add(what)
        else:
            if what in self.failing:
                self.tell(f"{what}: is written again")
            self.failing.discard(what)

    def sync(self) -> None:
        """Have all lines on the disk, before a checkpoint that stands after them."""
        for file in filter(None, (self.json, self.csv)):
            self.attempt(str(file.path), file.sync)

    def unwritten(self) -> str:
        """Try once more to write what waits; what then still waits, in words, empty for nothing."""
        words = []
        for file in filter(None, (self.json, self.csv)):
            self.attempt(str(file.path), file.flush)
            if file.waiting:
                words.append(f"{file.path}: {len(file.waiting)} lines could not be written")
        return "; ".join(words)


def reason(error: Exception) -> str:
    """Why something was not written, in the system's words."""
    cause = error.__cause__ if isinstance(error, RunError) and error.__cause__ else error
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause)


def open_log(
    folder: Path, *, step: int, due: bool, datasets: Iterable[str], mixed: Iterable[str] = (),
    csv: bool, tensorboard: bool, tell: Tell,
) -> RunLog:  # fmt: skip
    """Open the log of a run, with those lines that stand before its position.

    log.csv is written anew from log.jsonl, so that it may be asked for at any time; TensorBoard's
    files are continued, or begun with the lines of log.jsonl where there are none.

    Args:
        folder: The run's.
        step: Its position; 0 at its begin.
        due: Whether the line of `step` itself is still to be written.
        datasets: Those that it validates on.
        mixed: Those that it trains on, where they are weighed.
        csv: Whether log.csv is wanted.
        tensorboard: Whether event files are.
        tell: Called with remarks for people.

    Raises:
        RunError: If a file cannot be written.
    """
    log = RunLog(GrowingFile(folder / "log.jsonl"), tell, CsvTable(columns(datasets, mixed)))
    kept = lines_before(read_lines(log.json.path), step, due=due)
    log.lines.extend(kept)
    if log.json.path.exists():
        rewrite(log.json.path, map(json_record, kept))
    if csv:
        log.csv = GrowingFile(folder / "log.csv")
        rewrite(log.csv.path, [log.table.header(), *map(log.table.record, kept)])
    if tensorboard:
        path = folder / "tensorboard"
        had = (path / NET).exists()
        log.events = EventLog(path, first=step + (not due) if had else 0)
        for line in kept if not had else []:
            log.events.write(line)
    return log


def rewrite(path: Path, records: Iterable[bytes]) -> None:
    """Write a log anew, whole or not at all."""
    write_beside(path, lambda part: part.write_bytes(b"".join(records)))
