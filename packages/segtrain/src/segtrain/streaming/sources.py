"""What is streamed: the tars of a run, by manifests or, without any, by their names."""

import hashlib
import os
import re
import shutil
import tarfile
import weakref
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from segtrain.batches import Batch
from segtrain.config import TrainConfig
from segtrain.errors import ShardsError, UsageError
from segtrain.folders import LocalFolder
from segtrain.foreign.classfile import ClassList, read_classes
from segtrain.foreign.division import COMPRESSED, TARS, by_names, find_tars
from segtrain.foreign.scan import first_sample
from segtrain.indexes import scan_tar
from segtrain.manifests import Manifest, ShardRecord, SplitRecord
from segtrain.members import Layout, MembersError, choose_layout
from segtrain.places import is_command
from segtrain.remote.cache import Cache
from segtrain.sampler import Draw
from segtrain.shardfile import Shard
from segtrain.shards import Shards, open_shards
from segtrain.streaming.batches import check_workers, part_size, streamed_batches
from segtrain.streaming.opening import is_stream, opened
from segtrain.streaming.pipeline import StreamDataset, Tar, mixed_seed
from segtrain.transforms import Augmentation

BRACES = re.compile(r"\{.*\}")


class Unpacked:
    """A temporary folder of unpacked shards; it goes when this does, at the latest at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        weakref.finalize(self, remove, folder, os.getpid())


def remove(folder: Path, owner: int) -> None:
    """Remove a folder, unless this process is a copy of the one that made it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class StreamOrder:
    """What is known of an order that nobody can tell beforehand.

    Attributes:
        seed: The run's seed.
        samples: Samples of an epoch; 0 where nobody has counted them.
    """

    seed: int
    samples: int

    def __len__(self) -> int:
        return self.samples

    def draw(self, position: int) -> Draw:
        """Not to be had: a stream has no places."""
        raise TypeError(f"a stream has no sample at {position}")

    def batch(self, k: int, size: int) -> list[Draw]:
        """Not to be had either."""
        return [self.draw(position) for position in range(k * size, (k + 1) * size)]

    def shards_at(self, position: int) -> tuple[list[int], list[int]]:  # noqa: ARG002
        """None in particular."""
        return [], []

    def epochs(self, position: int) -> dict[str, float]:  # noqa: ARG002
        """No mixture is streamed."""
        return {}


@dataclass(frozen=True)
class Streams:
    """The tars that a run trains on, and the shards that it validates on.

    Attributes:
        train: What is streamed.
        samples: Samples in it; None where no manifest tells.
        datasets: Names of their data sets.
        shards: Manifests, those of directories or made up here; their val shards lie on this
            machine, or where the manifests are.
        unpacked: A temporary folder that holds val shards, None where none had to be unpacked.
        notes: What a person should know.
    """

    train: tuple[Tar, ...]
    samples: int | None
    datasets: tuple[str, ...]
    shards: Shards
    unpacked: "Unpacked | None" = None
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What is streamed, and what that means for a run, in words."""
        many = "" if self.samples is None else f"{self.samples:,} "
        names = ", ".join(self.datasets)
        return [
            f"data: {many}train images of {names}, streamed from {len(self.train):,} shards",
            "reader webdataset: the order depends on --workers, and a resumed run begins a new one",
            *self.notes,
        ]

    def batches(
        self,
        config: TrainConfig,
        augmentation: Augmentation,
        first: int,
        count: int,
        *,
        workers: int = 0,
        pin: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> Generator[Batch, None, None]:
        """Batches of a run from its step `first` on, where a new order begins.

        Args:
            config: The run's configuration.
            augmentation: How samples are cut.
            first: Steps that were taken before.
            count: How many batches.
            workers: Worker processes; more than there are shards would have nothing to read.
            pin: Whether to put batches into pinned memory.
            rank: Whose part of the batches, and of the tars, to take.
            world: Ranks.

        Raises:
            UsageError: If there are fewer tars than ranks.
        """
        check_workers(len(self.train), 0, world)
        dataset = StreamDataset(
            tars=self.train,
            classes=len(self.shards.classes),
            augmentation=augmentation,
            size=part_size(config.batch, rank, world),
            seed=mixed_seed(config.seed, first),
            buffer=config.buffer,
            rank=rank,
            world=world,
        )
        known = self.samples if world == 1 else None  # of the tars of one rank nobody knows it
        most = len(self.train) // world
        return streamed_batches(dataset, count, min(workers, most), pin=pin, samples=known)


def open_streams(config: TrainConfig, cache: Cache) -> Streams:
    """Find everything that is streamed.

    Raises:
        ShardsError: If there is nothing to train on, or a tar cannot be opened.
        UsageError: If classes are named twice or not at all.
    """
    if config.classes is not None:
        return unindexed_streams(config.shards, read_classes(config.classes))
    for place in config.shards:
        if is_pattern(place):
            raise UsageError(
                f"--shards {place}: names tars and no directory with a manifest; say what the ids "
                "in their masks mean with --classes FILE"
            )
    return indexed_streams(open_shards(config.shards, cache))


def indexed_streams(shards: Shards) -> Streams:
    """The train shards that manifests list.

    Raises:
        ShardsError: If they list none.
    """
    parts = [(m, f, m.splits["train"]) for m, f in shards.found if "train" in m.splits]
    parts = [(m, f, split) for m, f, split in parts if split.samples]
    if not parts:
        raise ShardsError(f"{shards.where}: no data set has a train split with samples")
    tars = tuple(Tar(f"{f}/{s.name}", s.layout) for _, f, split in parts for s in split.shards)
    names = tuple(m.dataset for m, _, _ in parts)
    return Streams(tars, sum(split.samples for _, _, split in parts), names, shards)


def is_pattern(place: str) -> bool:
    """Whether a place names tars themselves: a command, or a name that ends like a tar's."""
    return is_command(place) or place.lower().endswith((*TARS, *COMPRESSED))


def unindexed_streams(places: Sequence[str], classes: ClassList) -> Streams:
    """The tars of directories without manifests, or that patterns name.

    Raises:
        ShardsError: If there is none to train on, or one cannot be opened.
        UsageError: If a directory has a manifest.
    """
    urls: dict[str, list[str]] = {"train": [], "val": []}
    notes: list[str] = []
    for place in places:
        division = by_names(place, place_tars(place), partial(told_part, place))
        for split, names in division.splits.items():
            urls[split] += names
        notes += [note for note in division.notes if "--split" not in note]
    if not urls["train"]:
        raise ShardsError(f"{', '.join(places)}: no tar's name says that it is for training")
    layout = first_layout(urls["train"], classes)
    name = dataset_name(places)
    tars = tuple(Tar(url, layout) for url in urls["train"])
    val, folder, unpacked = local_shards(urls["val"], layout)
    manifest = made_up(name, classes, tars, val)
    shards = Shards(((manifest, LocalFolder(folder)),))
    return Streams(tars, None, (name,), shards, unpacked, tuple(notes))


def told_part(place: str, url: str) -> str:
    """What of a tar's name may tell its split: below a directory all, of others the last folder."""
    below = url.removeprefix(f"{Path(place).as_posix()}/")
    return below if below != url else "/".join(url.split("/")[-2:])


def place_tars(place: str) -> list[str]:
    """The tars of one place: those in a directory, or those that a pattern of braces names.

    Raises:
        ShardsError: If a directory is missing or holds none.
        UsageError: If it has a manifest, or is a URL of no tar.
    """
    if is_pattern(place):
        from webdataset.shardlists import expand_urls

        return list(expand_urls(place)) if BRACES.search(place) else [place]
    if is_stream(place):
        raise UsageError(
            f"--shards {place}: with --classes the tars themselves are named, as in "
            f"{place}/train-{{000..009}}.tar; a directory at a URL needs a manifest"
        )
    directory = Path(place)
    names = find_tars(directory, (*TARS, *COMPRESSED))
    if found := local_manifests(directory):
        raise UsageError(
            f"--classes: {directory / found[0].dataset}.json says already what ids mean; leave it "
            "out"
        )
    return [(directory / name).as_posix() for name in names]


def local_manifests(directory: Path) -> list[Manifest]:
    """The manifests in a directory, none where it has none."""
    try:
        return LocalFolder(directory).manifests()
    except ShardsError:
        return []


def first_layout(urls: Sequence[str], classes: ClassList) -> Layout:
    """Which members are meant, by the first sample of the first tar that holds one.

    Raises:
        ShardsError: If a tar cannot be read, the sample does not tell, or there is none.
    """
    for url in urls:
        with opened(url) as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            found = first_sample(tar)
        if found is None:
            continue
        try:
            return replace(choose_layout(found[1], None, None), ids=classes.table())
        except MembersError as error:
            raise ShardsError(
                f"{url}: {found[0]} has the members {', '.join(found[1])}: {error} of "
                "`segtrain index`"
            ) from error
    raise ShardsError(f"{urls[0]}: no tar holds a sample; name others with --shards")


def dataset_name(places: Sequence[str]) -> str:
    """A name for tars without a manifest: that of the first directory, made safe."""
    first = places[0]
    if is_pattern(first):
        first = first.rpartition("/")[0]
    words = re.sub("[^a-z0-9]+", "-", Path(first).resolve().name.lower()).strip("-")
    return words if words and not is_stream(first) else "streamed"


def local_shards(
    urls: Sequence[str], layout: Layout
) -> tuple[list[ShardRecord], Path, "Unpacked | None"]:
    """Val shards as plain tars on this machine: where they are, or unpacked once.

    Returns:
        Their records, the folder that the names in them count from, and the temporary folder.

    Raises:
        ShardsError: If one cannot be read.
    """
    plain = not any(is_stream(url) or url.lower().endswith(COMPRESSED) for url in urls)
    if plain:
        paths = [Path(url).resolve() for url in urls]
        root = Path(paths[0].anchor) if paths else Path()
        return [local_record(p, root, layout) for p in paths], root, None
    unpacked = Unpacked(Path(mkdtemp(prefix="segtrain-val-")))
    root = unpacked.folder
    paths = [root / f"{number:06d}.tar" for number in range(len(urls))]
    for url, path in zip(urls, paths, strict=True):
        unpack(url, path)
    return [local_record(p, root, layout) for p in paths], root, unpacked


def unpack(url: str, path: Path) -> None:
    """Copy the files of a stream of any compression into a plain tar.

    Raises:
        ShardsError: If it cannot be read to its end, or the copy not be written.
    """
    with (
        opened(url) as stream,
        tarfile.open(fileobj=stream, mode="r|*") as source,
        tarfile.open(path, "w") as target,
    ):
        for info in source:
            if info.isreg():
                target.addfile(info, source.extractfile(info))


def local_record(path: Path, root: Path, layout: Layout) -> ShardRecord:
    """What a manifest would say of a plain tar.

    Raises:
        ShardsError: If it cannot be read.
    """
    name = path.relative_to(root).as_posix()
    record = ShardRecord(name, 0, path.stat().st_size, layout=layout)
    return replace(record, samples=len(scan_tar(Shard("", record, path)).keys))


def made_up(
    name: str, classes: ClassList, tars: Sequence[Tar], val: Sequence[ShardRecord]
) -> Manifest:
    """A manifest for tars that have none; its hash changes with their names and the classes."""
    count = len(classes.classes)
    train = tuple(ShardRecord(tar.url, 0, 0, layout=tar.layout) for tar in tars)
    facts = repr((sorted(tar.url for tar in tars), classes, tars[0].layout))
    splits = {
        "train": SplitRecord("train", 0, 0, (0,) * (count + 1), train, resized=False),
        "val": SplitRecord(
            "val", sum(r.samples for r in val), sum(r.samples for r in val), (0,) * (count + 1),
            tuple(val), resized=False,
        ),
    }  # fmt: skip
    return Manifest(
        dataset=name,
        synthetic=False,
        classes=classes.classes,
        splits={s: record for s, record in splits.items() if record.shards},
        views={},
        sha256=hashlib.sha256(facts.encode()).hexdigest(),
    )
