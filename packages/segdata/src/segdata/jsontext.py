"""A large JSON object read in parts: its arrays of records, without the whole text in memory.

Any valid JSON is read, however it is laid out. Where an array may be cut is guessed and then
proved: what lies before a cut is decoded as an array of its own, which succeeds exactly if the cut
lies between two records. Where guesses fail, a record's end is found by its brackets.
"""

import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

Record = TypeVar("Record")
SPACE = re.compile(rb"[ \t\n\r]*")
BETWEEN = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*\{")
BRACKET = re.compile(rb'[{}\[\]]|"[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)
SCALAR = re.compile(rb"[^ \t\n\r,\]}]+")
LITTLE = 2000  # bytes at hand that are not worth a guess
SLOWLY = 1 << 18  # bytes of records found by their brackets before the next guess
PIECE = 1 << 17  # bytes of text at a time: they stay in the processor's cache


class JsonText:
    """The text of one JSON object, read once from front to back.

    `keys` yields each name; whoever takes it reads that member, by `records` or `value`, before
    the next.

    Raises:
        ValueError: from every method, where the text is no such JSON.
        RecursionError: likewise, where it is nested too deeply.
    """

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = _pieces(parts)
        self._text = b""  # what has arrived and is not read yet, from _at on
        self._at = 0

    def keys(self) -> Iterator[str]:
        """The names of the object's members."""
        self._take(b"{")
        seen: set[str] = set()
        while self._peek() != b"}" or seen:
            name = msgspec.json.decode(self.value(), type=str)
            if name in seen:
                raise ValueError(f"{name!r} stands in it twice")
            seen.add(name)
            self._take(b":")
            yield name
            if self._peek() == b"}":
                break
            self._take(b",")
        self._take(b"}")
        if self._peek():
            raise ValueError("more text follows the end of the object")

    def value(self) -> bytes:
        """The next value, whatever it is, as JSON that has been checked."""
        opening = self._peek()
        length = self._nested() if opening in (b"{", b"[", b'"') else self._scalar()
        text = self._text[self._at : self._at + length]
        msgspec.json.decode(text, type=msgspec.Raw)
        self._at += length
        return text

    def records(self, kind: type[Record]) -> Iterator[list[Record]]:
        """The records of the next value, which must be an array, in lists of some thousand.

        A `msgspec.Raw` in a record is a view: copy what is kept longer than its list.
        """
        self._take(b"[")
        decoder = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]  # known when it runs
        number = 0
        if self._peek() == b"]":
            self._take(b"]")
            return
        while True:
            found = self._cut(decoder) or self._some(kind, number)
            number += len(found)
            yield found
            if self._peek() == b"]":
                break
            self._take(b",")
        self._take(b"]")

    def _cut(self, decoder: "msgspec.json.Decoder[list[Record]]") -> list[Record]:
        """As many records as the best guess gives of the text at hand; empty if none holds."""
        if len(self._text) - self._at < LITTLE:
            self._more()
        end = self._last_gap(len(self._text))
        while not end and self._more():
            end = self._last_gap(len(self._text))
        view = memoryview(self._text)  # slices of it copy nothing
        while end > self._at:
            try:
                found = decoder.decode(b"".join((b"[", view[self._at : end], b"]")))
            except (ValueError, RecursionError):  # no gap of this array, or a broken record
                end = self._last_gap(self._at + (end - self._at) // 2)
            else:
                self._at = end
                return found
        return []

    def _some(self, kind: type[Record], number: int) -> list[Record]:
        """The next records, found one by one by their brackets."""
        found: list[Record] = []
        size = 0
        while True:
            try:
                text = self.value()
                found.append(msgspec.json.decode(text, type=kind))
            except (ValueError, RecursionError) as error:
                record = number + len(found)
                raise ValueError(f"{error}, in record {record:,} of its array") from error
            size += len(text)
            if size > SLOWLY or self._peek() != b",":
                return found
            self._take(b",")

    def _last_gap(self, end: int) -> int:
        """Where the last `}` before `end` stands that a `,` and a `{` follow; 0 if nowhere."""
        while (end := self._text.rfind(b"}", self._at, end)) >= 0:
            if BETWEEN.match(self._text, end):
                return end + 1
        return 0

    def _nested(self) -> int:
        """Bytes of the object, array or string that begins here."""
        at = depth = 0  # `at` counts from the value's begin: the text before it may be dropped
        while True:
            for match in BRACKET.finditer(self._text, self._at + at):
                token = match[0]
                if token.startswith(b'"') and not match[1]:
                    break  # the string's end has not arrived
                depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
                at = match.end() - self._at
                if depth == 0:
                    return at
            if not self._more():
                raise ValueError("it ends too early")

    def _scalar(self) -> int:
        while True:
            match = SCALAR.match(self._text, self._at)
            end = match.end() if match else self._at
            if end < len(self._text) or not self._more():
                return end - self._at

    def _peek(self) -> bytes:
        """The next byte that is no space, not yet read; empty at the end."""
        while True:
            self._at = SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches
            if self._at < len(self._text):
                return self._text[self._at : self._at + 1]
            if not self._more():
                return b""

    def _take(self, expected: bytes) -> None:
        found = self._peek()
        if found != expected:
            raise ValueError(f"{expected.decode()} expected, {found!r} found")
        self._at += 1

    def _more(self) -> bool:
        """Let at least as much text arrive as is there unread; false at the end."""
        text = [self._text[self._at :]]
        wanted, arrived = max(1, len(text[0])), 0
        while arrived < wanted and (part := next(self._parts, None)) is not None:
            text.append(part)
            arrived += len(part)
        self._text, self._at = b"".join(text), 0
        return arrived > 0


def _pieces(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same text in pieces of at most `PIECE` bytes."""
    for part in parts:
        if len(part) <= PIECE:
            yield part
            continue
        for begin in range(0, len(part), PIECE):
            yield part[begin : begin + PIECE]
