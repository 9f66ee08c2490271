"""Places of shards, as options name them: folders of this machine and URLs."""

import re
from collections.abc import Sequence
from pathlib import Path

Places = str | Path | Sequence[str | Path]

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:// is a drive


def is_url(place: str | Path) -> bool:
    """Whether it is a URL and no path of this machine."""
    return isinstance(place, str) and URL.match(place) is not None


def is_command(place: str | Path) -> bool:
    """Whether it is `pipe:COMMAND`, whose output is a tar."""
    return isinstance(place, str) and place.startswith("pipe:")


def plain_places(given: Places) -> tuple[str, ...]:
    """One place or several as texts, each once: paths with forward slashes, others as they are."""
    each = [given] if isinstance(given, str | Path) else list(given)
    texts = [place_text(place) for place in each]
    return tuple(dict.fromkeys(texts))


def place_text(place: str | Path) -> str:
    """One place as text."""
    if is_command(place):
        return str(place)
    return str(place).rstrip("/") if is_url(place) else Path(place).as_posix()
