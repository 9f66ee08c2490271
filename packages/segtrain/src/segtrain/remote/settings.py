"""Where shards of URLs are kept on this machine, and how many bytes of them."""

import os
import re
import sys
from pathlib import Path

from segtrain.errors import UsageError

CACHE_SIZE = "50GB"
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def default_folder() -> Path:
    """The user's cache folder, by the platform's convention."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        given = os.environ.get("XDG_CACHE_HOME")
        base = Path(given) if given else Path.home() / ".cache"
    return base / "segtrain" / "shards"


def parse_size(text: str) -> int:
    """Bytes of a size such as `50GB`, `500 MB` or `1.5TiB`.

    Raises:
        UsageError: If it is no size, or 0.
    """
    match = SIZE.fullmatch(text.strip())
    units = BINARY if match and match[3] else UNITS
    if not match or match[2].lower() not in units:
        raise UsageError(f"--cache-size {text!r} is no size; write it as 50GB, 500MB or 1.5TB")
    size = int(float(match[1]) * units[match[2].lower()])
    if size < 1:
        raise UsageError(f"--cache-size {text!r} must be above 0; write it as 50GB or 500MB")
    return size


def size_words(size: int) -> str:
    """A number of bytes for people: `1.6 GB`."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
