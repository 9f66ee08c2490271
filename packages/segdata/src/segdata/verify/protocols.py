"""What the protocols of VOC 2012 and SBD ask for, stated a second time.

An image's split and the mask it must have follow from four lists and the name of the protocol;
so do the named subsets and all official counts.
"""

import hashlib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from segdata.errors import SourceError
from segdata.verify.records import Record, SourceSplit
from segdata.verify.sbd import SbdSource, find_sbd
from segdata.verify.voc import VocSource, find_voc, voc_table

OFFICIAL = {
    "voc": {"train": 1464, "val": 1449},
    "trainaug": {"train": 1464 + 6820 + 2298, "val": 1449},
    "fcn2016": {"train": 8498, "val": 736},
}
OWN_VIEWS = {"voc-train": ("train", 1464), "voc-val": ("val", 1449), "seg11valid": ("val", 736)}
VIEWS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "voc": OWN_VIEWS,
    "trainaug": OWN_VIEWS
    | {"trainaug": ("train", 1464 + 6820 + 2298), "sbd-extra": ("train", 6820 + 2298)},
    "fcn2016": {"sbd-train": ("train", 8498), "seg11valid": ("val", 736)},
}  # by protocol and name: the physical split, the official count
SEG11VALID_SHA256 = "4ca991bd72c251fd2485eaa9e29536502ea3800d1b1c17c151fd6a04bcfbc2cc"


def seg11valid() -> frozenset[str]:
    """The ids of the FCN papers' validation split.

    Raises:
        SourceError: the list that was installed is not the published one.
    """
    data = (resources.files("segdata") / "lists" / "seg11valid.txt").read_bytes()
    if hashlib.sha256(data.replace(b"\r", b"")).hexdigest() != SEG11VALID_SHA256:
        raise SourceError(
            "the installed list of seg11valid has been changed", advice="install segdata again"
        )
    return frozenset(data.decode("ascii").split())


def open_protocol(
    data: Path, sbd: Path | None, protocol: str, split: str, names: list[str]
) -> SourceSplit | None:
    """A split of VOC 2012 as its protocol makes it up; None where a source is not at hand.

    Args:
        data: where VOC lies.
        sbd: where SBD lies; None looks below `data`.
        protocol: of the manifest.
        split: `train` or `val`.
        names: of the chosen classes.

    Raises:
        SourceError: a source is there but broken.
    """
    table = voc_table(names)
    voc = find_voc(data, 2012)
    if split == "val":
        return None if voc is None else _val(voc, protocol, table)
    if protocol == "voc":
        return None if voc is None else _voc_train(voc, table)
    boundaries = find_sbd(sbd or data)
    if boundaries is None:
        return None
    if protocol == "fcn2016":
        return _sbd_train(boundaries, table)
    return None if voc is None else _trainaug(voc, boundaries, table)


def _val(voc: VocSource, protocol: str, table: bytes) -> SourceSplit:
    """VOC's own val, or what of it the FCN papers judged on."""
    judged = seg11valid()
    ids = [i for i in voc.ids("val") if protocol != "fcn2016" or i in judged]
    others = dict.fromkeys(voc.ids("train"), "VOC lists it for train")
    if protocol == "fcn2016":
        others |= dict.fromkeys(set(voc.ids("val")) - judged, "it is not in seg11valid")
    views = {"voc-val": frozenset(ids), "seg11valid": judged & set(ids)}
    return SourceSplit(_by_id(voc.record(i, table) for i in ids), barred=others, views=views)


def _voc_train(voc: VocSource, table: bytes) -> SourceSplit:
    ids = voc.ids("train")
    return SourceSplit(
        _by_id(voc.record(i, table) for i in ids),
        barred=dict.fromkeys(voc.ids("val"), "VOC lists it for val"),
        views={"voc-train": frozenset(ids)},
    )


def _sbd_train(sbd: SbdSource, table: bytes) -> SourceSplit:
    ids = sbd.ids("train")
    return SourceSplit(
        _by_id(sbd.record(i, table) for i in ids),
        barred=dict.fromkeys(seg11valid(), "it is in seg11valid"),
        views={"sbd-train": frozenset(ids)},
    )


def _trainaug(voc: VocSource, sbd: SbdSource, table: bytes) -> SourceSplit:
    own, held_out = set(voc.ids("train")), set(voc.ids("val"))
    everything = own.union(sbd.ids("train"), sbd.ids("val")) - held_out
    records: dict[str, Record] = {}
    for source_id in sorted(everything):
        by_voc = source_id in own  # VOC's mask is the better one
        records[source_id] = (voc if by_voc else sbd).record(source_id, table)
    return SourceSplit(
        records,
        barred=dict.fromkeys(held_out, "VOC lists it for val"),
        views={
            "voc-train": frozenset(own),
            "sbd-extra": frozenset(everything - own),
            "trainaug": frozenset(everything),
        },
    )


def _by_id(records: Iterable[Record]) -> dict[str, Record]:
    return {record.source_id: record for record in records}
