"""Hosts on loopback, and fetches from them without the environment's proxies."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.segdata.fetch.hosts import Host, hosted

from segdata.fetch.catalogue import RemoteFile
from segdata.fetch.download import Fetched, Settings, fetch


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def host() -> Iterator[Host]:
    """A hostile server."""
    with hosted() as server:
        yield server


@dataclass
class Notes:
    """A watch that remembers."""

    said: list[str] = field(default_factory=list)
    seen: list[tuple[str, int]] = field(default_factory=list)

    def moved(self, name: str, done: int, total: int | None) -> None:  # noqa: ARG002 - a watch's
        """Remember."""
        self.seen.append((name, done))

    def say(self, text: str) -> None:
        """Remember."""
        self.said.append(text)


@dataclass
class Get:
    """Fetch one or more files into a folder, without pauses."""

    folder: Path
    notes: Notes = field(default_factory=Notes)

    def all(self, *files: RemoteFile, **settings: object) -> list[Fetched]:
        """All results."""
        options = {"pause": 0, "rounds": 3, "timeout": 20} | settings
        return fetch(files, self.folder, Settings(**options), self.notes)  # type: ignore[arg-type]

    def __call__(self, file: RemoteFile, **settings: object) -> Fetched:
        """The result of one file."""
        return self.all(file, **settings)[0]

    def names(self) -> list[str]:
        """What lies in the folder, without locks."""
        return sorted(p.name for p in self.folder.iterdir() if not p.name.endswith(".lock"))


@pytest.fixture
def get(tmp_path: Path) -> Get:
    """Fetch into an empty folder."""
    return Get(tmp_path / "data")
