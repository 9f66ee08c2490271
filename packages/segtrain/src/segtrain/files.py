"""Writing files whole or not at all, and the folders that they go into."""

import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from segtrain.errors import RunError

Write = Callable[[Path], object]
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_beside(path: Path, write: Write) -> None:
    """Write a file under a temporary name in its folder, flush it to disk, then rename it.

    Args:
        path: Where the file shall be; an old one there is kept until the new one is whole.
        write: Called with the temporary path.

    Raises:
        RunError: If it cannot be written; `path` is then as it was.
    """
    write_together({path: write})


def write_together(files: Mapping[Path, Write]) -> None:
    """Write files that belong together: none gets its name before all are whole.

    Args:
        files: What writes each to a temporary path, by where it shall be.

    Raises:
        RunError: If one cannot be written; all are then as they were.
    """
    # what a kill leaves, the next write replaces
    parts = {path: path.with_name(f".{path.name}.part") for path in files}
    path = next(iter(files))
    try:
        for path, write in files.items():
            refuse_folder(path)
            write(parts[path])
            with parts[path].open("rb+") as file:
                os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(path)
    except (OSError, RuntimeError) as error:
        raise RunError(unwritten(path, error)) from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):  # there is none where its folder is none
                part.unlink(missing_ok=True)


def refuse_folder(path: Path) -> None:
    """Refuse to replace a folder by a file, which fails at the last moment only.

    Raises:
        IsADirectoryError: If it is one.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def unwritten(path: Path, error: Exception) -> str:
    """Say that a file could not be written, and what to look at."""
    kept = "; the one before it is kept" if path.is_file() else ""
    number = error.errno if isinstance(error, OSError) else errno.ENOSPC  # torch tells none
    hint = "; is the disk full?" if number == errno.ENOSPC else ""
    if number in FORBIDDEN:
        hint = f"; who may write into {path.parent}?"
    return f"{path}: could not be written ({error}){kept}{hint}"


def check_folder(path: Path, option: str) -> None:
    """Refuse a folder for results that could not be made or written into, before the work is done.

    Nothing is made.

    Args:
        path: The folder, there or not.
        option: The option that names it, for the message.

    Raises:
        RunError: If it is a file or lies in one, or this user may not write there.
    """
    try:
        above = next(p for p in (path, *path.absolute().parents) if p.exists())
        folder = above.is_dir()
    except OSError as error:  # such as a name that is too long
        raise RunError(no_folder(path, error, option)) from error
    if not folder:
        inside = "is a file" if above == path else f"cannot be made, for {above} is a file"
        raise RunError(f"{path}: {inside}; name a folder with {option}")
    if not os.access(above, os.W_OK | os.X_OK):
        raise RunError(
            f"{path}: this user may not write into {above}; name another folder with {option}"
        )


def make_folder(path: Path, option: str) -> None:
    """Make a folder for results, and those above it.

    Args:
        path: The folder; it may be there.
        option: The option that names it, for the message.

    Raises:
        RunError: If it cannot be made.
    """
    check_folder(path, option)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(no_folder(path, error, option)) from error


def no_folder(path: Path, error: OSError, option: str) -> str:
    """Say that a folder cannot be made."""
    reason = error.strerror or str(error)
    return f"{path}: cannot be made: {reason}; name another folder with {option}"
