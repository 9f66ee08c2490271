"""One request: it adds what a server sends to a part, or says why it cannot.

Resuming follows RFC 9110: `Range` with `If-Range`, so that a server whose file has changed sends
the whole new one. What a server sends is looked at before a single old byte is given up for it.
"""

import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

import httpx

from segdata.errors import OutputError
from segdata.fetch.catalogue import RemoteFile
from segdata.fetch.checks import HEAD, description, looks_right
from segdata.fetch.partial import Origin, Part, free_bytes
from segdata.terminal import human_bytes

PASSING = {408, 425, 429}  # statuses below 500 that ask to come again
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
ERRNO = re.compile(r"^\[Errno -?\d+\] ")
LONGEST_WAIT = 120.0  # seconds that a server can ask for


class TransferError(Exception):
    """Why an address gave no more bytes, in words; `kind` chooses what to do about it."""


class PassingError(TransferError):
    """The next try may succeed: a broken connection, an overloaded server.

    Attributes:
        wait: seconds that the server asks for; 0 where it does not.
    """

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


class AnewError(PassingError):
    """What was here did not fit what the server has; the part is empty and begins again."""


class UnreachableError(PassingError):
    """No connection came about; likely the same for this host in a moment."""


class UselessError(TransferError):
    """This address has nothing for us: not found, forbidden, another file, a web page."""


class WrongFileError(UselessError):
    """The address has a file of that name that is not the one that is known."""


class WebPageError(UselessError):
    """Somebody answered with a page instead of the file."""


@dataclass(frozen=True, eq=False)
class Source:
    """One address of one file."""

    address: str
    file: RemoteFile

    @property
    def shown(self) -> str:
        """The address without a user's name and password."""
        parts = urlsplit(self.address)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def host(self) -> str:
        """The host and port, as messages name it."""
        return urlsplit(self.shown).netloc


async def transfer(
    client: httpx.AsyncClient, source: Source, part: Part, moved: Callable[[int], None]
) -> None:
    """Add to the part what is missing; on return it has every byte that the server has.

    Raises:
        TransferError: it has not; what did arrive is in the part.
        OutputError: the disk is full or refuses.
    """
    headers = _range(source, part)
    try:
        async with client.stream("GET", source.address, headers=headers) as response:
            await _receive(response, source, part, moved)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError) as error:
        raise explained(error) from error


def _range(source: Source, part: Part) -> dict[str, str]:
    """The headers that ask for the rest of the part; none if it has to begin anew."""
    if part.size == 0:
        return {}
    wanted = {"Range": f"bytes={part.size}-"}
    if part.origin is not None and part.origin.address == source.shown and part.origin.validator:
        return wanted | {"If-Range": part.origin.validator}
    # Without a validator, or from another mirror, only a checksum can tell whether the rest fits.
    return wanted if source.file.digests else {}


async def _receive(
    response: httpx.Response, source: Source, part: Part, moved: Callable[[int], None]
) -> None:
    if response.status_code == 416:
        return _no_more(response, part)
    if response.status_code not in (200, 206):
        raise _refused(response)
    origin = _origin(response, source)
    chunks = response.aiter_raw()
    if response.status_code == 206:
        _continue(response, source, part, origin)
    else:
        head = await _right_head(chunks, source.file, origin)
        part.restart(origin)
        part.append(head)
    await _append_all(chunks, source.file, part, origin, moved)
    return None


async def _append_all(
    chunks: AsyncIterator[bytes],
    file: RemoteFile,
    part: Part,
    origin: Origin,
    moved: Callable[[int], None],
) -> None:
    _refuse_without_room(part, origin)
    limit = file.size or origin.size
    moved(part.size)
    async for chunk in chunks:
        if limit is not None and part.size + len(chunk) > limit:
            part.restart(None)
            raise UselessError(f"it sends more than the {limit:,} bytes that the file has")
        part.append(chunk)
        moved(part.size)
    if limit is not None and part.size < limit:
        raise PassingError(f"the answer ended after {part.size:,} of {limit:,} bytes")


def _continue(response: httpx.Response, source: Source, part: Part, origin: Origin) -> None:
    """Accept a partial answer if it is the continuation of the part."""
    _refuse_other_size(source.file, origin)
    match = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if match is None or match[1] is None or int(match[1]) != part.size:
        part.restart(None)
        raise AnewError("it answered with another range than the one asked for; beginning anew")
    if part.origin is not None and origin.differs(part.origin):
        part.restart(None)
        raise AnewError("its file has changed meanwhile; beginning anew")
    part.go_on(origin)


def _no_more(response: httpx.Response, part: Part) -> None:
    """416: the part is whole already, or it is of another file and begins anew."""
    match = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if match is not None and match[3] == str(part.size):
        return
    kept = part.size
    part.restart(None)
    raise AnewError(f"it has nothing beyond byte {kept:,}; beginning anew")


async def _right_head(chunks: AsyncIterator[bytes], file: RemoteFile, origin: Origin) -> bytes:
    """The first bytes, if they are such as the file must begin with."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    if not looks_right(file.name, head):
        found = description(head)
        raise (WebPageError if "web page" in found else UselessError)(f"it sent {found}")
    _refuse_other_size(file, origin)
    return head


def _refuse_other_size(file: RemoteFile, origin: Origin) -> None:
    if None not in (file.size, origin.size) and file.size != origin.size:
        raise WrongFileError(f"it has a file of {origin.size:,} bytes, not {file.size:,}")


def _refuse_without_room(part: Part, origin: Origin) -> None:
    needed = (origin.size or 0) - part.size
    free = free_bytes(part.target.parent)
    if needed > free:
        raise OutputError(
            f"the disk has no room for {part.target.name}",
            where=part.target.parent,
            expected=f"{human_bytes(needed)} free",
            found=f"{human_bytes(free)} free",
            advice="make room and run the same command again: what has arrived is kept",
        )


def _origin(response: httpx.Response, source: Source) -> Origin:
    headers = response.headers
    if response.status_code == 206:
        match = CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        whole = match[3] if match else "*"
    else:
        whole = headers.get("content-length", "*")
    return Origin(
        source.shown,
        headers.get("etag", ""),
        headers.get("last-modified", ""),
        int(whole) if whole.isdecimal() else None,
    )


def _refused(response: httpx.Response) -> TransferError:
    reason = f"it answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code >= 500 or response.status_code in PASSING:
        return PassingError(reason, _retry_after(response.headers.get("retry-after", "")))
    return UselessError(reason)


def _retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, within reason."""
    try:
        seconds = float(value) if value.isdecimal() else _seconds_until(value)
    except (ValueError, TypeError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _seconds_until(date: str) -> float:
    return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()


def explained(error: Exception) -> TransferError:
    """The client's errors in words of the user's world."""
    text = ERRNO.sub("", str(error)) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return UselessError(
            "its certificate is not trusted (a firewall that reads along, or a clock)"
        )
    if isinstance(error, httpx.ConnectTimeout):
        return UnreachableError(
            "no connection within the time limit (a firewall drops it, or it is down)"
        )
    if isinstance(error, httpx.ProxyError):
        return UnreachableError(f"the proxy refused: {text}")
    if isinstance(error, httpx.ConnectError):
        return UnreachableError(f"no connection: {text}")
    if isinstance(error, httpx.TimeoutException):
        return PassingError("the connection stalled: no bytes within the time limit")
    if isinstance(error, httpx.TooManyRedirects):
        return UselessError("it redirects in circles")
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return UselessError(f"it leads to no address: {text}")
    return PassingError(f"the connection broke: {text}")
