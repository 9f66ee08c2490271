"""Tar and zip files whose bytes depend on their members alone, marked as generated."""

import io
import tarfile
import zipfile
import zlib
from contextlib import ExitStack
from gzip import GzipFile
from pathlib import Path
from types import TracebackType
from typing import IO, cast

NOTICE = "SYNTHETIC.txt"
NOTICE_MEMBER = f"VOCdevkit/VOC2012/{NOTICE}"
SBD_NOTICE_MEMBER = f"benchmark_RELEASE/dataset/{NOTICE}"
ZIP_COMMENT = b"synthetic: made by segdata toy"


class TarWriter:
    """Writes members with fixed headers: USTAR, mode 0644, owner 0, time 0; gzipped as a tgz."""

    def __init__(self, path: Path) -> None:
        self._files = ExitStack()
        file: IO[bytes] = self._files.enter_context(path.open("wb"))
        if path.suffix == ".tgz":
            packed = GzipFile("", "wb", 1, file, mtime=0)  # no name and no time in its header
            self._files.callback(packed.close)
            file = cast("IO[bytes]", packed)
        self._tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)

    def __enter__(self) -> "TarWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._files:
            self._tar.close()

    def add(self, name: str, content: bytes) -> None:
        """Append one file."""
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = len(content), 0o644, 0
        self._tar.addfile(header, io.BytesIO(content))


class ZipWriter:
    """Writes members with fixed headers: mode 0644, 1 January 1980; JPEGs stored, text deflated."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "w")
        self._zip.comment = ZIP_COMMENT

    def __enter__(self) -> "ZipWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._zip.close()

    def add(self, name: str, content: bytes) -> None:
        """Append one file."""
        header = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        header.create_system, header.external_attr = 3, 0o100644 << 16  # as on Unix, everywhere
        stored = name.endswith(".jpg")
        header.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
        self._zip.writestr(header, content)


def is_synthetic(path: Path) -> bool:
    """Whether the archive at `path` was written here; anything unreadable was not."""
    try:
        if path.suffix in (".tar", ".tgz"):
            with tarfile.open(path) as tar:
                first = tar.next()
                return first is not None and first.name in (NOTICE_MEMBER, SBD_NOTICE_MEMBER)
        with zipfile.ZipFile(path) as archive:
            return archive.comment == ZIP_COMMENT
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile):
        return False
