"""Folders of shards at URLs: the manifests are found by `info.json`."""

import json
from dataclasses import dataclass

from segtrain.errors import ShardsError
from segtrain.manifests import Manifest, ShardRecord, read_manifest
from segtrain.remote.cache import Cache
from segtrain.remote.store import StoreError, listing, read
from segtrain.shardfile import Shard

ATTEMPTS = 3  # at a manifest, before anything has begun: a wrong address is told soon
WEB = ("http", "https")  # servers of these tell no names of files


@dataclass(frozen=True)
class RemoteFolder:
    """A folder at a URL that holds shards.

    Attributes:
        url: Without a slash at its end.
        cache: Where its shards are copied to.
    """

    url: str
    cache: Cache

    def __str__(self) -> str:
        return self.url

    def shard(self, dataset: str, record: ShardRecord) -> Shard:
        """One of its shards."""
        url = f"{self.url}/{record.name}"
        return Shard(dataset, record, self.cache.path(url, record), url, self.cache)

    def manifests(self) -> list[Manifest]:
        """The manifests in it, sorted by data set.

        Raises:
            ShardsError: If there is no such folder or it cannot be read, a manifest is missing or
                damaged.
        """
        if self.url.endswith(".tar"):
            folder = self.url.rpartition("/")[0]
            raise ShardsError(
                f"{self.url}: is a single shard; --shards takes the directory that holds it and "
                f"its manifest: --shards {folder}"
            )
        found = [self.manifest(name) for name in sorted(self.names())]
        return [m for m in found if m is not None]

    def names(self) -> list[str]:
        """The data sets in it, by `info.json`, or by the names of files where there is none.

        Raises:
            ShardsError: If neither tells.
        """
        where = f"{self.url}/info.json"
        try:
            info = json.loads(read(where, attempts=ATTEMPTS))
            return [str(name) for name in info["datasets"]]
        except StoreError as error:
            names = self.listed() if error.absent else []
            if names:
                return names
            raise ShardsError(f"{where}: {error}; {self.advice(absent=error.absent)}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ShardsError(
                f"{where}: is no info.json of a shards directory "
                f"({type(error).__name__}: {error}); check the URL"
            ) from error

    def listed(self) -> list[str]:
        """Names of what may be manifests, in stores that can list; none elsewhere."""
        if self.url.partition("://")[0].lower() in WEB:
            return []
        try:
            names = listing(self.url)
        except StoreError:
            return []
        return [n.removesuffix(".json") for n in names
                if n.endswith(".json") and not n.endswith(".stats.json")]  # fmt: skip

    def advice(self, *, absent: bool) -> str:
        """The way on where `info.json` cannot be had."""
        if not absent:
            return "check the URL, the network and the credentials"
        return (
            "check the URL, and that the whole shards directory was copied there: its info.json, "
            "which every `segdata build-...` writes, tells which manifests there are"
        )

    def manifest(self, dataset: str) -> Manifest | None:
        """One manifest; None where the JSON file is none.

        Raises:
            ShardsError: If it cannot be had or is damaged.
        """
        where = f"{self.url}/{dataset}.json"
        try:
            data = read(where, attempts=ATTEMPTS)
        except StoreError as error:
            raise ShardsError(
                f"{where}: {error}; info.json lists this manifest: copy the whole shards directory "
                "to the URL"
            ) from error
        return read_manifest(data, where)
