"""Protocols: which images of VOC 2012 and SBD make up train and val, and whose mask each has.

`voc` is VOC alone. `trainaug` is the field's: VOC's train, and every image of SBD that VOC lists
for neither train nor val; judged on VOC's val. `fcn2016` is that of the FCN papers: SBD's train
with SBD's masks; judged on seg11valid, VOC 2011's val less SBD's train, with VOC's masks. SBD's
train holds images of VOC's val, so the two cannot share a train split.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from segdata.classes import ClassSet
from segdata.errors import SourceError, UsageError
from segdata.samples import Source, Split, View, gather
from segdata.sbd import SbdTree, find_sbd, open_sbd
from segdata.voc import (
    SEG11VALID,
    VocTree,
    keys_of,
    notes,
    open_tree,
    open_voc,
    own_views,
    seg11valid,
)

Protocol = Literal["trainaug", "fcn2016"]
OFFICIAL: Mapping[Protocol, Mapping[str, int]] = {
    "trainaug": {"train": 10_582, "val": 1_449},
    "fcn2016": {"train": 8_498, "val": SEG11VALID},
}
SBD_EXTRA = 9_118  # images of SBD that VOC lists for neither train nor val: 6,820 + 2,298


@dataclass(frozen=True)
class Lists:
    """The ids that the two data sets list, and those of seg11valid."""

    voc_train: Sequence[str]
    voc_val: Sequence[str]
    sbd_train: Sequence[str]
    sbd_val: Sequence[str]
    seg11valid: Sequence[str]


@dataclass(frozen=True)
class Division:
    """Ids by the physical split that they make up and by the source whose mask they have.

    Attributes:
        from_voc: of train, with VOC's masks.
        from_sbd: of train, with SBD's.
        val: with VOC's.
    """

    from_voc: Sequence[str]
    from_sbd: Sequence[str]
    val: Sequence[str]


def open_protocol(
    data: Path,
    sbd: Path | None,
    protocol: Protocol | None,
    classes: ClassSet,
    splits: Sequence[str],
    year: int = 2012,
) -> Source:
    """VOC, alone or with SBD.

    Args:
        data: where VOC lies.
        sbd: SBD's archive or folder; None for VOC alone.
        protocol: what SBD adds, `trainaug` if not given.
        classes: the chosen classes.
        splits: of `train` and `val`.
        year: of VOC; SBD goes with 2012 alone.

    Raises:
        UsageError: a protocol without SBD, or SBD with another year than 2012.
        SourceError: a source is missing, not whole, or not fit for the protocol.
    """
    if sbd is None:
        if protocol:
            raise UsageError(
                f"the protocol {protocol} needs SBD",
                advice="name benchmark.tgz, or the folder that it unpacks to, with --sbd",
            )
        source = open_voc(data, year, classes, splits)
        return _with_hint(source, data) if year == 2012 else source
    if year != 2012:
        raise UsageError(
            "SBD labels images of VOC 2012",
            expected="--year 2012",
            found=f"--year {year}",
            advice="build VOC 2012 with SBD first, then VOC 2007 without --sbd",
        )
    return combine(open_tree(data, 2012), open_sbd(sbd), protocol or "trainaug", classes, splits)


def _with_hint(source: Source, data: Path) -> Source:
    """SBD is never taken unasked; where it lies at hand, a note says how to ask."""
    found = find_sbd(data)
    if found is None:
        return source
    note = f"{found} is left aside; --sbd {found} adds SBD's images to train (trainaug)"
    return replace(source, notes=[*source.notes, note])


def combine(
    voc: VocTree, sbd: SbdTree, protocol: Protocol, classes: ClassSet, splits: Sequence[str]
) -> Source:
    """VOC 2012 and SBD as a protocol puts them together.

    Raises:
        SourceError: one is generated and the other is not, or they do not fit the protocol.
    """
    if voc.synthetic != sbd.synthetic:
        generated, real = (voc, sbd) if voc.synthetic else (sbd, voc)
        raise SourceError(
            "generated and real data do not mix",
            where=f"{voc.archive.path} and {sbd.archive.path}",
            found=f"{generated.archive.name} is generated, {real.archive.name} is not",
            advice="name two of one kind with --data and --sbd",
        )
    lists = Lists(voc.train, voc.val, sbd.train, sbd.val, seg11valid())
    division = DIVIDE[protocol](lists)
    if protocol == "fcn2016" and "val" in splits and not division.val:
        raise SourceError(
            "VOC lists no image of seg11valid for val, so fcn2016 has nothing to be judged on",
            where=voc.archive.path,
            expected=f"{SEG11VALID} images, as in the official lists",
            found=f"none among {len(voc.val):,}",
            advice="restore the official list, or build with --protocol trainaug",
        )
    return Source(
        dataset="voc2012",
        year=2012,
        synthetic=voc.synthetic,
        splits={name: _split(name, division, voc, sbd, protocol, classes) for name in splits},
        labels={"policy": "voc", "version": 1, "min_area": 0, "void_border": 0},
        notes=notes(classes),
        protocol=protocol,
        views=_views(protocol, division, voc),
    )


def _split(
    name: str,
    division: Division,
    voc: VocTree,
    sbd: SbdTree,
    protocol: Protocol,
    classes: ClassSet,
) -> Split:
    official = OFFICIAL[protocol][name]
    own = name == "train"
    of_voc = division.from_voc if own else division.val
    of_sbd = division.from_sbd if own else ()
    samples, broken = gather(of_voc, partial(voc.sample, classes=classes))
    more, more_broken = gather(of_sbd, partial(sbd.sample, classes=classes))
    available = len(of_voc) + len(of_sbd)
    return Split([*samples, *more], available, official, broken=[*broken, *more_broken])


def trainaug(lists: Lists) -> Division:
    """VOC's train and what SBD alone labels; VOC's val.

    What VOC lists is VOC's: its own mask is the better one, and its val never enters train.
    """
    listed = {*lists.voc_train, *lists.voc_val}
    extra = dict.fromkeys([*lists.sbd_train, *lists.sbd_val])
    return Division(lists.voc_train, [i for i in extra if i not in listed], lists.voc_val)


def fcn2016(lists: Lists) -> Division:
    """SBD's train with SBD's masks; seg11valid, as far as VOC lists it for val.

    Raises:
        SourceError: SBD's train names an image of seg11valid.
    """
    judged = set(lists.seg11valid)
    shared = sorted(judged & set(lists.sbd_train))
    if shared:
        raise SourceError(
            "SBD's train list names images of seg11valid",
            expected="none, as in the official list",
            found=f"{shared[0]} ({len(shared):,} such ids)",
            advice="restore the official train.txt of SBD",
        )
    return Division([], lists.sbd_train, [i for i in lists.voc_val if i in judged])


DIVIDE: Mapping[Protocol, Callable[[Lists], Division]] = {"trainaug": trainaug, "fcn2016": fcn2016}


def _views(protocol: Protocol, division: Division, voc: VocTree) -> list[View]:
    train, val = keys_of([*division.from_voc, *division.from_sbd]), keys_of(division.val)
    official = OFFICIAL[protocol]["train"]
    if protocol == "fcn2016":
        return [
            View("sbd-train", "train", official, train),
            View("seg11valid", "val", SEG11VALID, val),
        ]
    return [
        View("trainaug", "train", official, train),
        View("sbd-extra", "train", SBD_EXTRA, keys_of(division.from_sbd)),
        *own_views(voc),
    ]
