"""One shard: where it lies, and what its manifest says of it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from segtrain.errors import ShardsError
from segtrain.manifests import ShardRecord
from segtrain.remote.cache import Cache, Pin, Watch, index_url

CHUNK = 1 << 20  # bytes that are hashed at a time


@dataclass(frozen=True)
class Shard:
    """One shard of a data set.

    Attributes:
        dataset: The data set.
        record: What the manifest says of it.
        path: Its file on this machine; of one at a URL, where its copy lies once it is fetched.
        url: Where it is fetched from; empty for one of this machine.
        cache: What its copy lies in; None for one of this machine.
    """

    dataset: str
    record: ShardRecord
    path: Path
    url: str = ""
    cache: Cache | None = None

    def __str__(self) -> str:
        return self.url or str(self.path)

    def fetch(self) -> None:
        """Have its file on this machine.

        Raises:
            ShardsError: If it cannot be fetched.
        """
        if self.cache is not None:
            self.cache.fetch(self.url, self.record)

    def pin(self, watch: Watch) -> Pin:
        """Fetch it, and keep its copy until the pin is released; for shards at URLs.

        Raises:
            ShardsError: If it cannot be fetched, or is one of this machine.
        """
        if self.cache is None:
            raise ShardsError(f"{self}: lies on this machine, nothing keeps it")
        return self.cache.pin(self.url, self.record, watch)

    @property
    def folder(self) -> str:
        """Where its manifest lies, for messages."""
        if self.url:
            return self.url.removesuffix(f"/{self.record.name}")
        return str(self.path.parents[self.record.name.count("/")])

    @property
    def idx(self) -> str:
        """Where its index lies, for messages."""
        return index_url(self.url) if self.url else str(self.path.with_suffix(".idx"))

    def idx_text(self) -> str | None:
        """Its index as it lies beside it; None where there is none: then its file is here.

        Raises:
            ShardsError: If the shard itself is missing or has another size than the manifest says,
                or the index cannot be read.
        """
        if self.cache is not None:
            text = self.cache.index(self.url, self.record)
            if text is None:
                self.fetch()
            return text
        self.check_size()
        path = self.path.with_suffix(".idx")
        try:
            return path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ShardsError(
                f"{path}: not a usable index ({error}); delete it and the shard's own headers are "
                "read instead"
            ) from error

    def keep_idx(self, text: str) -> None:
        """Note that this index is right, so that it need not be fetched again."""
        if self.cache is not None:
            self.cache.keep_index(self.url, self.record, text)

    def check_size(self) -> None:
        """Refuse a file that is missing or has another size than the manifest says.

        Raises:
            ShardsError: If it is so.
        """
        if not self.path.is_file():
            raise ShardsError(
                f"{self}: the manifest lists this shard, but it is not there; copy it here, or "
                "run the command that made the manifest again (`segdata build-...` or "
                "`segtrain index`)"
            )
        size = self.path.stat().st_size
        if size != self.record.bytes:
            raise ShardsError(
                f"{self}: has {size:,} bytes, the manifest says {self.record.bytes:,}; "
                f"{self.advice()}"
            )

    def advice(self) -> str:
        """The way on for a shard that is not what it should be."""
        if self.record.layout.foreign:
            return f"if it was changed on purpose, run `segtrain index {self.folder}` again"
        return (
            f"find out what is wrong with `segdata verify-masks {self.folder}`; remove the "
            "damaged shard and run its `segdata build-...` command again to make it anew"
        )

    def diagnosis(self) -> str:
        """What its checksum tells of a shard whose samples cannot be decoded, and the way on."""
        try:
            found = file_sha256(self.path)
        except OSError as error:
            return f"the shard cannot be read: {error}"
        expected = self.record.sha256
        if not expected:
            return self.advice()
        if found == expected:
            return (
                f"the shard is as it was built (sha256 {found}), so what it was built from is "
                f"damaged; {self.advice()}"
            )
        again = "copy it here again"
        if self.cache is not None:
            again = f"remove its copy {self.path}, so that it is fetched again"
        return (
            f"the shard is not as it was built: its sha256 is {found}, the manifest's {expected}; "
            f"{again}, or {self.advice()}"
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: If it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()
