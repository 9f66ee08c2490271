"""The errors that a user can meet, as a tree.

SegdataError            anything below: one clear message, exit code 1
├── UsageError          the command line asks for what cannot be: exit code 2
├── SourceError         an archive, folder or annotation file is missing or broken
│   └── SampleError     one sample of a source is broken: `--on-error skip` leaves it out
├── ShardsError         a shards directory is missing, foreign or damaged
└── OutputError         the result cannot be written: other options, full disk, other writer
"""

from typing import Any


class SegdataError(Exception):
    """What went wrong, where, what was expected and found, and what to do next.

    Attributes:
        what: one sentence without a full stop.
        where: path, key or archive member, if there is one.
        expected: what should have been there.
        found: what was there.
        advice: what the user can do next.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        found: object = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.expected = None if expected is None else str(expected)
        self.found = None if found is None else str(found)
        self.advice = advice

    def details(self) -> list[tuple[str, str]]:
        """The parts below the headline, as (label, text), those that are there."""
        parts = [
            ("where", self.where),
            ("expected", self.expected),
            ("found", self.found),
            ("next", self.advice),
        ]
        return [(label, text) for label, text in parts if text is not None]

    def __str__(self) -> str:
        return "\n".join([self.what, *(f"  {k + ':':10}{v}" for k, v in self.details())])

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments do not survive the default pickling of exceptions between processes.
        return _rebuilt, (type(self), self.what, self.where, self.expected, self.found, self.advice)


def _rebuilt(
    kind: type[SegdataError],
    what: str,
    where: str | None,
    expected: str | None,
    found: str | None,
    advice: str | None,
) -> SegdataError:
    return kind(what, where=where, expected=expected, found=found, advice=advice)


class UsageError(SegdataError):
    """The command line asks for what cannot be."""

    exit_code = 2


class SourceError(SegdataError):
    """An archive, folder or annotation file is missing or broken."""


class SampleError(SourceError):
    """One sample of a source is broken; the others may be fine."""


class ShardsError(SegdataError):
    """A shards directory is missing, foreign or damaged."""


class OutputError(SegdataError):
    """The result cannot be written where it was asked for."""
