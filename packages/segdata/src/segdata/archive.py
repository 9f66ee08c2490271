"""Archives read without unpacking: zip, tar, tgz or a folder, behind one view of named members.

An archive is indexed once. Each member then knows where its bytes lie, so that any process can read
it with one seek, without the archive's directory and without sharing an open file. A gzipped tar
allows no seeking: it is unzipped once into a temporary tar that lives as long as this process.
"""

import atexit
import gzip
import os
import shutil
import stat
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO, RawIOBase
from pathlib import Path, PurePosixPath

import msgspec

from segdata import tardirectory, zipdirectory
from segdata.errors import SourceError
from segdata.stores import RemotePath, is_url

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
ZIP_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and the extra field
ZIP_MEMBER = b"PK\x03\x04"
MOVED = "no member begins where the zip's directory says"
EXTRA = 64  # bytes of a zip member's extra field that are asked for at once
GZIP = b"\x1f\x8b"
UNREADABLE = (OSError, EOFError, ValueError, OverflowError, zlib.error, tarfile.TarError)
"""What the standard library raises for archives that are broken, or made to break their readers."""
COPIED = 1 << 20  # bytes at a time
PART = 4 << 20  # bytes of a member that is read in parts, about
BROKEN = "fetch or copy the archive again; its size and checksum should equal the official ones"


class Member(msgspec.Struct, frozen=True, gc=False):
    """One file of an archive or a folder: small, picklable, readable from any process.

    Attributes:
        path: the archive, or the file itself where `offset` is -1.
        name: the member's name, `/` between its parts.
        size: bytes, unpacked.
        offset: where its data (tar) or its local header (zip) begins; -1 for a plain file.
        packed: bytes as they lie in the archive; -1 for a member of a tar.
        method: zip's compression method.
        crc32: as the zip records it; -1 where the archive has none.
        shown: what messages call the archive, where that is not `path`.
    """

    path: str
    name: str
    size: int
    offset: int = -1
    packed: int = -1
    method: int = STORED
    crc32: int = -1
    shown: str = ""

    @property
    def basename(self) -> str:
        """The name without folders."""
        return self.name.rpartition("/")[2]

    @property
    def where(self) -> str:
        """How messages name the member."""
        archive = self.shown or self.path
        return archive if self.offset < 0 else f"{archive}, member {self.name}"

    def read(self) -> bytes:
        """The member's content.

        Raises:
            SourceError: it is not there any more, cut short, or fails the archive's checksum.
        """
        try:
            data = self._unpacked()
        except (OSError, zlib.error, struct.error) as error:
            raise self.unreadable(error) from error
        self.check(len(data), zlib.crc32(data) if self.crc32 >= 0 else -1)
        return data

    def parts(self) -> "Parts":
        """The member's content in parts, for one that need not be in memory whole."""
        return Parts(self)

    def unreadable(self, error: Exception) -> SourceError:
        """The error that says so."""
        return SourceError(
            "an archive's member cannot be read", where=self.where, found=error, advice=BROKEN
        )

    def check(self, size: int, crc32: int) -> None:
        """Compare what was read with what the archive says.

        Raises:
            SourceError: it was cut short, has changed or is damaged.
        """
        if size != self.size:
            raise SourceError(
                "an archive's member is cut short or has changed",
                where=self.where,
                expected=f"{self.size:,} bytes",
                found=f"{size:,} bytes",
                advice=BROKEN,
            )
        if self.crc32 >= 0 and crc32 != self.crc32:
            raise SourceError(
                "an archive's member is damaged",
                where=self.where,
                expected=f"CRC-32 {self.crc32:08x}",
                found=f"{crc32:08x}",
                advice=BROKEN,
            )

    def _unpacked(self) -> bytes:
        if is_url(self.path):
            data = self._fetched(RemotePath(self.path))
        elif self.offset < 0:
            return Path(self.path).read_bytes()
        else:
            with self.opened() as file:
                data = file.read(self.size if self.packed < 0 else self.packed)
        if self.method != DEFLATED:
            return data
        # no more than it should be, and a byte to tell: a few kB may inflate to gigabytes
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size + 1)

    def _fetched(self, path: RemotePath) -> bytes:
        """What is stored of it in a remote file or archive, in one request where that can be."""
        if self.offset < 0:
            return path.read_bytes()
        if self.packed < 0:
            return path.read_range(self.offset, self.size)
        head = ZIP_LOCAL_HEADER.size
        data = path.read_range(self.offset, head + len(self.name.encode()) + EXTRA + self.packed)
        signature, name, extra = ZIP_LOCAL_HEADER.unpack_from(data)
        if signature != ZIP_MEMBER:
            raise OSError(MOVED)
        begin = head + name + extra
        if len(data) < begin + self.packed:
            return path.read_range(self.offset + begin, self.packed)
        return data[begin : begin + self.packed]

    @contextmanager
    def opened(self) -> Iterator[RawIOBase]:
        """Its file or archive, at the first byte of what is stored of it.

        Raises:
            OSError: it is not there any more.
            struct.error: likewise.
        """
        remote = is_url(self.path)
        with RemotePath(self.path).open() if remote else FileIO(self.path) as file:
            file.seek(max(0, self.offset))
            if self.packed >= 0:
                signature, name, extra = ZIP_LOCAL_HEADER.unpack(file.read(ZIP_LOCAL_HEADER.size))
                if signature != ZIP_MEMBER:
                    raise OSError(MOVED)
                file.seek(name + extra, os.SEEK_CUR)
            yield file


class Parts:
    """A member's content in parts of some MiB, to be taken once.

    Attributes:
        size: bytes taken so far.
        crc32: CRC-32 of them.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self.size = self.crc32 = 0

    def __iter__(self) -> Iterator[bytes]:
        """The parts.

        Raises:
            SourceError: as `Member.read`; a wrong checksum is known after the last part only.
        """
        try:
            for part in self._inflated() if self._member.method == DEFLATED else self._stored():
                self.size += len(part)
                if self.size > self._member.size:
                    break
                self.crc32 = zlib.crc32(part, self.crc32)
                yield part
        except (OSError, zlib.error, struct.error) as error:
            raise self._member.unreadable(error) from error
        self._member.check(self.size, self.crc32)

    def _stored(self, size: int = PART) -> Iterator[bytes]:
        """What is stored of the member, in parts of at most `size` bytes."""
        member = self._member
        left = member.size if member.packed < 0 else member.packed
        if member.offset < 0:
            left = sys.maxsize  # a file may have grown, which is to be noticed
        with member.opened() as file:
            while part := file.read(min(left, size)):
                left -= len(part)
                yield part

    def _inflated(self) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        for packed in self._stored(PART // 4):
            data = packed
            while data and not inflater.eof:
                if part := inflater.decompress(data, PART):
                    yield part
                data = inflater.unconsumed_tail
        if not inflater.eof:
            yield inflater.flush()


@dataclass(frozen=True)
class Archive:
    """The members of one archive or folder, by name."""

    path: Path
    members: Mapping[str, Member]

    @property
    def name(self) -> str:
        """The archive's or the folder's own name."""
        return self.path.name

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def __getitem__(self, name: str) -> Member:
        """The member of that name.

        Raises:
            SourceError: there is none.
        """
        try:
            return self.members[name]
        except KeyError:
            raise SourceError(
                "a file is missing from its archive",
                where=self.path,
                expected=name,
                found=f"{len(self.members):,} other members",
                advice=BROKEN,
            ) from None


def open_archive(path: Path) -> Archive:
    """Index a zip, a tar, a gzipped tar or a folder; the content tells which, not the name.

    Raises:
        SourceError: it is none of these, or it is cut short.
    """
    if path.is_dir():
        return Archive(path, _folder_members(path))
    try:
        if _begins_with(path, GZIP):
            return Archive(path, _tar_members(_unzipped(path), shown=str(path)))
        # A tar may end in a zip, which then looks like a zip from its end: its name decides.
        if path.suffix != ".tar" and _is_zip(path):
            return Archive(path, _zip_members(path))
        if path.suffix != ".zip":
            return Archive(path, _tar_members(path))
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise SourceError(
            "an archive is broken or cut short", where=path, found=error, advice=BROKEN
        ) from error
    raise SourceError(
        "an archive is broken or cut short",
        where=path,
        expected="a directory of its members at its end",
        found=f"none in its {path.stat().st_size:,} bytes",
        advice=BROKEN,
    )


def _folder_members(folder: Path) -> dict[str, Member]:
    if isinstance(folder, RemotePath):
        return {n: Member(f"{folder}/{n}", n, size) for n, size in folder.files() if n}
    root, members = str(folder), {}
    below = len(root.rstrip(os.sep)) + 1
    for path, size in _files(root):
        name = _utf8(path[below:].replace(os.sep, "/"))
        members[name] = Member(path, name, size)
    return members


def _utf8(name: str) -> str:
    """A name as UTF-8 can have it: Python keeps bytes of other encodings as lone surrogates."""
    return name.encode(errors="backslashreplace").decode()


def _files(folder: str) -> Iterable[tuple[str, int]]:
    """Path and bytes of each file below a folder. Texts: a `Path` takes longer than it."""
    entered: set[Path] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        here = Path(root).resolve()
        folders[:] = [] if here in entered else sorted(folders)  # links may lead in circles
        if here in entered:
            continue
        entered.add(here)
        for name in sorted(names):
            path = os.path.join(root, name)  # noqa: PTH118 - see above
            with suppress(OSError):  # a dangling link is no member
                found = os.stat(path)  # noqa: PTH116 - see above
                if stat.S_ISREG(found.st_mode):
                    yield path, found.st_size


def _zip_members(path: Path) -> dict[str, Member]:
    shown, members = str(path), {}
    for entry in zipdirectory.entries(path):
        if entry.method not in (STORED, DEFLATED) or entry.encrypted:
            raise zipfile.BadZipFile(
                f"member {entry.name} is encrypted or packed by method {entry.method}"
            )
        name, size, offset, packed, method, crc32, _ = entry
        members[name] = Member(shown, name, size, offset, packed, method, crc32)
    return members


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return zipfile.is_zipfile(file)


def _begins_with(path: Path, signature: bytes) -> bool:
    if isinstance(path, RemotePath):  # whose files are read ahead by megabytes
        return path.read_range(0, len(signature)) == signature
    with path.open("rb") as file:
        return file.read(len(signature)) == signature


def _unzipped(path: Path) -> Path:
    """A plain tar of a gzipped one, in the folder for temporary files; removed at exit.

    Raises:
        SourceError: there is no room for it.
        OSError, EOFError, zlib.error: the file is broken or cut short.
    """
    folder = Path(tempfile.mkdtemp(prefix="segdata-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    plain = folder / f"{path.stem}.tar"
    with path.open("rb") as raw, gzip.open(raw) as packed, plain.open("wb") as file:
        while chunk := packed.read(COPIED):
            try:
                file.write(chunk)
            except OSError as error:
                raise SourceError(
                    "a gzipped archive cannot be unzipped",
                    where=path,
                    expected=f"room for its content in {folder.parent}",
                    found=error.strerror or error,
                    advice="make room there, or name another folder in the variable TMPDIR",
                ) from error
    return plain


def _tar_members(path: Path, shown: str = "") -> dict[str, Member]:
    members = {}
    for entry in tardirectory.entries(path):
        name = _utf8(_normal(entry.name))
        members[name] = Member(str(path), name, entry.size, entry.offset, shown=shown)
    return members


def _normal(name: str) -> str:
    """A path without empty parts and without dots for one."""
    framed = f"/{name}/"
    return str(PurePosixPath(name)) if "//" in framed or "/./" in framed else name


def locate(
    data: Path, *, places: Sequence[str], names: Sequence[str], what: str, advice: str
) -> Path:
    """The first of `names` that exists in one of the `places` below `data`, or `data` itself.

    Args:
        data: the folder given with --data, or an archive or folder of one of these names.
        places: folders below `data` to look into.
        names: archives or folders, the best first.
        what: what is looked for, for the message.
        advice: how to get it.

    Raises:
        SourceError: none is there; the message lists where it was looked for. Or a place may not
            be entered.
    """
    if data.name in names and _exists(data):
        return data.resolve()
    for place in places:
        for name in names:
            path = data / place / name
            if _exists(path):
                return path.resolve()
    looked = ", ".join(sorted({str(data / place) for place in places}))
    state = "" if data.exists() else f" ({data} does not exist)"
    raise SourceError(
        f"{what} was not found",
        where=f"looked in {looked}{state}",
        expected=" or ".join(names),
        advice=advice,
    )


def _exists(path: Path) -> bool:
    """Whether it does; a folder that may not be entered would else be a bug's traceback."""
    try:
        return path.exists()
    except PermissionError as error:
        raise SourceError(
            "it cannot be seen whether an archive is there",
            where=path,
            found=error.strerror or error,
            advice="check the permissions of the folders above it, or name another with --data",
        ) from error
