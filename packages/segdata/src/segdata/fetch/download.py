"""Downloads: several files side by side, each from the first of its addresses that has it.

An address is used as long as bytes come. One that breaks off without a new byte is left for the
next; one that has something else is dropped. After all of them failed there is a pause, and another
round. Whatever has arrived stays in the `.part` for the next run.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx

from segdata import __version__
from segdata.errors import OutputError, SegdataError, SourceError, UsageError
from segdata.fetch.catalogue import RemoteFile
from segdata.fetch.checks import (
    damage,
    digests_of,
    existing,
    how_checked,
    is_noted,
    recorded,
    wrong_digest,
)
from segdata.fetch.partial import PART, REJECTED, Part, interruptible, refusal
from segdata.fetch.plan import part_bytes, planned, require_room
from segdata.fetch.transfer import (
    AnewError,
    PassingError,
    Source,
    TransferError,
    UnreachableError,
    UselessError,
    WebPageError,
    WrongFileError,
    transfer,
)
from segdata.locks import only_holder
from segdata.terminal import human_bytes

LONGEST_PAUSE = 60.0  # seconds between two rounds
ANEW = 2  # times that one address may make a file begin anew


class Watch(Protocol):
    """Who looks on: progress in bytes, and remarks."""

    def moved(self, name: str, done: int, total: int | None) -> None:
        """So many bytes of a file are here, or have been checked."""

    def say(self, text: str) -> None:
        """A remark, as of a broken connection."""


@dataclass(frozen=True)
class Settings:
    """How to fetch.

    Attributes:
        jobs: files at a time.
        timeout: seconds without a byte after which a connection counts as stalled.
        rounds: how often all addresses are tried without a new byte.
        pause: seconds after the first broken connection or round; doubled from round to round.
        check: compare the checksums of files that are already there.
    """

    jobs: int = 3
    timeout: float = 30.0
    rounds: int = 5
    pause: float = 1.0
    check: bool = False


@dataclass(frozen=True)
class Fetched:
    """What became of a file.

    Attributes:
        path: where it lies or would lie.
        size: bytes of it that are here.
        state: "fetched", "present" (it was there already), "partial" (the next run goes on), or
            "failed".
        check: how it is known to be the right one; "" where it is not.
        error: why it is not whole.
    """

    path: Path
    size: int
    state: Literal["fetched", "present", "partial", "failed"]
    check: str = ""
    error: SegdataError | None = None


def fetch(
    files: Sequence[RemoteFile], folder: Path, settings: Settings, watch: Watch
) -> list[Fetched]:
    """Bring all files into the folder, each under its name once it is whole and checked.

    A file that cannot be had does not stop the others: its result carries the error. Where an event
    loop runs already, as in a notebook, the work is done in a thread, which also calls `watch`.

    Raises:
        OutputError: the folder has no room for them.
        UsageError: a proxy of the environment has no usable address.
    """
    require_room(planned(files, folder), folder)
    work = _fetch_all(files, folder, settings, watch)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return _run_beside(work)


def _run_beside(work: Coroutine[Any, Any, list[Fetched]]) -> list[Fetched]:
    """Run it in a thread with a loop of its own; an interrupt of the caller ends it, too."""
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def told() -> list[Fetched]:
        task = asyncio.ensure_future(work)
        running.set_result((asyncio.get_running_loop(), task))
        return await task

    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(lambda: asyncio.run(told()))
        try:
            return result.result()
        except KeyboardInterrupt:
            loop, task = running.result()
            loop.call_soon_threadsafe(task.cancel)
            raise


async def _fetch_all(
    files: Sequence[RemoteFile], folder: Path, settings: Settings, watch: Watch
) -> list[Fetched]:
    places = asyncio.Semaphore(settings.jobs)
    async with _client(settings) as client:

        async def one(file: RemoteFile) -> Fetched:
            async with places:
                return await _Download(client, file, folder, settings, watch).outcome()

        return await asyncio.gather(*(one(file) for file in files))


def _client(settings: Settings) -> httpx.AsyncClient:
    """A client that obeys the environment's proxies and certificates."""
    try:
        return httpx.AsyncClient(
            follow_redirects=True,
            timeout=httpx.Timeout(settings.timeout, connect=min(settings.timeout, 10.0)),
            headers={"User-Agent": f"segdata/{__version__}", "Accept-Encoding": "identity"},
        )
    except (ValueError, httpx.InvalidURL, ImportError, OSError) as error:
        raise UsageError(
            "the environment's proxy or certificates cannot be used",
            where="HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE, SSL_CERT_DIR",
            expected="http://host:port, socks5://host:port; files that exist",
            found=error,
        ) from error


@dataclass
class _Download:
    """One file on its way."""

    client: httpx.AsyncClient
    file: RemoteFile
    folder: Path
    settings: Settings
    watch: Watch
    part: Part = field(init=False)
    reasons: dict[Source, TransferError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.part = Part(self.target, self.file.digests)

    @property
    def target(self) -> Path:
        return self.folder / self.file.name

    async def outcome(self) -> Fetched:
        try:
            return await self._present() or await self._fetched()
        except SegdataError as error:
            return self._unfinished(error)
        except OSError as error:
            return self._unfinished(refusal(error, self.target, part_bytes(self.target)))

    def _unfinished(self, error: SegdataError) -> Fetched:
        kept = part_bytes(self.target)
        return Fetched(self.target, kept, "partial" if kept else "failed", "", error)

    async def _present(self) -> Fetched | None:
        """The file, if it is there already."""
        path = existing(self.file, self.folder)
        if path is None:
            return None
        if self.settings.check:
            check = await self._compare(path)
        elif self.file.size is not None:
            check = "size"
        elif is_noted(self.file, path):
            check = "sha256 as recorded"
        else:
            check = await self._compare(path)
        return Fetched(path, path.stat().st_size, "present", check)

    async def _compare(self, path: Path) -> str:
        """Read a file that is there; returns by what it was found to be right."""
        expected = dict(self.file.digests) or recorded(path)
        if expected:
            found = await self._digests(path, set(expected))
            wrong = wrong_digest(expected, found)
        else:
            broken = await interruptible(lambda stop: damage(path, self.file.name, stop))
            wrong = ("a whole archive", broken) if broken else None
        if wrong is not None:
            raise SourceError(
                f"{self.file.name} is damaged or another file",
                where=path,
                expected=wrong[0],
                found=wrong[1],
                advice="remove it and run the same command again, or name its own sum with "
                "--checksum",
            )
        return how_checked(self.file) if self.file.digests or not expected else "sha256 as recorded"

    async def _digests(self, path: Path, algorithms: set[str]) -> dict[str, str]:
        return await interruptible(lambda stop: digests_of(path, algorithms, self._moved, stop))

    async def _fetched(self) -> Fetched:
        with _alone(self.target):
            done = await self._present()  # another fetch may have brought it just now
            if done is not None:
                return done
            await self._take_back()
            try:
                await self.part.open(self._moved)
                await self._complete()
                self.part.finish()
            finally:
                self.part.close()
        return Fetched(self.target, self.part.size, "fetched", how_checked(self.file))

    async def _take_back(self) -> None:
        """Use what an earlier run put aside, if by now it is what is asked for."""
        aside = self.target.with_name(self.target.name + REJECTED)
        if not self.file.digests or not aside.is_file():
            return
        found = await self._digests(aside, set(self.file.digests))
        if wrong_digest(dict(self.file.digests), found) is None:
            aside.replace(self.target.with_name(self.target.name + PART))

    async def _complete(self) -> None:
        """Fill the part from one address after the other until it is the file.

        Raises:
            SourceError: no address has it.
        """
        if self.file.size is not None and self.part.size > self.file.size:
            self.part.restart(None)
        if self.file.digests and wrong_digest(dict(self.file.digests), self.part.digests) is None:
            return
        alive = [Source(address, self.file) for address in self.file.addresses]
        for number in range(self.settings.rounds):
            await self._pause(number, alive)
            for source, following in zip_longest(list(alive), alive[1:]):
                known = str(self.reasons.get(source))
                if await self._completed_from(source):
                    return
                if str(self.reasons[source]) != known:  # a round that changes nothing is quiet
                    self._say(f"{source.host}: {self.reasons[source]}{_trying(source, following)}")
                if isinstance(self.reasons[source], UselessError):
                    alive.remove(source)
            if not alive:
                break
        raise self._failure()

    async def _pause(self, number: int, alive: Sequence[Source]) -> None:
        """Wait before another round, longer each time, and as long as all servers ask for."""
        if number == 0:
            return
        seconds = min(self.settings.pause * 2 ** (number - 1), LONGEST_PAUSE)
        reasons = [self.reasons[source] for source in alive]
        asked = min(reason.wait if isinstance(reason, PassingError) else 0 for reason in reasons)
        seconds = max(seconds, asked)
        self._say(f"trying again in {seconds:.0f} s ({number + 1} of {self.settings.rounds})")
        await asyncio.sleep(seconds)

    async def _completed_from(self, source: Source) -> bool:
        """Take all that one address gives; False, and the reason noted, if that is not the file."""
        furthest, broken, anew = self.part.size, 0, 0
        while True:
            try:
                await transfer(self.client, source, self.part, self._moved)
                await self._judge()
            except TransferError as error:
                anew += isinstance(error, AnewError)
                gained = isinstance(error, PassingError) and self.part.size > furthest
                if not gained and not (isinstance(error, AnewError) and anew <= ANEW):
                    self.reasons[source] = error
                    return False
                furthest, broken = self.part.size, broken + 1
                if broken & (broken - 1) == 0:  # the first, second, fourth, eighth … time
                    self._say(f"{source.host}: {error}; going on at {human_bytes(self.part.size)}")
                await asyncio.sleep(self.settings.pause)
            else:
                return True

    async def _judge(self) -> None:
        """Whether the bytes that arrived are the file.

        Raises:
            TransferError: they are not; they are put aside, or given up where they come from
                several answers that need not belong together.
        """
        wrong = await self._wrong()
        if wrong is None:
            return
        if self.part.stitched:
            self.part.restart(None)
            raise AnewError(f"the parts do not fit together ({wrong}); beginning anew")
        aside = self.part.reject()
        raise WrongFileError(f"it sent another file ({wrong}), kept as {aside.name}")

    async def _wrong(self) -> str | None:
        if self.file.size is not None and self.part.size != self.file.size:
            return f"{self.part.size:,} bytes, not {self.file.size:,}"
        if self.file.digests:
            wrong = wrong_digest(dict(self.file.digests), self.part.digests)
            return f"{wrong[1]}, not {wrong[0]}" if wrong else None
        self.part.flush()
        self._say("checking the archive by its own checksums")
        return await interruptible(lambda stop: damage(self.part.path, self.file.name, stop))

    def _failure(self) -> SourceError:
        lines = [f"{source.shown}: {reason}" for source, reason in self.reasons.items()]
        kept = f"; {human_bytes(self.part.size)} are kept for it" if self.part.size else ""
        return SourceError(
            f"{self.file.name} cannot be fetched",
            where=self.target,
            found=("\n" + " " * 12).join(lines),
            advice=f"{_remedy(list(self.reasons.values()))}; then run the same command again{kept}",
        )

    def _moved(self, done: int) -> None:
        origin = self.part.origin
        total = self.file.size or (origin.size if origin else None)
        self.watch.moved(self.file.name, done, total)

    def _say(self, text: str) -> None:
        self.watch.say(f"{self.file.name}: {text}")


def _trying(source: Source, following: Source | None) -> str:
    if following is None:
        return ""
    same = following.host == source.host
    return f"; trying {'another address of ' * same}{following.host}"


def _remedy(reasons: Sequence[TransferError]) -> str:
    if any(isinstance(reason, WebPageError) for reason in reasons):
        return (
            "a firewall or a login page answers in the server's place: open the address in a "
            "browser, or name another with --mirror, or bring the file on another machine"
        )
    if all(isinstance(reason, UnreachableError) for reason in reasons):
        return (
            "check the connection, and HTTPS_PROXY and HTTP_PROXY if this network has a proxy; "
            "behind a firewall name a reachable copy with --mirror"
        )
    if any(isinstance(reason, WrongFileError) for reason in reasons):
        return (
            "name another copy with --mirror, or, if this copy is meant to differ from the "
            "published file, its own sum with --checksum"
        )
    return "wait for the servers, or name another copy with --mirror"


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the file's lock, so that two fetches never write one part.

    Raises:
        OutputError: another fetch holds it, or the folder cannot be written.
    """
    taken = OutputError(
        f"another fetch is bringing {target.name}",
        where=target.parent,
        advice="let it finish; a second one gains nothing",
    )
    with ExitStack() as lock:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            lock.enter_context(only_holder(target.with_name(f".{target.name}.lock"), taken))
        except OSError as error:
            raise refusal(error, target) from error
        yield
