"""Where samples lie in a shard: its `.idx`, or one scan of the tar's own headers."""

import itertools
import tarfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.errors import ShardsError
from segtrain.members import MembersError, chosen_members, split_name
from segtrain.shardfile import Shard

AT_ONCE = 8  # indices that are fetched at the same time
MEMBERS = ("jpg", "json", "seg.png")


class ShardIndex(NamedTuple):
    """Where the samples of one shard lie.

    Attributes:
        keys: The N keys, in order.
        spans: int64 `(N, 4)`: offset and size in bytes of the image, then of the mask.
        facts: int64 `(N, 2)`: offset and size of `KEY.json`; 0 where there is none.
    """

    keys: list[str]
    spans: NDArray[np.int64]
    facts: NDArray[np.int64]


def shard_index(members: Iterable[tuple[str, str, int, int]], shard: Shard) -> ShardIndex:
    """Group `(key, ext, offset, size)` members into samples.

    Raises:
        ShardsError: If the members of a sample are not those of the layout; of our own shards:
            `jpg`, `json`, `seg.png`, in this order.
    """
    layout = shard.record.layout
    keys, spans, facts = [], [], []
    for key, group in itertools.groupby(members, key=lambda member: member[0]):
        places = {ext: (offset, size) for _, ext, offset, size in group}
        found = tuple(places)
        if not layout.foreign and found != MEMBERS:
            raise ShardsError(
                f"{shard}: sample {key} has the members {', '.join(found)}; "
                f"expected {', '.join(MEMBERS)}; {shard.advice()}"
            )
        try:
            image, mask = chosen_members(places, layout)
        except MembersError as error:
            raise ShardsError(
                f"{shard}: {key} has the members {', '.join(found)}: {error}; {shard.advice()}"
            ) from error
        keys.append(key)
        spans.append((*image, *mask))
        facts.append(places.get("json", (0, 0)) if not layout.foreign else (0, 0))
    return ShardIndex(keys, integers(spans, 4), integers(facts, 2))


def integers(rows: Sequence[tuple[int, ...]], columns: int) -> NDArray[np.int64]:
    """Rows as int64 `(N, columns)`, also where there are none."""
    return np.array(rows, np.int64).reshape(len(rows), columns)


def read_idx(text: str, shard: Shard) -> ShardIndex:
    """Read a shard's `.idx`.

    Raises:
        ShardsError: If it does not follow the format.
    """
    delete = "delete it and the shard's own headers are read instead"
    try:
        first, *lines = text.splitlines()
        version, count = first.split()
        samples = int(count)
        members = []
        for line in lines:
            words = line.split(" ")
            for ext, offset, size, name in zip(*[iter(words)] * 4, strict=True):
                key = name.removeprefix("./").removesuffix(f".{ext}")
                members.append((key, ext, int(offset), int(size)))
    except ValueError as error:
        raise ShardsError(f"{shard.idx}: not a usable index ({error}); {delete}") from error
    index = shard_index(members, shard)
    if version != "v1.2" or samples != len(index.keys):
        raise ShardsError(
            f"{shard.idx}: its first line is {first!r}, expected 'v1.2 {len(index.keys)}', the "
            f"number of its lines; {delete}"
        )
    return index


def scan_tar(shard: Shard) -> ShardIndex:
    """Make a shard's index from one scan of its headers.

    Raises:
        ShardsError: If the tar is damaged.
    """
    try:
        with tarfile.open(shard.path, "r:") as tar:
            members = [
                (*split, member.offset_data, member.size)
                for member in tar
                if member.isreg() and (split := split_name(member.name))
            ]
    except (OSError, tarfile.TarError) as error:
        raise ShardsError(f"{shard}: not a readable tar ({error}); {shard.advice()}") from error
    return shard_index(members, shard)


def index_shard(shard: Shard) -> ShardIndex:
    """The index of one shard, checked against the manifest and the file itself.

    Raises:
        ShardsError: If the shard is missing, or shorter or longer than manifest or index say.
    """
    record = shard.record
    text = shard.idx_text()
    index = scan_tar(shard) if text is None else read_idx(text, shard)
    if len(index.keys) != record.samples:
        raise ShardsError(
            f"{shard}: holds {len(index.keys):,} samples, the manifest says {record.samples:,}; "
            f"{shard.advice()}"
        )
    if int(index.spans.min(initial=0)) < 0 or int(index.facts.min(initial=0)) < 0:
        raise ShardsError(f"{shard.idx}: holds a negative number; delete it")
    end = int((index.spans[:, ::2] + index.spans[:, 1::2]).max(initial=0))
    if end > record.bytes:
        raise ShardsError(
            f"{shard}: has {record.bytes:,} bytes, but {shard.idx.rpartition('/')[2]} places a "
            f"member up to byte {end:,}; {shard.advice()}"
        )
    if text is not None:
        shard.keep_idx(text)
    return index


def index_shards(shards: Sequence[Shard]) -> list[ShardIndex]:
    """The indices of shards, in order; those at URLs are fetched several at a time.

    Raises:
        ShardsError: If one of them is missing or damaged.
    """
    if all(shard.cache is None for shard in shards):
        return [index_shard(shard) for shard in shards]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(index_shard, shards))
