"""Reading a shard with the standard library alone, as the tests' own view of it."""

import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path


def read_samples(tar: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a shard in order: key, and members by suffix."""
    with tarfile.open(tar, "r:") as archive:
        members = ((info.name.partition("."), archive.extractfile(info)) for info in archive)
        for key, group in groupby(members, lambda member: member[0][0]):
            yield key, {name[2]: file.read() for name, file in group if file}
