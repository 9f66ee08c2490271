"""What a fetch would do: which files are there, which are begun, and whether the rest fits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segdata.errors import OutputError, SourceError
from segdata.fetch.catalogue import RemoteFile
from segdata.fetch.checks import existing
from segdata.fetch.partial import PART, free_bytes
from segdata.terminal import human_bytes


@dataclass(frozen=True)
class Planned:
    """One file of a plan.

    Attributes:
        file: what is wanted.
        path: where it lies or will lie.
        state: "present" (whole by its size), "partial", "absent", or "obstructed": a file of its
            name is there that is not it.
        here: bytes that need no download.
    """

    file: RemoteFile
    path: Path
    state: Literal["present", "partial", "absent", "obstructed"]
    here: int

    @property
    def missing(self) -> int:
        """Bytes to download, as far as the size is known."""
        if self.state in ("present", "obstructed"):
            return 0
        return max(0, (self.file.size or 0) - self.here)


def planned(files: Sequence[RemoteFile], folder: Path) -> list[Planned]:
    """The state of each file in the folder; changes nothing."""
    return [_planned(file, folder) for file in files]


def _planned(file: RemoteFile, folder: Path) -> Planned:
    path = folder / file.name
    try:
        found = existing(file, folder)
    except SourceError:
        return Planned(file, path, "obstructed", path.stat().st_size)
    if found is not None:
        return Planned(file, found, "present", found.stat().st_size)
    here = part_bytes(path)
    return Planned(file, path, "partial" if here else "absent", here)


def part_bytes(path: Path) -> int:
    """Bytes of the file's unfinished download."""
    part = path.with_name(path.name + PART)
    return part.stat().st_size if part.is_file() else 0


def require_room(plan: Sequence[Planned], folder: Path) -> None:
    """Refuse to begin what cannot end.

    Raises:
        OutputError: the free space is less than what all files still need.
    """
    needed, free = sum(item.missing for item in plan), free_bytes(folder)
    if needed <= free:
        return
    wanted = ", ".join(
        f"{item.file.name} {human_bytes(item.missing)}" for item in plan if item.missing
    )
    raise OutputError(
        "the disk has no room for the downloads",
        where=folder,
        expected=f"{human_bytes(needed)} free ({wanted})",
        found=f"{human_bytes(free)} free",
        advice="make room, name a folder on another disk with --data, or fetch less: "
        "--split val leaves out COCO's train images",
    )
