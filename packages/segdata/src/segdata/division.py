"""The division of a folder's pairs into train and val.

Sub-folders `train` and `val` say it where there are any; else a list, a seeded share, or a plain
word.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segdata.errors import SourceError, UsageError
from segdata.holdouts import hold_out
from segdata.pairs import PICTURES, SPLIT_FOLDERS, Pairing

VAL_SHARE = 0.1  # held out where nothing says what val is
SHOWN = 5  # names that a message lists

Splits = Literal["both", "train", "val"]


@dataclass(frozen=True)
class SplitRule:
    """Which split an image belongs to, where sub-folders `train` and `val` do not say it.

    Attributes:
        only: the split to make: all images belong to it, or those of its sub-folder.
        val_list: file of the ids of val.
        val_share: of the images, held out for val by the seed.
        group: regular expression; its first group names what is not to be separated.
        seed: of the hold-out.
    """

    only: Splits = "both"
    val_list: Path | None = None
    val_share: float | None = None
    group: str = ""
    seed: int = 0


class Division:
    """Which pair belongs to which split, and by what.

    Attributes:
        splits: names of the splits to make.
        record: how it was decided, as the manifest has it.
        notes: what a person should know.
    """

    def __init__(self, pairing: Pairing, rule: SplitRule) -> None:
        self.pairing = pairing
        self.rule = rule
        self.notes: list[str] = []
        ids = [pair.id for pair in pairing.pairs]
        told = rule.val_list is not None or rule.val_share is not None
        folders = [_split_folder(source_id) for source_id in ids]
        self._refuse_contradictions(told)
        self.by_folder = all(folders)
        if any(folders) and not self.by_folder and not told and rule.only == "both":
            outside = ids[folders.index("")]
            raise SourceError(
                "some images lie in train/ or val/ and some do not",
                expected="all of them, or none",
                found=f"{outside} and {len(folders) - folders.count('')} in such folders",
                advice="say which split they belong to with --val-list, --val-share or --split",
            )
        self.record: dict[str, object] = {"split": "folders", "val_share": 0.0, "group": ""}
        self.val: frozenset[str] = frozenset()
        if self.by_folder:
            self._by_folder(told)
        else:
            self._by_rule(ids)

    def _refuse_contradictions(self, told: bool) -> None:
        rule = self.rule
        if rule.val_list is not None and rule.val_share is not None:
            raise UsageError("--val-list and --val-share both say what val is", advice="take one")
        if told and rule.only != "both":
            raise UsageError(
                "--split and a list or share of val contradict each other",
                found=f"--split {rule.only}",
                advice="leave one of them away",
            )
        if rule.group and (rule.val_list is not None or rule.only != "both"):
            raise UsageError("--group belongs to --val-share", advice="leave it away")

    def _by_folder(self, told: bool) -> None:
        if told or self.rule.group:
            raise UsageError(
                "the folders train/ and val/ say already which split an image belongs to",
                advice="leave --val-list, --val-share and --group away, or divide one folder: "
                "name IMAGES/train and MASKS/train",
            )
        found = {_split_folder(pair.id) for pair in self.pairing.pairs}
        wanted = ("train", "val") if self.rule.only == "both" else (self.rule.only,)
        self.splits = [split for split in wanted if split in found]
        if not self.splits:
            raise SourceError(
                f"no image lies in a folder {' or '.join(wanted)}/",
                found=f"all of them in {' or '.join(sorted(found))}/",
                advice="name the folder that holds them, or choose another --split",
            )
        if "test" in found:
            count = sum(_split_folder(pair.id) == "test" for pair in self.pairing.pairs)
            self.notes.append(f"{count:,} images in test/ are passed over")
        alone = [*self.pairing.without_mask, *self.pairing.without_image]
        if outside := [source_id for source_id in alone if not _split_folder(source_id)]:
            count = len(outside)
            self.notes.append(f"{count:,} unpaired files outside train/ and val/ are passed over")

    def _by_rule(self, ids: Sequence[str]) -> None:
        rule = self.rule
        if rule.only != "both":
            self.splits = [rule.only]
            self.val = frozenset(ids if rule.only == "val" else ())
            self.record["split"] = "given"
            return
        self.splits = ["train", "val"]
        if rule.val_list is not None:
            self.val = _listed(rule.val_list, ids, self.pairing.image_suffix)
            self.record["split"] = "list"
        else:
            share = VAL_SHARE if rule.val_share is None else rule.val_share
            self.val = hold_out(_groups(ids, rule.group), share, rule.seed)
            self.record |= {"split": "share", "val_share": share, "group": rule.group}
            if rule.val_share is None:
                self.notes.append(
                    f"no folders train/ and val/: {len(self.val):,} of {len(ids):,} images are "
                    f"held out as val (--val-share {VAL_SHARE}, --seed {rule.seed}); --val-list, "
                    "--val-share or --split say otherwise"
                )
        for split, count in (("val", len(self.val)), ("train", len(ids) - len(self.val))):
            if not count:
                raise SourceError(
                    f"no image is left for {split}",
                    found=f"{len(ids):,} images in all" + (", in groups" if rule.group else ""),
                    advice="--val-share, --val-list and --group decide; or build one split alone "
                    "with --split",
                )

    def split_of(self, source_id: str) -> str:
        """The split that an image or a mask without partner belongs to; "" for none."""
        if self.by_folder:
            return _split_folder(source_id)
        return "val" if source_id in self.val or self.splits == ["val"] else "train"


def _split_folder(source_id: str) -> str:
    """`train`, `val` or `test` where the id's first folder says so, else ""."""
    first, slash, _ = source_id.partition("/")
    return SPLIT_FOLDERS.get(first.lower(), "") if slash else ""


def _groups(ids: Sequence[str], expression: str) -> Mapping[str, str]:
    """The group of each id: the first group of the expression, or the id itself without one."""
    if not expression:
        return {source_id: source_id for source_id in ids}
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UsageError(
            "--group is no regular expression", found=f"{expression}: {error}"
        ) from error
    if not pattern.groups:
        raise UsageError(
            "--group has no group in parentheses", expected="such as '^([^/]+)/'", found=expression
        )
    found = {}
    for source_id in ids:
        match = pattern.search(source_id)
        if match is None or match[1] is None:
            raise UsageError(
                "--group does not match an image",
                expected=expression,
                found=source_id,
                advice="widen the expression: each image needs a group",
            )
        found[source_id] = match[1]
    return found


def _listed(path: Path, ids: Sequence[str], suffix: str) -> frozenset[str]:
    """The ids that a list of val names: by id or file name, without folders where that is enough.

    Args:
        path: of the list.
        ids: those of all pairs.
        suffix: of the images' names.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or error
        raise UsageError(
            "the list of val cannot be read",
            where=path,
            expected="a text file of ids, one a line",
            found=found,
        ) from error
    known = set(ids)
    by_stem: dict[str, list[str]] = {}
    for source_id in ids:
        by_stem.setdefault(source_id.rpartition("/")[2], []).append(source_id)
    chosen, unknown = set(), []
    for line in filter(None, lines):
        stem = line[: -len(Path(line).suffix)] if Path(line).suffix.lower() in PICTURES else line
        name = stem.removesuffix(suffix)
        matches = [name] if name in known else by_stem.get(name, [])
        if len(matches) > 1:
            raise SourceError(
                "the list of val names several images at once",
                where=path,
                found=f"{line}: {', '.join(matches[:SHOWN])}",
                advice="list their paths below IMAGES",
            )
        chosen.update(matches)
        unknown += [] if matches else [line]
    if unknown or not chosen:
        raise SourceError(
            "the list of val names images that are not there"
            if unknown
            else "the list of val is empty",
            where=path,
            expected=f"ids such as {ids[0]}, one a line",
            found=f"{len(unknown):,}: {', '.join(unknown[:SHOWN])}" if unknown else "none",
            advice="write them as the paths below IMAGES are, without or with the kind of file",
        )
    return frozenset(chosen)
