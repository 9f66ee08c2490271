"""Stores: bytes that lie at URLs, through fsspec; short troubles are waited out."""

import time
from typing import Any

from segtrain.errors import ShardsError

ATTEMPTS = 5  # before a store's trouble is taken for lasting
PAUSE = 1.0  # seconds before the second attempt; each further pause is twice as long
CONNECT = 30  # seconds that a web server may take to answer a call
SILENCE = 60  # seconds that it may send nothing
EXTRAS = {"http": "http", "https": "http", "s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
TRY_AGAIN = (408, 425, 429)  # of the HTTP statuses that blame the asker, those that pass


class StoreError(Exception):
    """A store that does not answer, or refuses; its text says why.

    Attributes:
        absent: Whether the store says that there is no such file.
    """

    def __init__(self, reason: str, *, absent: bool = False) -> None:
        super().__init__(reason)
        self.absent = absent


def read(url: str, begin: int = 0, end: int | None = None, attempts: int = ATTEMPTS) -> bytes:
    """The bytes at a URL, or a range of them.

    Args:
        url: What to read.
        begin: The first byte.
        end: One past the last; None reads all.
        attempts: How often to try, with growing pauses.

    Returns:
        The bytes of the range; all of them from a server that knows no ranges.

    Raises:
        StoreError: If it is not there or not allowed, or after the last attempt.
        ShardsError: If a package is missing for this kind of URL.
    """
    system, path = open_system(url)
    for attempt in range(1, attempts + 1):
        try:
            return read_once(system, path, begin, end)
        except Exception as error:
            if is_final(error) or attempt == attempts:
                raise StoreError(describe(error), absent=is_absent(error)) from error
        time.sleep(PAUSE * 2 ** (attempt - 1))
    raise StoreError("was not tried")


def read_once(system: Any, path: str, begin: int, end: int | None) -> bytes:  # noqa: ANN401 - fsspec's are not annotated
    """One attempt at the bytes of a file, or a range of them.

    Raises:
        Exception: Whatever the store's library raises; a ConnectionError if fewer bytes came.
    """
    if end is None:
        return bytes(system.cat_file(path))
    data = bytes(system.cat_file(path, start=begin, end=end))
    if len(data) < end - begin:
        raise ConnectionError(f"ended after {len(data):,} of {end - begin:,} bytes")
    return data


def listing(url: str) -> list[str]:
    """Names of the files directly below a URL, in stores that can tell.

    Raises:
        StoreError: If the store does not answer.
        ShardsError: If a package is missing for this kind of URL.
    """
    system, path = open_system(url)
    try:
        found = system.ls(path, detail=False)
    except Exception as error:
        raise StoreError(describe(error), absent=is_absent(error)) from error
    return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)


def open_system(url: str) -> tuple[Any, str]:
    """Fsspec's file system of a URL, and the path in it.

    Each process gets its own, so that forked and spawned ones may read.

    Raises:
        ShardsError: If a package is missing for this kind of URL.
    """
    protocol = url.partition("://")[0].lower()
    try:
        import fsspec

        options: dict[str, Any] = {"use_listings_cache": False}
        if protocol in {"http", "https"}:
            import aiohttp

            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
            options["client_kwargs"] = {"timeout": timeout}
        system, path = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        extra = EXTRAS.get(protocol)
        advice = f"pip install 'segtrain[{extra}]'" if extra else "see fsspec's documentation"
        raise ShardsError(
            f"{url}: URLs of {protocol}:// need a package that is not installed ({error}); {advice}"
        ) from error
    return system, str(path)


def status_of(error: Exception) -> int:
    """The HTTP status that an error tells, 0 where it tells none."""
    status = getattr(error, "status", 0)
    return status if isinstance(status, int) else 0


def is_absent(error: Exception) -> bool:
    """Whether a store says by this error that there is no such file."""
    return isinstance(error, FileNotFoundError) or status_of(error) in {404, 410}


def is_final(error: Exception) -> bool:
    """Whether another attempt could not help."""
    status = status_of(error)
    refused = 400 <= status < 500 and status not in TRY_AGAIN
    known = isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError)
    return refused or known or type(error).__name__ == "NoCredentialsError"


def describe(error: Exception) -> str:
    """A store's trouble in a few words."""
    status = status_of(error)
    if is_absent(error):
        return f"not found (HTTP {status or 404})" if status else "not found"
    if status in {401, 403} or isinstance(error, PermissionError):
        return f"access is denied{f' (HTTP {status})' if status else ''}: {message_of(error)}"
    if status:
        return f"the server answers HTTP {status}: {message_of(error)}"
    return message_of(error) or type(error).__name__


def message_of(error: Exception) -> str:
    """An error's own words on one line, without a full stop."""
    text = str(getattr(error, "message", "") or error)
    return " ".join(text.replace(" ssl:default", "").split()).rstrip(".")
