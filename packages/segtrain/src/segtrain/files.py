"""Making folders, and writing files whole or not at all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from segtrain.errors import RunError


def make_folder(path: Path) -> None:
    """Make a folder and those that it lies in, where they are not there yet.

    Raises:
        RunError: If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be made: {error}") from error


def write_beside(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name in its folder, flush it to disk, then rename it.

    Args:
        path: Where the file shall be; an old one there is kept until the new one is whole.
        write: Called with the temporary path.

    Raises:
        RunError: If it cannot be written; `path` is then as it was.
    """
    part = path.with_name(f".{path.name}.part")  # what a kill leaves, the next write replaces
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        kept = "; the one before it is kept" if path.exists() else ""
        known = isinstance(error, OSError) and error.errno != errno.ENOSPC
        hint = "" if known else "; is the disk full?"
        raise RunError(f"{path}: could not be written ({error}){kept}{hint}") from error
    finally:
        part.unlink(missing_ok=True)
