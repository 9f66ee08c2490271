"""Places of shards, as options name them: folders of this machine and URLs."""

import re
from collections.abc import Sequence
from pathlib import Path

Places = str | Path | Sequence[str | Path]

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:// is a drive


def is_url(place: str | Path) -> bool:
    """Whether it is a URL and no path of this machine."""
    return isinstance(place, str) and URL.match(place) is not None


def plain_places(given: Places) -> tuple[str, ...]:
    """One place or several as texts, each once: paths with forward slashes, URLs as they are."""
    each = [given] if isinstance(given, str | Path) else list(given)
    texts = [str(p).rstrip("/") if is_url(p) else Path(p).as_posix() for p in each]
    return tuple(dict.fromkeys(texts))
