"""The record of a run's sessions: when each began and ended, where, and what was told on the way.

`sessions.jsonl` holds a JSON object per line. `began` opens a session; `ended` closes it, and says
how. A session without an end is under way, or was killed. `note` is a remark of the run's watch
for dead layers.
"""

import datetime
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from segtrain.errors import InterruptedRunError, SegtrainError
from segtrain.files import write_beside
from segtrain.log_files import is_count, json_record
from segtrain.logs import RunLog

FILE = "sessions.jsonl"
EVENTS = ("began", "note", "ended")


def read_sessions(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a record; what a kill left half-written is left out.

    Args:
        path: Of the file; where there is none, there are no lines.
    """
    found = []
    for text in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and line.get("event") in EVENTS and is_count(line.get("step")):
            found.append(line)
    return found


def now() -> str:
    """The time of day, UTC, to the second: `2030-01-31T12:00:00+00:00`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class SessionRecord:
    """The record of a run, to which a session adds its lines.

    A line that cannot be written is no reason to stop; the log tells so.

    Attributes:
        path: Of the file.
        log: Of the run; knows what to do when the disk takes nothing.
    """

    path: Path
    log: RunLog

    def add(self, event: str, step: int, **facts: object) -> None:
        """Add a line; the time is added to it."""
        line = {"event": event, "step": step, "at": now()} | facts
        self.log.attempt(str(self.path), lambda: self.append(line))

    def append(self, line: Mapping[str, Any]) -> None:
        """Write the record anew with one more line.

        Raises:
            RunError: If it cannot be written; it is then as it was.
        """
        lines = [*read_sessions(self.path), line]
        write_beside(self.path, lambda part: part.write_bytes(b"".join(map(json_record, lines))))


class Standing(Protocol):
    """What stands at a step."""

    @property
    def step(self) -> int:
        """Training steps taken."""


@contextmanager
def recorded(record: SessionRecord, trainer: Standing, facts: Mapping[str, Any]) -> Iterator[None]:
    """A session, from its begin to its end, whatever ends it.

    Args:
        record: Where it is kept.
        trainer: Asked for the step where it stands.
        facts: What is known of the session as it begins.
    """
    record.add("began", trainer.step, **facts)
    how, words = "stopped", ""
    try:
        yield
        how = "finished"
    except InterruptedRunError:
        how = "interrupted"
        raise
    except SegtrainError as error:
        how, words = "failed", str(error)
        raise
    except Exception as error:
        how, words = "failed", f"{type(error).__name__}: {error}"
        raise
    finally:
        record.add("ended", trainer.step, how=how, words=words)
