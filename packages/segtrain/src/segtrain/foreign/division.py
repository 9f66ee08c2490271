"""Which split each shard of a directory belongs to: by patterns, else by names."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from segtrain.errors import ShardsError, UsageError

SPLITS = ("train", "val")
WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
TARS = (".tar",)
COMPRESSED = (
    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4",
)  # fmt: skip
NAMED = 3  # shards that a message names


@dataclass(frozen=True)
class Division:
    """The shards of each split, and how that was decided.

    Attributes:
        splits: Names of shards from the directory on, by `train` and `val`; none is empty.
        notes: What a person should know.
    """

    splits: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def find_tars(directory: Path, kinds: Sequence[str] = TARS) -> list[str]:
    """The tars of a directory and of the folders in it, from the directory on, sorted.

    Raises:
        ShardsError: If the directory is missing, or holds none.
    """
    if not directory.is_dir():
        kind = "is a file" if directory.exists() else "does not exist"
        raise ShardsError(f"{directory}: {kind}; name the folder that holds the tars")
    names = sorted(
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.name.lower().endswith(tuple(kinds)) and path.is_file()
    )
    names = [n for n in names if not any(part.startswith(".") for part in n.split("/"))]
    if not names:
        raise ShardsError(f"{directory}: holds no {' or '.join(kinds)} files; name their folder")
    return names


def refuse_compressed(directory: Path) -> None:
    """Refuse a directory that holds compressed tars: nothing can be read from their middle.

    Raises:
        ShardsError: With the first of them, and both ways on.
    """
    if not directory.is_dir():
        return
    found = sorted(p for p in directory.rglob("*") if p.name.lower().endswith(COMPRESSED))
    if found:
        more = f", and {len(found) - 1} more" * (len(found) > 1)
        raise ShardsError(
            f"{found[0]}: is compressed{more}, so nothing in it can be read without all before it; "
            "unpack it (`gunzip`; images and masks hardly shrink), or train with `segtrain run "
            "--reader webdataset`, which needs no index"
        )


def parse_patterns(given: Sequence[str]) -> dict[str, list[str]]:
    """The patterns of `--split train=PATTERN`, by split.

    Raises:
        UsageError: If one is of another form.
    """
    patterns: dict[str, list[str]] = {}
    for text in given:
        split, equals, pattern = text.partition("=")
        if not equals or split not in SPLITS or not pattern:
            raise UsageError(
                f"--split {text}: is not of the form train=PATTERN or val=PATTERN; for example "
                "--split 'train=shard-00*.tar' --split 'val=shard-01*.tar'"
            )
        patterns.setdefault(split, []).append(pattern)
    return patterns


def divide(directory: Path, names: Sequence[str], given: Sequence[str]) -> Division:
    """Which split each shard belongs to.

    Args:
        directory: For messages.
        names: Of the shards, from the directory on.
        given: `--split` options; where there are none, the names decide.

    Raises:
        UsageError: If a pattern fits nothing, or two splits' patterns fit one shard.
        ShardsError: If names tell the split of some shards only, or two splits.
    """
    patterns = parse_patterns(given)
    return by_patterns(directory, names, patterns) if patterns else by_names(directory, names)


def by_patterns(
    directory: Path, names: Sequence[str], patterns: Mapping[str, Sequence[str]]
) -> Division:
    """Patterns decide; what none fits is left out."""
    splits: dict[str, list[str]] = {}
    for split, of_split in patterns.items():
        for pattern in of_split:
            fitting = [n for n in names if fits(n, pattern)]
            if not fitting:
                raise UsageError(
                    f"--split {split}={pattern}: fits no shard of {directory}; there are "
                    f"{listed(names)}"
                )
            splits.setdefault(split, []).extend(n for n in fitting if n not in splits[split])
    both = [n for n in names if sum(n in taken for taken in splits.values()) > 1]
    if both:
        raise UsageError(f"--split: {both[0]} fits train and val; a shard belongs to one of them")
    taken = {n for of_split in splits.values() for n in of_split}
    left = [n for n in names if n not in taken]
    note = f"{len(left)} shards fit no --split and are left out: {listed(left)}"
    ordered = {s: tuple(sorted(splits[s])) for s in SPLITS if s in splits}
    return Division(ordered, (note,) if left else ())


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern fits a shard's path below the directory, or its file name alone."""
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern)


def by_names(
    directory: Path | str, names: Sequence[str], part: Callable[[str], str] = str
) -> Division:
    """Words in names decide; where no name has one, everything is train.

    Args:
        directory: For messages.
        names: Of the shards.
        part: What of a name is looked at.

    Raises:
        ShardsError: If names tell the split of some shards only, or two splits.
    """
    told = {name: {WORDS[w] for w in re.findall("[a-z]+", part(name).lower()) if w in WORDS}
            for name in names}  # fmt: skip
    if not any(told.values()):
        note = (
            "no shard's name says train or val, so all are train; name those to validate on with "
            "--split train=PATTERN --split val=PATTERN"
        )
        return Division({"train": tuple(names)}, (note,))
    unclear = [name for name, splits in told.items() if len(splits) != 1]
    if unclear:
        raise ShardsError(
            f"{directory}: the names of some shards say train or val, that of {listed(unclear)} "
            "says neither or both; say which are which with --split train=PATTERN --split "
            "val=PATTERN"
        )
    splits = {s: tuple(n for n in names if told[n] == {s}) for s in (*SPLITS, "test")}
    passed = splits.pop("test")
    note = f"{len(passed)} shards are named test and left out: {listed(passed)}"
    return Division({s: of_split for s, of_split in splits.items() if of_split},
                    (note,) if passed else ())  # fmt: skip


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
