"""Where samples lie in a shard: its `.idx`, or one scan of the tar's own headers."""

import itertools
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.errors import ShardsError
from segtrain.manifests import ShardRecord
from segtrain.members import OWN, Layout, MembersError, chosen_members, split_name

MEMBERS = ("jpg", "json", "seg.png")


class ShardIndex(NamedTuple):
    """Where the samples of one shard lie.

    Attributes:
        keys: The N keys, in order.
        spans: int64 `(N, 4)`: offset and size in bytes of the image, then of the mask.
    """

    keys: list[str]
    spans: NDArray[np.int64]


def advise(path: Path, layout: Layout = OWN) -> str:
    """The way on for a shard that is not what it should be."""
    if layout.foreign:
        return f"if it was changed on purpose, run `segtrain index {path.parent}` again"
    return (
        f"find out what is wrong with `segdata verify-masks {path.parent}`; remove the damaged "
        "shard and run its `segdata build-...` command again to make it anew"
    )


def shard_index(
    members: Iterable[tuple[str, str, int, int]], path: Path, layout: Layout = OWN
) -> ShardIndex:
    """Group `(key, ext, offset, size)` members into samples.

    Raises:
        ShardsError: If the members of a sample are not those of the layout; of our own shards:
            `jpg`, `json`, `seg.png`, in this order.
    """
    keys, spans = [], []
    for key, group in itertools.groupby(members, key=lambda member: member[0]):
        places = {ext: (offset, size) for _, ext, offset, size in group}
        found = tuple(places)
        if not layout.foreign and found != MEMBERS:
            raise ShardsError(
                f"{path}: sample {key} has the members {', '.join(found)}; "
                f"expected {', '.join(MEMBERS)}; {advise(path)}"
            )
        try:
            image, mask = chosen_members(places, layout)
        except MembersError as error:
            raise ShardsError(
                f"{path}: {key} has the members {', '.join(found)}: {error}; {advise(path, layout)}"
            ) from error
        keys.append(key)
        spans.append((*image, *mask))
    return ShardIndex(keys, np.array(spans, np.int64).reshape(len(spans), 4))


def read_idx(path: Path, layout: Layout = OWN) -> ShardIndex:
    """Read a shard's `.idx`.

    Raises:
        ShardsError: If it does not follow the format.
    """
    try:
        first, *lines = path.read_text("utf-8").splitlines()
        version, count = first.split()
        samples = int(count)
        members = []
        for line in lines:
            words = line.split(" ")
            for ext, offset, size, name in zip(*[iter(words)] * 4, strict=True):
                key = name.removeprefix("./").removesuffix(f".{ext}")
                members.append((key, ext, int(offset), int(size)))
    except (OSError, ValueError) as error:
        raise ShardsError(
            f"{path}: not a usable index ({error}); delete it and the shard's own headers are "
            "read instead"
        ) from error
    index = shard_index(members, path, layout)
    if version != "v1.2" or samples != len(index.keys):
        raise ShardsError(
            f"{path}: its first line is {first!r}, expected 'v1.2 {len(index.keys)}', the number "
            "of its lines; delete it and the shard's own headers are read instead"
        )
    return index


def scan_tar(path: Path, layout: Layout = OWN) -> ShardIndex:
    """Make a shard's index from one scan of its headers.

    Raises:
        ShardsError: If the tar is damaged.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            members = [
                (*split, member.offset_data, member.size)
                for member in tar
                if member.isreg() and (split := split_name(member.name))
            ]
    except (OSError, tarfile.TarError) as error:
        raise ShardsError(
            f"{path}: not a readable tar ({error}); {advise(path, layout)}"
        ) from error
    return shard_index(members, path, layout)


def index_shard(path: Path, record: ShardRecord) -> ShardIndex:
    """The index of one shard, checked against the manifest and the file itself.

    Raises:
        ShardsError: If the shard is missing, or shorter or longer than manifest or index say.
    """
    if not path.is_file():
        raise ShardsError(
            f"{path}: the manifest lists this shard, but it is not there; copy it here, or run "
            "the command that made the manifest again (`segdata build-...` or `segtrain index`)"
        )
    size = path.stat().st_size
    idx, layout = path.with_suffix(".idx"), record.layout
    if size != record.bytes:
        raise ShardsError(
            f"{path}: has {size:,} bytes, the manifest says {record.bytes:,}; "
            f"{advise(path, layout)}"
        )
    index = read_idx(idx, layout) if idx.exists() else scan_tar(path, layout)
    if len(index.keys) != record.samples:
        raise ShardsError(
            f"{path}: holds {len(index.keys):,} samples, the manifest says {record.samples:,}; "
            f"{advise(path, layout)}"
        )
    end = int((index.spans[:, 2:].sum(axis=1)).max(initial=0))
    if end > size:
        raise ShardsError(
            f"{path}: has {size:,} bytes, but {idx.name} places a member up to byte {end:,}; "
            f"{advise(path, layout)}"
        )
    return index
