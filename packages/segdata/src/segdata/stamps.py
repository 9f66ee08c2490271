"""Stamps: what the files of a source looked like when they were indexed.

A source may vanish, be replaced or be cut while a build reads it, and a worker on another machine
may see another one under the same path. Tars have no checksums of their members, and a member that
is gone looks like a broken sample, which may be left out: so a shard is finished only if its
archives are still those that were indexed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from segdata.archive import Member
from segdata.errors import SourceError
from segdata.samples import Sample
from segdata.stores import place

FOLDER = -1  # bytes of a folder, which only has to be there
AGAIN = "bring it back as it was and run the same command again: finished shards are kept"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file of a source, or a folder of plain files.

    Attributes:
        path: of the archive or the folder.
        size: bytes; -1 for a folder.
        changed: time of its last change, nanoseconds as this machine's file system has it.
        shown: what messages call it, where that is not `path`.
    """

    path: str
    size: int
    changed: int
    shown: str = ""

    def refuse_other(self, found: "Stamp", *, copy: bool = False) -> None:
        """Refuse a file that is not the one that was stamped.

        Args:
            found: what is there now.
            copy: whether it may be a copy on another machine, with a time of its own.

        Raises:
            SourceError: size or time of change differ.
        """
        if found.size == self.size and (copy or found.changed == self.changed):
            return
        same = found.size == self.size
        raise SourceError(
            "an archive has changed since the build began",
            where=self.shown or self.path,
            expected=f"{self.size:,} bytes, unchanged",
            found="the same size, written anew" if same else f"{found.size:,} bytes",
            advice=AGAIN,
        )

    def again(self) -> "Stamp":
        """The stamp as it is now, on this machine.

        Raises:
            SourceError: the file is gone, or this machine does not see it.
        """
        try:
            return _stamp(self.path, folder=self.size == FOLDER, shown=self.shown)
        except OSError as error:
            spooled = f"it was unzipped into {self.path}, which is not there" if self.shown else ""
            raise SourceError(
                "a source is not there any more, or cannot be seen from here",
                where=self.shown or self.path,
                found=spooled or error.strerror or error,
                advice="name a folder that all machines share in the variable TMPDIR, or unzip it"
                if spooled
                else AGAIN,
            ) from error


def stamps(samples: Iterable[Sample]) -> tuple[Stamp, ...]:
    """Stamps of all archives and folders that samples are read from, sorted.

    Raises:
        SourceError: one of them is gone.
    """
    found: dict[tuple[str, bool], str] = {}
    for member in _members(samples):
        folder = member.offset < 0
        path = str(place(member.path).parent) if folder else member.path
        found[path, folder] = member.shown
    return tuple(
        Stamp(path, FOLDER if folder else 0, 0, shown).again()
        for (path, folder), shown in sorted(found.items())
    )


def _members(samples: Iterable[Sample]) -> Iterator[Member]:
    """The files that samples, dataclasses or structs, have in their fields."""
    for sample in samples:
        kind = type(sample)
        names: Iterable[str] = getattr(kind, "__struct_fields__", ()) or getattr(
            kind, "__dataclass_fields__", ()
        )
        for name in names:
            value = getattr(sample, name)
            if isinstance(value, Member):
                yield value


def _stamp(path: str, *, folder: bool, shown: str) -> Stamp:
    facts = place(path).stat()
    if folder:
        return Stamp(path, FOLDER, 0, shown)
    return Stamp(path, facts.st_size, facts.st_mtime_ns, shown)
