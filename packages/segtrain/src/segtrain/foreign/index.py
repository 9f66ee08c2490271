"""Making a directory of foreign shards trainable: everything is read and checked, then written."""

import multiprocessing
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segtrain.errors import ShardsError, UsageError
from segtrain.folders import check_same_classes, read_file
from segtrain.foreign.classfile import ClassList, read_classes
from segtrain.foreign.division import Division, divide, find_tars, listed, refuse_compressed
from segtrain.foreign.record import Contents, manifest_hash, old_sums, write_contents
from segtrain.foreign.scan import Scanned, Task, first_layout, scan
from segtrain.manifests import IGNORE_INDEX, Manifest
from segtrain.members import Layout

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LONGEST_NAME = 60
OFFICIAL = ("voc", "coco", "sbd")
Splits = Mapping[str, Mapping[str, Scanned]]  # by split, then by the shard's name
Progress = Callable[[int, int], None]  # shards done, shards in all


@dataclass(frozen=True)
class IndexOptions:
    """What the user says of the shards.

    Attributes:
        directory: That holds the tars.
        classes: `voc` or a class file.
        name: Of the data set; None for that of the folder.
        splits: `train=PATTERN` and `val=PATTERN`; none lets names decide.
        image_ext: Extension of images; None finds it.
        mask_ext: Extension of masks; None finds it.
        ignore_index: One more value of masks that is ignored.
        pixels: Whether to decode masks, check their ids and count pixels.
        workers: Processes.
    """

    directory: Path
    classes: str
    name: str | None = None
    splits: tuple[str, ...] = ()
    image_ext: str | None = None
    mask_ext: str | None = None
    ignore_index: int | None = None
    pixels: bool = True
    workers: int = 1


@dataclass(frozen=True)
class Indexed:
    """What came of it.

    Attributes:
        manifest: Its path.
        contents: What the shards hold.
        changed: Whether the manifest is another one than before.
        notes: What a person should know.
    """

    manifest: Path
    contents: Contents
    changed: bool
    notes: tuple[str, ...]


def index(options: IndexOptions, progress: Progress) -> Indexed:
    """Index a directory of foreign shards.

    Nothing is written before all of them are read and found in order.

    Raises:
        UsageError: If options cannot be meant, or the class file cannot be read.
        ShardsError: If a shard is damaged, compressed, or holds what cannot be trained on.
        RunError: If the results cannot be written.
    """
    directory = options.directory
    classes = read_classes(options.classes)
    if options.ignore_index is not None:
        classes = classes.ignoring(options.ignore_index)
    dataset = dataset_name(options)
    refuse_compressed(directory)
    names = find_tars(directory)
    path = directory / f"{dataset}.json"
    before, old = old_sums(path), manifest_hash(path)
    names = unowned(directory, names, dataset, classes)
    division = divide(directory, names, options.splits)
    layout = find_layout(options, division, classes)
    found = scan_all(options, division, layout, len(classes.classes), progress)
    splits = {s: {n: found[n] for n in of_split} for s, of_split in division.splits.items()}
    again = list(refuse_repeated_keys(directory, splits))
    divided = "patterns" if options.splits else "names"
    contents = Contents(dataset, classes, layout.mask, splits, options.pixels, divided)
    refuse_unlabelled(contents, options)
    notes = [*division.notes, *again, *changes(before, found), *absent_classes(contents)]
    without = write_contents(directory, contents)
    if without:
        notes.append(
            f"no .idx for {listed(without)}: names in it hold blanks; the headers of such a shard "
            "are read at each start"
        )
    return Indexed(path, contents, manifest_hash(path) != old, tuple(notes))


def dataset_name(options: IndexOptions) -> str:
    """The data set's name: the one given, else the folder's made safe.

    Raises:
        UsageError: If the one given cannot be part of file names, or is an official data set's.
    """
    name = options.name
    if name is None:
        folder = re.sub("[^a-z0-9]+", "-", options.directory.resolve().name.lower()).strip("-")
        folder = folder[:LONGEST_NAME].strip("-") or "own"
        return f"own-{folder}" if folder.startswith(OFFICIAL) or folder == "info" else folder
    if name.startswith(OFFICIAL) or name == "info":
        raise UsageError(
            f"--name {name}: is kept for the official data sets, so that nobody mistakes one for "
            "the other; give another"
        )
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise UsageError(
            f"--name {name}: cannot be part of file names; use lower-case letters, digits and "
            f"single hyphens, at most {LONGEST_NAME}"
        )
    return name


def unowned(directory: Path, names: Sequence[str], dataset: str, classes: ClassList) -> list[str]:
    """The shards that belong to no other data set of the directory.

    Raises:
        ShardsError: If none is left, or the other data sets have other classes.
    """
    others = other_manifests(directory, dataset)
    owned = {s.name: m.dataset for m in others for split in m.splits.values()
             for s in split.shards}  # fmt: skip
    left = [name for name in names if name not in owned]
    if not left:
        raise ShardsError(
            f"{directory}: all its shards belong to {', '.join(sorted(set(owned.values())))} "
            "already; they need no index"
        )
    ours = Manifest(dataset, False, classes.classes, {}, {}, "")
    check_same_classes([(m, directory) for m in (*others, ours)])
    return left


def other_manifests(directory: Path, dataset: str) -> tuple[Manifest, ...]:
    """The manifests of the other data sets in a directory."""
    paths = [p for p in sorted(directory.glob("*.json"))
             if p.stem not in ("info", dataset) and not p.name.endswith(".stats.json")
             and not p.name.startswith(".")]  # fmt: skip
    found = [read_file(p) for p in paths]
    return tuple(m for m in found if m is not None)


def find_layout(options: IndexOptions, division: Division, classes: ClassList) -> Layout:
    """Which members are meant, by the first sample, and what the values of masks are.

    Raises:
        ShardsError: If the sample does not tell, or no shard holds one.
    """
    for of_split in division.splits.values():
        for name in of_split:
            path = options.directory / name
            layout = first_layout(path, options.image_ext, options.mask_ext)
            if layout is not None:
                return replace(layout, ids=classes.table())
    raise ShardsError(f"{options.directory}: no shard holds a sample; name another folder")


def scan_all(
    options: IndexOptions, division: Division, layout: Layout, classes: int, progress: Progress
) -> dict[str, Scanned]:
    """Scan all shards; by name, in order.

    Raises:
        ShardsError: For the first shard, in order, that cannot be used.
    """
    names = [name for of_split in division.splits.values() for name in of_split]
    tasks = [Task(options.directory / name, layout, classes, options.pixels) for name in names]
    found = {}
    progress(0, len(names))
    for name, scanned in zip(names, scanned_by(tasks, options.workers), strict=True):
        found[name] = scanned
        progress(len(found), len(names))
    return found


def scanned_by(tasks: Sequence[Task], workers: int) -> Iterator[Scanned]:
    """What the tasks give, in order; by processes where more than one is asked for."""
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from map(scan, tasks)
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=leave_signals)
    whole = False
    try:
        yield from pool.map(scan, tasks)
        whole = True
    except BrokenProcessPool as error:
        raise ShardsError(
            "a worker process was ended from outside; if memory ran out, use fewer --workers"
        ) from error
    finally:
        if not whole:  # those at work would finish their shard first
            for process in multiprocessing.active_children():
                process.terminate()
        pool.shutdown(wait=whole, cancel_futures=True)


def leave_signals() -> None:
    """Leave Ctrl-C to the main process, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def refuse_repeated_keys(directory: Path, splits: Splits) -> Iterator[str]:
    """Refuse one key twice in a split, and one image in train and val; tell of equal keys there.

    Raises:
        ShardsError: With the key and both shards.
    """
    for found in splits.values():
        for key, (first, second) in repeated(found, found):
            raise ShardsError(
                f"{directory / second}: {key} is in {first} too; keys must differ within a split: "
                "remove one of the shards, or name those to use with --split"
            )
    both = list(repeated(splits.get("train", {}), splits.get("val", {})))
    for key, (first, second) in both:
        if splits["train"][first].sums[key] == splits["val"][second].sums[key]:
            raise ShardsError(
                f"{directory / second}: {key} is in {first} too, with the same image; a validation "
                "on training images says nothing: remove one of the shards, or name those to use "
                "with --split"
            )
    if both:
        yield (
            f"{len(both):,} keys, {both[0][0]} first, are in train and val; their images differ, "
            "so it is taken that keys count anew in each split"
        )


def repeated(
    first: Mapping[str, Scanned], second: Mapping[str, Scanned]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Keys in two different shards, one of each side: the key and both names, in order."""
    owners: dict[str, str] = {}
    if first is not second:
        owners = {key: name for name, scanned in first.items() for key in scanned.samples}
    for name, scanned in second.items():
        for key in scanned.samples:
            if key in owners:
                yield key, (owners[key], name)
            elif first is second:
                owners[key] = name


def refuse_unlabelled(contents: Contents, options: IndexOptions) -> None:
    """Refuse train masks without a pixel of any class: nothing would be learnt.

    Raises:
        ShardsError: With the likely reason.
    """
    train = contents.splits.get("train")
    if train is None or not contents.pixels:
        return
    pixels = np.sum([s.pixels for s in train.values()], axis=0)  # (C + 1,)
    if pixels[1:-1].any():
        return
    binary = IGNORE_INDEX in contents.classes.ids[IGNORE_INDEX] and pixels[-1]
    hint = (
        "where 255 is a class and not to be ignored, give it ids = [255] in the class file"
        if binary
        else "do the class file's ids fit these masks?"
    )
    raise ShardsError(
        f"{options.directory}: the train masks hold nothing but background and ignore; {hint}"
    )


def changes(before: Mapping[str, str], found: Mapping[str, Scanned]) -> Iterator[str]:
    """What is otherwise than at the last index."""
    changed = [n for n, s in found.items() if n in before and before[n] != s.sha256]
    added = [n for n in found if before and n not in before]
    gone = [n for n in before if n not in found]
    for names, what in ((changed, "changed"), (added, "new"), (gone, "gone")):
        if names:
            yield f"{what} since the last index: {listed(names)}"


def absent_classes(contents: Contents) -> Iterator[str]:
    """Classes without a pixel in a split."""
    for split, found in contents.splits.items():
        images = np.sum([s.images for s in found.values()], axis=0)
        infos = zip(contents.classes.classes[1:], images[1:], strict=True)
        absent = [info.name for info, count in infos if not count]
        if contents.pixels and absent:
            yield f"{split} has no pixel of {listed(absent)}"
