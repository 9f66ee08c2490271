"""Opening tars as streams: paths, URLs and commands, compressed or not."""

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from segtrain.errors import ShardsError, UsageError
from segtrain.places import is_command, is_url

# what reading a damaged, cut or unreachable stream raises
UNREADABLE = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error, lzma.LZMAError)


def check_webdataset() -> None:
    """Refuse to go on where webdataset is not installed.

    Raises:
        UsageError: If it is not.
    """
    try:
        import webdataset  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise UsageError(
            "--reader webdataset: webdataset is not installed; install it with "
            "`pip install 'segtrain[webdataset]'`, or leave out --reader"
        ) from error


def is_stream(place: str) -> bool:
    """Whether a place is no path of this machine: a URL or a command."""
    return is_command(place) or is_url(place)


@contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    """A tar as a stream of bytes, for reading from its beginning to its end.

    Args:
        url: A path; a URL, which fsspec opens; or `pipe:COMMAND`, whose output is read.

    Raises:
        ShardsError: If it cannot be opened, or reading within the `with` block fails.
    """
    try:
        stream = open_stream(url)
        try:
            yield stream
        finally:
            stream.close()
    except UNREADABLE as error:
        raise unreadable(url, error) from error


def open_stream(url: str) -> BinaryIO:
    """An open stream.

    Raises:
        OSError: If it cannot be opened.
        ShardsError: If a package for such URLs is not installed.
    """
    if is_command(url):
        from webdataset.gopen import gopen

        return cast("BinaryIO", gopen(url, "rb"))
    if not is_url(url):
        return Path(url).open("rb")
    import fsspec

    try:
        return cast("BinaryIO", fsspec.open(url, "rb").open())
    except ImportError as error:
        raise ShardsError(f"{url}: needs a package that is not installed: {error}") from error


def unreadable(url: str, error: BaseException) -> ShardsError:
    """The user's error for a stream that fails."""
    reason = str(error.args[0]) if error.args else type(error).__name__
    strerror = getattr(error, "strerror", None)
    return ShardsError(
        f"{url}: cannot be read to its end ({strerror or reason}); is it there, whole, and a tar?"
    )
