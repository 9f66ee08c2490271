"""Stores: what lies behind a URL, with as much of pathlib's interface as builds and readers need.

`place` makes a local `pathlib.Path` of a path and a `RemotePath` of a URL (s3://, gs://, https://
and whatever else fsspec knows). Local paths never come near fsspec. What goes wrong in a store is
raised as an OSError, as a disk would.
"""

import fnmatch
import io
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, BinaryIO

from segdata.errors import SegdataError

URL = re.compile(r"[^/\\]{2,}://")
READ_AHEAD = 4 << 20  # bytes that are asked for at a time
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}

# To the type checker it is a Path, for it stands in for one; in fact it must not be one, whose
# constructor takes the two slashes of a URL for one and whose methods go to the disk.
if TYPE_CHECKING:
    _Path = Path
else:
    _Path = object


class StoreError(OSError):
    """A store does not answer, or refuses; its text says which and why."""


def place(text: str | Path) -> Path:
    """A local path, or a remote one if the text is a URL."""
    return RemotePath(str(text)) if is_url(text) else Path(text)


def is_url(text: object) -> bool:
    """Whether it is a URL and not a local path, such as C://data of Windows."""
    return URL.match(str(text)) is not None


class RemotePath(_Path):
    """A file or folder of a store; every method asks the store anew."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"RemotePath({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __lt__(self, other: Any) -> bool:  # noqa: ANN401 - as Path has it
        return self.url < str(other)

    def __truediv__(self, name: Any) -> "RemotePath":  # noqa: ANN401 - as Path has it
        return RemotePath(f"{self.url}/{name}" if str(name) else self.url)

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePath, (self.url,)

    @property
    def _pure(self) -> PurePosixPath:
        return PurePosixPath(self.url.partition("://")[2])

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self._pure.name

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return self._pure.stem

    @property
    def suffix(self) -> str:
        """The last suffix of the name."""
        return self._pure.suffix

    @property
    def parent(self) -> "RemotePath":
        """The folder that it lies in."""
        return RemotePath(self.url.rpartition("/")[0])

    def with_name(self, name: str) -> "RemotePath":
        """Another name in the same folder."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> "RemotePath":
        """The same name with another suffix."""
        return self.with_name(self.stem + suffix)

    def absolute(self) -> "RemotePath":
        """Itself: a URL is."""
        return self

    def resolve(self, strict: bool = False) -> "RemotePath":  # noqa: ARG002 - as Path has it
        """Itself: stores have no links."""
        return self

    def _info(self) -> dict[str, Any] | None:
        """What the store says of it; None where there is nothing."""
        try:
            with _told(self.url):
                return dict(_system(self.url).info(_inner(self.url)))
        except FileNotFoundError as error:
            cause = error.__cause__  # fsspec takes any trouble of an HTTP server for this one
            if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
                raise StoreError(cause.errno or 0, str(cause), self.url) from error
            return None

    def exists(self, **_: Any) -> bool:  # noqa: ANN401 - as Path has it
        """Whether there is a file or, in a store that has them, a folder.

        Raises:
            OSError: the store does not answer.
        """
        return self._info() is not None

    def is_file(self, **_: Any) -> bool:  # noqa: ANN401 - as Path has it
        """Whether it is a file."""
        found = self._info()
        return found is not None and found["type"] == "file"

    def is_dir(self, **_: Any) -> bool:  # noqa: ANN401 - as Path has it
        """Whether it is a folder; a web server has none."""
        found = self._info()
        return found is not None and found["type"] == "directory"

    def stat(self, **_: Any) -> Any:  # noqa: ANN401 - as Path has it
        """`st_size`, and in `st_mtime_ns` a number that changes when the content does.

        Raises:
            FileNotFoundError: there is nothing.
            OSError: the store does not answer, or does not tell the size.
        """
        found = self._info()
        if found is None:
            raise FileNotFoundError(2, "No such file", self.url)
        if found["type"] == "file" and found.get("size") is None:
            raise StoreError(0, "the server does not tell the file's size", self.url)
        changed = found.get("ETag") or found.get("LastModified") or found.get("mtime") or ""
        return SimpleNamespace(
            st_size=found.get("size") or 0, st_mtime_ns=zlib.crc32(str(changed).encode())
        )

    def open(self, mode: str = "rb", **_: Any) -> Any:  # type: ignore[override] # noqa: ANN401 - as Path has it
        """A file to read, by ranges."""
        if mode != "rb":
            raise ValueError(f"a remote file is written whole, not opened in mode {mode!r}")
        with _told(self.url):
            return _ToldFile(
                self.url,
                _system(self.url).open(
                    _inner(self.url), "rb", block_size=READ_AHEAD, cache_type="readahead"
                ),
            )

    def read_bytes(self) -> bytes:
        """The whole content."""
        with _told(self.url):
            return bytes(_system(self.url).cat_file(_inner(self.url)))

    def read_range(self, offset: int, length: int) -> bytes:
        """So many bytes of the content, fewer at its end."""
        with _told(self.url):
            return bytes(
                _system(self.url).cat_file(_inner(self.url), start=offset, end=offset + length)
            )

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """The whole content as text, UTF-8."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    @contextmanager
    def replacing(self) -> Iterator[BinaryIO]:
        """A local file to write that is then put into the store as a whole."""
        with tempfile.TemporaryDirectory(prefix="segdata-") as folder:
            local = Path(folder, "whole")
            with local.open("wb") as file:
                yield file
            with _told(self.url):
                _system(self.url).put_file(str(local), _inner(self.url))

    def create(self, data: bytes) -> bool:
        """Write a small file unless there is one, at once where the store can; whether it did."""
        try:
            with _told(self.url):
                _system(self.url).pipe_file(_inner(self.url), data, mode="create")
        except FileExistsError:
            return False
        return True

    def write_bytes(self, data: Any) -> int:  # noqa: ANN401 - as Path has it
        """Write a small file at once."""
        with _told(self.url):
            _system(self.url).pipe_file(_inner(self.url), data)
        return len(data)

    def iterdir(self) -> "Iterator[RemotePath]":  # type: ignore[override] # a generator of its own
        """Files and folders directly below it; none where there is nothing."""
        try:
            with _told(self.url):
                names = _system(self.url).ls(_inner(self.url), detail=False)
        except FileNotFoundError:
            return
        for name in sorted(names):
            yield self / name.rstrip("/").rpartition("/")[2]

    def glob(self, pattern: str, **_: Any) -> "Iterator[RemotePath]":  # type: ignore[override] # noqa: ANN401 - as Path has it
        """Those directly below it whose name fits."""
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def files(self) -> Iterator[tuple[str, int]]:
        """(name below it, bytes) of every file at any depth."""
        inner = _inner(self.url).rstrip("/")
        with _told(self.url):
            found = _system(self.url).find(inner, detail=True)
        for name, facts in sorted(found.items()):
            yield name.removeprefix(inner).lstrip("/"), int(facts["size"])

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        try:
            with _told(self.url):
                _system(self.url).rm_file(_inner(self.url))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: folders of a store are there as soon as they hold something."""

    def rmdir(self) -> None:
        """Nothing: folders of a store go with their last file."""


class _ToldFile(io.RawIOBase):
    """A remote file whose troubles are OSErrors."""

    def __init__(self, url: str, file: Any) -> None:  # noqa: ANN401 - fsspec's are not annotated
        self._url, self._file = url, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with _told(self._url):
            return bytes(self._file.read(size))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _told(self._url):
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def fetched(path: Path, beside: Sequence[str] = ()) -> Iterator[Path]:
    """A local copy of a remote file, and of those beside it with other suffixes; a local one as is.

    Raises:
        OSError: it cannot be fetched.
    """
    if not isinstance(path, RemotePath):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="segdata-") as folder:
        _fetch(path, Path(folder, path.name))
        for suffix in beside:
            other = path.with_suffix(suffix)
            with suppress(FileNotFoundError):
                _fetch(other, Path(folder, other.name))
        yield Path(folder, path.name)


def _fetch(path: Path, local: Path) -> None:
    with path.open("rb") as source, local.open("wb") as file:
        shutil.copyfileobj(source, file, READ_AHEAD)


def _inner(url: str) -> str:
    """What fsspec's file system calls it."""
    system: Any = _system(url)
    return str(system._strip_protocol(url))  # noqa: SLF001 - its own way from URL to path


def _system(url: str) -> Any:  # noqa: ANN401 - fsspec is not annotated
    return _systems(url.partition("://")[0])


@lru_cache(maxsize=8)
def _systems(protocol: str) -> Any:  # noqa: ANN401 - fsspec is not annotated
    """Fsspec's file system of a protocol, configured by its own files and variables."""
    try:
        import fsspec

        return fsspec.filesystem(protocol, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        extra = EXTRAS.get(protocol)
        raise SegdataError(
            f"URLs of {protocol}:// need a package that is not installed",
            expected=f"segdata[{extra}]" if extra else "a file system that fsspec knows",
            found=error,
            advice=f"pip install 'segdata[{extra}]'" if extra else "see fsspec's documentation",
        ) from error


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Raise whatever the libraries below raise as an OSError that says what it was."""
    try:
        yield
    except (FileNotFoundError, FileExistsError, SegdataError):
        raise
    except OSError as error:
        raise StoreError(error.errno or 0, error.strerror or str(error), url) from error
    except Exception as error:
        kind = type(error).__name__
        raise StoreError(0, f"{kind}: {error}", url) from error
