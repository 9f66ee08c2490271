"""Folders of shards: which files are manifests, and where shards lie."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from segtrain.errors import ShardsError
from segtrain.manifests import Manifest, ShardRecord, read_manifest, unreadable
from segtrain.places import Places, is_url, plain_places
from segtrain.remote.cache import Cache
from segtrain.remote.settings import CACHE_SIZE
from segtrain.shardfile import Shard


class Folder(Protocol):
    """A place that holds manifests and their shards; `str` of it is what messages call it."""

    def manifests(self) -> list[Manifest]:
        """The manifests in it, sorted by data set.

        Raises:
            ShardsError: If there is none, or one is damaged.
        """

    def shard(self, dataset: str, record: ShardRecord) -> Shard:
        """One of the shards that lie in it."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder of this machine that holds shards.

    Attributes:
        path: The folder.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def manifests(self) -> list[Manifest]:
        """The manifests in it, sorted by data set.

        Raises:
            ShardsError: If there is no such folder, no manifest in it, or one is damaged.
        """
        if not self.path.is_dir():
            raise ShardsError(missing_folder(self.path))
        paths = [p for p in sorted(self.path.glob("*.json")) if not p.name.endswith(".stats.json")]
        found = [read_file(p) for p in paths if p.name != "info.json"]
        manifests = [m for m in found if m is not None]
        if not manifests:
            raise ShardsError(missing_manifest(self.path))
        return manifests

    def shard(self, dataset: str, record: ShardRecord) -> Shard:
        """One of its shards."""
        return Shard(dataset, record, self.path / record.name)


def read_file(path: Path) -> Manifest | None:
    """The manifest in a JSON file; None if it is another file.

    Raises:
        ShardsError: If it cannot be read, or is a damaged manifest.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ShardsError(unreadable(str(path), error)) from error
    return read_manifest(data, str(path))


def missing_folder(path: Path) -> str:
    """Say why a path is no folder of shards."""
    if not path.exists():
        return (
            f"{path}: the shards directory does not exist; make one with "
            f"`segdata build-voc --out {path}` or name another with --shards"
        )
    if path.suffix == ".tar":
        return (
            f"{path}: is a single shard; --shards takes the directory that holds it and its "
            f"manifest: --shards {path.parent}"
        )
    return f"{path}: the shards directory is a file; name a directory with --shards"


def missing_manifest(path: Path) -> str:
    """Say why a folder without a manifest cannot be used."""
    if any(path.glob("*.tar")) or any(path.glob("*/*.tar")):
        return (
            f"{path}: holds shards but no manifest. Where segdata made them, their build did not "
            "end: run the same `segdata build-...` command again. Where others made them: "
            f"`segtrain index {path} --classes FILE`"
        )
    return (
        f"{path}: holds no shards; make some with `segdata build-voc --out {path}` "
        "or name another directory with --shards"
    )


def open_folder(place: str, cache: Cache | None) -> Folder:
    """The folder at a path or URL; it is not looked at yet."""
    if not is_url(place):
        return LocalFolder(Path(place))
    from segtrain.remote.folder import RemoteFolder

    return RemoteFolder(place, cache or Cache.of(None, CACHE_SIZE))


def open_folders(places: Places, cache: Cache | None = None) -> list[tuple[Manifest, Folder]]:
    """All manifests of one place or several, each with the folder that it lies in.

    Args:
        places: Paths and URLs.
        cache: Where shards of URLs are copied to; by default the user's cache folder.

    Returns:
        Sorted by data set, so that the order in which the places were named changes nothing.

    Raises:
        ShardsError: If one is missing, empty or damaged, a data set lies in two of them, or data
            sets have different classes.
    """
    folders = [open_folder(place, cache) for place in plain_places(places)]
    found = [(manifest, folder) for folder in folders for manifest in folder.manifests()]
    found.sort(key=lambda pair: pair[0].dataset)
    for (first, here), (second, there) in itertools.pairwise(found):
        if first.dataset == second.dataset:
            raise ShardsError(
                f"{first.dataset} lies both in {here} and in {there}; leave out one of them"
            )
    check_same_classes(found)
    return found


def check_same_classes(found: Sequence[tuple[Manifest, object]]) -> None:
    """Refuse data sets whose class ids mean different things.

    Args:
        found: Manifests, each with the folder that it lies in.

    Raises:
        ShardsError: With the first difference.
    """
    first, where = found[0]
    names = [c.name for c in first.classes]
    for other, folder in found[1:]:
        theirs = [c.name for c in other.classes]
        if theirs != names:
            raise ShardsError(
                f"{where}: {first.dataset} has the {len(names)} classes {', '.join(names)}, but "
                f"{other.dataset} in {folder} has the {len(theirs)} classes {', '.join(theirs)}; "
                "build both with the same --classes, or train on one of them"
            )
